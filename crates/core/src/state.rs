//! Everything the engine knows: the records, and the indexes over them that decisions need.
//!
//! The records alone are durable. Every index is rebuilt from them by [`State::recover`]; [`State::check`] says whether
//! both agree.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use uuid::Uuid;

use crate::arn::Arn;
use crate::event::Outbox;
use crate::history::History;
use crate::id::{AttemptId, JobId, Member};
use crate::job::array::{Array, StatusCounts};
use crate::job::nodes::Gang;
use crate::job::{Execution, Job, JobStatus, Placement};
use crate::quantity::Resources;
use crate::record::{Loaded, Record};
use crate::resource::Status;
use crate::resource::compute_environment::ComputeEnvironment;
use crate::resource::consumable_resource::ConsumableResource;
use crate::resource::job_definition::JobDefinition;
use crate::resource::job_queue::JobQueue;
use crate::resource::quota_share::QuotaShare;
use crate::resource::scheduling_policy::SchedulingPolicy;
use crate::resource::service_environment::ServiceEnvironment;
use crate::scale::fleet::Fleet;
use crate::schedule::{Backlog, Instances, Shapes, Stuck};
use crate::service_job::index::ServiceJobs;
use crate::text::Text;
use crate::time::Timestamp;

/// Something to do at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A resource leaves CREATING, UPDATING or DELETING.
    Settle(Arn),
    /// An attempt has run for as long as it may.
    AttemptTimeout(AttemptId),
    /// An attempt of a service job has run for as long as it may.
    ServiceJobTimeout(AttemptId),
    /// What a share of a queue had is forgotten.
    ShareDecay(Arn, Text),
    /// The fleet of an environment is to be looked at.
    Scale(Arn),
    /// A job may have been stuck at the head of its queue for as long as it may.
    TimeLimit,
}

/// What an operator chooses of how decisions are made. Not stored: it is given at each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Jobs may overtake one that has to wait, where they cannot delay it. Without, a queue is strictly in order.
    pub backfill: bool,
    /// Managed environments of EC2 instances launch and terminate instances of their own. Without, every environment draws
    /// on the machines that are there by themselves.
    pub scale: bool,
    /// Records of ended jobs that stay in memory: one for each job, and for each child or node that ever started.
    pub ended_records: usize,
    /// Each change of a job's status is told ([`crate::event`]). Without, nothing is recorded.
    pub events: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { backfill: true, scale: false, ended_records: 20_000, events: false }
    }
}

/// The whole state. Changed only by a [`crate::turn::Turn`].
#[derive(Debug, Default)]
pub struct State {
    pub(crate) compute_environments: BTreeMap<Arn, Arc<ComputeEnvironment>>,
    pub(crate) job_queues: BTreeMap<Arn, Arc<JobQueue>>,
    /// By ARN without revision.
    pub(crate) job_definitions: BTreeMap<Arn, BTreeMap<u32, Arc<JobDefinition>>>,
    pub(crate) jobs: HashMap<Uuid, Arc<Job>>,
    pub(crate) arrays: HashMap<Uuid, Array>,
    /// Multi-node jobs.
    pub(crate) gangs: HashMap<Uuid, Gang>,
    pub(crate) instances: Instances,
    pub(crate) scheduling_policies: BTreeMap<Arn, Arc<SchedulingPolicy>>,
    pub(crate) consumable_resources: BTreeMap<Arn, Arc<ConsumableResource>>,
    pub(crate) service_environments: BTreeMap<Arn, Arc<ServiceEnvironment>>,
    pub(crate) quota_shares: BTreeMap<Arn, Arc<QuotaShare>>,
    pub(crate) service_jobs: ServiceJobs,
    pub(crate) outbox: Outbox,

    pub(crate) backlogs: BTreeMap<Arn, Backlog>,
    pub(crate) shapes: Shapes,
    /// From a job to those that depend on it, or on a child of it.
    pub(crate) dependents: HashMap<Uuid, Vec<Uuid>>,
    /// What runs in each compute environment.
    pub(crate) in_use: BTreeMap<Arn, Resources>,
    /// Addresses of nodes that have a place.
    pub(crate) addresses: BTreeSet<Ipv4Addr>,
    /// Where the search for the next address begins.
    pub(crate) next_address: u32,
    /// How many of each consumable resource placed jobs hold, whatever its kind, and whether it still exists.
    pub(crate) consumables_held: BTreeMap<Arn, u128>,
    pub(crate) timers: BTreeSet<(Timestamp, Timer)>,
    pub(crate) next_sequence: u64,
    /// Jobs of each queue by status, an array counted once; those that ended since the start.
    pub(crate) job_counts: BTreeMap<Arn, StatusCounts>,
    /// Time of the latest turn.
    pub(crate) latest: Timestamp,
    /// Something changed that a scheduling pass could use.
    pub(crate) schedule_due: bool,
    /// The environments or machines changed: what could never fit may fit now.
    pub(crate) capacity_changed: bool,
    /// The fleets of environments that scale.
    pub(crate) fleets: BTreeMap<Arn, Fleet>,
    /// Fleets to be looked at.
    pub(crate) scale_due: BTreeSet<Arn>,
    /// More waits than before, or less is coming: all fleets are to be looked at.
    pub(crate) demand_due: bool,
    /// What is stuck in queues that limit that.
    pub(crate) stuck: Stuck,
    pub(crate) settings: Settings,
    /// What has ended and is still in memory.
    pub(crate) history: History,
    /// Shares whose use has changed in this turn, by queue.
    pub(crate) shares_changed: BTreeSet<(Arn, Text)>,
}

impl State {
    /// Rebuilds the state from its records, in any order. Those of jobs that have ended need not be among them.
    pub fn recover(loaded: impl Into<Loaded>) -> State {
        let Loaded { records, next_sequence, latest } = loaded.into();
        let mut state = State { schedule_due: true, next_sequence, latest, ..State::default() };
        let mut recorded_shares = Vec::new();
        let mut children: HashMap<Uuid, BTreeMap<u32, Arc<Execution>>> = HashMap::new();
        for record in records {
            match record {
                Record::ComputeEnvironment(ce) => {
                    state.compute_environments.insert(ce.arn.clone(), ce);
                }
                Record::JobQueue(queue) => {
                    state.job_queues.insert(queue.arn.clone(), queue);
                }
                Record::JobDefinition(definition) => {
                    let revisions = state.job_definitions.entry(definition.family_arn()).or_default();
                    revisions.insert(definition.revision, definition);
                }
                Record::Job(job) => {
                    state.jobs.insert(job.id, job);
                }
                Record::Child(job, index, child) => {
                    children.entry(job).or_default().insert(index, child);
                }
                Record::Instance(host) => {
                    state.instances.put(host, false, Timestamp::default());
                }
                Record::SchedulingPolicy(policy) => {
                    state.scheduling_policies.insert(policy.arn.clone(), policy);
                }
                Record::ConsumableResource(resource) => {
                    state.consumable_resources.insert(resource.arn.clone(), resource);
                }
                Record::ServiceEnvironment(environment) => {
                    state.service_environments.insert(environment.arn.clone(), environment);
                }
                Record::QuotaShare(share) => {
                    state.quota_shares.insert(share.arn.clone(), share);
                }
                Record::ServiceJob(job) => {
                    state.service_jobs.records.insert(job.id, job);
                }
                Record::Share(queue, share, past) => recorded_shares.push((queue, share, past)),
                Record::Event(event) => state.outbox.recover(event),
            }
        }
        for arn in
            state.compute_environments.values().filter(|ce| !ce.status.is_settled()).map(|ce| ce.arn.clone())
        {
            state.timers.insert((Timestamp::default(), Timer::Settle(arn)));
        }
        for arn in state
            .job_queues
            .values()
            .filter(|queue| !queue.status.is_settled())
            .map(|queue| queue.arn.clone())
        {
            state.timers.insert((Timestamp::default(), Timer::Settle(arn)));
        }
        let services = state.service_environments.values().map(|e| (e.status, e.arn.clone()));
        let shares = state.quota_shares.values().map(|share| (share.status, share.arn.clone()));
        for (_, arn) in services.chain(shares).filter(|(status, _)| !status.is_settled()) {
            state.timers.insert((Timestamp::default(), Timer::Settle(arn)));
        }
        state.recover_jobs(children);
        for (queue, share, past) in recorded_shares {
            state.recover_share(&queue, &share, &past);
        }
        state.await_share_decay();
        state.shares_changed.clear(); // they are as their records say
        state.recover_service_jobs();
        state
    }

    /// Takes the operator's choices.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
        let environments: Vec<Arn> = self.compute_environments.keys().cloned().collect();
        environments.iter().for_each(|arn| self.refresh_fleet(arn));
        self.demand_due = true;
        self.schedule_due = true;
        self.capacity_changed = true;
    }

    fn recover_jobs(&mut self, mut children: HashMap<Uuid, BTreeMap<u32, Arc<Execution>>>) {
        let mut jobs: Vec<Arc<Job>> = self.jobs.values().cloned().collect();
        jobs.sort_unstable_by_key(|job| job.sequence);
        let next_sequence = jobs.last().map_or(0, |job| job.sequence + 1);
        self.next_sequence = self.next_sequence.max(next_sequence);
        for job in &jobs {
            self.count_job(job);
            if job.array.is_some() {
                self.arrays.insert(job.id, Array::recover(children.remove(&job.id).unwrap_or_default()));
            } else if job.nodes.is_some() {
                let nodes = children.remove(&job.id).unwrap_or_default();
                self.gangs.insert(job.id, Gang { nodes });
            }
        }
        for job in &jobs {
            let children = self.members_of(job.id);
            let latest = children.map(|(_, child)| child.latest()).max().unwrap_or_default();
            self.latest = self.latest.max(latest).max(job.execution.latest());
        }
        let service_jobs = self.service_jobs.records.values().map(|job| job.latest());
        self.latest = self.latest.max(service_jobs.max().unwrap_or_default());
        for job in jobs.iter().filter(|job| !job.execution.status.is_terminal()) {
            self.track(job);
            self.recover_placement(JobId::whole(job.id), job, &job.execution);
            self.sync_backlog(job.id);
            let live: Vec<_> = self.members_of(job.id).map(|(id, member)| (id, Arc::clone(member))).collect();
            for (id, member) in live {
                self.recover_placement(id, job, &member);
            }
        }
        for job in jobs.iter().filter(|job| job.execution.status.is_terminal()) {
            self.remember(job.id);
        }
    }

    fn recover_placement(&mut self, id: JobId, job: &Job, execution: &Execution) {
        let (Some(placement), Some(attempt)) = (&execution.placement, execution.current_attempt(id)) else {
            return;
        };
        self.reserve(placement, attempt);
        if let (Some(started_at), Some(seconds)) = (execution.started_at, job.timeout_of(id.member)) {
            self.set_timer(started_at.plus_seconds(seconds), Timer::AttemptTimeout(attempt));
        }
    }

    /// Children or nodes of a job that have records of their own.
    fn members_of(&self, job: Uuid) -> impl Iterator<Item = (JobId, &Arc<Execution>)> {
        let children = self.arrays.get(&job).into_iter().flat_map(|array| &array.children);
        let children = children.map(move |(&index, child)| (JobId::child(job, index), child));
        let nodes = self.gangs.get(&job).into_iter().flat_map(|gang| &gang.nodes);
        children.chain(nodes.map(move |(&node, execution)| (JobId::node(job, node), execution)))
    }

    /// What an attempt of this job, child or node may use.
    pub(crate) fn resources_of(&self, id: JobId) -> Resources {
        self.jobs[&id.job].resources_of(id.member)
    }

    /// Jobs that wait for dependencies, to be examined once after recovery: what is ready follows from them.
    pub(crate) fn waiting_jobs(&self) -> Vec<Uuid> {
        let mut waiting: Vec<_> = self
            .jobs
            .values()
            .filter(|job| matches!(job.execution.status, JobStatus::Submitted | JobStatus::Pending))
            .map(|job| (job.sequence, job.id))
            .collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, id)| id).collect()
    }

    /// Enters a live job into the indexes that do not depend on its status.
    pub(crate) fn track(&mut self, job: &Job) {
        self.enter_lane(job);
        let mut targets: Vec<Uuid> =
            job.depends_on.iter().filter_map(|dependency| dependency.target()).collect();
        targets.sort_unstable();
        targets.dedup();
        targets.retain(|&target| self.is_live(target)); // nothing more comes from one that has ended
        for target in targets {
            self.dependents.entry(target).or_default().push(job.id);
        }
    }

    /// Whether a job has yet to end.
    pub(crate) fn is_live(&self, job: Uuid) -> bool {
        self.jobs.get(&job).is_some_and(|job| !job.execution.status.is_terminal())
    }

    /// Books what an attempt may use, where it is placed.
    pub(crate) fn reserve(&mut self, placement: &Placement, attempt: AttemptId) {
        let resources = self.resources_of(attempt.job);
        self.in_use.entry(placement.compute_environment.clone()).or_default().reserve(&resources);
        if let Some(slot) = self.instances.slot(&placement.instance_id) {
            self.instances.take(slot, &resources);
        }
        let job = Arc::clone(&self.jobs[&attempt.job.job]);
        self.occupy(&job, attempt.job.member);
        self.attach(placement, attempt);
    }

    /// An attempt has the place that was booked for it.
    pub(crate) fn attach(&mut self, placement: &Placement, attempt: AttemptId) {
        self.instances.attach(&placement.instance_id, attempt);
        self.addresses.extend(placement.address);
    }

    /// Gives back what an attempt held.
    pub(crate) fn release(&mut self, placement: &Placement, attempt: AttemptId) {
        let resources = self.resources_of(attempt.job);
        if let Some(in_use) = self.in_use.get_mut(&placement.compute_environment) {
            in_use.release(&resources);
        }
        if self.instances.give_back(&placement.instance_id, &resources, attempt, self.latest) {
            self.instance_idle(&placement.instance_id);
        }
        if let Some(address) = placement.address {
            self.addresses.remove(&address);
        }
        let job = Arc::clone(&self.jobs[&attempt.job.job]);
        self.vacate(&job, attempt.job.member);
        self.schedule_due = true;
    }

    pub(crate) fn set_timer(&mut self, at: Timestamp, timer: Timer) {
        self.timers.insert((at, timer));
    }

    pub(crate) fn clear_timer(&mut self, at: Timestamp, timer: Timer) {
        self.timers.remove(&(at, timer));
    }

    pub(crate) fn take_due_timer(&mut self, now: Timestamp) -> Option<Timer> {
        (self.timers.first()?.0 <= now).then(|| self.timers.pop_first().expect("there is a first").1)
    }

    /// Time of the latest turn, as far as the records tell.
    pub fn latest(&self) -> Timestamp {
        self.latest
    }

    /// When the next turn is due at the latest; `None` when nothing waits for time to pass.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// All compute environments, by ARN.
    pub fn compute_environments(&self) -> &BTreeMap<Arn, Arc<ComputeEnvironment>> {
        &self.compute_environments
    }

    /// All job queues, by ARN.
    pub fn job_queues(&self) -> &BTreeMap<Arn, Arc<JobQueue>> {
        &self.job_queues
    }

    /// All scheduling policies, by ARN.
    pub fn scheduling_policies(&self) -> &BTreeMap<Arn, Arc<SchedulingPolicy>> {
        &self.scheduling_policies
    }

    /// All consumable resources, by ARN.
    pub fn consumable_resources(&self) -> &BTreeMap<Arn, Arc<ConsumableResource>> {
        &self.consumable_resources
    }

    /// All job definitions: by ARN without revision, then by revision.
    pub fn job_definitions(&self) -> &BTreeMap<Arn, BTreeMap<u32, Arc<JobDefinition>>> {
        &self.job_definitions
    }

    /// One revision, by its ARN.
    pub fn job_definition(&self, arn: &str) -> Option<&Arc<JobDefinition>> {
        let (family, revision) = arn.rsplit_once(':')?;
        self.job_definitions.get(family)?.get(&revision.parse().ok()?)
    }

    /// A job or array parent.
    pub fn job(&self, id: Uuid) -> Option<&Arc<Job>> {
        self.jobs.get(&id)
    }

    /// A job, array child or node, with the record of its parent (for a whole job, of itself).
    pub fn find(&self, id: JobId) -> Option<(Arc<Job>, Arc<Execution>)> {
        let job = self.jobs.get(&id.job)?;
        let execution = match id.member {
            Member::Whole => Arc::new(job.execution.clone()),
            Member::Index(index) => self.arrays.get(&id.job)?.child(job, index)?,
            Member::Node(node) => self.gangs.get(&id.job)?.node(job, node)?,
        };
        Some((Arc::clone(job), execution))
    }

    /// The children of an array.
    pub fn array(&self, id: Uuid) -> Option<&Array> {
        self.arrays.get(&id)
    }

    /// Children by status; `None` when the job is no array.
    pub fn status_summary(&self, id: Uuid) -> Option<StatusCounts> {
        let job = self.jobs.get(&id)?;
        Some(self.arrays.get(&id)?.summary(job))
    }

    /// Where a job or child is.
    pub fn status_of(&self, id: JobId) -> Option<JobStatus> {
        let job = self.jobs.get(&id.job)?;
        match id.member {
            Member::Whole => Some(job.execution.status),
            Member::Index(index) => self.arrays.get(&id.job)?.status(job, index),
            Member::Node(node) => Some(self.gangs.get(&id.job)?.node(job, node)?.status),
        }
    }

    /// Attempts that are starting or running anywhere.
    pub fn running_attempts(&self) -> usize {
        self.instances.values().map(|instance| instance.attempts.len()).sum()
    }

    /// Whether nothing was ever created or run here.
    pub fn is_unused(&self) -> bool {
        self.job_queues.is_empty() && self.jobs.is_empty() && self.instances.is_empty()
    }

    /// Jobs, array parents counted once, by status; of those that have ended, the ones that did so since the server started.
    pub fn job_counts(&self) -> StatusCounts {
        let mut sum = StatusCounts::default();
        for counts in self.job_counts.values() {
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        sum
    }

    /// Jobs of one queue, as [`State::job_counts`].
    pub fn job_counts_of(&self, queue: &str) -> StatusCounts {
        self.job_counts.get(queue).copied().unwrap_or_default()
    }

    /// Counts a job that is new.
    pub(crate) fn count_job(&mut self, job: &Job) {
        let counts = self.job_counts.entry(job.queue.clone()).or_default();
        counts[job.execution.status as usize] += 1;
    }

    /// Whether the resource has jobs that have not ended.
    pub(crate) fn live_jobs(&self, queue: &str) -> usize {
        self.backlogs.get(queue).map_or(0, |backlog| backlog.live) + self.service_jobs.live(queue)
    }

    /// Checks that every index agrees with the records.
    ///
    /// # Panics
    /// When one does not: a bug.
    #[expect(clippy::iter_over_hash_type, reason = "whatever the order, the same is found")]
    pub fn check(&self) {
        let mut counts: BTreeMap<Arn, StatusCounts> = BTreeMap::new();
        #[allow(clippy::iter_over_hash_type, reason = "sums do not depend on the order")]
        for job in self.jobs.values() {
            counts.entry(job.queue.clone()).or_default()[job.execution.status as usize] += 1;
        }
        for (arn, counts) in counts {
            let [live @ .., _, _] = counts;
            let [counted @ .., _, _] = self.job_counts_of(&arn);
            assert_eq!(counted, live, "live jobs of {arn} are counted by status");
        }
        self.check_history();
        let mut used: BTreeMap<&Arn, Resources> = BTreeMap::new();
        let mut booked: BTreeMap<&Text, Resources> = BTreeMap::new();
        let mut attempts = 0;
        let mut addresses = BTreeSet::new();
        let mut placed: Vec<(&Job, Member)> = Vec::new();
        for job in self.jobs.values() {
            let mut executions: Vec<(JobId, &Execution)> = vec![(JobId::whole(job.id), &job.execution)];
            executions.extend(self.members_of(job.id).map(|(id, execution)| (id, &**execution)));
            if let Some(array) = self.arrays.get(&job.id) {
                let size = job.array.as_ref().map_or(0, |a| a.size);
                let summary = array.summary(job);
                assert_eq!(summary.iter().sum::<u32>(), size, "array {} counts its children", job.id);
                let ended =
                    summary[JobStatus::Succeeded as usize] + summary[JobStatus::Failed as usize] == size;
                assert_eq!(
                    ended,
                    job.execution.status.is_terminal(),
                    "array {} ends with its last child",
                    job.id
                );
            }
            let runs = |status| matches!(status, JobStatus::Starting | JobStatus::Running);
            for (id, execution) in executions {
                let is_placed = match id.member {
                    Member::Whole => runs(execution.status) && job.nodes.is_none(),
                    Member::Index(_) => runs(execution.status),
                    // Also held while the main node starts, and no more between two attempts of the job.
                    Member::Node(_) => execution.placement.is_some() && runs(job.execution.status),
                };
                assert_eq!(is_placed, execution.placement.is_some(), "{id} is placed exactly while it runs");
                assert_eq!(execution.status.is_terminal(), execution.stopped_at.is_some(), "{id} stopped");
                if let Some(placement) = &execution.placement {
                    let resources = job.resources_of(id.member);
                    used.entry(&placement.compute_environment).or_default().reserve(&resources);
                    booked.entry(&placement.instance_id).or_default().reserve(&resources);
                    addresses.extend(placement.address);
                    attempts += 1;
                    placed.push((&**job, id.member));
                }
            }
            if let Some(gang) = self.gangs.get(&job.id).filter(|_| job.execution.status.is_terminal()) {
                assert!(gang.nodes.values().all(|node| node.status.is_terminal()), "{} ends last", job.id);
            }
        }
        self.check_accounts(placed.into_iter());
        attempts += self.check_service_jobs();
        assert_eq!(self.running_attempts(), attempts, "instances hold what is placed");
        assert_eq!(self.addresses, addresses, "addresses are those of nodes that have a place");
        assert!(
            self.dependents.keys().all(|&target| self.is_live(target)),
            "only what is live is waited for"
        );
        for (arn, in_use) in &self.in_use {
            assert_eq!(*in_use, used.get(arn).copied().unwrap_or_default(), "{arn} adds up");
        }
        self.instances.check();
        for room in self.instances.values() {
            // That may be more than it has: a machine can come back smaller than it was.
            let id = &room.record.instance_id;
            assert_eq!(room.used, booked.get(id).copied().unwrap_or_default(), "{id} adds up");
        }
        let unsettled = |status: Status, arn: &Arn| {
            status.is_settled()
                || self.timers.iter().any(|(_, timer)| *timer == Timer::Settle(arn.clone()))
                || status == Status::Deleting
        };
        assert!(
            self.compute_environments
                .values()
                .all(|ce| unsettled(ce.status, &ce.arn) || self.is_being_replaced(ce)),
            "environments settle"
        );
        assert!(self.job_queues.values().all(|queue| unsettled(queue.status, &queue.arn)), "queues settle");
        let mut services = self.service_environments.values();
        assert!(services.all(|e| unsettled(e.status, &e.arn)), "service environments settle");
        assert!(self.quota_shares.values().all(|share| unsettled(share.status, &share.arn)), "shares settle");
    }
}
