//! SubmitServiceJob.
//!
//! Source: AWS Batch API reference, SubmitServiceJob.

use fornada_core::job::retry::{EvaluateOnExit, RetryAction, RetryStrategy};
use fornada_core::service_job::submit::ServiceSubmission;
use fornada_core::text::Text;
use fornada_core::turn::Turn;
use fornada_model::batch as model;

use super::super::names::is_name;
use super::super::require::require;
use super::super::submit_job::{scheduling_priority, timeout_seconds};
use super::super::tags;
use super::payload;
use crate::app::Call;
use crate::error::WireError;
use crate::limits::Limits;

/// Source: AWS Batch API reference, ServiceJobRetryStrategy.
const RULES_MAX: usize = 5;
/// Longest pattern.
const PATTERN_MAX: usize = 512;

pub(in crate::batch) async fn submit(
    call: &Call,
    request: model::SubmitServiceJobRequest,
) -> Result<model::SubmitServiceJobResponse, WireError> {
    let submission = submission(request, &call.app.limits)?;
    let scope = call.scope.clone();
    let same = submission.client_token.as_deref().map(|token| ServiceSubmission::id(&scope, token));
    let submit = move |turn: &mut Turn<'_>| turn.submit_service_job(&scope, submission);
    let job = call.decide_about(same.into_iter().collect(), submit).await??;
    Ok(model::SubmitServiceJobResponse {
        job_arn: Some(job.arn().into()),
        job_id: job.id.as_hyphenated().to_string(),
        job_name: job.name.as_str().to_owned(),
    })
}

fn submission(
    request: model::SubmitServiceJobRequest,
    limits: &Limits,
) -> Result<ServiceSubmission, WireError> {
    let model::SubmitServiceJobRequest {
        client_token,
        job_name,
        job_queue,
        preemption_configuration,
        quota_share_name,
        retry_strategy,
        scheduling_priority: priority,
        service_job_type: model::ServiceJobType::SagemakerTraining,
        service_request_payload: payload,
        share_identifier,
        tags,
        timeout_config,
    } = request;
    require(is_name(&job_name), "Job name should match valid pattern")?;
    let timeout = timeout_config
        .map(|timeout| model::JobTimeout { attempt_duration_seconds: timeout.attempt_duration_seconds });
    let preemption_retries = preemption_configuration.and_then(|p| p.preemption_retries_before_termination);
    require(
        preemption_retries.is_none_or(|retries| retries >= -1),
        "preemptionRetriesBeforeTermination must be -1, or 0 or more.",
    )?;
    Ok(ServiceSubmission {
        name: job_name.into(),
        queue: job_queue.into(),
        training: payload::training_job(&payload)?,
        payload: payload.into(),
        retry: retry_strategy.as_ref().map(retry).transpose()?,
        timeout_seconds: timeout.map(|timeout| timeout_seconds(&timeout, limits)).transpose()?.flatten(),
        client_token: client_token.map(Text::from),
        share_identifier: share_identifier.map(Text::from),
        quota_share: quota_share_name.map(Text::from),
        scheduling_priority: priority.map(scheduling_priority).transpose()?,
        preemption_retries,
        tags: tags::checked(tags)?,
    })
}

fn retry(given: &model::ServiceJobRetryStrategy) -> Result<RetryStrategy, WireError> {
    let model::ServiceJobRetryStrategy { attempts, evaluate_on_exit } = given;
    let attempts = u32::try_from(*attempts).ok().filter(|attempts| (1..=10).contains(attempts));
    let attempts = attempts.ok_or_else(|| WireError::invalid("RetryAttempts must be between 1 and 10."))?;
    let rules = evaluate_on_exit.as_deref().unwrap_or_default();
    require(rules.len() <= RULES_MAX, "EvaluateOnExit can have at most 5 conditions.")?;
    Ok(RetryStrategy { attempts, evaluate_on_exit: rules.iter().map(rule).collect::<Result<_, _>>()? })
}

fn rule(given: &model::ServiceJobEvaluateOnExit) -> Result<EvaluateOnExit, WireError> {
    let model::ServiceJobEvaluateOnExit { action, on_status_reason } = given;
    let (Some(action), Some(pattern)) = (action, on_status_reason) else {
        return Err(WireError::invalid("EvaluateOnExit should contain action and onStatusReason"));
    };
    require(
        pattern.chars().count() <= PATTERN_MAX,
        "Evaluate on exit condition cannot exceed 512 characters.",
    )?;
    Ok(EvaluateOnExit {
        on_status_reason: Some(pattern.as_str().into()),
        on_reason: None,
        on_exit_code: None,
        action: match action {
            model::ServiceJobRetryAction::Retry => RetryAction::Retry,
            model::ServiceJobRetryAction::Exit => RetryAction::Exit,
        },
    })
}

/// For echoes.
pub(super) fn retry_to_wire(strategy: &RetryStrategy) -> model::ServiceJobRetryStrategy {
    let RetryStrategy { attempts, evaluate_on_exit } = strategy;
    let rules = evaluate_on_exit.iter().map(|rule| model::ServiceJobEvaluateOnExit {
        action: Some(match rule.action {
            RetryAction::Retry => model::ServiceJobRetryAction::Retry,
            RetryAction::Exit => model::ServiceJobRetryAction::Exit,
        }),
        on_status_reason: rule.on_status_reason.as_deref().map(str::to_owned),
    });
    model::ServiceJobRetryStrategy {
        attempts: i32::try_from(*attempts).unwrap_or(i32::MAX),
        evaluate_on_exit: Some(rules.collect()),
    }
}
