//! SubmitJob.
//!
//! Source: AWS Batch API reference, SubmitJob.

use fornada_core::arn::Scope;
use fornada_core::container::ContainerOverrides;
use fornada_core::id::{JobId, Member};
use fornada_core::job::depends_on::Dependency;
use fornada_core::job::submit::Submission;
use fornada_core::text::Text;
use fornada_model::batch as model;

use super::consumable_resources::consumables;
use super::names::{is_name, is_share_identifier};
use super::{container_fields, retry_strategy, tags};
use crate::app::Call;
use crate::error::WireError;

/// Source: AWS Batch User Guide, service quotas.
const DEPENDENCIES_MAX: usize = 20;
/// Source: AWS Batch User Guide, service quotas.
const ARRAY_SIZE: std::ops::RangeInclusive<u32> = 2..=10_000;
/// Source: AWS Batch API reference, JobTimeout.
const TIMEOUT_SECONDS_MIN: u32 = 60;

pub(super) async fn submit_job(
    call: &Call,
    request: model::SubmitJobRequest,
) -> Result<model::SubmitJobResponse, WireError> {
    let submission = submission(&call.scope, request)?;
    let scope = call.scope.clone();
    let job = call.app.engine.decide(move |turn| turn.submit_job(&scope, submission)).await??;
    let id = JobId::whole(job.id);
    Ok(model::SubmitJobResponse {
        job_arn: Some(job.arn(id).into()),
        job_id: id.to_string(),
        job_name: job.name.as_str().to_owned(),
    })
}

fn submission(scope: &Scope, request: model::SubmitJobRequest) -> Result<Submission, WireError> {
    let model::SubmitJobRequest {
        array_properties,
        consumable_resource_properties_override,
        container_overrides,
        depends_on,
        ecs_properties_override,
        eks_properties_override,
        job_definition,
        job_name,
        job_queue,
        node_overrides,
        parameters,
        propagate_tags,
        retry_strategy,
        scheduling_priority_override,
        share_identifier,
        tags,
        timeout,
    } = request;
    if !is_name(&job_name) {
        return Err(WireError::invalid("Job name should match valid pattern"));
    }
    if share_identifier.as_deref().is_some_and(|share| !is_share_identifier(share)) {
        return Err(WireError::invalid("ShareIdentifier name should match a valid pattern."));
    }
    let unsupported = [
        ("ecsPropertiesOverride", ecs_properties_override.is_some()),
        ("eksPropertiesOverride", eks_properties_override.is_some()),
        ("nodeOverrides", node_overrides.is_some()),
    ];
    if let Some((member, _)) = unsupported.iter().find(|(_, given)| *given) {
        return Err(WireError::invalid(format!("{member} is not supported by Fornada yet.")));
    }
    let array_size = array_properties.and_then(|array| array.size).map(array_size).transpose()?;
    let (overrides, legacy_override) = match container_overrides {
        Some(given) => {
            let legacy = given.vcpus.is_some() || given.memory.is_some();
            (Some(overrides(given)?), legacy)
        }
        None => (None, false),
    };
    let text_map = |map: std::collections::BTreeMap<String, String>| {
        map.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
    };
    Ok(Submission {
        name: job_name.into(),
        queue: job_queue.into(),
        definition: job_definition.into(),
        array_size,
        depends_on: dependencies(depends_on.unwrap_or_default())?,
        parameters: parameters.map(text_map).unwrap_or_default(),
        overrides,
        legacy_override,
        retry: retry_strategy.as_ref().map(retry_strategy::from_wire).transpose()?,
        timeout_seconds: timeout.as_ref().map(timeout_seconds).transpose()?.flatten(),
        propagate_tags,
        share_identifier: share_identifier.map(Text::from),
        scheduling_priority: scheduling_priority_override.map(scheduling_priority).transpose()?,
        consumables: consumables(scope, consumable_resource_properties_override)?,
        tags: tags::checked(tags)?,
    })
}

fn array_size(size: i32) -> Result<u32, WireError> {
    let size = u32::try_from(size).ok().filter(|size| ARRAY_SIZE.contains(size));
    size.ok_or_else(|| {
        let (min, max) = (ARRAY_SIZE.start(), ARRAY_SIZE.end());
        WireError::invalid(format!("Array size must be between {min} and {max}."))
    })
}

fn dependencies(given: Vec<model::JobDependency>) -> Result<Vec<Dependency>, WireError> {
    if given.len() > DEPENDENCIES_MAX {
        return Err(WireError::invalid(format!("Job cannot have more than {DEPENDENCIES_MAX} dependencies")));
    }
    given.into_iter().map(dependency).collect()
}

fn dependency(given: model::JobDependency) -> Result<Dependency, WireError> {
    use model::ArrayJobDependency::{NToN, Sequential};
    let model::JobDependency { job_id, r#type } = given;
    let id = job_id.map(|id| {
        let parsed = id.parse::<JobId>();
        parsed.map_err(|_| WireError::invalid(format!("Dependent job {id} does not exist")))
    });
    match (r#type, id.transpose()?) {
        (None, Some(id)) => Ok(Dependency::Job(id)),
        (Some(NToN), Some(JobId { job, member: Member::Whole })) => Ok(Dependency::NToN(job)),
        (Some(Sequential), None) => Ok(Dependency::Sequential),
        (None | Some(NToN), _) => {
            Err(WireError::invalid("A dependency needs the jobId of the job that it waits for."))
        }
        (Some(Sequential), Some(_)) => Err(WireError::invalid(
            "A SEQUENTIAL dependency takes no jobId: it orders the children of this array.",
        )),
    }
}

fn overrides(given: model::ContainerOverrides) -> Result<ContainerOverrides, WireError> {
    let model::ContainerOverrides {
        command,
        environment,
        instance_type,
        memory,
        resource_requirements,
        vcpus,
    } = given;
    if command.as_ref().is_some_and(|command| command.iter().any(String::is_empty)) {
        return Err(WireError::invalid("An element of the command override must not be empty."));
    }
    Ok(ContainerOverrides {
        // An empty list is what SDKs send for "not given".
        command: command
            .filter(|c| !c.is_empty())
            .map(|command| command.into_iter().map(Text::from).collect()),
        environment: container_fields::environment(&environment)?,
        requirements: container_fields::requirements(&resource_requirements, vcpus, memory)?,
        instance_type: instance_type.map(Text::from),
    })
}

/// `timeout.attemptDurationSeconds`.
pub(super) fn timeout_seconds(timeout: &model::JobTimeout) -> Result<Option<u32>, WireError> {
    let Some(seconds) = timeout.attempt_duration_seconds else { return Ok(None) };
    let seconds = u32::try_from(seconds).ok().filter(|seconds| *seconds >= TIMEOUT_SECONDS_MIN);
    seconds.map(Some).ok_or_else(|| {
        WireError::invalid(format!("attemptDurationSeconds must be at least {TIMEOUT_SECONDS_MIN} seconds."))
    })
}

/// 0 to 9999.
pub(super) fn scheduling_priority(priority: i32) -> Result<u32, WireError> {
    let priority = u32::try_from(priority).ok().filter(|priority| *priority <= 9999);
    priority.ok_or_else(|| WireError::invalid("Scheduling priority must be between 0 and 9999."))
}
