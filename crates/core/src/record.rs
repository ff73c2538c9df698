//! What is kept for good: one record for each resource, job, started array child and instance.
//!
//! The bodies are CBOR arrays, a member's number (`#[n(…)]`) being its place: numbers are never reused, new members are
//! optional, and members of a newer version are skipped. The store adds a version byte before each body.

use std::sync::Arc;

use uuid::Uuid;

use crate::attempt::Host;
use crate::job::{Execution, Job};
use crate::resource::compute_environment::ComputeEnvironment;
use crate::resource::job_definition::JobDefinition;
use crate::resource::job_queue::JobQueue;
use crate::turn::Key;

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
    /// A child of an array: the parent's id, its index, how far it has come.
    Child(Uuid, u32, Arc<Execution>),
    /// A machine that attempts were placed on.
    Instance(Arc<Host>),
}

/// One change to the store.
#[derive(Clone, Debug)]
pub enum Change {
    /// Write the record, whether it was there or not.
    Put(Record),
    /// Remove the record.
    Delete(Key),
}
