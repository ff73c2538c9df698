//! Dependencies between jobs: when a job may go, and what becomes of it when it never may.
//!
//! A job is *gated* by its plain dependencies: all must have SUCCEEDED. A child of an array waits in addition for its
//! counterpart in each N_TO_N dependency, and in a SEQUENTIAL array for the child before it. A dependency that failed
//! fails the dependent with `Dependent Job failed`, and so on down the graph, without an attempt being used.
//!
//! Source: AWS Batch User Guide, job dependencies and array jobs.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use uuid::Uuid;

use crate::id::{JobId, Member};
use crate::job::{Fate, Job, JobStatus, Transition};
use crate::text::Text;
use crate::turn::Turn;

/// Status reason of a job whose dependency failed.
pub const DEPENDENT_JOB_FAILED: &str = "Dependent Job failed";

/// One entry of `dependsOn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Dependency {
    /// That job (of an array: all its children), or that child alone, must succeed.
    #[n(0)]
    Job(#[n(0)] JobId),
    /// Child i of this array waits for child i of that one.
    #[n(1)]
    NToN(#[cbor(n(0), with = "crate::id::cbor_uuid")] Uuid),
    /// Child i of this array waits for its child i − 1.
    #[n(2)]
    Sequential,
    /// That job or child must have ended, well or badly. Beyond AWS Batch.
    #[n(3)]
    AfterAny(#[n(0)] JobId),
}

impl Dependency {
    /// The job it points at, if it points at another.
    pub fn target(&self) -> Option<Uuid> {
        match self {
            Dependency::Job(id) | Dependency::AfterAny(id) => Some(id.job),
            Dependency::NToN(job) => Some(*job),
            Dependency::Sequential => None,
        }
    }
}

/// Something ended that others may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A job, an array parent or one child.
    One(JobId),
    /// All children of this array that had no record of their own.
    Unstarted(Uuid),
}

/// Whether a dependency allows its dependent to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gate {
    Open,
    Waits,
    Never,
}

impl Gate {
    fn of(status: JobStatus) -> Gate {
        match status {
            JobStatus::Succeeded => Gate::Open,
            JobStatus::Failed => Gate::Never,
            JobStatus::Submitted
            | JobStatus::Pending
            | JobStatus::Runnable
            | JobStatus::Starting
            | JobStatus::Running => Gate::Waits,
        }
    }
}

impl Turn<'_> {
    /// Lets everything react that waits for what has ended in this turn; what ends thereby is worked off too.
    pub(crate) fn settle_dependents(&mut self) {
        while let Some(ended) = self.ended.pop_front() {
            let job = match ended {
                Ended::One(id) => id.job,
                Ended::Unstarted(job) => job,
            };
            if let Ended::One(JobId { member: Member::Index(index), .. }) = ended {
                self.child_ended(job, index);
            }
            let dependents = self.state.dependents.get(&job).cloned().unwrap_or_default();
            for dependent in dependents {
                self.examine_after(dependent, ended);
            }
            if ended == Ended::One(JobId::whole(job)) {
                self.state.dependents.remove(&job);
            }
        }
    }

    /// Moves a job that waits for dependencies as far as they allow now.
    pub(crate) fn examine(&mut self, id: Uuid) {
        let job = Arc::clone(self.state.job(id).expect("an examined job exists"));
        if !matches!(job.execution.status, JobStatus::Submitted | JobStatus::Pending) {
            return;
        }
        if job.array.is_some() {
            if job.execution.status == JobStatus::Submitted {
                self.transition(JobId::whole(id), Transition::Wait, None);
            }
            match self.gate(&job) {
                Gate::Never => self.fail_unstarted(id, dependency_failed(self.now)),
                Gate::Open => self.examine_children(&job),
                // A child whose counterpart has failed fails now: an end is not known for ever.
                Gate::Waits if job.depends_on.iter().any(|on| matches!(on, Dependency::NToN(_))) => {
                    self.examine_children(&job);
                }
                Gate::Waits => {}
            }
            return;
        }
        match self.gate(&job) {
            Gate::Open => self.transition(JobId::whole(id), Transition::Queue, None),
            Gate::Never => self.fail(JobId::whole(id), DEPENDENT_JOB_FAILED.into()),
            Gate::Waits if job.execution.status == JobStatus::Submitted => {
                self.transition(JobId::whole(id), Transition::Wait, None);
            }
            Gate::Waits => {}
        }
    }

    /// Like [`Turn::examine`], but looks only at what the end of one thing can have changed.
    fn examine_after(&mut self, dependent: Uuid, ended: Ended) {
        let Some(job) = self.state.job(dependent).cloned() else { return };
        let concerned = |dependency: &Dependency| match (*dependency, ended) {
            (Dependency::Job(on) | Dependency::AfterAny(on), Ended::One(id)) => on == id,
            (Dependency::Job(on) | Dependency::AfterAny(on), Ended::Unstarted(job)) => {
                on.job == job && on.member != Member::Whole
            }
            (Dependency::NToN(_) | Dependency::Sequential, _) => false,
        };
        if job.depends_on.iter().any(concerned) {
            return self.examine(dependent);
        }
        match ended {
            Ended::One(JobId { job: on, member: Member::Index(index) }) => {
                if job.depends_on.contains(&Dependency::NToN(on)) {
                    self.examine_child(&job, index);
                }
            }
            Ended::Unstarted(on) => {
                if job.depends_on.contains(&Dependency::NToN(on)) {
                    (0..job.array.as_ref().map_or(0, |a| a.size)).for_each(|i| self.examine_child(&job, i));
                }
            }
            Ended::One(JobId { member: Member::Whole | Member::Node(_), .. }) => {}
        }
    }

    /// Like [`Turn::examine_child`] for each. Children that wait for nothing of their own become ready as one range.
    fn examine_children(&mut self, job: &Job) {
        let size = job.array.as_ref().map_or(0, |array| array.size);
        let plain = |on: &Dependency| matches!(on, Dependency::Job(_) | Dependency::AfterAny(_));
        let plain = job.depends_on.iter().all(plain);
        if !(plain && self.all_children_ready(job.id, size)) {
            (0..size).for_each(|index| self.examine_child(job, index));
        }
    }

    /// Moves child `index` as far as its dependencies allow. Children that have a record, or are ready, have gone past this.
    pub(crate) fn examine_child(&mut self, job: &Job, index: u32) {
        let id = JobId::child(job.id, index);
        if self.state.status_of(id) != Some(JobStatus::Pending) {
            return;
        }
        let own = job.depends_on.iter().map(|dependency| match *dependency {
            Dependency::Job(_) | Dependency::AfterAny(_) => Gate::Open, // part of the array's gate
            Dependency::NToN(on) => self.gate_of(JobId::child(on, index)),
            Dependency::Sequential if index == 0 => Gate::Open,
            Dependency::Sequential => self.gate_of(JobId::child(job.id, index - 1)),
        });
        match own.max().unwrap_or(Gate::Open).max(self.gate(job)) {
            Gate::Open => self.child_ready(job.id, index),
            Gate::Waits => {}
            Gate::Never => self.fail(id, DEPENDENT_JOB_FAILED.into()),
        }
    }

    /// The plain dependencies of a job taken together.
    fn gate(&self, job: &Job) -> Gate {
        let plain = job.depends_on.iter().filter_map(|dependency| match *dependency {
            Dependency::Job(id) => Some(self.gate_of(id)),
            Dependency::AfterAny(id) => {
                Some(if self.gate_of(id) == Gate::Waits { Gate::Waits } else { Gate::Open })
            }
            Dependency::NToN(_) | Dependency::Sequential => None,
        });
        plain.max().unwrap_or(Gate::Open)
    }

    /// A job that is no longer on record had ended when it was removed; failed ones took their dependents along then.
    fn gate_of(&self, id: JobId) -> Gate {
        self.state.status_of(id).map_or(Gate::Open, Gate::of)
    }
}

/// The end of children whose array can never go.
pub(crate) fn dependency_failed(at: crate::time::Timestamp) -> Fate {
    Fate { status_reason: Text::from(DEPENDENT_JOB_FAILED), at, is_cancelled: false, is_terminated: false }
}
