//! What is durable, decoded: the view of somebody who reads the store after each commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fornada_core::id::{AttemptId, JobId, Member, Uuid};
use fornada_core::job::{Execution, Job, JobStatus, Placement};
use fornada_core::record::{Change, Key, Record};
use fornada_core::service_job::ServiceJob;

use crate::records;

#[derive(Clone, Default)]
pub struct Ledger {
    records: BTreeMap<Key, Record>,
    /// Jobs, children, nodes and service jobs that have a place.
    placed: BTreeSet<JobId>,
}

impl Ledger {
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(record) => {
                let placed = match record {
                    Record::Job(job) => Some((JobId::whole(job.id), job.execution.placement.is_some())),
                    Record::ServiceJob(job) => Some((JobId::whole(job.id), job.placement.is_some())),
                    Record::Child(job, number, child) => {
                        Some((self.member(*job, *number), child.placement.is_some()))
                    }
                    Record::ComputeEnvironment(_)
                    | Record::JobQueue(_)
                    | Record::JobDefinition(_)
                    | Record::Instance(_)
                    | Record::SchedulingPolicy(_)
                    | Record::ConsumableResource(_)
                    | Record::ServiceEnvironment(_)
                    | Record::QuotaShare(_)
                    | Record::Share(..)
                    | Record::Event(_) => None,
                };
                match placed {
                    Some((id, true)) => drop(self.placed.insert(id)),
                    Some((id, false)) => drop(self.placed.remove(&id)),
                    None => {}
                }
                self.records.insert(records::key(record), record.clone());
            }
            Change::Delete(key) => drop(self.records.remove(key)),
        }
    }

    pub fn get(&self, key: &Key) -> Option<&Record> {
        self.records.get(key)
    }

    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn job(&self, id: Uuid) -> Option<&Arc<Job>> {
        match self.records.get(&Key::Job(id))? {
            Record::Job(job) => Some(job),
            other => unreachable!("{other:?} is stored as a job"),
        }
    }

    pub fn service_job(&self, id: Uuid) -> Option<&Arc<ServiceJob>> {
        match self.records.get(&Key::ServiceJob(id))? {
            Record::ServiceJob(job) => Some(job),
            other => unreachable!("{other:?} is stored as a service job"),
        }
    }

    /// The record of a job, or of a child or node that has one of its own.
    pub fn execution(&self, id: JobId) -> Option<&Execution> {
        match id.member {
            Member::Whole => Some(&self.job(id.job)?.execution),
            Member::Index(number) | Member::Node(number) => {
                match self.records.get(&Key::Child(id.job, number))? {
                    Record::Child(_, _, child) => Some(child),
                    other => unreachable!("{other:?} is stored as a child"),
                }
            }
        }
    }

    /// The status of a job, child or node; of one without a record what follows from its parent.
    pub fn status(&self, id: JobId) -> Option<JobStatus> {
        let own = self.execution(id).map(|execution| execution.status);
        own.or_else(|| {
            let job = self.job(id.job)?;
            let has_fate = job.array.as_ref().is_some_and(|array| array.fate.is_some());
            Some(match id.member {
                Member::Node(_) | Member::Whole => job.execution.status,
                Member::Index(_) if has_fate => JobStatus::Failed,
                Member::Index(_) => JobStatus::Pending,
            })
        })
    }

    /// What a record of a child is of: a child of an array, or a node.
    pub fn member(&self, job: Uuid, number: u32) -> JobId {
        let is_gang = self.job(job).is_some_and(|job| job.nodes.is_some());
        if is_gang { JobId::node(job, number) } else { JobId::child(job, number) }
    }

    pub fn placed(&self) -> impl Iterator<Item = JobId> {
        self.placed.iter().copied()
    }

    pub fn placement(&self, id: JobId) -> Option<&Placement> {
        self.execution(id)?.placement.as_deref()
    }

    /// The attempt of a job, child, node or service job that is starting or running.
    pub fn current(&self, id: JobId) -> Option<AttemptId> {
        match self.service_job(id.job) {
            Some(job) => job.current_attempt(),
            None => self.execution(id)?.current_attempt(id),
        }
    }

    pub fn is_over(&self, id: JobId) -> bool {
        match self.service_job(id.job) {
            Some(job) => job.status.is_terminal(),
            None => self.status(id).is_none_or(JobStatus::is_terminal),
        }
    }
}
