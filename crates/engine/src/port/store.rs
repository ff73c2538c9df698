//! Where records are kept.

use std::sync::Arc;

use fornada_core::arn::Arn;
use fornada_core::history::{PastExecution, PastJob};
use fornada_core::id::{JobId, Uuid};
use fornada_core::job::{Job, JobStatus};
use fornada_core::record::{Change, Loaded};
use fornada_core::service_job::{ServiceJob, ServiceJobStatus};
use fornada_core::text::Text;
use fornada_core::time::Timestamp;

/// Why records could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    /// What was tried, in a few words.
    pub what: String,
    /// What the adapter met.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// The writing side: one owner, the engine.
pub trait Store: Send {
    /// What the state is made of, for recovery. Ended jobs are left where they are.
    ///
    /// # Errors
    /// When they cannot be read or are of a newer version.
    fn load(&mut self) -> Result<Loaded, Error>;

    /// Makes all changes durable, or none of them.
    ///
    /// # Errors
    /// When that cannot be promised; the engine stops then.
    fn commit(&mut self, changes: &[Change]) -> Result<(), Error>;
}

/// The searching side, over what is durable. Methods block on disk; call them off the async threads.
pub trait JobIndex: Send + Sync {
    /// Jobs of a queue (array parents, not children), newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn list_jobs(&self, query: &JobQuery) -> Result<JobPage, Error>;

    /// Service jobs of a queue, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn list_service_jobs(&self, query: &ServiceJobQuery) -> Result<Vec<Arc<ServiceJob>>, Error>;

    /// Jobs that need a consumable resource, newest first: at most `limit` of those before a place in the order of
    /// submission.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn list_consumers(&self, resource: &str, before: Option<u64>, limit: u32)
    -> Result<Vec<Arc<Job>>, Error>;

    /// Ended jobs, children and nodes, as far as there are such.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn find(&self, ids: &[JobId]) -> Result<Vec<(JobId, PastExecution)>, Error>;

    /// Jobs and service jobs with all that belongs to them, as far as there are such.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn past_jobs(&self, ids: &[Uuid]) -> Result<Vec<PastJob>, Error>;

    /// Deletes some of the jobs that ended before a time, or gives back some of the space that they took. It is called again
    /// while it may go on; commits go on between two calls.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn expire(&self, ended_before: Timestamp) -> Result<Expired, Error>;
}

/// What one step of deleting has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Jobs that were deleted with all that belongs to them.
    pub jobs: u64,
    /// There may be more to do.
    pub may_go_on: bool,
}

/// Which jobs of a queue.
#[derive(Clone, Debug)]
pub struct JobQuery {
    /// ARN of the queue.
    pub queue: Arn,
    /// More conditions, all of which must hold.
    pub filters: Vec<JobFilter>,
    /// Only jobs before this place in the order of submission: where the page before ended.
    pub before_sequence: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

/// What [`JobQuery`] found.
#[derive(Clone, Debug, Default)]
pub struct JobPage {
    /// Newest first. May be fewer than the limit, or none, and yet not the last.
    pub jobs: Vec<Arc<Job>>,
    /// [`JobQuery::before_sequence`] of the next page; `None` when this is the last.
    pub next: Option<u64>,
}

/// The filters of ListJobs, and its `jobStatus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobFilter {
    /// `jobStatus`, or `JOB_STATUS`: any of these.
    Status(Vec<JobStatus>),
    /// `JOB_NAME`: case does not matter.
    Name(Pattern),
    /// `JOB_DEFINITION`: the ARN begins with this text, for a name with all revisions, a prefix, or one revision.
    Definition(DefinitionFilter),
    /// `BEFORE_CREATED_AT`.
    CreatedBefore(Timestamp),
    /// `AFTER_CREATED_AT`.
    CreatedAfter(Timestamp),
    /// `SHARE_IDENTIFIER`.
    Share(Text),
    /// `TAG`: any of these keys; where a value is given, with that value.
    Tag(Vec<(Text, Option<Text>)>),
}

/// Which service jobs of a queue.
#[derive(Clone, Debug)]
pub struct ServiceJobQuery {
    /// ARN of the queue.
    pub queue: Arn,
    /// Only this status.
    pub status: Option<ServiceJobStatus>,
    /// One more condition.
    pub filter: Option<ServiceJobFilter>,
    /// Only jobs before this place in the order of submission: where the page before ended.
    pub before_sequence: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

/// The filters of ListServiceJobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceJobFilter {
    /// `JOB_NAME`: case does not matter.
    Name(Pattern),
    /// `SHARE_IDENTIFIER`.
    ShareIdentifier(Text),
    /// `QUOTA_SHARE_NAME`.
    QuotaShare(Text),
    /// `BEFORE_CREATED_AT`.
    CreatedBefore(Timestamp),
    /// `AFTER_CREATED_AT`.
    CreatedAfter(Timestamp),
}

/// An exact text, or what begins with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Equal.
    Exact(Text),
    /// Begins with.
    Prefix(Text),
}

/// Which definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefinitionFilter {
    /// One revision, by its full ARN.
    Revision(Arn),
    /// Every revision of the family whose ARN, without revision, is this.
    Family(Arn),
    /// Every family whose ARN begins with this.
    Prefix(Text),
}
