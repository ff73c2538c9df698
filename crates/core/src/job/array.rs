//! Array jobs: one parent record, and children that come into being when they start.
//!
//! A child without a record is RUNNABLE when its index is in [`Array::ready`], FAILED when the parent has a
//! [`Fate`], else PENDING. The parent stays PENDING until every child has ended, then takes the verdict.
//!
//! Costs: submitting and cancelling are O(1) in the size; a child costs one range until it starts, one record after.
//!
//! Source: AWS Batch User Guide, array jobs.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::id::JobId;
use crate::job::depends_on::{DEPENDENT_JOB_FAILED, Dependency, Ended, dependency_failed};
use crate::job::index_set::IndexSet;
use crate::job::{Execution, Fate, Job, JobStatus, Transition};
use crate::record::Key;
use crate::time::Timestamp;
use crate::turn::Turn;

/// Status reason of a parent whose children did not all succeed.
pub const ARRAY_CHILD_JOB_FAILED: &str = "Array Child Job failed";

/// How many children are in each status, in the order of [`JobStatus::ALL`].
pub type StatusCounts = [u32; 7];

/// The children of one array.
#[derive(Clone, Debug, Default)]
pub struct Array {
    /// Children that have a record of their own.
    pub(crate) children: BTreeMap<u32, Arc<Execution>>,
    /// RUNNABLE children without a record.
    pub(crate) ready: IndexSet,
    /// RUNNABLE children with a record: they wait for their next attempt.
    pub(crate) retrying: IndexSet,
    /// Statuses of the children that have a record.
    counts: StatusCounts,
    /// When a child last changed.
    changed_at: Timestamp,
}

impl Array {
    /// From stored children; who is ready follows from their dependencies later.
    pub fn recover(children: BTreeMap<u32, Arc<Execution>>) -> Self {
        let mut array = Array { children, ..Array::default() };
        array.changed_at = array.children.values().map(|child| child.latest()).max().unwrap_or_default();
        for (&index, child) in &array.children {
            array.counts[child.status as usize] += 1;
            if child.status == JobStatus::Runnable {
                array.retrying.insert(index);
            }
        }
        array
    }

    /// When a child last changed: of an array that has ended, its end; the job's creation while none has.
    pub fn changed_at(&self, job: &Job) -> Timestamp {
        job.execution.stopped_at.unwrap_or_else(|| self.changed_at.max(job.execution.created_at))
    }

    /// The next child to start: the lowest index.
    pub(crate) fn next_runnable(&self) -> Option<u32> {
        match (self.ready.first(), self.retrying.first()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// How many children are RUNNABLE.
    pub(crate) fn runnable_count(&self) -> u32 {
        self.ready.len() + self.retrying.len()
    }

    /// All RUNNABLE children, by index.
    pub(crate) fn runnable(&self) -> impl Iterator<Item = u32> {
        let (mut ready, mut retrying) = (self.ready.iter().peekable(), self.retrying.iter().peekable());
        std::iter::from_fn(move || match (ready.peek(), retrying.peek()) {
            (Some(a), Some(b)) if a < b => ready.next(),
            (Some(_), None) => ready.next(),
            _ => retrying.next(),
        })
    }

    /// Whether every child before `index` has a record.
    fn all_recorded_before(&self, index: u32) -> bool {
        self.children.keys().copied().take_while(|&recorded| recorded < index).eq(0..index)
    }

    /// Changes a child and keeps the books; `None` when there is no such index.
    fn change<R>(&mut self, job: &Job, index: u32, change: impl FnOnce(&mut Execution) -> R) -> Option<R> {
        if !self.children.contains_key(&index) {
            let child = self.child(job, index)?;
            self.counts[child.status as usize] += 1;
            self.children.insert(index, child);
        }
        let child = self.children.get_mut(&index)?;
        let before = child.status;
        let result = change(Arc::make_mut(child));
        let status = child.status;
        self.counts[before as usize] -= 1;
        self.counts[status as usize] += 1;
        self.ready.remove(index);
        if status == JobStatus::Runnable {
            self.retrying.insert(index);
        } else {
            self.retrying.remove(index);
        }
        Some(result)
    }

    /// How many children of `job` are in each status.
    pub fn summary(&self, job: &Job) -> StatusCounts {
        let Some(properties) = &job.array else { return StatusCounts::default() };
        let mut counts = self.counts;
        let recorded = u32::try_from(self.children.len()).unwrap_or(u32::MAX);
        let unstarted = properties.size.saturating_sub(recorded);
        if properties.fate.is_some() {
            counts[JobStatus::Failed as usize] += unstarted;
        } else {
            counts[JobStatus::Runnable as usize] += self.ready.len();
            counts[JobStatus::Pending as usize] += unstarted.saturating_sub(self.ready.len());
        }
        counts
    }

    /// Where a child is; `None` when there is no such index.
    pub(crate) fn status(&self, job: &Job, index: u32) -> Option<JobStatus> {
        let properties = job.array.as_ref().filter(|array| index < array.size)?;
        Some(match (self.children.get(&index), &properties.fate) {
            (Some(child), _) => child.status,
            (None, Some(_)) => JobStatus::Failed,
            (None, None) if self.ready.contains(index) => JobStatus::Runnable,
            (None, None) => JobStatus::Pending,
        })
    }

    /// A child as it stands; `None` when there is no such index.
    pub fn child(&self, job: &Job, index: u32) -> Option<Arc<Execution>> {
        let status = self.status(job, index)?;
        if let Some(child) = self.children.get(&index) {
            return Some(Arc::clone(child));
        }
        let mut child = Execution { status, ..Execution::new(job.execution.created_at) };
        if let Some(fate) = job.array.as_ref().and_then(|array| array.fate.as_deref()) {
            child.status_reason = Some(fate.status_reason.clone());
            child.stopped_at = Some(fate.at);
            child.is_cancelled = fate.is_cancelled;
            child.is_terminated = fate.is_terminated;
        }
        Some(Arc::new(child))
    }
}

impl Turn<'_> {
    /// Marks a child RUNNABLE.
    pub(crate) fn child_ready(&mut self, job: Uuid, index: u32) {
        self.state.arrays.entry(job).or_default().ready.insert(index);
        self.state.sync_backlog(job);
    }

    /// Marks all children RUNNABLE at once, if they still are as they were submitted; `false` when they are not.
    pub(crate) fn all_children_ready(&mut self, job: Uuid, size: u32) -> bool {
        let untouched = self.state.jobs[&job].array.as_ref().is_some_and(|array| array.fate.is_none());
        let array = self.state.arrays.entry(job).or_default();
        if !(untouched && array.children.is_empty() && array.ready.is_empty()) {
            return false;
        }
        array.ready = IndexSet::all(size);
        self.state.sync_backlog(job);
        true
    }

    /// Every child without a record ends by `fate`.
    pub(crate) fn fail_unstarted(&mut self, job: Uuid, fate: Fate) {
        let record = self.job_mut(job);
        let Some(array) = record.array.as_mut().filter(|array| array.fate.is_none()) else { return };
        array.fate = Some(Box::new(fate));
        self.state.arrays.entry(job).or_default().ready.clear();
        self.state.sync_backlog(job);
        self.ended.push_back(Ended::Unstarted(job));
        self.array_may_have_ended(job);
    }

    /// A child ended: a SEQUENTIAL sibling may follow, and the parent may have ended with it.
    pub(crate) fn child_ended(&mut self, job: Uuid, index: u32) {
        let Some(parent) = self.state.job(job).cloned() else { return };
        if parent.depends_on.contains(&Dependency::Sequential) {
            // A child may end before its turn, when it was cancelled alone: those before it still run, those after it cannot.
            let in_order = self.state.arrays.get(&job).is_some_and(|array| array.all_recorded_before(index));
            if in_order && self.state.status_of(JobId::child(job, index)) == Some(JobStatus::Failed) {
                self.fail_unstarted(job, dependency_failed(self.now));
            } else if parent.array.as_ref().is_some_and(|array| index + 1 < array.size) {
                self.examine_child(&parent, index + 1);
            }
        }
        self.array_may_have_ended(job);
    }

    /// Gives the verdict once all children have ended.
    fn array_may_have_ended(&mut self, job: Uuid) {
        let Some(parent) = self.state.job(job).cloned() else { return };
        let Some(properties) = parent.array.as_ref().filter(|_| !parent.execution.status.is_terminal())
        else {
            return;
        };
        let counts = self.state.arrays.get(&job).map(|array| array.summary(&parent)).unwrap_or_default();
        let succeeded = counts[JobStatus::Succeeded as usize];
        if succeeded + counts[JobStatus::Failed as usize] < properties.size {
            return;
        }
        if let Some(array) = &mut self.job_mut(job).array {
            array.ended = Some(Box::new(counts));
        }
        if succeeded == properties.size {
            return self.transition(JobId::whole(job), Transition::Succeed, None);
        }
        // A request's own reason, or the dependency, says more than that children failed.
        let reason = match &properties.fate {
            Some(fate) if fate.is_cancelled || fate.is_terminated => fate.status_reason.clone(),
            Some(fate)
                if succeeded == 0 && fate.status_reason == DEPENDENT_JOB_FAILED && self.none_ran(job) =>
            {
                fate.status_reason.clone()
            }
            _ => ARRAY_CHILD_JOB_FAILED.into(),
        };
        self.fail(JobId::whole(job), reason);
    }

    fn none_ran(&self, job: Uuid) -> bool {
        self.state.arrays.get(&job).is_none_or(|array| array.children.is_empty())
    }

    /// The record of a child for changing; made on first use. Changes of status go through [`Turn::transition`].
    pub(crate) fn child_mut<R>(
        &mut self,
        job: Uuid,
        index: u32,
        change: impl FnOnce(&mut Execution) -> R,
    ) -> R {
        let parent = Arc::clone(self.state.job(job).expect("a child's parent exists"));
        let array = self.state.arrays.entry(job).or_default();
        let result = array.change(&parent, index, change).expect("a changed child exists");
        array.changed_at = self.now;
        self.touch(Key::Child(job, index));
        result
    }
}
