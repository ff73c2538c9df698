//! Statuses of service jobs and the legal moves between them: one table, which every change of a service job goes through.
//!
//! Source: AWS Batch User Guide, service job status mapping. `docs/job-states.md` shows the table; a test keeps it equal to
//! this code.

use std::fmt;

use minicbor::{Decode, Encode};

/// The status of a service job, with AWS's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum ServiceJobStatus {
    /// Accepted, not yet examined.
    #[n(0)]
    Submitted,
    /// One of AWS's statuses; service jobs wait for nothing but capacity, so none is ever here.
    #[n(1)]
    Pending,
    /// Waits for capacity.
    #[n(2)]
    Runnable,
    /// Has capacity; its training job was handed to a backend.
    #[n(3)]
    Scheduled,
    /// The backend is about to start it.
    #[n(4)]
    Starting,
    /// Its process runs.
    #[n(5)]
    Running,
    /// Ended well.
    #[n(6)]
    Succeeded,
    /// Ended badly, or never ran.
    #[n(7)]
    Failed,
}

/// Service jobs by status, in the order of [`ServiceJobStatus::ALL`].
pub type ServiceJobCounts = [u32; ServiceJobStatus::ALL.len()];

impl ServiceJobStatus {
    /// In the order of a job's life.
    pub const ALL: [ServiceJobStatus; 8] = [
        ServiceJobStatus::Submitted,
        ServiceJobStatus::Pending,
        ServiceJobStatus::Runnable,
        ServiceJobStatus::Scheduled,
        ServiceJobStatus::Starting,
        ServiceJobStatus::Running,
        ServiceJobStatus::Succeeded,
        ServiceJobStatus::Failed,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ServiceJobStatus::Submitted => "SUBMITTED",
            ServiceJobStatus::Pending => "PENDING",
            ServiceJobStatus::Runnable => "RUNNABLE",
            ServiceJobStatus::Scheduled => "SCHEDULED",
            ServiceJobStatus::Starting => "STARTING",
            ServiceJobStatus::Running => "RUNNING",
            ServiceJobStatus::Succeeded => "SUCCEEDED",
            ServiceJobStatus::Failed => "FAILED",
        }
    }

    /// Whether nothing follows any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, ServiceJobStatus::Succeeded | ServiceJobStatus::Failed)
    }

    /// Whether it holds capacity.
    pub fn is_placed(self) -> bool {
        matches!(self, ServiceJobStatus::Scheduled | ServiceJobStatus::Starting | ServiceJobStatus::Running)
    }
}

impl fmt::Display for ServiceJobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What moves a service job from one status to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceTransition {
    /// Nothing stands in its way but capacity.
    Queue,
    /// Its service environment has room.
    Schedule,
    /// The backend has what the training job needs.
    Acquire,
    /// Its process started.
    Start,
    /// The attempt failed and another follows.
    Retry,
    /// It ended with exit code 0.
    Succeed,
    /// It failed, was terminated, or timed out.
    Fail,
}

impl ServiceTransition {
    /// Every transition, for tables and tests.
    pub const ALL: [ServiceTransition; 7] = [
        ServiceTransition::Queue,
        ServiceTransition::Schedule,
        ServiceTransition::Acquire,
        ServiceTransition::Start,
        ServiceTransition::Retry,
        ServiceTransition::Succeed,
        ServiceTransition::Fail,
    ];

    /// Where a service job in status `from` goes; `None` when the move is not legal.
    pub fn from(self, from: ServiceJobStatus) -> Option<ServiceJobStatus> {
        use ServiceJobStatus::{
            Failed, Pending, Runnable, Running, Scheduled, Starting, Submitted, Succeeded,
        };
        let (legal, to) = match self {
            ServiceTransition::Queue => (matches!(from, Submitted | Pending), Runnable),
            ServiceTransition::Schedule => (from == Runnable, Scheduled),
            ServiceTransition::Acquire => (from == Scheduled, Starting),
            ServiceTransition::Start => (from == Starting, Running),
            ServiceTransition::Retry => (from.is_placed(), Runnable),
            ServiceTransition::Succeed => (from.is_placed(), Succeeded),
            ServiceTransition::Fail => (!from.is_terminal(), Failed),
        };
        legal.then_some(to)
    }

    /// One line on what drives it, for the table in the documentation.
    pub fn driven_by(self) -> &'static str {
        match self {
            ServiceTransition::Queue => "nothing to wait for but capacity",
            ServiceTransition::Schedule => {
                "the scheduling pass found room in the service environment and the quota share"
            }
            ServiceTransition::Acquire => "the backend reports that the process started, first half",
            ServiceTransition::Start => "the backend reports that the process started, second half",
            ServiceTransition::Retry => {
                "the attempt failed, attempts remain, and `evaluateOnExit` does not say EXIT; it was preempted; or the backend did not take it"
            }
            ServiceTransition::Succeed => "exit code 0",
            ServiceTransition::Fail => "the attempt failed for good, a timeout, TerminateServiceJob",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second table of `docs/job-states.md`, from the code.
    fn table() -> String {
        let mut out = String::from("| from | to | transition | driven by |\n|---|---|---|---|\n");
        for from in ServiceJobStatus::ALL {
            for transition in ServiceTransition::ALL {
                if let Some(to) = transition.from(from) {
                    out += &format!("| {from} | {to} | {transition:?} | {} |\n", transition.driven_by());
                }
            }
        }
        out
    }

    #[test]
    fn the_documented_table_is_the_code() {
        let doc = include_str!("../../../../docs/job-states.md");
        let want = table();
        assert!(doc.contains(&want), "docs/job-states.md should contain:\n{want}");
    }

    #[test]
    fn nothing_leaves_a_terminal_status_and_nothing_enters_submitted() {
        for from in ServiceJobStatus::ALL {
            for transition in ServiceTransition::ALL {
                let to = transition.from(from);
                assert!(!(from.is_terminal() && to.is_some()), "{from} {transition:?}");
                assert_ne!(to, Some(ServiceJobStatus::Submitted));
            }
        }
    }
}
