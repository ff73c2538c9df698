//! What each attempt came to, and why another followed or none.

use crate::id::{JobId, Member};
use crate::job::retry::{self, Failure, RetryAction};
use crate::job::stop::TIMED_OUT;
use crate::job::{Attempt, Execution, Job, JobStatus};

/// An attempt that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// Its number, 1-based.
    pub number: u32,
    /// When, where and how it ended.
    pub attempt: Attempt,
    /// What followed from it; `None` for a node that does not decide.
    pub decision: Option<Decision>,
}

/// What followed from the end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The job succeeded.
    Succeeded,
    /// Another attempt: the rule of `evaluateOnExit` of this index (0-based) says RETRY, or none matches and attempts remain.
    Retried(Option<usize>),
    /// No other attempt: this many were all.
    UsedUp(u32),
    /// No other attempt: the rule of `evaluateOnExit` of this index (0-based) says EXIT.
    Exit(usize),
    /// No other attempt: the job was terminated.
    Terminated,
    /// No other attempt: the job was cancelled while this one ran.
    Cancelled,
    /// No other attempt: it ran longer than its timeout.
    TimedOut,
}

/// The attempts of a job, child or node that ended.
pub(super) fn of(job: &Job, id: JobId, execution: &Execution) -> Vec<Past> {
    let decides = match (id.member, &job.nodes) {
        (Member::Node(node), Some(nodes)) => node == nodes.main_node,
        (Member::Whole | Member::Index(_) | Member::Node(_), _) => true,
    };
    let last = execution.attempts.len();
    let past = (1..).zip(&execution.attempts).map(|(number, attempt)| {
        let is_last = number as usize == last && execution.status.is_terminal();
        let decision = decides.then(|| decision(job, execution, number, attempt, is_last));
        Past { number, attempt: attempt.clone(), decision }
    });
    past.collect()
}

fn decision(job: &Job, execution: &Execution, number: u32, attempt: &Attempt, is_last: bool) -> Decision {
    let strategy = job.retry_strategy();
    let failure = Failure {
        status_reason: &attempt.status_reason,
        reason: attempt.outcome.reason.as_deref(),
        exit_code: attempt.outcome.exit_code,
    };
    let rule = retry::matching_rule(&strategy, failure);
    if !is_last {
        return Decision::Retried(rule.map(|(index, _)| index));
    }
    let is_terminated = execution.is_terminated || job.execution.is_terminated;
    match rule {
        _ if execution.status == JobStatus::Succeeded => Decision::Succeeded,
        _ if execution.status_reason.as_deref() == Some(TIMED_OUT) => Decision::TimedOut,
        _ if is_terminated => Decision::Terminated,
        _ if number >= strategy.attempts => Decision::UsedUp(strategy.attempts),
        Some((index, rule)) if rule.action == RetryAction::Exit => Decision::Exit(index),
        Some(_) | None => Decision::Cancelled, // what else is tried again
    }
}
