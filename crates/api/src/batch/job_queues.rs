//! CreateJobQueue, UpdateJobQueue, DescribeJobQueues, DeleteJobQueue.
//!
//! What must hold: a queue's environments are of one kind, which is its jobQueueType and never changes; a queue of service
//! jobs has a service environment and no compute environments. Its document is the
//! wire's own detail, without what the record keeps and moves by itself.
//!
//! Source: AWS Batch API reference, the four operations; texts as observed.

use std::collections::BTreeSet;

use fornada_core::arn::{Arn, Scope, name_of};
use fornada_core::refusal::Refusal;
use fornada_core::resource::Status;
use fornada_core::resource::compute_environment::Platform;
use fornada_core::resource::job_queue::{JobQueue, Specification, TimeLimit};
use fornada_core::resource::tags::Tags;
use fornada_core::service_job::refusal::ServiceRefusal;
use fornada_core::state::State;
use fornada_core::text::Document;
use fornada_model::batch as model;

use super::names::is_name;
use super::require::require;
use super::selection::{Selection, owned};
use super::{compute_environments, service_environments, tags};
use crate::app::Call;
use crate::error::WireError;

const KIND: &str = "job-queue";

/// Source: AWS Batch User Guide, service quotas.
const ENVIRONMENTS_MAX: usize = 3;
/// Source: AWS Batch API reference, JobStateTimeLimitAction.
const TIME_LIMIT_SECONDS: std::ops::RangeInclusive<i32> = 600..=86_400;

pub(crate) async fn create(
    call: &Call,
    request: model::CreateJobQueueRequest,
) -> Result<model::CreateJobQueueResponse, WireError> {
    let scope = call.scope.clone();
    let (given, tags) = call.app.engine.read(move |state| checked(state, &scope, request)).await??;
    let (arn, name) = (given.arn.clone(), name_of(&given.arn).to_owned());
    call.app.engine.decide(move |turn| turn.create_job_queue(given, tags)).await??;
    Ok(model::CreateJobQueueResponse { job_queue_arn: arn.into(), job_queue_name: name })
}

/// A new queue as the engine takes it, before the environments that there are.
pub(crate) fn checked(
    state: &State,
    scope: &Scope,
    request: model::CreateJobQueueRequest,
) -> Result<(Specification, Tags), WireError> {
    let model::CreateJobQueueRequest {
        compute_environment_order,
        job_queue_name: name,
        job_queue_type,
        job_state_time_limit_actions,
        priority,
        scheduling_policy_arn,
        service_environment_order,
        state: wanted,
        tags,
    } = request;
    require(is_name(&name), "Job Queue name should match a valid pattern.")?;
    let order = compute_environment_order.unwrap_or_default();
    let services = service_environment_order.unwrap_or_default();
    let service_environment = service_environment(&services, &order, job_queue_type, scope)?;
    let scheduling_policy = scheduling_policy(scope, scheduling_policy_arn)?;
    check_time_limits(job_state_time_limit_actions.as_deref(), service_environment.is_some())?;
    let (order, environments, job_queue_type) = match &service_environment {
        Some(_) => (Vec::new(), Vec::new(), model::JobQueueType::SagemakerTraining),
        None => {
            let (order, environments) = checked_order(order, scope)?;
            let job_queue_type = queue_type(state, &environments, job_queue_type)?;
            (order, environments, job_queue_type)
        }
    };
    let tags = tags::checked(tags)?;
    let detail = model::JobQueueDetail {
        compute_environment_order: order,
        job_queue_type: Some(job_queue_type),
        job_state_time_limit_actions,
        service_environment_order: echoed(&services, service_environment.as_ref()),
        ..Default::default()
    };
    let given = Specification {
        arn: scope.resolve(KIND, &name),
        enabled: wanted != Some(model::JQState::Disabled),
        priority,
        environments,
        scheduling_policy,
        service_environment,
        time_limits: time_limits(&detail),
        document: document(&detail)?,
    };
    Ok((given, tags))
}

pub(super) async fn update(
    call: &Call,
    request: model::UpdateJobQueueRequest,
) -> Result<model::UpdateJobQueueResponse, WireError> {
    let model::UpdateJobQueueRequest {
        compute_environment_order,
        job_queue,
        job_state_time_limit_actions,
        priority,
        scheduling_policy_arn,
        service_environment_order,
        state,
    } = request;
    let arn = owned(&call.scope, KIND, &job_queue)?;
    let wanted = arn.clone();
    let existing = call.app.engine.read(move |state| state.job_queues().get(&wanted).cloned()).await?;
    let existing = existing.ok_or_else(|| Refusal::NoSuchResource { arn: arn.clone() })?;
    let mut detail = stored(&existing)?;
    let services = service_environment_order.unwrap_or_default();
    let order = compute_environment_order.unwrap_or_default();
    let given = match (services.is_empty() && order.is_empty(), &existing.service_environment) {
        (true, existing) => existing.clone(),
        (false, _) => service_environment(&services, &order, detail.job_queue_type, &call.scope)?,
    };
    if !services.is_empty() {
        detail.service_environment_order = echoed(&services, given.as_ref());
    }
    let scheduling_policy = scheduling_policy(&call.scope, scheduling_policy_arn)?;
    check_time_limits(job_state_time_limit_actions.as_deref(), given.is_some())?;
    let mut environments = existing.environments.clone();
    if !order.is_empty() {
        (detail.compute_environment_order, environments) = checked_order(order, &call.scope)?;
        let (tried, wanted) = (environments.clone(), detail.job_queue_type);
        let r#type = call.app.engine.read(move |state| queue_type(state, &tried, wanted)).await??;
        detail.job_queue_type = Some(r#type);
    }
    detail.job_state_time_limit_actions =
        job_state_time_limit_actions.or(detail.job_state_time_limit_actions);
    let given = Specification {
        arn: arn.clone(),
        enabled: state.map_or(existing.enabled, |state| state == model::JQState::Enabled),
        priority: priority.unwrap_or(existing.priority),
        environments,
        scheduling_policy,
        service_environment: given,
        time_limits: time_limits(&detail),
        document: document(&detail)?,
    };
    let version = existing.version;
    call.app.engine.decide(move |turn| turn.update_job_queue(given, version)).await??;
    Ok(model::UpdateJobQueueResponse {
        job_queue_arn: Some(arn.into()),
        job_queue_name: Some(existing.name().to_owned()),
    })
}

pub(super) async fn describe(
    call: &Call,
    request: model::DescribeJobQueuesRequest,
) -> Result<model::DescribeJobQueuesResponse, WireError> {
    let model::DescribeJobQueuesRequest { job_queues: names, max_results, next_token } = request;
    let (scope, selection) = (call.scope.clone(), Selection { names, max_results, next_token });
    let select = move |state: &State| selection.of(state.job_queues(), &scope, KIND);
    let (page, next_token) = call.app.engine.read(select).await??;
    let details = page.iter().map(|queue| described(queue)).collect::<Result<_, _>>()?;
    Ok(model::DescribeJobQueuesResponse { job_queues: Some(details), next_token })
}

pub(super) async fn delete(
    call: &Call,
    request: model::DeleteJobQueueRequest,
) -> Result<model::DeleteJobQueueResponse, WireError> {
    let model::DeleteJobQueueRequest { job_queue } = request;
    let arn = owned(&call.scope, KIND, &job_queue)?;
    call.app.engine.decide(move |turn| turn.delete_job_queue(&arn)).await??;
    Ok(model::DeleteJobQueueResponse {})
}

/// The service environment of a queue of service jobs; `None` for a queue of container jobs.
fn service_environment(
    services: &[model::ServiceEnvironmentOrder],
    order: &[model::ComputeEnvironmentOrder],
    r#type: Option<model::JobQueueType>,
    scope: &Scope,
) -> Result<Option<Arn>, WireError> {
    if services.is_empty() {
        require(
            r#type != Some(model::JobQueueType::SagemakerTraining),
            "Job queues of type SAGEMAKER_TRAINING must have serviceEnvironmentOrder.",
        )?;
        return Ok(None);
    }
    if let Some(r#type) = r#type.filter(|r#type| *r#type != model::JobQueueType::SagemakerTraining) {
        return Err(WireError::invalid(format!(
            "The jobQueueType provided is {type}, which is incompatible with the provided serviceEnvironmentOrder."
        )));
    }
    require(
        order.is_empty(),
        "A job queue has either computeEnvironmentOrder or serviceEnvironmentOrder, not both.",
    )?;
    let [service] = services else {
        return Err(WireError::invalid("Job queue can only have 1 service environment."));
    };
    let arn = scope.resolve(service_environments::KIND, &service.service_environment);
    if !scope.owns(&arn) {
        return Err(ServiceRefusal::EnvironmentNotValid.into());
    }
    Ok(Some(arn))
}

/// The order as given, with the full ARN.
fn echoed(
    services: &[model::ServiceEnvironmentOrder],
    arn: Option<&Arn>,
) -> Option<Vec<model::ServiceEnvironmentOrder>> {
    let (service, arn) = (services.first()?, arn?);
    let service_environment = arn.clone().into();
    Some(vec![model::ServiceEnvironmentOrder { order: service.order, service_environment }])
}

/// A policy by its ARN; those of others look like missing ones.
fn scheduling_policy(scope: &Scope, arn: Option<String>) -> Result<Option<Arn>, WireError> {
    let Some(arn) = arn.map(Arn::from) else { return Ok(None) };
    let resource = arn.strip_prefix("arn:").and_then(|rest| rest.splitn(5, ':').nth(4));
    let is_policy = resource.is_some_and(|resource| resource.starts_with("scheduling-policy/"));
    require(is_policy, "Only scheduling policy Arn can be allowed.")?;
    if scope.owns(&arn) { Ok(Some(arn)) } else { Err(Refusal::NoSuchPolicy { arn }.into()) }
}

/// Container jobs can be cancelled, service jobs terminated.
fn check_time_limits(
    actions: Option<&[model::JobStateTimeLimitAction]>,
    services: bool,
) -> Result<(), WireError> {
    let (valid, fault) = match services {
        false => {
            (model::JobStateTimeLimitActionsAction::Cancel, "Invalid job action. Valid job actions: [CANCEL]")
        }
        true => (
            model::JobStateTimeLimitActionsAction::Terminate,
            "Invalid job action. Valid job actions: [TERMINATE]",
        ),
    };
    let mut seen = BTreeSet::new();
    for model::JobStateTimeLimitAction { action, max_time_seconds, reason, state } in
        actions.unwrap_or_default()
    {
        require(*action == valid, fault)?;
        require(
            TIME_LIMIT_SECONDS.contains(max_time_seconds),
            "maxTimeSeconds of a job state limit action must be between 600 and 86400.",
        )?;
        require(seen.insert((*state, reason)), "Duplicate job state limit actions are not allowed.")?;
    }
    Ok(())
}

/// What decisions need of the limits, which have been checked.
fn time_limits(detail: &model::JobQueueDetail) -> Option<Vec<TimeLimit>> {
    let limit = |action: &model::JobStateTimeLimitAction| TimeLimit {
        reason: action.reason.as_str().into(),
        max_seconds: action.max_time_seconds.unsigned_abs(),
    };
    detail.job_state_time_limit_actions.as_ref().map(|actions| actions.iter().map(limit).collect())
}

/// The order with full ARNs, as given; and the ARNs in the order in which they are tried.
fn checked_order(
    mut order: Vec<model::ComputeEnvironmentOrder>,
    scope: &Scope,
) -> Result<(Vec<model::ComputeEnvironmentOrder>, Vec<Arn>), WireError> {
    require(!order.is_empty(), "computeEnvironmentOrder is required.")?;
    require(order.len() <= ENVIRONMENTS_MAX, "Only 3 environments are allowed in job queue request.")?;
    let mut tried = Vec::with_capacity(order.len());
    for model::ComputeEnvironmentOrder { compute_environment, order } in &mut order {
        let arn = scope.resolve("compute-environment", compute_environment);
        *compute_environment = arn.clone().into();
        tried.push((*order, arn));
    }
    let distinct = tried.iter().map(|(order, _)| order).collect::<BTreeSet<_>>().len();
    require(distinct == tried.len(), "Duplicate ComputeEnvironment order values.")?;
    let distinct = tried.iter().map(|(_, arn)| arn).collect::<BTreeSet<_>>().len();
    require(distinct == tried.len(), "Duplicate ComputeEnvironments within order list.")?;
    if let Some((_, arn)) = tried.iter().find(|(_, arn)| !scope.owns(arn)) {
        return Err(Refusal::EnvironmentNotValid { arn: arn.clone() }.into());
    }
    tried.sort_unstable();
    Ok((order, tried.into_iter().map(|(_, arn)| arn).collect()))
}

/// The type that follows from the environments. `wanted`, if any, must be the same.
///
/// Environments keep their platform for life, so this still holds when the queue is written.
fn queue_type(
    state: &State,
    environments: &[Arn],
    wanted: Option<model::JobQueueType>,
) -> Result<model::JobQueueType, WireError> {
    let find = |arn: &Arn| state.compute_environments().get(arn);
    let valid = |arn: &Arn| find(arn).ok_or_else(|| Refusal::EnvironmentNotValid { arn: arn.clone() });
    let found = environments.iter().map(valid).collect::<Result<Vec<_>, _>>()?;
    let platforms: Vec<Platform> = found.iter().map(|ce| ce.platform).collect();
    let r#type = common_type(&platforms, wanted)?;
    let mut architectures = Vec::with_capacity(found.len());
    for ce in &found {
        architectures.extend(compute_environments::architecture(ce)?);
    }
    require(
        architectures.iter().all(|one| architectures.first() == Some(one)),
        "The compute environments of a job queue must have the same architecture.",
    )?;
    Ok(r#type)
}

fn common_type(
    platforms: &[Platform],
    wanted: Option<model::JobQueueType>,
) -> Result<model::JobQueueType, WireError> {
    let type_of = |platform: Platform| match platform {
        Platform::Ec2 | Platform::Unmanaged => model::JobQueueType::Ecs,
        Platform::Fargate => model::JobQueueType::EcsFargate,
        Platform::Eks => model::JobQueueType::Eks,
        Platform::ManagedInstances => model::JobQueueType::EcsManagedInstances,
    };
    let mut types = platforms.iter().map(|&platform| type_of(platform));
    let first = types.next().ok_or_else(|| WireError::invalid("computeEnvironmentOrder is required."))?;
    if let Some(other) = types.find(|&other| other != first) {
        if [first, other].contains(&model::JobQueueType::EcsFargate) {
            return Err(Refusal::MixedEnvironments.into());
        }
        return Err(WireError::invalid(format!(
            "{first} and {other} compute environments can not be mixed."
        )));
    }
    match wanted.filter(|wanted| *wanted != first) {
        None => Ok(first),
        Some(wanted) => Err(WireError::invalid(format!(
            "The jobQueueType is {wanted}, which is incompatible with compute environments for {first}."
        ))),
    }
}

fn document(detail: &model::JobQueueDetail) -> Result<Document, WireError> {
    Ok(Document::new(serde_json::to_string(detail).map_err(WireError::server)?))
}

fn stored(queue: &JobQueue) -> Result<model::JobQueueDetail, WireError> {
    serde_json::from_str(queue.document.as_str()).map_err(WireError::server)
}

fn described(queue: &JobQueue) -> Result<model::JobQueueDetail, WireError> {
    Ok(model::JobQueueDetail {
        job_queue_arn: queue.arn.clone().into(),
        job_queue_name: queue.name().to_owned(),
        priority: queue.priority,
        scheduling_policy_arn: queue.scheduling_policy.clone().map(String::from),
        state: if queue.enabled { model::JQState::Enabled } else { model::JQState::Disabled },
        status: Some(match queue.status {
            Status::Creating => model::JQStatus::Creating,
            Status::Updating => model::JQStatus::Updating,
            Status::Deleting => model::JQStatus::Deleting,
            Status::Valid => model::JQStatus::Valid,
            Status::Invalid => model::JQStatus::Invalid,
        }),
        status_reason: Some(queue.status_reason.clone().into()),
        tags: Some(tags::to_wire(&queue.tags)),
        ..stored(queue)?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(given: &[(i32, &str)]) -> Vec<model::ComputeEnvironmentOrder> {
        let entry = |&(order, name): &(i32, &str)| model::ComputeEnvironmentOrder {
            compute_environment: name.to_owned(),
            order,
        };
        given.iter().map(entry).collect()
    }

    #[test]
    fn environments_become_arns_echoed_as_given_and_tried_by_order() {
        let scope = Scope { region: "eu-west-1".into(), account: "000000000000".into() };
        let arn = |name: &str| scope.resolve("compute-environment", name);
        let (echoed, tried) = checked_order(order(&[(5, "b"), (1, "a")]), &scope).unwrap();
        assert_eq!(echoed, order(&[(5, &arn("b")), (1, &arn("a"))]));
        assert_eq!(tried, [arn("a"), arn("b")]);
        let other = "arn:aws:batch:eu-west-1:111111111111:compute-environment/a";
        let cases: [(&[(i32, &str)], &str); 5] = [
            (&[], "computeEnvironmentOrder is required."),
            (
                &[(1, "a"), (2, "b"), (3, "c"), (4, "d")],
                "Only 3 environments are allowed in job queue request.",
            ),
            (&[(1, "a"), (1, "b")], "Duplicate ComputeEnvironment order values."),
            (&[(1, "a"), (2, &arn("a"))], "Duplicate ComputeEnvironments within order list."),
            (
                &[(1, other)],
                "Compute Environments must be created and valid before attaching them to a job queue",
            ),
        ];
        for (given, want) in cases {
            assert_eq!(checked_order(order(given), &scope).unwrap_err().message, want);
        }
    }

    #[test]
    fn the_type_follows_from_the_environments() {
        use Platform::{Ec2, Eks, Fargate, ManagedInstances, Unmanaged};
        let cases: [(&[Platform], _, _); 9] = [
            (&[Ec2, Unmanaged], None, Ok(model::JobQueueType::Ecs)),
            (&[Fargate, Fargate], Some(model::JobQueueType::EcsFargate), Ok(model::JobQueueType::EcsFargate)),
            (&[ManagedInstances], None, Ok(model::JobQueueType::EcsManagedInstances)),
            (&[Eks], None, Ok(model::JobQueueType::Eks)),
            (&[Ec2, Fargate], None, Err("Fargate and EC2 compute environments can not be mixed.")),
            (&[Fargate, Ec2], None, Err("Fargate and EC2 compute environments can not be mixed.")),
            (&[Ec2, Eks], None, Err("ECS and EKS compute environments can not be mixed.")),
            (&[], None, Err("computeEnvironmentOrder is required.")),
            (
                &[Ec2],
                Some(model::JobQueueType::Eks),
                Err("The jobQueueType is EKS, which is incompatible with compute environments for ECS."),
            ),
        ];
        for (platforms, wanted, want) in cases {
            let got = common_type(platforms, wanted).map_err(|error| error.message);
            assert_eq!(got, want.map_err(str::to_owned), "{platforms:?}");
        }
    }

    #[test]
    fn a_queue_has_environments_of_one_kind() {
        use model::JobQueueType::{Ecs, SagemakerTraining};
        let scope = Scope { region: "eu-west-1".into(), account: "000000000000".into() };
        let service =
            |name: &str| model::ServiceEnvironmentOrder { order: 1, service_environment: name.into() };
        let services = |n: usize| vec![service("se"); n];
        let missing = "Service environments must be created and valid before attaching them to a job queue.";
        let incompatible = "The jobQueueType provided is ECS, which is incompatible with the provided serviceEnvironmentOrder.";
        let both = "A job queue has either computeEnvironmentOrder or serviceEnvironmentOrder, not both.";
        let alone = "Job queues of type SAGEMAKER_TRAINING must have serviceEnvironmentOrder.";
        let several = "Job queue can only have 1 service environment.";
        let cases = [
            (0, order(&[(1, "a")]), Some(SagemakerTraining), alone),
            (1, order(&[]), Some(Ecs), incompatible),
            (1, order(&[(1, "a")]), None, both),
            (2, order(&[]), Some(SagemakerTraining), several),
        ];
        for (n, order, r#type, want) in cases {
            let error = service_environment(&services(n), &order, r#type, &scope).unwrap_err();
            assert_eq!(error.message, want);
        }
        assert_eq!(service_environment(&[], &[], Some(Ecs), &scope).unwrap(), None);
        let arn = scope.resolve(service_environments::KIND, "se");
        for name in ["se", &arn] {
            let found = service_environment(&[service(name)], &[], None, &scope).unwrap();
            assert_eq!(found, Some(arn.clone()));
        }
        let foreign = "arn:aws:batch:eu-west-1:111111111111:service-environment/se";
        let error = service_environment(&[service(foreign)], &[], None, &scope).unwrap_err();
        assert_eq!(error.message, missing);

        let scope = Scope { region: "eu-west-1".into(), account: "000000000000".into() };
        let policy = "arn:aws:batch:eu-west-1:111111111111:scheduling-policy/p";
        let not_found = format!("SchedulingPolicy {policy} not found.");
        let queue = "arn:aws:batch:eu-west-1:000000000000:job-queue/scheduling-policy/";
        for (arn, want) in [
            (policy, not_found.as_str()),
            (queue, "Only scheduling policy Arn can be allowed."),
            ("p", "Only scheduling policy Arn can be allowed."),
        ] {
            assert_eq!(scheduling_policy(&scope, Some(arn.to_owned())).unwrap_err().message, want);
        }
    }

    #[test]
    fn limits_are_checked_and_become_what_decisions_need() {
        use model::JobStateTimeLimitActionsAction::{Cancel, Terminate};
        let limit = |action, max_time_seconds, reason: &str| model::JobStateTimeLimitAction {
            action,
            max_time_seconds,
            reason: reason.to_owned(),
            state: model::JobStateTimeLimitActionsState::Runnable,
        };
        assert!(
            check_time_limits(Some(&[limit(Cancel, 600, "a"), limit(Cancel, 86_400, "b")]), false).is_ok()
        );
        assert!(check_time_limits(Some(&[limit(Terminate, 600, "a")]), true).is_ok());
        let detail = model::JobQueueDetail {
            job_state_time_limit_actions: Some(vec![limit(Cancel, 86_400, "a")]),
            ..Default::default()
        };
        let want = TimeLimit { reason: "a".into(), max_seconds: 86_400 };
        assert_eq!(time_limits(&detail), Some(vec![want]));
        assert_eq!(time_limits(&model::JobQueueDetail::default()), None);
        let refused = check_time_limits(Some(&[limit(Cancel, 600, "a")]), true).unwrap_err();
        assert_eq!(refused.message, "Invalid job action. Valid job actions: [TERMINATE]");
        let range = "maxTimeSeconds of a job state limit action must be between 600 and 86400.";
        let cases = [
            (vec![limit(Terminate, 600, "a")], "Invalid job action. Valid job actions: [CANCEL]"),
            (vec![limit(Cancel, 599, "a")], range),
            (vec![limit(Cancel, 86_401, "a")], range),
            (
                vec![limit(Cancel, 600, "a"), limit(Cancel, 700, "a")],
                "Duplicate job state limit actions are not allowed.",
            ),
        ];
        for (limits, want) in cases {
            assert_eq!(check_time_limits(Some(&limits), false).unwrap_err().message, want);
        }
    }

    #[test]
    fn a_queue_is_described_as_it_was_asked_for() {
        let scope = Scope { region: "eu-west-1".into(), account: "000000000000".into() };
        let (order, environments) = checked_order(order(&[(2, "b"), (1, "a")]), &scope).unwrap();
        let detail = model::JobQueueDetail {
            compute_environment_order: order,
            job_queue_type: Some(model::JobQueueType::Ecs),
            ..Default::default()
        };
        let queue = JobQueue {
            arn: scope.resolve(KIND, "q"),
            enabled: false,
            status: Status::Updating,
            status_reason: "JobQueue Healthy".into(),
            priority: 7,
            environments,
            tags: [("k".into(), "v".into())].into(),
            document: document(&detail).unwrap(),
            version: 1,
            created_at: fornada_core::time::Timestamp::default(),
            scheduling_policy: Some(scope.resolve("scheduling-policy", "p")),
            service_environment: None,
            time_limits: None,
        };
        let ce = |name| format!("arn:aws:batch:eu-west-1:000000000000:compute-environment/{name}");
        let want = serde_json::json!({
            "computeEnvironmentOrder": [
                { "computeEnvironment": ce("b"), "order": 2 },
                { "computeEnvironment": ce("a"), "order": 1 },
            ],
            "jobQueueArn": "arn:aws:batch:eu-west-1:000000000000:job-queue/q",
            "jobQueueName": "q",
            "jobQueueType": "ECS",
            "priority": 7,
            "schedulingPolicyArn": "arn:aws:batch:eu-west-1:000000000000:scheduling-policy/p",
            "state": "DISABLED",
            "status": "UPDATING",
            "statusReason": "JobQueue Healthy",
            "tags": { "k": "v" },
        });
        assert_eq!(serde_json::to_value(described(&queue).unwrap()).unwrap(), want);
    }
}
