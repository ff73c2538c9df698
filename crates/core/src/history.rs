//! Jobs that have ended: the newest stay in memory for whoever asks next, all others are in the store alone.
//!
//! Nothing that lives needs an ended job: whoever depended on one that failed has failed with it in the same turn, and to all
//! others an end that is no longer known was a good one ([`crate::job::depends_on`]). A request that names one brings it back
//! for a turn with [`Turn::recall`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use crate::id::Member;
use crate::job::array::{Array, StatusCounts};
use crate::job::nodes::Gang;
use crate::job::{Execution, Job};
use crate::service_job::ServiceJob;
use crate::state::State;
use crate::time::Timestamp;
use crate::turn::Turn;

/// Ended jobs in memory, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct History {
    jobs: VecDeque<(Uuid, usize)>,
    /// Records of all of them: a job, and each of its children or nodes that has one.
    records: usize,
}

/// A job as the store has it, with all that belongs to it.
#[derive(Clone, Debug)]
pub enum PastJob {
    /// A job, and its children or nodes that have records, by number.
    Job(Arc<Job>, BTreeMap<u32, Arc<Execution>>),
    /// A service job.
    ServiceJob(Arc<ServiceJob>),
}

/// A job, child or node of the past, and all that a description of it is made of.
#[derive(Clone, Debug)]
pub struct PastExecution {
    /// The job, or the parent.
    pub job: Arc<Job>,
    /// How it ended.
    pub execution: Arc<Execution>,
    /// Of an array parent: its children by status.
    pub children: Option<StatusCounts>,
}

impl PastExecution {
    /// The `member` of an ended `job`, whose record is `record` if it has one; `None` when there is no such member.
    pub fn of(job: Arc<Job>, member: Member, record: Option<Arc<Execution>>) -> Option<PastExecution> {
        let children = job.array.as_deref().filter(|_| member == Member::Whole);
        let children = children.and_then(|array| array.ended.as_deref().copied());
        // One without a record ended as its parent says.
        let execution = match (member, record) {
            (Member::Whole, _) => Arc::new(job.execution.clone()),
            (Member::Index(_) | Member::Node(_), Some(record)) => record,
            (Member::Index(index), None) => Array::default().child(&job, index)?,
            (Member::Node(node), None) => Gang::default().node(&job, node)?,
        };
        Some(PastExecution { job, execution, children })
    }
}

impl State {
    /// Whether a job, or service job, is in memory.
    pub fn knows(&self, job: Uuid) -> bool {
        self.jobs.contains_key(&job) || self.service_jobs.records.contains_key(&job)
    }

    /// A job has ended, or was brought back.
    pub(crate) fn remember(&mut self, job: Uuid) {
        let children = self.arrays.get(&job).map_or(0, |array| array.children.len());
        let nodes = self.gangs.get(&job).map_or(0, |gang| gang.nodes.len());
        let records = 1 + children + nodes;
        self.history.jobs.push_back((job, records));
        self.history.records += records;
    }

    /// Lets go of the jobs that ended first, until no more are left than may be.
    pub(crate) fn let_go(&mut self) {
        while self.history.records > self.settings.ended_records {
            let Some((id, records)) = self.history.jobs.pop_front() else { return };
            self.history.records -= records;
            self.remove_ended(id);
        }
    }

    fn remove_ended(&mut self, id: Uuid) {
        self.jobs.remove(&id);
        self.arrays.remove(&id);
        self.gangs.remove(&id);
        self.service_jobs.records.remove(&id);
    }

    fn ended_at(&self, job: Uuid) -> Option<Timestamp> {
        let job_ended = self.jobs.get(&job).and_then(|job| job.execution.stopped_at);
        job_ended.or_else(|| self.service_jobs.records.get(&job)?.stopped_at)
    }

    /// Checks that what is remembered is what has ended.
    ///
    /// # Panics
    /// When it is not: a bug.
    pub(crate) fn check_history(&self) {
        let jobs = self.jobs.values().filter(|job| job.execution.status.is_terminal()).map(|job| job.id);
        let services = self.service_jobs.records.values();
        let services = services.filter(|job| job.status.is_terminal()).map(|job| job.id);
        let mut ended: Vec<Uuid> = jobs.chain(services).collect();
        let mut remembered: Vec<Uuid> = self.history.jobs.iter().map(|&(job, _)| job).collect();
        ended.sort_unstable();
        remembered.sort_unstable();
        assert_eq!(remembered, ended, "what has ended is remembered, once");
        for parent in self.arrays.keys().chain(self.gangs.keys()) {
            assert!(self.jobs.contains_key(parent), "{parent} left nothing behind");
        }
    }
}

impl Turn<'_> {
    /// Lets go of the jobs that ended before a time: they are about to be deleted from the store.
    pub fn forget_ended(&mut self, before: Timestamp) {
        let History { jobs, .. } = std::mem::take(&mut self.state.history);
        for (id, records) in jobs {
            let changed = self.has_touched(id); // in this turn: its record is yet to be written
            if !changed && self.state.ended_at(id).is_some_and(|at| at < before) {
                self.state.remove_ended(id);
            } else {
                self.state.history.jobs.push_back((id, records));
                self.state.history.records += records;
            }
        }
    }

    /// Brings back an ended job that is no longer in memory, until others push it out again.
    pub fn recall(&mut self, past: PastJob) {
        let id = match &past {
            PastJob::Job(job, _) => job.id,
            PastJob::ServiceJob(job) => job.id,
        };
        if self.state.knows(id) {
            return;
        }
        match past {
            // Only what has ended: anything else would have been here, and is older than what became of it.
            PastJob::Job(job, members) if job.execution.status.is_terminal() => {
                if job.array.is_some() {
                    self.state.arrays.insert(id, Array::recover(members));
                } else if job.nodes.is_some() {
                    self.state.gangs.insert(id, Gang { nodes: members });
                }
                self.state.jobs.insert(id, job);
            }
            PastJob::ServiceJob(job) if job.status.is_terminal() => {
                self.state.service_jobs.records.insert(id, job);
            }
            PastJob::Job(..) | PastJob::ServiceJob(_) => return,
        }
        self.state.remember(id);
    }
}
