//! Job state time limits: a RUNNABLE job that is stuck at the head of its queue for too long is given up.
//!
//! The head counts from when it was first seen there for the same reason. In the default order a job that can never fit is
//! set aside and blocks nobody, so each such job counts as a head, from when it was set aside or became RUNNABLE; in strict order
//! only the first job of the queue counts. Of an array, its children that wait are meant. While a launch that failed is tried
//! again, time goes on, but nothing is given up.
//!
//! Nothing of this is stored: a server that starts anew counts from zero. With each pass, a queue with limits costs
//! O(shapes that can never fit); when the time of a shape has come, its jobs are looked at.
//!
//! Source: AWS Batch User Guide, jobs stuck in RUNNABLE; API reference, JobStateTimeLimitAction.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::arn::Arn;
use crate::id::JobId;
use crate::resource::job_queue::JobQueue;
use crate::schedule::fit::{Diagnosis, INVALID};
use crate::schedule::shape::{Shape, ShapeId};
use crate::state::{State, Timer};
use crate::text::Text;
use crate::time::Timestamp;
use crate::turn::Turn;

/// What is stuck in queues with limits.
#[derive(Debug, Default)]
pub(crate) struct Stuck {
    queues: BTreeMap<Arn, Watch>,
    /// When the first of it will have been stuck for too long.
    timer: Option<Timestamp>,
}

/// What is stuck in one queue.
#[derive(Debug, Default)]
struct Watch {
    head: Option<Head>,
    set_aside: BTreeMap<ShapeId, SetAside>,
}

/// The head of a queue.
#[derive(Debug)]
struct Head {
    /// A service job, like a container job, by its id.
    id: JobId,
    code: Text,
    since: Timestamp,
    /// It is stuck for certain; not while something is tried that may help.
    is_certain: bool,
}

/// A shape that can never fit.
#[derive(Debug)]
struct SetAside {
    reason: &'static str,
    since: Timestamp,
    /// No job of it has been stuck since before this time.
    earliest: Timestamp,
}

/// A job that has been stuck for too long.
struct Expired {
    id: JobId,
    code: Text,
    is_service_job: bool,
}

/// What comes before ` - ` in a reason.
fn code_of(reason: &str) -> &str {
    reason.split_once(" - ").map_or(reason, |(code, _)| code)
}

impl Turn<'_> {
    /// Gives up what has been stuck for too long; whether there was any. Sets the timer for what will have been next.
    pub(crate) fn give_up_stuck_jobs(&mut self) -> bool {
        let now = self.now;
        let limits =
            |queue: &&Arc<JobQueue>| queue.time_limits.as_ref().is_some_and(|limits| !limits.is_empty());
        let queues: Vec<Arc<JobQueue>> = self.state.job_queues.values().filter(limits).cloned().collect();
        let mut known = std::mem::take(&mut self.state.stuck.queues);
        let (mut expired, mut next) = (Vec::new(), None);
        for queue in queues {
            let mut watch = known.remove(&queue.arn).unwrap_or_default();
            let due = self.state.watch(&mut watch, &queue, now, &mut expired);
            next = next.into_iter().chain(due).min();
            self.state.stuck.queues.insert(queue.arn.clone(), watch);
        }
        let before = std::mem::replace(&mut self.state.stuck.timer, next);
        if before != next {
            before.into_iter().for_each(|at| self.state.clear_timer(at, Timer::TimeLimit));
            next.into_iter().for_each(|at| self.state.set_timer(at, Timer::TimeLimit));
        }
        let any = !expired.is_empty();
        for Expired { id, code, is_service_job } in expired {
            if is_service_job {
                self.terminate_service_job_for_time_limit(id.job, &code);
            } else {
                let reason = format!("Canceled by JobStateTimeLimit action due to reason: {code}");
                self.cancel_job(id, &reason.into());
            }
        }
        any
    }
}

impl State {
    /// Takes up what is stuck in a queue, and adds what has been for too long to `expired`. Returns when the next will have been.
    fn watch(
        &self,
        watch: &mut Watch,
        queue: &JobQueue,
        now: Timestamp,
        expired: &mut Vec<Expired>,
    ) -> Option<Timestamp> {
        let is_service_job = queue.service_environment.is_some();
        self.watch_head(watch, queue, now);
        self.watch_set_aside(watch, queue, now);
        let mut next = None;
        let mut due = |from: Timestamp, code: &str| {
            let at = from.plus_seconds(queue.time_limit(code)?);
            if at > now {
                next = next.into_iter().chain([at]).min();
            }
            Some(at)
        };
        if let Some(Head { id, code, since, .. }) = watch.head.as_ref().filter(|head| head.is_certain)
            && due(*since, code).is_some_and(|at| at <= now)
        {
            expired.push(Expired { id: *id, code: code.clone(), is_service_job });
        }
        for (&shape, aside) in &mut watch.set_aside {
            let code = code_of(aside.reason);
            if due(aside.earliest, code).is_none_or(|at| at > now) {
                continue;
            }
            aside.earliest = now;
            for id in self.waiting_of(&queue.arn, shape) {
                let since = aside.since.max(self.runnable_since(id));
                if due(since, code).is_some_and(|at| at <= now) {
                    expired.push(Expired { id, code: code.into(), is_service_job });
                } else {
                    aside.earliest = aside.earliest.min(since);
                }
            }
        }
        next
    }

    fn watch_head(&self, watch: &mut Watch, queue: &JobQueue, now: Timestamp) {
        let before = watch.head.take();
        let (id, code) = if queue.service_environment.is_some() {
            match self.blocked_service_head(&queue.arn) {
                Some((id, code)) => (JobId::whole(id), code.into()),
                None => return,
            }
        } else {
            let Some(id) = self.head_of(&queue.arn) else { return };
            let Some(shape) = self.shapes.find(&Shape::of(&self.jobs[&id.job])) else { return };
            match self.diagnose(&queue.arn, shape) {
                // Nobody can help but the owner of the environments, who is not asked to limit that.
                Diagnosis::Stuck(reason) if reason.as_str() == INVALID => return,
                Diagnosis::Stuck(reason) => (id, code_of(&reason).into()),
                Diagnosis::Retrying => {
                    let before = before.filter(|head| head.id == id);
                    watch.head = before.map(|head| Head { is_certain: false, ..head });
                    return;
                }
                Diagnosis::Waits => return,
            }
        };
        let before = before.filter(|head| head.id == id && head.code == code);
        let since = before.map_or(now, |head| head.since);
        watch.head = Some(Head { id, code, since, is_certain: true });
    }

    fn watch_set_aside(&self, watch: &mut Watch, queue: &JobQueue, now: Timestamp) {
        let backlog = self.backlogs.get(&queue.arn).filter(|_| self.settings.backfill);
        let before = std::mem::take(&mut watch.set_aside);
        for (&shape, &reason) in backlog.into_iter().flat_map(|backlog| &backlog.never) {
            watch.set_aside.insert(shape, SetAside { reason, since: now, earliest: now });
        }
        for (shape, aside) in before {
            if let Some(still) = watch.set_aside.get_mut(&shape).filter(|still| still.reason == aside.reason)
            {
                *still = aside;
            }
        }
    }

    /// Jobs and array children of a shape that wait in a queue.
    fn waiting_of(&self, queue: &str, shape: ShapeId) -> Vec<JobId> {
        let lanes = self.backlogs.get(queue).into_iter().flat_map(|backlog| backlog.lanes());
        let jobs = lanes.flat_map(|(_, lane)| lane.jobs_of(shape));
        jobs.flat_map(|job| self.runnable_members(job, usize::MAX)).collect()
    }
}
