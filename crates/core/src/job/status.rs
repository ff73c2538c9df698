//! Job statuses and the legal moves between them: one table, which every change of a job goes through.
//!
//! Source: AWS Batch User Guide, job states. `docs/job-states.md` shows the table; a test keeps it equal to this code.

use std::fmt;

use minicbor::{Decode, Encode};

/// The status of a job, array child or node, with AWS's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum JobStatus {
    /// Accepted, not yet examined.
    #[n(0)]
    Submitted,
    /// Waits for dependencies; an array parent is here until all its children have ended.
    #[n(1)]
    Pending,
    /// Waits for a place to run.
    #[n(2)]
    Runnable,
    /// Has a place; its process is being started.
    #[n(3)]
    Starting,
    /// Its process runs.
    #[n(4)]
    Running,
    /// Ended well.
    #[n(5)]
    Succeeded,
    /// Ended badly, or never ran.
    #[n(6)]
    Failed,
}

impl JobStatus {
    /// In the order of a job's life.
    pub const ALL: [JobStatus; 7] = [
        JobStatus::Submitted,
        JobStatus::Pending,
        JobStatus::Runnable,
        JobStatus::Starting,
        JobStatus::Running,
        JobStatus::Succeeded,
        JobStatus::Failed,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            JobStatus::Submitted => "SUBMITTED",
            JobStatus::Pending => "PENDING",
            JobStatus::Runnable => "RUNNABLE",
            JobStatus::Starting => "STARTING",
            JobStatus::Running => "RUNNING",
            JobStatus::Succeeded => "SUCCEEDED",
            JobStatus::Failed => "FAILED",
        }
    }

    /// Whether nothing follows any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, JobStatus::Succeeded | JobStatus::Failed)
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What moves a job from one status to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Dependencies are unmet, or it is an array parent whose children are being spawned.
    Wait,
    /// Nothing stands in its way but capacity.
    Queue,
    /// A compute environment took it.
    Place,
    /// Its process started.
    Start,
    /// The attempt failed and another follows.
    Retry,
    /// It ended with exit code 0; for an array parent: all children succeeded.
    Succeed,
    /// It failed, was cancelled or terminated, timed out, or a dependency failed.
    Fail,
}

impl Transition {
    /// Every transition, for tables and tests.
    pub const ALL: [Transition; 7] = [
        Transition::Wait,
        Transition::Queue,
        Transition::Place,
        Transition::Start,
        Transition::Retry,
        Transition::Succeed,
        Transition::Fail,
    ];

    /// Where a job in status `from` goes; `None` when the move is not legal.
    pub fn from(self, from: JobStatus) -> Option<JobStatus> {
        use JobStatus::{Failed, Pending, Runnable, Running, Starting, Submitted, Succeeded};
        match (from, self) {
            (Submitted, Transition::Wait) => Some(Pending),
            (Submitted | Pending, Transition::Queue) => Some(Runnable),
            (Runnable, Transition::Place) => Some(Starting),
            (Starting, Transition::Start) => Some(Running),
            (Starting | Running, Transition::Retry) => Some(Runnable),
            // PENDING: array parents. STARTING: a very short job whose start and end are reported together.
            (Pending | Starting | Running, Transition::Succeed) => Some(Succeeded),
            (Submitted | Pending | Runnable | Starting | Running, Transition::Fail) => Some(Failed),
            (Submitted, Transition::Place | Transition::Start | Transition::Retry | Transition::Succeed)
            | (Pending, Transition::Wait | Transition::Place | Transition::Start | Transition::Retry)
            | (
                Runnable,
                Transition::Wait
                | Transition::Queue
                | Transition::Start
                | Transition::Retry
                | Transition::Succeed,
            )
            | (Starting, Transition::Wait | Transition::Queue | Transition::Place)
            | (Running, Transition::Wait | Transition::Queue | Transition::Place | Transition::Start)
            | (
                Succeeded | Failed,
                Transition::Wait
                | Transition::Queue
                | Transition::Place
                | Transition::Start
                | Transition::Retry
                | Transition::Succeed
                | Transition::Fail,
            ) => None,
        }
    }

    /// One line on what drives it, for the table in the documentation.
    pub fn driven_by(self) -> &'static str {
        match self {
            Transition::Wait => "unmet dependencies, or an array parent whose children are spawned",
            Transition::Queue => "no dependencies, or all of them succeeded",
            Transition::Place => "the scheduling pass found a compute environment with room",
            Transition::Start => "the backend reports that the process started",
            Transition::Retry => {
                "the attempt failed, attempts remain, and `evaluateOnExit` does not say EXIT"
            }
            Transition::Succeed => "exit code 0; for an array parent, every child succeeded",
            Transition::Fail => {
                "the attempt failed for good, a timeout, CancelJob, TerminateJob, a failed dependency or child"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of `docs/job-states.md`, from the code.
    fn table() -> String {
        let mut out = String::from("| from | to | transition | driven by |\n|---|---|---|---|\n");
        for from in JobStatus::ALL {
            for transition in Transition::ALL {
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
        for from in JobStatus::ALL {
            for transition in Transition::ALL {
                let to = transition.from(from);
                assert!(!(from.is_terminal() && to.is_some()), "{from} {transition:?}");
                assert_ne!(to, Some(JobStatus::Submitted));
            }
        }
    }
}
