//! What is kept for good: one record for each resource, job, started array child, placed node, instance and share, and
//! for each event that has not been delivered.
//!
//! The bodies are CBOR arrays, a member's number (`#[n(…)]`) being its place: numbers are never reused, new members are
//! optional, and members of a newer version are skipped. The store adds a version byte before each body.

use std::sync::Arc;

use uuid::Uuid;

use crate::arn::Arn;
use crate::event::Event;
use crate::instance::Instance;
use crate::job::{Execution, Job};
use crate::resource::compute_environment::ComputeEnvironment;
use crate::resource::consumable_resource::ConsumableResource;
use crate::resource::job_definition::JobDefinition;
use crate::resource::job_queue::JobQueue;
use crate::resource::quota_share::QuotaShare;
use crate::resource::scheduling_policy::SchedulingPolicy;
use crate::resource::service_environment::ServiceEnvironment;
use crate::schedule::Past;
use crate::service_job::ServiceJob;
use crate::state::State;
use crate::text::Text;
use crate::time::Timestamp;

/// One record, shared with the state: whoever encodes it does so without holding up decisions.
#[derive(Clone, Debug)]
pub enum Record {
    /// A compute environment.
    ComputeEnvironment(Arc<ComputeEnvironment>),
    /// A job queue.
    JobQueue(Arc<JobQueue>),
    /// One revision of a job definition.
    JobDefinition(Arc<JobDefinition>),
    /// A job or array parent.
    Job(Arc<Job>),
    /// A child of an array or a node: the parent's id, its index, how far it has come.
    Child(Uuid, u32, Arc<Execution>),
    /// A machine that attempts were placed on.
    Instance(Arc<Instance>),
    /// A scheduling policy.
    SchedulingPolicy(Arc<SchedulingPolicy>),
    /// A consumable resource.
    ConsumableResource(Arc<ConsumableResource>),
    /// A service environment.
    ServiceEnvironment(Arc<ServiceEnvironment>),
    /// A quota share.
    QuotaShare(Arc<QuotaShare>),
    /// A service job.
    ServiceJob(Arc<ServiceJob>),
    /// What a share of a fair-share queue, by ARN and share identifier, had lately.
    Share(Arn, Text, Arc<Past>),
    /// What is to be told of a job.
    Event(Arc<Event>),
}

/// What a store holds of the state, for [`State::recover`].
#[derive(Debug, Default)]
pub struct Loaded {
    /// Every resource, and every job that has not ended with its children and nodes. More jobs do no harm.
    pub records: Vec<Record>,
    /// Greater than the `sequence` of any job that the store has.
    pub next_sequence: u64,
    /// No job that the store has ended later.
    pub latest: Timestamp,
}

impl From<Vec<Record>> for Loaded {
    /// All records there are.
    fn from(records: Vec<Record>) -> Loaded {
        Loaded { records, ..Loaded::default() }
    }
}

/// Names one record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// By ARN.
    ComputeEnvironment(Arn),
    /// By ARN.
    JobQueue(Arn),
    /// By ARN without revision, and revision.
    JobDefinition(Arn, u32),
    /// By id.
    Job(Uuid),
    /// By the parent's id, and index.
    Child(Uuid, u32),
    /// By instance id.
    Instance(Text),
    /// By ARN.
    SchedulingPolicy(Arn),
    /// By ARN.
    ConsumableResource(Arn),
    /// By ARN.
    ServiceEnvironment(Arn),
    /// By ARN.
    QuotaShare(Arn),
    /// By id.
    ServiceJob(Uuid),
    /// By ARN of the queue, and share identifier.
    Share(Arn, Text),
    /// By number.
    Event(u64),
}

/// One change to the store.
#[derive(Clone, Debug)]
pub enum Change {
    /// Write the record, whether it was there or not.
    Put(Record),
    /// Remove the record.
    Delete(Key),
}

impl State {
    /// A record by its key; `None` when it was removed.
    pub(crate) fn record(&self, key: &Key) -> Option<Record> {
        Some(match key {
            Key::ComputeEnvironment(arn) => {
                Record::ComputeEnvironment(Arc::clone(self.compute_environments.get(arn)?))
            }
            Key::JobQueue(arn) => Record::JobQueue(Arc::clone(self.job_queues.get(arn)?)),
            Key::JobDefinition(arn, revision) => {
                Record::JobDefinition(Arc::clone(self.job_definitions.get(arn)?.get(revision)?))
            }
            Key::Job(id) => Record::Job(Arc::clone(self.jobs.get(id)?)),
            Key::Child(job, index) => {
                let child = self.arrays.get(job).and_then(|array| array.children.get(index));
                let node = || self.gangs.get(job).and_then(|gang| gang.nodes.get(index));
                Record::Child(*job, *index, Arc::clone(child.or_else(node)?))
            }
            Key::Instance(id) => Record::Instance(Arc::clone(&self.instances.get(id)?.record)),
            Key::SchedulingPolicy(arn) => {
                Record::SchedulingPolicy(Arc::clone(self.scheduling_policies.get(arn)?))
            }
            Key::ConsumableResource(arn) => {
                Record::ConsumableResource(Arc::clone(self.consumable_resources.get(arn)?))
            }
            Key::ServiceEnvironment(arn) => {
                Record::ServiceEnvironment(Arc::clone(self.service_environments.get(arn)?))
            }
            Key::QuotaShare(arn) => Record::QuotaShare(Arc::clone(self.quota_shares.get(arn)?)),
            Key::ServiceJob(id) => Record::ServiceJob(Arc::clone(self.service_jobs.records.get(id)?)),
            Key::Share(queue, share) => {
                let past = Arc::new(self.lane(queue, share)?.past.clone());
                Record::Share(queue.clone(), share.clone(), past)
            }
            Key::Event(number) => Record::Event(Arc::clone(self.outbox.get(*number)?)),
        })
    }
}
