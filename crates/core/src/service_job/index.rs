//! All service jobs, and the indexes over them that decisions need; every change of a job keeps them in step.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use crate::arn::Arn;
use crate::id::AttemptId;
use crate::quantity::Resources;
use crate::record::Key;
use crate::service_job::capacity::Instances;
use crate::service_job::{
    ServiceJob, ServiceJobCounts, ServiceJobStatus, ServicePlacement, ServiceTransition,
};
use crate::state::{State, Timer};
use crate::text::Text;
use crate::turn::Turn;

/// Place among the jobs of one lane: higher priority first, then order of submission.
pub(crate) type Rank = (Reverse<u32>, u64);

/// All service jobs.
#[derive(Debug, Default)]
pub(crate) struct ServiceJobs {
    pub(crate) records: HashMap<Uuid, Arc<ServiceJob>>,
    pub(crate) backlogs: BTreeMap<Arn, ServiceBacklog>,
    /// Held in each service environment.
    pub(crate) in_use: BTreeMap<Arn, Instances>,
    pub(crate) counts: ServiceJobCounts,
}

/// What one queue has to offer to a scheduling pass.
#[derive(Debug, Default)]
pub(crate) struct ServiceBacklog {
    /// RUNNABLE jobs, one lane a share; those of a FIFO queue are in a lane without a name.
    pub(crate) lanes: BTreeMap<Text, BTreeMap<Rank, Uuid>>,
    /// RUNNABLE, but larger than the limits; looked at again when those change.
    pub(crate) unplaceable: BTreeMap<u64, Uuid>,
    /// Held by the jobs of each lane.
    pub(crate) in_use: BTreeMap<Text, Instances>,
    /// SCHEDULED, STARTING or RUNNING, by order of submission.
    pub(crate) placed: BTreeMap<u64, Uuid>,
    /// Jobs of each lane that have not ended; a share is active while it has some.
    pub(crate) live: BTreeMap<Text, usize>,
}

impl ServiceJobs {
    /// The job whose current attempt this is: the fence against late reports.
    pub(crate) fn current(&self, attempt: AttemptId) -> Option<Arc<ServiceJob>> {
        let job = self.records.get(&attempt.job.job)?;
        (job.current_attempt() == Some(attempt)).then(|| Arc::clone(job))
    }

    /// What is held in a service environment.
    pub(crate) fn held_in(&self, environment: &Arn) -> Instances {
        self.in_use.get(environment).cloned().unwrap_or_default()
    }

    /// The jobs of a queue that hold capacity.
    pub(crate) fn placed(&self, queue: &str) -> impl Iterator<Item = &Arc<ServiceJob>> {
        let ids = self.backlogs.get(queue).into_iter().flat_map(|backlog| &backlog.placed);
        ids.map(|(_, id)| &self.records[id])
    }

    /// What the jobs of a lane hold.
    pub(crate) fn in_lane(&self, queue: &str, lane: &str) -> Instances {
        let held = self.backlogs.get(queue).and_then(|backlog| backlog.in_use.get(lane));
        held.cloned().unwrap_or_default()
    }

    /// Jobs of a queue that have not ended.
    pub(crate) fn live(&self, queue: &str) -> usize {
        self.backlogs.get(queue).map_or(0, |backlog| backlog.live.values().sum())
    }

    /// Whether a lane of a queue has jobs that have not ended.
    pub(crate) fn is_live(&self, queue: &str, lane: &str) -> bool {
        self.backlogs.get(queue).is_some_and(|backlog| backlog.live.contains_key(lane))
    }

    /// Jobs of a queue, or of one of its quota shares, that have not ended, by order of submission.
    pub(crate) fn live_of(&self, queue: &str, share: Option<&str>) -> Vec<Uuid> {
        let is_meant = |job: &&Arc<ServiceJob>| {
            job.queue == *queue
                && !job.status.is_terminal()
                && share.is_none_or(|share| job.quota_share.as_deref() == Some(share))
        };
        let mut jobs: Vec<_> =
            self.records.values().filter(is_meant).map(|job| (job.sequence, job.id)).collect();
        jobs.sort_unstable();
        jobs.into_iter().map(|(_, id)| id).collect()
    }

    fn backlog(&mut self, queue: &Arn) -> &mut ServiceBacklog {
        self.backlogs.entry(queue.clone()).or_default()
    }

    pub(crate) fn enqueue(&mut self, job: &ServiceJob) {
        self.backlog(&job.queue).lanes.entry(job.lane()).or_default().insert(job.rank(), job.id);
    }

    pub(crate) fn dequeue(&mut self, job: &ServiceJob) {
        let backlog = self.backlog(&job.queue);
        backlog.unplaceable.remove(&job.sequence);
        let lane = job.lane();
        if let Some(jobs) = backlog.lanes.get_mut(&lane) {
            jobs.remove(&job.rank());
            if jobs.is_empty() {
                backlog.lanes.remove(&lane);
            }
        }
    }

    /// A job that can never fit lets those behind it pass.
    pub(crate) fn set_aside(&mut self, job: &ServiceJob) {
        self.dequeue(job);
        self.backlog(&job.queue).unplaceable.insert(job.sequence, job.id);
    }
}

impl State {
    /// A service job by its id.
    pub fn service_job(&self, id: Uuid) -> Option<&Arc<ServiceJob>> {
        self.service_jobs.records.get(&id)
    }

    /// Service jobs by status; of those that have ended, the ones that did so since the server started.
    pub fn service_job_counts(&self) -> ServiceJobCounts {
        self.service_jobs.counts
    }

    /// Enters a new service job into the indexes that do not depend on its status.
    pub(crate) fn track_service_job(&mut self, job: &ServiceJob) {
        self.service_jobs.counts[job.status as usize] += 1;
        if !job.status.is_terminal() {
            *self.service_jobs.backlog(&job.queue).live.entry(job.lane()).or_default() += 1;
        }
    }

    pub(crate) fn recover_service_jobs(&mut self) {
        let mut jobs: Vec<Arc<ServiceJob>> = self.service_jobs.records.values().cloned().collect();
        jobs.sort_unstable_by_key(|job| job.sequence);
        for job in jobs {
            self.next_sequence = self.next_sequence.max(job.sequence + 1);
            self.latest = self.latest.max(job.latest());
            self.track_service_job(&job);
            if job.status == ServiceJobStatus::Runnable {
                self.service_jobs.enqueue(&job);
            }
            if let (Some(placement), Some(attempt)) = (&job.placement, job.current_attempt()) {
                self.occupy_service(&job, placement, attempt);
                if let (Some(started_at), Some((seconds, _))) = (job.started_at, job.time_limit()) {
                    self.set_timer(started_at.plus_seconds(seconds), Timer::ServiceJobTimeout(attempt));
                }
            }
            if job.status.is_terminal() {
                self.remember(job.id);
            }
        }
    }

    /// Books the capacity of an attempt. What the machine has does not count: a service environment is a pool of its own.
    pub(crate) fn occupy_service(
        &mut self,
        job: &ServiceJob,
        placement: &ServicePlacement,
        attempt: AttemptId,
    ) {
        let jobs = &mut self.service_jobs;
        jobs.in_use.entry(placement.environment.clone()).or_default().add(&job.training.instances);
        let backlog = jobs.backlog(&job.queue);
        backlog.in_use.entry(job.lane()).or_default().add(&job.training.instances);
        backlog.placed.insert(job.sequence, job.id);
        self.instances.attach(&placement.instance_id, attempt);
    }

    /// Gives the capacity of an attempt back.
    pub(crate) fn vacate_service(
        &mut self,
        job: &ServiceJob,
        placement: &ServicePlacement,
        attempt: AttemptId,
    ) {
        let give_back = |held: &mut BTreeMap<Text, Instances>, of: &Text| {
            if let Some(instances) = held.get_mut(of) {
                instances.remove(&job.training.instances);
                if instances.total() == 0 {
                    held.remove(of);
                }
            }
        };
        give_back(&mut self.service_jobs.in_use, &placement.environment);
        let backlog = self.service_jobs.backlog(&job.queue);
        give_back(&mut backlog.in_use, &job.lane());
        backlog.placed.remove(&job.sequence);
        let no_room = Resources::default();
        if self.instances.give_back(&placement.instance_id, &no_room, attempt, self.latest) {
            self.instance_idle(&placement.instance_id);
        }
        self.schedule_due = true;
    }

    /// Checks that the indexes agree with the records, and says how many attempts there are.
    ///
    /// # Panics
    /// When one does not: a bug.
    pub(crate) fn check_service_jobs(&self) -> usize {
        let mut want = ServiceJobs::default();
        let mut attempts = 0;
        #[allow(clippy::iter_over_hash_type, reason = "whatever the order, the same is found")]
        for job in self.service_jobs.records.values() {
            let id = job.id;
            assert_eq!(
                job.status.is_placed(),
                job.placement.is_some(),
                "{id} is placed exactly while it runs"
            );
            assert_eq!(job.status.is_terminal(), job.stopped_at.is_some(), "{id} stopped");
            if !job.status.is_terminal() {
                *want.backlog(&job.queue).live.entry(job.lane()).or_default() += 1;
            }
            want.counts[job.status as usize] += 1;
            if let Some(placement) = &job.placement {
                let backlog = want.backlog(&job.queue);
                backlog.in_use.entry(job.lane()).or_default().add(&job.training.instances);
                backlog.placed.insert(job.sequence, id);
                let held = want.in_use.entry(placement.environment.clone()).or_default();
                held.add(&job.training.instances);
                attempts += 1;
            }
            let found = self.service_jobs.backlogs.get(&job.queue);
            let waits = found.is_some_and(|backlog| {
                let in_lane = backlog.lanes.get(&job.lane()).is_some_and(|l| l.contains_key(&job.rank()));
                in_lane != backlog.unplaceable.contains_key(&job.sequence)
            });
            assert_eq!(
                job.status == ServiceJobStatus::Runnable,
                waits,
                "{id} waits in its queue exactly while RUNNABLE"
            );
        }
        assert_eq!(self.service_jobs.in_use, want.in_use, "environments add up");
        let live = |[live @ .., _, _]: ServiceJobCounts| live;
        assert_eq!(
            live(self.service_jobs.counts),
            live(want.counts),
            "live service jobs are counted by status"
        );
        for (arn, backlog) in &self.service_jobs.backlogs {
            let waiting: usize =
                backlog.lanes.values().map(BTreeMap::len).sum::<usize>() + backlog.unplaceable.len();
            let want = want.backlogs.remove(arn).unwrap_or_default();
            let parts = |of: &ServiceBacklog| (of.live.clone(), of.in_use.clone(), of.placed.clone());
            assert_eq!(parts(backlog), parts(&want), "{arn} adds up");
            assert!(waiting <= self.service_jobs.live(arn), "{arn} offers only what is live");
        }
        attempts
    }
}

impl Turn<'_> {
    /// A service job's record, for changing. Changes of status go through [`Turn::service_transition`].
    pub(crate) fn service_job_mut(&mut self, id: Uuid) -> &mut ServiceJob {
        self.touch(Key::ServiceJob(id));
        Arc::make_mut(self.state.service_jobs.records.get_mut(&id).expect("a changed service job exists"))
    }

    /// The one door through which a status changes: checks that the move is legal and keeps every index in step.
    ///
    /// # Panics
    /// When the move is not legal: whoever decided it was wrong about the state.
    pub(crate) fn service_transition(
        &mut self,
        id: Uuid,
        transition: ServiceTransition,
        reason: Option<Text>,
    ) {
        let now = self.now;
        let job = self.service_job_mut(id);
        let from = job.status;
        job.status =
            transition.from(from).unwrap_or_else(|| panic!("{id}: {transition:?} is not legal in {from}"));
        job.status_reason = reason;
        if job.status.is_terminal() {
            job.stopped_at.get_or_insert(now);
        }
        let job = Arc::clone(&self.state.service_jobs.records[&id]);
        self.state.service_jobs.counts[from as usize] -= 1;
        self.state.service_jobs.counts[job.status as usize] += 1;
        match job.status {
            ServiceJobStatus::Runnable => self.state.service_jobs.enqueue(&job),
            ServiceJobStatus::Scheduled => self.state.service_jobs.dequeue(&job),
            ServiceJobStatus::Succeeded | ServiceJobStatus::Failed => {
                self.state.service_jobs.dequeue(&job);
                self.state.remember(id);
                self.service_job_ended(&job);
            }
            ServiceJobStatus::Submitted
            | ServiceJobStatus::Pending
            | ServiceJobStatus::Starting
            | ServiceJobStatus::Running => return,
        }
        self.state.schedule_due = true;
    }

    /// A queue or quota share that is being deleted may be gone with its last job.
    fn service_job_ended(&mut self, job: &ServiceJob) {
        let backlog = self.state.service_jobs.backlog(&job.queue);
        let lane = job.lane();
        let live = backlog.live.get_mut(&lane).expect("a job ends once");
        *live -= 1;
        if *live == 0 {
            backlog.live.remove(&lane);
        }
        self.settle_if_deleting(&job.queue);
        if let Some(share) = job.quota_share_arn() {
            self.settle_if_deleting(&share);
        }
    }
}
