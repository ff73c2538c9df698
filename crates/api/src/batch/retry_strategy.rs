//! `retryStrategy`: checked and carried both ways. Shared by RegisterJobDefinition and SubmitJob.
//!
//! Source: AWS Batch API reference, RetryStrategy and EvaluateOnExit.

use fornada_core::job::retry::{EvaluateOnExit, RetryAction, RetryStrategy};
use fornada_core::text::Text;
use fornada_model::batch as model;

use crate::error::WireError;

/// Longest pattern.
const PATTERN_MAX: usize = 512;
/// Most rules.
const RULES_MAX: usize = 5;

pub(super) fn from_wire(given: &model::RetryStrategy) -> Result<RetryStrategy, WireError> {
    let model::RetryStrategy { attempts, evaluate_on_exit } = given;
    let attempts =
        attempts.ok_or_else(|| WireError::invalid("RetryAttempts must be provided with retry strategy."))?;
    let attempts = u32::try_from(attempts).ok().filter(|attempts| (1..=10).contains(attempts));
    let attempts = attempts.ok_or_else(|| WireError::invalid("RetryAttempts must be between 1 and 10."))?;
    let rules = evaluate_on_exit.as_deref().unwrap_or_default();
    if rules.len() > RULES_MAX {
        return Err(WireError::invalid("EvaluateOnExit can have at most 5 conditions."));
    }
    Ok(RetryStrategy { attempts, evaluate_on_exit: rules.iter().map(rule).collect::<Result<_, _>>()? })
}

fn rule(given: &model::EvaluateOnExit) -> Result<EvaluateOnExit, WireError> {
    let model::EvaluateOnExit { action, on_exit_code, on_reason, on_status_reason } = given;
    if on_exit_code.is_none() && on_reason.is_none() && on_status_reason.is_none() {
        return Err(WireError::invalid(
            "EvaluateOnExit should contain at least one of onExitCode, onReason or onStatusReason",
        ));
    }
    let text = |c: char| c.is_alphanumeric() || c == '.' || c == ':' || c.is_whitespace();
    let in_reason = |pattern: &Option<String>| pattern.as_deref().map_or(Ok(()), |p| check_pattern(p, text));
    in_reason(on_reason)?;
    in_reason(on_status_reason)?;
    on_exit_code.as_deref().map_or(Ok(()), |p| check_pattern(p, |c| c.is_ascii_digit()))?;
    Ok(EvaluateOnExit {
        on_status_reason: on_status_reason.as_deref().map(Into::into),
        on_reason: on_reason.as_deref().map(Into::into),
        on_exit_code: on_exit_code.as_deref().map(Into::into),
        action: match action {
            model::RetryAction::Retry => RetryAction::Retry,
            model::RetryAction::Exit => RetryAction::Exit,
        },
    })
}

/// Allowed characters, and a `*` at the end only.
fn check_pattern(pattern: &str, allowed: impl Fn(char) -> bool) -> Result<(), WireError> {
    if pattern.chars().count() > PATTERN_MAX {
        return Err(WireError::invalid("Evaluate on exit condition cannot exceed 512 characters."));
    }
    let body = pattern.strip_suffix('*').unwrap_or(pattern);
    if !body.chars().all(allowed) {
        return Err(WireError::invalid("Evaluate on exit condition contains restricted characters."));
    }
    Ok(())
}

/// For echoes: `evaluateOnExit` is present even when empty.
pub(super) fn to_wire(strategy: &RetryStrategy) -> model::RetryStrategy {
    let RetryStrategy { attempts, evaluate_on_exit } = strategy;
    let text = |condition: &Option<Text>| condition.as_deref().map(str::to_owned);
    let rules = evaluate_on_exit.iter().map(|rule| model::EvaluateOnExit {
        action: match rule.action {
            RetryAction::Retry => model::RetryAction::Retry,
            RetryAction::Exit => model::RetryAction::Exit,
        },
        on_exit_code: text(&rule.on_exit_code),
        on_reason: text(&rule.on_reason),
        on_status_reason: text(&rule.on_status_reason),
    });
    model::RetryStrategy { attempts: i32::try_from(*attempts).ok(), evaluate_on_exit: Some(rules.collect()) }
}
