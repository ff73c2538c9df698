//! The answer of `GET /fornada/v1/explain/{jobId}`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Why a job is where it is. Members that do not apply to its status are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Explanation {
    /// As in DescribeJobs.
    pub job_id: String,
    /// As in DescribeJobs.
    pub job_name: String,
    /// ARN of the job queue.
    pub job_queue: String,
    /// As in DescribeJobs, or DescribeServiceJob.
    pub status: String,
    /// Since when it has that status, in milliseconds since the epoch; missing where that is not recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// The answer in one sentence.
    pub summary: String,
    /// Children of an array, or nodes, by status; those that are none are left out.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<String, u32>,
    /// Dependencies that are not met.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// Of an array parent: the child that starts next, which `waits` is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_child: Option<String>,
    /// What keeps it from starting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// Of a service job: what it needs, and what there is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
    /// Attempts that ended, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// What failed before it: the nearest first, the root cause last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
}

/// A dependency that is not met.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// The job, child or array that is waited for.
    pub job_id: String,
    /// Its name.
    pub job_name: String,
    /// Its status.
    pub status: String,
    /// What must become of it: `SUCCEEDS`, `ENDS`, or `CHILD_BY_CHILD`.
    pub condition: String,
    /// Of an array: children that have ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children_ended: Option<u32>,
    /// Of an array: its size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children: Option<u32>,
}

/// What keeps a RUNNABLE job from starting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Waits {
    /// `SCHEDULING_PASS`, `SHARE_TURN`, `CAPACITY`, `ALL_NODES`, `MISCONFIGURATION`, `CONSUMABLE_RESOURCE`, `JOB_AHEAD` or
    /// `MAIN_NODE`.
    pub on: String,
    /// SHARE_TURN: the share of the job, then the share that goes first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
    /// CONSUMABLE_RESOURCE: which, and how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumable_resource: Option<Consumable>,
    /// JOB_AHEAD: which, and why it may not be overtaken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead: Option<Ahead>,
    /// What the first job of the queue waits for, if that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_waits: Option<String>,
    /// The environments of the queue in the order in which they are tried, each with what it says to this job.
    pub compute_environments: Vec<Verdict>,
    /// Jobs and children that go before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs_ahead: Option<usize>,
    /// vCPUs that those need together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus_ahead: Option<f64>,
    /// There are more ahead than those: the counts are not exact.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more_ahead: bool,
    /// When it starts if every run before it takes as long as its timeout allows, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_by: Option<i64>,
}

/// A share of a fair-share queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// `shareIdentifier`.
    pub share_identifier: String,
    /// vCPUs that its attempts have.
    pub used_vcpus: f64,
    /// `weightFactor`: the lower, the more it is entitled to.
    pub weight_factor: f64,
}

/// A consumable resource of which there is too little.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consumable {
    /// Its ARN.
    pub arn: String,
    /// How many the job needs.
    pub needed: u64,
    /// How many are left.
    pub left: u64,
    /// How many other jobs hold.
    pub held: u64,
}

/// A job that goes first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ahead {
    /// Which one.
    pub job_id: String,
    /// Its name.
    pub job_name: String,
    /// `STRICT_ORDER` or `RESERVED_START`.
    pub because: String,
    /// RESERVED_START: when it starts, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<i64>,
}

/// What a compute environment says to a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Its name.
    pub compute_environment: String,
    /// `ROOM`, `DISABLED`, `NOT_VALID`, `WRONG_PLATFORM`, `WRONG_ARCHITECTURE`, `ABOVE_MAX_VCPUS`, `AT_MAX_VCPUS`, `NO_INSTANCE`,
    /// `NO_ROOM`, `TOO_LARGE`, `LAUNCHING` or `LAUNCH_FAILED`.
    pub verdict: String,
    /// The same in words, with the amounts.
    pub text: String,
}

/// Where an attempt runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Name of the compute environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_environment: Option<String>,
    /// The instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Its number, 1-based.
    pub attempt: u32,
    /// `retryStrategy.attempts`.
    pub attempts_max: u32,
    /// When its process started, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<i64>,
    /// When it will be stopped for its timeout, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_at: Option<i64>,
    /// While it is being stopped: `TERMINATED`, `TIMED_OUT` or `MAIN_NODE_ENDED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopping: Option<String>,
}

/// One limit that a service job is under.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// ARN of the service environment or quota share.
    pub arn: String,
    /// `NUM_INSTANCES`, or an instance type.
    pub capacity_unit: String,
    /// Instances that jobs hold.
    pub used: u64,
    /// The limit.
    pub max: u64,
    /// Instances that the job needs.
    pub needed: u64,
}

/// An attempt that ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Its number, 1-based.
    pub attempt: u32,
    /// When its process started, in milliseconds since the epoch; missing when none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<i64>,
    /// When it ended.
    pub stopped_at: i64,
    /// Name of the compute environment; of a service job it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_environment: Option<String>,
    /// The instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// As in DescribeJobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The container's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The attempt's reason.
    pub status_reason: String,
    /// What followed: `SUCCEEDED`, `RETRIED`, `ATTEMPTS_USED_UP`, `RULE_SAYS_EXIT`, `TERMINATED`, `CANCELLED` or `TIMED_OUT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The rule of `evaluateOnExit` that decided, 1-based.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
}

/// Something that failed, and took others along.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// The job or child.
    pub job_id: String,
    /// Its name.
    pub job_name: String,
    /// Its status reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// Exit code of its last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Container reason of its last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
