//! What happened in a simulation, as plain facts. Every figure of a report is worked out from these afterwards.

use fornada_core::instance::Market;
use fornada_core::job::JobStatus;
use fornada_core::text::Text;

/// Everything that happened. Times are milliseconds since the Unix epoch, in virtual time.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// When it began.
    pub begin: u64,
    /// Of the last thing that happened.
    pub end: u64,
    /// By number of the job: how far it came, as a whole.
    pub jobs: Vec<JobFacts>,
    /// By number of the unit: a child of an array, or a job that is none.
    pub units: Vec<UnitFacts>,
    /// In the order in which they were placed.
    pub attempts: Vec<AttemptFacts>,
    /// In the order in which they were asked for.
    pub instances: Vec<InstanceFacts>,
    /// Steps of the engine that it took.
    pub turns: u64,
}

/// A job as it was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFacts {
    /// Where it is, or how it ended.
    pub status: JobStatus,
    /// Why.
    pub reason: Option<Text>,
    /// When it was really submitted; `None` when the simulation ended before.
    pub submitted_at: Option<u64>,
    /// When it ended.
    pub ended_at: Option<u64>,
}

/// A unit and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitFacts {
    /// SUCCEEDED or FAILED once it has ended.
    pub status: JobStatus,
    /// When it ended.
    pub ended_at: Option<u64>,
    /// Attempts that were placed, of a multi-node job those of its main node.
    pub attempts: u32,
}

/// One attempt: of a job, a child or a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptFacts {
    /// Number of its unit.
    pub unit: u32,
    /// Number of its instance.
    pub instance: u32,
    /// When its place was taken.
    pub placed_at: u64,
    /// When its process started; `None` when it never did.
    pub started_at: Option<u64>,
    /// When it ended, or the simulation did.
    pub ended_at: u64,
    /// Thousandths of a vCPU that it holds.
    pub milli_vcpus: u32,
    /// MiB that it holds.
    pub memory_mib: u32,
    /// How it ended.
    pub end: AttemptEnd,
    /// It leads its job: all but the other nodes of a multi-node job.
    pub leads: bool,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// Its process ended with this exit code.
    Exit(i32),
    /// It was killed for its memory.
    OutOfMemory,
    /// It was asked to stop, and ended with this exit code.
    Stopped(i32),
    /// Its instance went away under it.
    Lost,
    /// The simulation ended before.
    Unfinished,
}

/// A machine.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceFacts {
    /// `i-` and 17 hex digits.
    pub id: Text,
    /// For example `m6i.large`; what else it is, for a machine that was not launched.
    pub kind: Text,
    /// Name of the environment that it was launched for; empty for a machine that was not launched.
    pub environment: Text,
    /// How it was bought; `None` when it was not.
    pub market: Option<Market>,
    /// Thousandths of a vCPU; of a machine without bounds, 0.
    pub milli_vcpus: u64,
    /// When it was asked for.
    pub requested_at: u64,
    /// When attempts could first be placed on it.
    pub ready_at: Option<u64>,
    /// When it stopped costing anything.
    pub ended_at: Option<u64>,
    /// How it went.
    pub end: InstanceEnd,
    /// Millionths of a US dollar.
    pub cost: u64,
    /// The same at the price on demand.
    pub cost_on_demand: u64,
}

/// What became of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceEnd {
    /// It is still there.
    Running,
    /// It was not launched.
    Failed,
    /// It was given back.
    Returned,
    /// A spot instance that was taken back.
    Interrupted,
}
