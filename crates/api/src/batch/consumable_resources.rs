//! CreateConsumableResource, UpdateConsumableResource, DescribeConsumableResource, ListConsumableResources,
//! DeleteConsumableResource, ListJobsByConsumableResource; and what jobs and definitions say of such resources.
//!
//! Source: AWS Batch API reference, the six operations and ConsumableResourceProperties; texts as observed.

use std::collections::BTreeSet;
use std::sync::Arc;

use fornada_core::arn::{Arn, Scope, name_of};
use fornada_core::id::{JobId, Member};
use fornada_core::job::Job;
use fornada_core::refusal::Refusal;
use fornada_core::resource::consumable_resource::{Change, Consumable, ConsumableResource};
use fornada_core::resource::tags::Tags;
use fornada_core::state::State;
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_model::batch as model;

use super::names::is_name;
use super::require::require;
use super::selection::{MAX, check_filters, owned};
use super::{paging, tags};
use crate::app::{App, Call};
use crate::error::WireError;

const KIND: &str = "consumable-resource";

/// Jobs looked at for one page of ListJobsByConsumableResource; where filters leave out more, the page is the shorter.
const EXAMINED_MAX: u32 = 10_000;

/// Jobs that are read at once.
const CHUNK: u32 = 500;

const REPLENISHABLE: &str = "REPLENISHABLE";
const NON_REPLENISHABLE: &str = "NON_REPLENISHABLE";

pub(super) async fn create(
    call: &Call,
    request: model::CreateConsumableResourceRequest,
) -> Result<model::CreateConsumableResourceResponse, WireError> {
    let (arn, replenishable, total, tags) = created(&call.scope, request)?;
    let wanted = arn.clone();
    let create = move |turn: &mut fornada_core::turn::Turn<'_>| {
        turn.create_consumable_resource(wanted, replenishable, total, tags)
    };
    call.app.engine.decide(create).await??;
    Ok(model::CreateConsumableResourceResponse {
        consumable_resource_name: name_of(&arn).to_owned(),
        consumable_resource_arn: arn.into(),
    })
}

/// A new resource as the engine takes it: its ARN, whether it is replenishable, its total quantity, its tags.
pub(crate) fn created(
    scope: &Scope,
    request: model::CreateConsumableResourceRequest,
) -> Result<(Arn, bool, u64, Tags), WireError> {
    let model::CreateConsumableResourceRequest {
        consumable_resource_name: name,
        resource_type,
        tags,
        total_quantity,
    } = request;
    require(is_name(&name), "ConsumableResource name should match a valid pattern.")?;
    let replenishable = match resource_type.as_deref() {
        None | Some(REPLENISHABLE) => true,
        Some(NON_REPLENISHABLE) => false,
        Some(_) => {
            return Err(WireError::invalid(
                "resourceType must be one of [REPLENISHABLE, NON_REPLENISHABLE].",
            ));
        }
    };
    let total = quantity("totalQuantity", total_quantity.unwrap_or(0))?;
    Ok((scope.resolve(KIND, &name), replenishable, total, tags::checked(tags)?))
}

pub(super) async fn update(
    call: &Call,
    request: model::UpdateConsumableResourceRequest,
) -> Result<model::UpdateConsumableResourceResponse, WireError> {
    let model::UpdateConsumableResourceRequest {
        client_token,
        consumable_resource,
        operation,
        quantity: given,
    } = request;
    let arn = owned(&call.scope, KIND, &consumable_resource)?;
    let given = given.ok_or_else(|| WireError::invalid("quantity is required."))?;
    let given = quantity("quantity", given)?;
    let change = match operation.as_deref() {
        Some("SET") => Change::Set(given),
        Some("ADD") => Change::Add(given),
        Some("REMOVE") => Change::Remove(given),
        _ => return Err(WireError::invalid("operation must be one of [SET, ADD, REMOVE].")),
    };
    let (token, wanted) = (client_token.map(Text::from), arn.clone());
    let update = move |turn: &mut fornada_core::turn::Turn<'_>| {
        turn.update_consumable_resource(&wanted, change, token.as_ref())
    };
    let total = call.app.engine.decide(update).await??;
    Ok(model::UpdateConsumableResourceResponse {
        consumable_resource_name: name_of(&arn).to_owned(),
        consumable_resource_arn: arn.into(),
        total_quantity: Some(to_long(total)),
    })
}

pub(super) async fn describe(
    call: &Call,
    request: model::DescribeConsumableResourceRequest,
) -> Result<model::DescribeConsumableResourceResponse, WireError> {
    let model::DescribeConsumableResourceRequest { consumable_resource } = request;
    let arn = owned(&call.scope, KIND, &consumable_resource)?;
    let read = move |state: &State| {
        let resource = state.consumable_resources().get(&arn).cloned();
        let resource = resource.ok_or_else(|| Refusal::NoSuchResource { arn: arn.clone() })?;
        let amounts = (state.consumables_in_use(&resource), state.consumables_left(&resource));
        Ok::<_, Refusal>((resource, amounts))
    };
    let (resource, (in_use, left)) = call.app.engine.read(read).await??;
    Ok(model::DescribeConsumableResourceResponse {
        available_quantity: Some(to_long(left)),
        consumable_resource_arn: resource.arn.clone().into(),
        consumable_resource_name: resource.name().to_owned(),
        created_at: Some(resource.created_at.as_millis()),
        in_use_quantity: Some(to_long(in_use)),
        resource_type: Some(resource_type(&resource).to_owned()),
        tags: Some(tags::to_wire(&resource.tags)),
        total_quantity: Some(to_long(resource.total)),
    })
}

pub(super) async fn list(
    call: &Call,
    request: model::ListConsumableResourcesRequest,
) -> Result<model::ListConsumableResourcesResponse, WireError> {
    let model::ListConsumableResourcesRequest { filters, max_results, next_token } = request;
    let filters = filters.unwrap_or_default();
    check_filters(&filters)?;
    let names = filters.iter().map(|filter| match filter.name.as_deref() {
        Some("CONSUMABLE_RESOURCE_NAME") => Ok(NameFilter::of(filter)),
        name => Err(unknown_filter(name, "CONSUMABLE_RESOURCE_NAME")),
    });
    let names: Vec<NameFilter> = names.collect::<Result<_, _>>()?;
    let prefix = call.scope.resolve(KIND, "");
    let select = move |state: &State| {
        let all = state.consumable_resources().range(prefix.clone()..);
        let mine = all.map(|(_, resource)| resource).take_while(|r| r.arn.starts_with(prefix.as_str()));
        let wanted = mine.filter(|resource| names.iter().all(|filter| filter.matches(resource.name())));
        let listed = wanted.map(|resource| (Arc::clone(resource), state.consumables_in_use(resource)));
        let question = (prefix.as_str(), format!("{filters:?}"));
        paging::page(listed, max_results, MAX, next_token.as_deref(), &question)
    };
    let (page, next_token) = call.app.engine.read(select).await??;
    let summary = |(resource, in_use): &(Arc<ConsumableResource>, u64)| model::ConsumableResourceSummary {
        consumable_resource_arn: resource.arn.clone().into(),
        consumable_resource_name: resource.name().to_owned(),
        in_use_quantity: Some(to_long(*in_use)),
        resource_type: Some(resource_type(resource).to_owned()),
        total_quantity: Some(to_long(resource.total)),
    };
    Ok(model::ListConsumableResourcesResponse {
        consumable_resources: page.iter().map(summary).collect(),
        next_token,
    })
}

pub(super) async fn delete(
    call: &Call,
    request: model::DeleteConsumableResourceRequest,
) -> Result<model::DeleteConsumableResourceResponse, WireError> {
    let model::DeleteConsumableResourceRequest { consumable_resource } = request;
    let arn = owned(&call.scope, KIND, &consumable_resource)?;
    call.app.engine.decide(move |turn| turn.delete_consumable_resource(&arn)).await??;
    Ok(model::DeleteConsumableResourceResponse {})
}

pub(super) async fn list_jobs(
    call: &Call,
    request: model::ListJobsByConsumableResourceRequest,
) -> Result<model::ListJobsByConsumableResourceResponse, WireError> {
    let model::ListJobsByConsumableResourceRequest { consumable_resource, filters, max_results, next_token } =
        request;
    let arn = owned(&call.scope, KIND, &consumable_resource)?;
    let filters = filters.unwrap_or_default();
    check_filters(&filters)?;
    let question = (arn.clone(), format!("{filters:?}"));
    let before = paging::position(next_token.as_deref(), &question)?;
    let size = paging::page_size(max_results, MAX)?;
    let filters: Vec<JobFilter> = filters.iter().map(JobFilter::of).collect::<Result<_, _>>()?;
    let wanted = arn.clone();
    let known = move |state: &State| state.consumable_resources().contains_key(&wanted);
    if !call.app.engine.read(known).await? {
        return Err(Refusal::NoSuchResource { arn }.into());
    }
    let resource = arn.clone();
    let find = move |app: &App| {
        let some = |before| app.jobs.list_consumers(&resource, before, CHUNK).map_err(WireError::server);
        filtered_page(some, before, &filters, size)
    };
    let (page, next) = call.blocking(find).await?;
    Ok(model::ListJobsByConsumableResourceResponse {
        jobs: page.iter().map(|job| summary(job, &arn)).collect(),
        next_token: next.map(|sequence| paging::token(sequence, &question)),
    })
}

/// The first `size` of the jobs that match, and the place to go on from; fewer where many had to be looked at.
fn filtered_page(
    some: impl Fn(Option<u64>) -> Result<Vec<Arc<Job>>, WireError>,
    mut before: Option<u64>,
    filters: &[JobFilter],
    size: usize,
) -> Result<(Vec<Arc<Job>>, Option<u64>), WireError> {
    let mut page: Vec<Arc<Job>> = Vec::new();
    let mut examined = 0;
    loop {
        let jobs = some(before)?;
        let is_last = jobs.len() < CHUNK as usize;
        for job in jobs {
            if page.len() == size || examined == EXAMINED_MAX {
                return Ok((page, before));
            }
            (examined, before) = (examined + 1, Some(job.sequence));
            if filters.iter().all(|filter| filter.matches(&job)) {
                page.push(job);
            }
        }
        if is_last {
            return Ok((page, None));
        }
    }
}

fn summary(job: &Job, resource: &Arn) -> model::ListJobsByConsumableResourceSummary {
    let held = job.held_consumables(Member::Whole);
    let needed = held.iter().find(|needed| needed.arn == *resource).map_or(0, |needed| needed.quantity);
    model::ListJobsByConsumableResourceSummary {
        consumable_resource_properties: to_wire(held),
        created_at: job.execution.created_at.as_millis(),
        job_arn: job.arn(JobId::whole(job.id)).into(),
        job_definition_arn: Some(job.definition.clone().into()),
        job_name: job.name.clone().into(),
        job_queue_arn: job.queue.clone().into(),
        job_status: job.execution.status.as_str().to_owned(),
        quantity: to_long(needed),
        share_identifier: job.share_identifier.clone().map(String::from),
        started_at: job.execution.started_at.map(Timestamp::as_millis),
        status_reason: job.execution.status_reason.clone().map(String::from),
    }
}

/// One filter of ListJobsByConsumableResource.
enum JobFilter {
    Status(Vec<String>),
    Name(NameFilter),
}

impl JobFilter {
    fn of(filter: &model::KeyValuesPair) -> Result<JobFilter, WireError> {
        match filter.name.as_deref() {
            Some("JOB_STATUS") => Ok(JobFilter::Status(filter.values.clone().unwrap_or_default())),
            Some("JOB_NAME") => Ok(JobFilter::Name(NameFilter::of(filter))),
            name => Err(unknown_filter(name, "JOB_STATUS, JOB_NAME")),
        }
    }

    fn matches(&self, job: &Job) -> bool {
        match self {
            JobFilter::Status(any) => any.iter().any(|status| status == job.execution.status.as_str()),
            JobFilter::Name(filter) => filter.matches(&job.name),
        }
    }
}

/// Names of any case, each a whole one, or the beginning of one before a `*`.
struct NameFilter(Vec<String>);

impl NameFilter {
    fn of(filter: &model::KeyValuesPair) -> NameFilter {
        NameFilter(filter.values.iter().flatten().map(|value| value.to_lowercase()).collect())
    }

    fn matches(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.0.iter().any(|value| match value.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == *value,
        })
    }
}

fn unknown_filter(name: Option<&str>, known: &str) -> WireError {
    WireError::invalid(format!(
        "{} is not a filter: use one of [{known}].",
        name.unwrap_or("A filter without name")
    ))
}

fn resource_type(resource: &ConsumableResource) -> &'static str {
    if resource.replenishable { REPLENISHABLE } else { NON_REPLENISHABLE }
}

/// What a job or a definition needs, by full ARN.
pub(super) fn consumables(
    scope: &Scope,
    given: Option<model::ConsumableResourceProperties>,
) -> Result<Option<Vec<Consumable>>, WireError> {
    let Some(model::ConsumableResourceProperties { consumable_resource_list }) = given else {
        return Ok(None);
    };
    let mut seen = BTreeSet::new();
    let needed = consumable_resource_list.unwrap_or_default().into_iter().map(|given| {
        let model::ConsumableResourceRequirement { consumable_resource, quantity: number } = given;
        let (Some(resource), Some(number)) = (consumable_resource, number) else {
            return Err(WireError::invalid(
                "Each entry of consumableResourceList needs a consumableResource and a quantity.",
            ));
        };
        let arn = owned(scope, KIND, &resource)?;
        let is_resource = arn
            .splitn(6, ':')
            .nth(5)
            .is_some_and(|resource| resource.strip_prefix("consumable-resource/").is_some_and(is_name));
        require(is_resource, "ConsumableResource name should match a valid pattern.")?;
        if !seen.insert(arn.clone()) {
            return Err(WireError::invalid(format!("consumableResourceList names {arn} more than once.")));
        }
        Ok(Consumable { arn, quantity: quantity("quantity", number)? })
    });
    needed.collect::<Result<_, _>>().map(Some)
}

/// For echoes.
pub(super) fn to_wire(needed: &[Consumable]) -> model::ConsumableResourceProperties {
    let entry = |needed: &Consumable| model::ConsumableResourceRequirement {
        consumable_resource: Some(needed.arn.clone().into()),
        quantity: Some(to_long(needed.quantity)),
    };
    model::ConsumableResourceProperties { consumable_resource_list: Some(needed.iter().map(entry).collect()) }
}

fn quantity(name: &str, given: i64) -> Result<u64, WireError> {
    u64::try_from(given).map_err(|_| WireError::invalid(format!("{name} cannot be a negative number.")))
}

/// Totals and needs fit by their bounds; what is in use may add up to more when totals were lowered.
fn to_long(quantity: u64) -> i64 {
    i64::try_from(quantity).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn needs_are_resolved_and_checked() {
        let scope = Scope { region: "eu-west-1".into(), account: "000000000000".into() };
        let arn = |name: &str| scope.resolve(KIND, name);
        let needs = |list: Value| {
            let given = serde_json::from_value(json!({ "consumableResourceList": list })).unwrap();
            consumables(&scope, Some(given)).map_err(|error| error.message)
        };
        let entry = |name: &str, quantity: i64| json!({ "consumableResource": name, "quantity": quantity });
        let want = vec![
            Consumable { arn: arn("a"), quantity: 0 },
            Consumable { arn: arn("b"), quantity: i64::MAX as u64 },
        ];
        let given = json!([entry("a", 0), entry(&arn("b"), i64::MAX)]);
        assert_eq!(needs(given), Ok(Some(want.clone())));
        assert_eq!(consumables(&scope, None).unwrap(), None);
        assert_eq!(needs(json!([])), Ok(Some(vec![])));
        assert_eq!(consumables(&scope, Some(to_wire(&want))).unwrap(), Some(want));
        let other = "arn:aws:batch:eu-west-1:111111111111:consumable-resource/a";
        let queue = "arn:aws:batch:eu-west-1:000000000000:job-queue/a";
        let both = "Each entry of consumableResourceList needs a consumableResource and a quantity.";
        let pattern = "ConsumableResource name should match a valid pattern.";
        for (given, want) in [
            (json!([entry("a", -1)]), "quantity cannot be a negative number.".to_owned()),
            (json!([{ "consumableResource": "a" }]), both.into()),
            (json!([{ "quantity": 1 }]), both.into()),
            (json!([entry("a b", 1)]), pattern.into()),
            (json!([entry("", 1)]), pattern.into()),
            (json!([entry(queue, 1)]), pattern.into()),
            (json!([entry(other, 1)]), format!("{other} does not exist")),
            (
                json!([entry("a", 1), entry(&arn("a"), 1)]),
                format!("consumableResourceList names {} more than once.", arn("a")),
            ),
        ] {
            assert_eq!(needs(given.clone()), Err(want), "{given}");
        }
    }

    #[test]
    fn names_match_whatever_their_case() {
        let filter = |values: &[&str]| {
            let values = values.iter().map(|&value| value.to_owned()).collect();
            NameFilter::of(&model::KeyValuesPair { name: None, values: Some(values) })
        };
        for (values, name, want) in [
            (&["Licence"][..], "lICENCE", true),
            (&["licence"], "licences", false),
            (&["LIC*"], "licences", true),
            (&["x", "*"], "licences", true),
            (&[], "licences", false),
        ] {
            assert_eq!(filter(values).matches(name), want, "{values:?} {name}");
        }
    }
}
