//! Why a job is where it is: read from the state at the moment of the question, never stored.
//!
//! | question | file |
//! |---|---|
//! | what is said | `explanation` |
//! | which dependencies are unmet, which failed | `dependencies` |
//! | what the scheduler knows of a job that waits: the one place that looks into it | `facts` |
//! | when a job that waits starts at the latest | `estimate` |
//! | what each attempt came to, and why no other followed | `attempts` |
//! | the same for service jobs | `service` |
//! | one short sentence for a job that waits | `reason` |
//! | the words | `words` |

mod attempts;
mod dependencies;
mod estimate;
mod explanation;
mod facts;
mod reason;
mod service;
mod words;

use crate::id::{JobId, Member};
use crate::job::array::StatusCounts;
use crate::job::{Execution, Job, JobStatus};
use crate::state::State;
use crate::time::Timestamp;
pub use attempts::{Decision, Past};
pub use dependencies::{Awaited, Cause, Condition};
pub use explanation::{
    Detail, Explanation, HeldBack, LimitUse, Position, Runnable, Running, ShareUse, Verdict, Waits,
};
pub(crate) use facts::share_use;
pub use words::verdict;

impl State {
    /// Why a job, array child, node or service job is where it is; `None` when there is no such job.
    ///
    /// Costs what it shows; of a RUNNABLE job also the first 10,000 jobs of its queue.
    pub fn explain(&self, id: JobId, now: Timestamp) -> Option<Explanation> {
        let Some((job, execution)) = self.find(id) else {
            let job = self.service_job(id.job).filter(|_| id.member == Member::Whole)?;
            return Some(service::explain(self, job));
        };
        let detail = match execution.status {
            JobStatus::Submitted | JobStatus::Pending => Detail::Pending {
                awaits: dependencies::unmet(self, &job, id.member),
                next: self.next_child(id).map(|child| (child, Box::new(self.runnable(child, now)))),
            },
            JobStatus::Runnable => Detail::Runnable(Box::new(self.runnable(id, now))),
            JobStatus::Starting | JobStatus::Running => Detail::Running(self.running(id, &job, &execution)),
            JobStatus::Succeeded | JobStatus::Failed => {
                Detail::Ended { causes: dependencies::causes(self, id) }
            }
        };
        let attempts = attempts::of(&job, id, &execution);
        let members = self.member_counts(id, &job);
        let summary = match &detail {
            Detail::Pending { .. } | Detail::Runnable(_) => self.waiting_reason(id).unwrap_or_default(),
            Detail::Running(running) => words::running(execution.status, running),
            Detail::Ended { causes } => words::ended(&job, id, &execution, members, &attempts, causes),
            Detail::Service { .. } => unreachable!("answered above"),
        };
        let since = match execution.status {
            JobStatus::Submitted | JobStatus::Pending => Some(execution.created_at),
            JobStatus::Runnable => Some(facts::runnable_since(self, id)),
            JobStatus::Starting => None,
            JobStatus::Running => execution.started_at,
            JobStatus::Succeeded | JobStatus::Failed => execution.stopped_at,
        };
        let (name, queue, status) = (job.name.clone(), job.queue.clone(), execution.status.as_str());
        Some(Explanation { id, name, queue, status, since, summary, members, attempts, detail })
    }

    fn runnable(&self, id: JobId, now: Timestamp) -> Runnable {
        let waits = self.waits(id);
        let job = &self.jobs[&id.job];
        let front = match waits {
            Waits::Nodes | Waits::Never(_) => Vec::new(),
            Waits::Pass
            | Waits::Turn { .. }
            | Waits::Capacity
            | Waits::AllNodes(_)
            | Waits::Consumable { .. }
            | Waits::Ahead { .. } => facts::front(self, &job.queue),
        };
        let whole = if job.nodes.is_some() { JobId::whole(id.job) } else { id };
        let first = facts::first(self, &job.queue).filter(|&first| first != whole && !front.is_empty());
        Runnable {
            first_waits: first.and_then(|first| self.waiting_reason(first)),
            environments: facts::environments(self, job),
            position: (!front.is_empty()).then(|| facts::position(self, whole, &front)),
            starts_by: estimate::start(self, whole, &front, now),
            waits,
        }
    }

    /// What a RUNNABLE job, child or node waits for.
    fn waits(&self, id: JobId) -> Waits {
        let job = &self.jobs[&id.job];
        match id.member {
            Member::Node(_) if job.execution.status != JobStatus::Runnable => Waits::Nodes,
            Member::Node(_) => facts::waits(self, JobId::whole(id.job)),
            Member::Whole | Member::Index(_) => facts::waits(self, id),
        }
    }

    fn running(&self, id: JobId, job: &Job, execution: &Execution) -> Running {
        // The parent of nodes is where its main node is.
        let main = job.nodes.as_ref().filter(|_| id.member == Member::Whole).map(|nodes| nodes.main_node);
        let main = main.and_then(|main| self.find(JobId::node(id.job, main))).map(|(_, main)| main);
        let execution = main.as_deref().unwrap_or(execution);
        let placement = execution.placement.as_deref();
        let timeout_at = execution.started_at.zip(job.timeout_of(id.member));
        Running {
            environment: placement.map(|placement| placement.compute_environment.clone()),
            instance_id: placement.map(|placement| placement.instance_id.clone()),
            attempt: execution.attempt_number(),
            attempts_max: job.retry_strategy().attempts,
            started_at: execution.started_at,
            timeout_at: timeout_at.map(|(at, seconds)| at.plus_seconds(seconds)),
            stopping: placement.and_then(|placement| placement.stopping.clone()),
        }
    }

    /// The next RUNNABLE child of an array parent.
    fn next_child(&self, id: JobId) -> Option<JobId> {
        let array = self.arrays.get(&id.job).filter(|_| id.member == Member::Whole)?;
        Some(JobId::child(id.job, array.next_runnable()?))
    }

    fn member_counts(&self, id: JobId, job: &Job) -> Option<StatusCounts> {
        if id.member != Member::Whole {
            return None;
        }
        let nodes = || {
            let mut counts = StatusCounts::default();
            for node in 0..job.nodes.as_ref()?.num_nodes() {
                counts[self.status_of(JobId::node(id.job, node))? as usize] += 1;
            }
            Some(counts)
        };
        self.status_summary(id.job).or_else(nodes)
    }
}
