//! Whether a failed attempt is followed by another.
//!
//! Source: AWS Batch API reference, RetryStrategy and EvaluateOnExit; User Guide, automated job retries.

use minicbor::{Decode, Encode};

use crate::text::Text;

/// How often a job may run, and which failures are worth another try.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RetryStrategy {
    /// How many times the job may move to RUNNABLE, so 1 means "never retry". Range 1..=10.
    #[n(0)]
    pub attempts: u32,
    /// Examined in order; the first match decides. At most 5.
    #[n(1)]
    pub evaluate_on_exit: Vec<EvaluateOnExit>,
}

impl Default for RetryStrategy {
    fn default() -> Self {
        RetryStrategy { attempts: 1, evaluate_on_exit: Vec::new() }
    }
}

/// One rule. All conditions that are present must match. A condition is an exact text, or a prefix and a final `*`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EvaluateOnExit {
    /// Compared with the attempt's status reason.
    #[n(0)]
    pub on_status_reason: Option<Text>,
    /// Compared with the container's reason.
    #[n(1)]
    pub on_reason: Option<Text>,
    /// Compared with the decimal exit code.
    #[n(2)]
    pub on_exit_code: Option<Text>,
    /// What to do when everything matches.
    #[n(3)]
    pub action: RetryAction,
}

/// What a matching rule demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RetryAction {
    /// Try again while attempts remain.
    #[n(0)]
    Retry,
    /// Fail now.
    #[n(1)]
    Exit,
}

/// What is known of a failed attempt.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// For example `Essential container in task exited`.
    pub status_reason: &'a str,
    /// For example `OutOfMemoryError: Container killed due to memory usage`.
    pub reason: Option<&'a str>,
    /// `None` when no process ran or its host vanished.
    pub exit_code: Option<i32>,
}

/// Decides what follows after attempt `attempt_number` (1-based) failed.
///
/// The first matching rule wins; without a match the job retries while attempts remain. Comparison is case-sensitive. The
/// pattern `*` matches an absent value too: the documented catch-all `{"onReason": "*", "action": "EXIT"}` must stop jobs
/// whose container gave no reason.
pub fn decide(strategy: &RetryStrategy, attempt_number: u32, failure: Failure<'_>) -> RetryAction {
    if attempt_number >= strategy.attempts {
        return RetryAction::Exit;
    }
    matching_rule(strategy, failure).map_or(RetryAction::Retry, |(_, rule)| rule.action)
}

/// The first rule that matches a failure, and its index.
pub fn matching_rule<'a>(
    strategy: &'a RetryStrategy,
    failure: Failure<'_>,
) -> Option<(usize, &'a EvaluateOnExit)> {
    let exit_code = failure.exit_code.map(|code| code.to_string());
    strategy.evaluate_on_exit.iter().enumerate().find(|(_, rule)| {
        matches(rule.on_status_reason.as_deref(), Some(failure.status_reason))
            && matches(rule.on_reason.as_deref(), failure.reason)
            && matches(rule.on_exit_code.as_deref(), exit_code.as_deref())
    })
}

fn matches(pattern: Option<&str>, value: Option<&str>) -> bool {
    match (pattern, value) {
        (None | Some("*"), _) => true,
        (Some(_), None) => false,
        (Some(pattern), Some(value)) => match pattern.strip_suffix('*') {
            Some(prefix) => value.starts_with(prefix),
            None => value == pattern,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(status_reason: &str, reason: &str, exit_code: &str, action: RetryAction) -> EvaluateOnExit {
        let given = |text: &str| (!text.is_empty()).then(|| text.into());
        EvaluateOnExit {
            on_status_reason: given(status_reason),
            on_reason: given(reason),
            on_exit_code: given(exit_code),
            action,
        }
    }

    #[test]
    fn evaluate_on_exit() {
        use RetryAction::{Exit, Retry};
        const EXITED: &str = "Essential container in task exited";
        const HOST: &str = "Host EC2 (instance i-0123) terminated.";
        let spot = || vec![rule("Host EC2*", "", "", Retry), rule("", "*", "", Exit)];
        struct Case {
            name: &'static str,
            rules: Vec<EvaluateOnExit>,
            failure: (&'static str, Option<&'static str>, Option<i32>),
            attempt_of_3: u32,
            want: RetryAction,
        }
        let case =
            |name, rules, failure, attempt_of_3, want| Case { name, rules, failure, attempt_of_3, want };
        let cases = [
            case("no rules: retry while attempts remain", vec![], (EXITED, None, Some(1)), 1, Retry),
            case("attempts used up", vec![], (EXITED, None, Some(1)), 3, Exit),
            case("RETRY does not outlive the attempts", spot(), (HOST, None, None), 3, Exit),
            case("spot reclaim retries", spot(), (HOST, None, None), 1, Retry),
            case("catch-all matches an absent reason", spot(), (EXITED, None, Some(1)), 1, Exit),
            case("exit code exact", vec![rule("", "", "137", Exit)], (EXITED, None, Some(137)), 1, Exit),
            case("exit code differs", vec![rule("", "", "13", Exit)], (EXITED, None, Some(137)), 1, Retry),
            case("exit code prefix", vec![rule("", "", "13*", Exit)], (EXITED, None, Some(137)), 1, Exit),
            case("no exit code cannot match", vec![rule("", "", "1*", Exit)], (HOST, None, None), 1, Retry),
            case(
                "all conditions must match",
                vec![rule(EXITED, "Out*", "1", Exit)],
                (EXITED, None, Some(1)),
                1,
                Retry,
            ),
            case(
                "first match wins",
                vec![rule("", "", "1", Retry), rule("", "*", "", Exit)],
                (EXITED, None, Some(1)),
                2,
                Retry,
            ),
            case("case matters", vec![rule("host ec2*", "", "", Exit)], (HOST, None, None), 1, Retry),
        ];
        for Case { name, rules, failure: (status_reason, reason, exit_code), attempt_of_3, want } in cases {
            let strategy = RetryStrategy { attempts: 3, evaluate_on_exit: rules };
            assert_eq!(
                decide(&strategy, attempt_of_3, Failure { status_reason, reason, exit_code }),
                want,
                "{name}"
            );
        }
    }
}
