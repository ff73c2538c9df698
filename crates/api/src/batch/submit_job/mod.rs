//! SubmitJob.
//!
//! Source: AWS Batch API reference, SubmitJob.

mod dependencies;
mod overrides;

use fornada_core::arn::Scope;
use fornada_core::id::JobId;
use fornada_core::job::depends_on::Dependency;
use fornada_core::job::submit::Submission;
use fornada_core::job::workload::{NodeOverrides, Overrides};
use fornada_core::text::Text;
use fornada_model::batch as model;

use super::consumable_resources::consumables;
use super::names::{is_name, is_share_identifier};
use super::require::require;
use super::{retry_strategy, tags};
use crate::app::Call;
use crate::error::WireError;
use crate::limits::Limits;
use overrides::{Given, Read};

/// Children of an array.
const ARRAY_SIZE_MIN: u32 = 2;

pub(super) async fn submit_job(
    call: &Call,
    request: model::SubmitJobRequest,
) -> Result<model::SubmitJobResponse, WireError> {
    let submission = submission(&call.scope, request, &call.app.limits, call.app.strict)?;
    let scope = call.scope.clone();
    let jobs = submission.depends_on.iter().filter_map(Dependency::target).collect();
    let job = call.decide_about(jobs, move |turn| turn.submit_job(&scope, submission)).await??;
    let id = JobId::whole(job.id);
    Ok(model::SubmitJobResponse {
        job_arn: Some(job.arn(id).into()),
        job_id: id.to_string(),
        job_name: job.name.as_str().to_owned(),
    })
}

pub(crate) fn submission(
    scope: &Scope,
    request: model::SubmitJobRequest,
    limits: &Limits,
    strict: bool,
) -> Result<Submission, WireError> {
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
    let share_is_named = share_identifier.as_deref().is_none_or(is_share_identifier);
    require(share_is_named, "ShareIdentifier name should match a valid pattern.")?;
    let array_size = array_properties.and_then(|array| array.size);
    let given = Given {
        container: container_overrides,
        ecs: ecs_properties_override,
        eks: eks_properties_override,
        nodes: node_overrides,
    };
    let Read { overrides, legacy, document, too_long } = given.read(scope)?;
    if let Overrides::Nodes(NodeOverrides { num_nodes: Some(num_nodes), .. }) = &overrides {
        let max = limits.nodes;
        if !(1..=max).contains(num_nodes) {
            return Err(WireError::invalid(format!("Number of nodes must be between 1 and {max}.")));
        }
    }
    let text_map = |map: std::collections::BTreeMap<String, String>| {
        map.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
    };
    Ok(Submission {
        name: job_name.into(),
        queue: job_queue.into(),
        definition: job_definition.into(),
        array_size: array_size.map(|size| checked_array_size(size, limits)).transpose()?,
        depends_on: dependencies::dependencies(depends_on.unwrap_or_default(), limits.dependencies, strict)?,
        parameters: parameters.map(text_map).unwrap_or_default(),
        overrides,
        legacy_override: legacy,
        retry: retry_strategy.as_ref().map(retry_strategy::from_wire).transpose()?,
        timeout_seconds: timeout
            .as_ref()
            .map(|timeout| timeout_seconds(timeout, limits))
            .transpose()?
            .flatten(),
        propagate_tags,
        share_identifier: share_identifier.map(Text::from),
        scheduling_priority: scheduling_priority_override.map(scheduling_priority).transpose()?,
        consumables: consumables(scope, consumable_resource_properties_override)?,
        tags: tags::checked(tags)?,
        overrides_document: document,
        refused_later: too_long.filter(|_| strict),
    })
}

fn checked_array_size(size: i32, limits: &Limits) -> Result<u32, WireError> {
    let max = limits.array_size;
    let size = u32::try_from(size).ok().filter(|size| (ARRAY_SIZE_MIN..=max).contains(size));
    size.ok_or_else(|| WireError::invalid(format!("Array size must be between {ARRAY_SIZE_MIN} and {max}.")))
}

/// `timeout.attemptDurationSeconds`.
pub(super) fn timeout_seconds(
    timeout: &model::JobTimeout,
    limits: &Limits,
) -> Result<Option<u32>, WireError> {
    let min = limits.timeout_seconds_min;
    let Some(seconds) = timeout.attempt_duration_seconds else { return Ok(None) };
    let seconds = u32::try_from(seconds).ok().filter(|seconds| *seconds >= min);
    seconds
        .map(Some)
        .ok_or_else(|| WireError::invalid(format!("attemptDurationSeconds must be at least {min} seconds.")))
}

/// 0 to 9999.
pub(super) fn scheduling_priority(priority: i32) -> Result<u32, WireError> {
    let priority = u32::try_from(priority).ok().filter(|priority| *priority <= 9999);
    priority.ok_or_else(|| WireError::invalid("Scheduling priority must be between 0 and 9999."))
}
