//! A small world around the state: a clock turned by hand, a store of encoded records, and a model of one machine.
//!
//! Every turn runs through [`World::turn`], which commits the changes, checks the state and the rules that must always
//! hold, and only then carries out the actions; so every test checks them.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "shared by several test binaries, none of which uses all of it"
)]

pub mod build;
pub mod cloud;
pub mod cluster;
pub mod machine;
pub mod service;
pub mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use fornada_core::attempt::{Action, Observation};
use fornada_core::event::Event;
use fornada_core::history::{PastExecution, PastJob};
use fornada_core::id::{AttemptId, JobId, Member, Uuid};
use fornada_core::instance::Provision;
use fornada_core::job::depends_on::{DEPENDENT_JOB_FAILED, Dependency};
use fornada_core::job::{Execution, Job, JobStatus};
use fornada_core::refusal::Refusal;
use fornada_core::resource::{compute_environment as ce, job_queue};
use fornada_core::service_job::LOG_GROUP;
use fornada_core::state::{Settings, State};
use fornada_core::time::Timestamp;
use fornada_core::turn::Turn;

pub use build::{Submit, child, definition, environment, job, queue, queue_arn, scope};
pub use machine::Machine;
pub use store::Store;

/// What becomes of the last turn before a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nothing: it was committed and its actions were carried out.
    Nothing,
    /// It was committed, but nobody was told.
    Actions,
    /// It was not even committed.
    Everything,
}

/// All of one job that a client can see: its record, and each child or node.
pub type Seen = (Job, Vec<(JobId, Execution)>);

pub struct World {
    pub state: State,
    pub now: u64,
    pub machine: Machine,
    pub store: Store,
    /// Ids of all submitted jobs, oldest first.
    pub jobs: Vec<Uuid>,
    pub settings: Settings,
    /// What a provisioner was asked for.
    pub provisions: Vec<Provision>,
    /// What was told.
    pub events: Vec<Arc<Event>>,
    turns: u128,
    last: Lost,
}

impl World {
    /// One machine of `vcpus`, environment `ce` as large, queue `q`, and definition `d` (1 vCPU, 1 MiB).
    pub fn new(vcpus: u32) -> World {
        let mut world = World::empty(vcpus);
        world.create_environment(environment("ce").max_vcpus(vcpus)).expect("a new name");
        world.create_queue(queue("q").environments(["ce"])).expect("a new name");
        world
    }

    /// A machine and a definition, but nothing to submit to.
    pub fn empty(vcpus: u32) -> World {
        let mut world = World {
            state: State::default(),
            now: 1_000_000_000,
            machine: Machine::new(vcpus),
            store: Store::default(),
            jobs: Vec::new(),
            settings: Settings::default(),
            provisions: Vec::new(),
            events: Vec::new(),
            turns: 0,
            last: Lost::Nothing,
        };
        world.turn(|turn| turn.register_job_definition(&scope(), "d", definition()));
        world.connect();
        world
    }

    /// The same with a queue strictly in order.
    pub fn strict(mut self) -> World {
        self.settings.backfill = false;
        self.state.configure(self.settings);
        self
    }

    /// One turn: decide, commit, check, act.
    pub fn turn<R>(&mut self, decide: impl FnOnce(&mut Turn<'_>) -> R) -> R {
        self.turns += 1;
        let mut turn = Turn::begin(&mut self.state, Timestamp(self.now), self.turns);
        let result = decide(&mut turn);
        let decision = turn.finish();
        self.store.commit(decision.changes);
        self.check();
        self.provisions.extend(decision.provisions);
        if self.last == Lost::Nothing {
            self.events.extend(decision.events);
        }
        let stops: Vec<AttemptId> = decision
            .actions
            .iter()
            .filter_map(|action| if let Action::Stop(attempt) = action { Some(*attempt) } else { None })
            .collect();
        for action in decision.actions {
            if let Action::Start(launch) = &action
                && launch.containers[0].log_group != LOG_GROUP
            {
                self.check_may_start(launch.attempt.job, stops.contains(&launch.attempt));
            }
            if self.last == Lost::Nothing {
                self.machine.carry_out(action);
            }
        }
        if self.last == Lost::Nothing && self.machine.connected {
            self.check_stopping();
        }
        self.report_never_started();
        result
    }

    fn report_never_started(&mut self) {
        while let Some(report) = self.machine.never_started.pop() {
            self.turn(|turn| turn.observe(Observation::Exited(report)));
        }
    }

    fn check(&self) {
        self.state.check();
        let mut used: BTreeMap<String, u64> = BTreeMap::new();
        let seen = self.seen();
        for (job, children) in &seen {
            let whole = (JobId::whole(job.id), job.execution.clone());
            for (id, execution) in children.iter().chain([&whole]) {
                if let Some(placement) = &execution.placement {
                    *used.entry(placement.compute_environment.to_string()).or_default() +=
                        job.resources_of(id.member).milli_vcpus;
                }
            }
        }
        for (arn, used) in used {
            let ce = &self.state.compute_environments()[arn.as_str()];
            // Lowering the ceiling under what already runs is the one way to exceed it.
            let lowered = ce.version > 0;
            let ceiling = ce.max_vcpus.map_or(u64::MAX, |n| u64::from(n) * 1000);
            assert!(lowered || used <= ceiling, "{arn} uses {used} of {ceiling} milli-vCPUs");
        }
    }

    /// The machine knows of every attempt that is to end before its time.
    fn check_stopping(&self) {
        for id in self.machine.all_live().into_iter().filter(|id| self.state.job(id.job).is_some()) {
            let placement = self.state.find(id).and_then(|(_, execution)| execution.placement.clone());
            let stopping = placement.is_none_or(|placement| placement.stopping.is_some());
            assert!(!stopping || self.machine.is_stopping(id), "{id} is to be stopped, but nobody was told");
        }
    }

    /// Who failed for a dependency has one that failed.
    pub fn check_failed_dependencies(&self) {
        let failed = |on: JobId| self.status(on) == JobStatus::Failed;
        for (job, children) in self.seen() {
            for (id, execution) in children.iter().chain([&(JobId::whole(job.id), job.execution.clone())]) {
                if execution.status_reason.as_deref() != Some(DEPENDENT_JOB_FAILED) {
                    continue;
                }
                let cause = job.depends_on.iter().any(|dependency| match (*dependency, id.member) {
                    (Dependency::Job(on), _) => failed(on),
                    (Dependency::NToN(on), Member::Index(index)) => failed(JobId::child(on, index)),
                    (Dependency::Sequential, Member::Index(index)) => {
                        index > 0 && failed(JobId::child(job.id, index - 1))
                    }
                    (Dependency::NToN(_) | Dependency::Sequential | Dependency::AfterAny(_), _) => false,
                });
                assert!(cause, "{id}: none of {:?} failed", job.depends_on);
            }
        }
    }

    /// What starts may be stopped in the same breath, but not have been stopped before.
    fn check_may_start(&self, id: JobId, stops: bool) {
        let placement = self.find(id).placement.expect("what starts is placed");
        assert!(placement.stopping.is_none() || stops, "{id} starts, though it is to be stopped");
        let record = self.state.job(id.job).expect("what starts exists");
        if let Some(nodes) = record.nodes.as_ref().filter(|nodes| id.member != Member::Node(nodes.main_node))
        {
            let main = JobId::node(id.job, nodes.main_node);
            assert_eq!(self.status(main), JobStatus::Running, "{id} starts before its main node runs");
        }
        let succeeded = |on: JobId| {
            assert_eq!(self.status(on), JobStatus::Succeeded, "{id} starts before {on} has succeeded");
        };
        for dependency in &record.depends_on {
            match (*dependency, id.member) {
                (Dependency::Job(on), _) => succeeded(on),
                (Dependency::AfterAny(on), _) => {
                    assert!(self.status(on).is_terminal(), "{id} starts before {on} has ended")
                }
                (Dependency::NToN(on), Member::Index(index)) => succeeded(JobId::child(on, index)),
                (Dependency::Sequential, Member::Index(index)) if index > 0 => {
                    succeeded(JobId::child(id.job, index - 1));
                }
                (Dependency::Sequential, Member::Index(_)) => {}
                (dependency, member) => panic!("{dependency:?} of {member:?}"),
            }
        }
    }

    // ---- resources and time

    pub fn create_environment(&mut self, given: build::Environment) -> Result<(), Refusal> {
        self.turn(|turn| turn.create_compute_environment(given.0, given.1))?;
        self.advance(1);
        Ok(())
    }

    pub fn create_queue(&mut self, given: build::Queue) -> Result<(), Refusal> {
        self.turn(|turn| turn.create_job_queue(given.0, given.1))?;
        self.advance(1);
        Ok(())
    }

    /// Updates on top of the current version.
    pub fn update_environment(&mut self, given: build::Environment) -> Result<(), Refusal> {
        let version = self.state.compute_environments().get(&given.0.arn).map_or(0, |ce| ce.version);
        self.turn(|turn| turn.update_compute_environment(given.0, version))?;
        self.advance(1);
        Ok(())
    }

    /// Updates on top of the current version.
    pub fn update_queue(&mut self, given: build::Queue) -> Result<(), Refusal> {
        let version = self.state.job_queues().get(&given.0.arn).map_or(0, |queue| queue.version);
        self.turn(|turn| turn.update_job_queue(given.0, version))?;
        self.advance(1);
        Ok(())
    }

    pub fn environment(&self, name: &str) -> Option<&ce::ComputeEnvironment> {
        self.state
            .compute_environments()
            .get(&scope().resolve("compute-environment", name))
            .map(AsRef::as_ref)
    }

    pub fn queue(&self, name: &str) -> Option<&job_queue::JobQueue> {
        self.state.job_queues().get(&queue_arn(name)).map(AsRef::as_ref)
    }

    /// Lets time pass, with a turn at the end of it.
    pub fn advance(&mut self, millis: u64) {
        self.now += millis;
        self.turn(|_| ());
    }

    // ---- jobs

    pub fn submit(&mut self, job: Submit) -> JobId {
        self.try_submit(job).expect("the submission is accepted")
    }

    pub fn try_submit(&mut self, job: Submit) -> Result<JobId, Refusal> {
        let targets = job.0.depends_on.iter().filter_map(Dependency::target);
        let past: Vec<PastJob> = targets.filter_map(|on| self.store.past(on)).collect();
        let submitted = self.turn(|turn| {
            past.into_iter().for_each(|past| turn.recall(past));
            turn.submit_job(&scope(), job.0)
        })?;
        self.jobs.push(submitted.id);
        Ok(JobId::whole(submitted.id))
    }

    pub fn cancel(&mut self, id: JobId, reason: &str) {
        self.turn(|turn| turn.cancel_job(id, &reason.into()));
    }

    pub fn terminate(&mut self, id: JobId, reason: &str) {
        self.turn(|turn| turn.terminate_job(id, &reason.into()));
    }

    /// The record of a job, in memory or in the store.
    pub fn record(&self, job: Uuid) -> Option<Arc<Job>> {
        let stored = || match self.store.past(job)? {
            PastJob::Job(job, _) => Some(job),
            PastJob::ServiceJob(_) => None,
        };
        self.state.job(job).cloned().or_else(stored)
    }

    fn look_up(&self, id: JobId) -> Option<PastExecution> {
        if let Some((job, execution)) = self.state.find(id) {
            let children = self.state.status_summary(id.job);
            return Some(PastExecution { job, execution, children });
        }
        let PastJob::Job(job, mut members) = self.store.past(id.job)? else { return None };
        let number = match id.member {
            Member::Whole => None,
            Member::Index(number) | Member::Node(number) => members.remove(&number),
        };
        PastExecution::of(job, id.member, number)
    }

    pub fn find(&self, id: JobId) -> Execution {
        (*self.look_up(id).expect("the job exists").execution).clone()
    }

    pub fn status(&self, id: JobId) -> JobStatus {
        self.look_up(id).expect("the job exists").execution.status
    }

    /// The status reason; empty when there is none.
    pub fn reason(&self, id: JobId) -> String {
        let stored = self.find(id).status_reason.map(String::from);
        stored.or_else(|| self.state.blocked_reason(id).map(String::from)).unwrap_or_default()
    }

    /// Statuses of the children by number: (PENDING, RUNNABLE, STARTING or RUNNING, SUCCEEDED, FAILED).
    pub fn summary(&self, array: JobId) -> (u32, u32, u32, u32, u32) {
        let [submitted, pending, runnable, starting, running, succeeded, failed] =
            self.look_up(array).and_then(|found| found.children).expect("it is an array");
        assert_eq!(submitted, 0, "children are spawned PENDING");
        (pending, runnable, starting + running, succeeded, failed)
    }

    pub fn seen(&self) -> Vec<Seen> {
        let jobs = self.jobs.iter().filter_map(|&id| self.record(id));
        jobs.map(|job| {
            let members = self.members(job.id).into_iter().map(|id| (id, self.find(id)));
            ((*job).clone(), members.collect())
        })
        .collect()
    }

    /// The children or nodes of a job.
    pub fn members(&self, job: Uuid) -> Vec<JobId> {
        let record = self.record(job).expect("the job exists");
        let children = record.array.as_ref().map_or(0, |array| array.size);
        let nodes = record.nodes.as_ref().map_or(0, |nodes| nodes.num_nodes());
        let children = (0..children).map(|index| JobId::child(job, index));
        children.chain((0..nodes).map(|node| JobId::node(job, node))).collect()
    }

    // ---- the machine

    /// The process of the current attempt starts.
    pub fn start(&mut self, id: JobId) {
        let attempt = self.machine.live(id).expect("an attempt is there");
        let started_at = Timestamp(self.now);
        self.machine.started(attempt, started_at);
        self.report(Observation::Started(attempt, started_at));
    }

    /// The current attempt ends with `exit_code`; it is started first where that has not been reported.
    pub fn exit(&mut self, id: JobId, exit_code: i32) {
        self.exit_with(id, Some(exit_code), None);
    }

    /// The current attempt ends; without exit code it never started.
    pub fn exit_with(&mut self, id: JobId, exit_code: Option<i32>, reason: Option<&str>) {
        let attempt = self.machine.live(id).expect("an attempt is there");
        let report = self.machine.exited(attempt, Timestamp(self.now), exit_code, reason);
        self.report(Observation::Exited(report));
    }

    /// The current attempt is not started and will not be.
    pub fn refuse(&mut self, id: JobId) {
        let attempt = self.machine.refuse(id);
        self.report(Observation::Refused(attempt));
    }

    fn report(&mut self, observation: Observation) {
        if self.machine.connected {
            self.turn(|turn| turn.observe(observation));
        }
    }

    /// All that runs now ends with exit code 0, and what follows from it, until nothing moves any more.
    pub fn run_everything(&mut self) {
        loop {
            let live = self.machine.all_live();
            for id in &live {
                self.exit(*id, 0);
            }
            match self.state.next_timer() {
                Some(at) => self.advance(at.0.saturating_sub(self.now)),
                None if live.is_empty() => return,
                None => {}
            }
        }
    }

    pub fn connect(&mut self) {
        self.machine.connected = true;
        let (host, reports) = self.machine.report();
        self.turn(|turn| turn.observe(Observation::Connected(host, reports)));
    }

    pub fn disconnect(&mut self) {
        self.machine.connected = false;
        let id = self.machine.host.instance_id.clone();
        self.turn(|turn| turn.observe(Observation::Disconnected(id)));
    }

    /// Everything that the machine ran is gone, and it comes back empty.
    pub fn restart_machine(&mut self) {
        self.machine.restart();
        self.connect();
    }

    // ---- crashes

    pub fn crash_and_recover(&mut self) {
        self.crash_during(Lost::Nothing, |_| ());
        self.connect();
    }

    /// Crashes after `step`, whose turns are lost as `lost` says, and recovers; the machine is not yet connected again.
    pub fn crash_during(&mut self, lost: Lost, step: impl FnOnce(&mut World)) {
        let before = self.seen();
        let now = self.now;
        let stored = self.store.clone();
        self.last = lost;
        step(self);
        self.last = Lost::Nothing;
        let want = if lost == Lost::Everything { before } else { self.seen() };
        if lost == Lost::Everything {
            self.store = stored;
            self.now = now; // or what has become due meanwhile would happen at once
        }
        // A server loads what has not ended; tests that look at ended jobs in the state keep all.
        let remembers = self.settings.ended_records > 0;
        let loaded = if remembers { self.store.records().into() } else { self.store.loaded() };
        self.state = State::recover(loaded);
        self.state.configure(self.settings);
        self.machine.connected = false;
        self.turn(|turn| turn.resume());
        let seen = self.seen();
        assert_eq!(seen.len(), want.len(), "as many jobs as there were");
        for (seen, want) in seen.iter().zip(&want) {
            assert_eq!(seen, want, "recovered jobs are as they were");
        }
    }
}
