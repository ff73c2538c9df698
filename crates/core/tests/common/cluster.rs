//! Several machines in virtual time: each attempt runs for as long as its test says, or until it is stopped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fornada_core::attempt::{Action, AttemptReport, Host, Launch, Observation, Outcome, Usage};
use fornada_core::id::{AttemptId, JobId, TaskId, Uuid};
use fornada_core::instance::Architecture;
use fornada_core::job::JobStatus;
use fornada_core::quantity::Resources;
use fornada_core::state::{Settings, State};
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_core::turn::Turn;

use super::build::{self, Environment, Queue, Submit, scope};

/// vCPUs, MiB and GPUs.
pub fn size(vcpus: u32, memory_mib: u64, gpus: u32) -> Resources {
    Resources { milli_vcpus: u64::from(vcpus) * 1000, memory_mib, gpus }
}

/// An attempt that has been started.
struct Run {
    launch: Launch,
    started_at: u64,
}

pub struct Cluster {
    pub state: State,
    pub now: u64,
    /// What has started: when, which, and on which machine.
    pub started: Vec<(u64, JobId, usize)>,
    settings: Settings,
    hosts: Vec<Host>,
    connected: BTreeSet<usize>,
    runs: BTreeMap<AttemptId, Run>,
    ends: BTreeSet<(u64, AttemptId)>,
    /// How long attempts of each job run if they are let.
    seconds: BTreeMap<Uuid, u64>,
    /// The same of the job that is being submitted.
    submitting: u64,
    observed: VecDeque<Observation>,
    turns: u128,
}

impl Cluster {
    /// So many machines, and definition `d` (1 vCPU, 1 MiB); nothing to submit to.
    pub fn new(settings: Settings, machines: impl IntoIterator<Item = Resources>) -> Cluster {
        let mut cluster = Cluster {
            state: State::default(),
            now: 1_000_000_000,
            started: Vec::new(),
            settings,
            hosts: Vec::new(),
            connected: BTreeSet::new(),
            runs: BTreeMap::new(),
            ends: BTreeSet::new(),
            seconds: BTreeMap::new(),
            submitting: 0,
            observed: VecDeque::new(),
            turns: 0,
        };
        cluster.state.configure(settings);
        cluster.turn(|turn| turn.register_job_definition(&scope(), "d", build::definition()));
        cluster.create_environment(build::environment("idle").disabled());
        cluster.create_queue(build::queue("idle").environments(["idle"]));
        machines.into_iter().for_each(|capacity| cluster.add_machine(capacity, None));
        cluster
    }

    pub fn add_machine(&mut self, capacity: Resources, architecture: Option<Architecture>) {
        let instance_id = format!("i-{:017x}", self.hosts.len()).into();
        self.hosts.push(Host { instance_id, incarnation: TaskId(1), capacity, architecture });
        self.connect(self.hosts.len() - 1);
    }

    pub fn machines(&self) -> usize {
        self.hosts.len()
    }

    /// The machine can be reached again, and says what runs there.
    pub fn connect(&mut self, machine: usize) {
        self.connected.insert(machine);
        let host = self.hosts[machine].clone();
        let here = self.runs.iter().filter(|(_, run)| run.launch.instance_id == host.instance_id);
        let report = |(&attempt, run): (&AttemptId, &Run)| AttemptReport {
            attempt,
            started_at: Some(Timestamp(run.started_at)),
            ended: None,
        };
        let reports = here.map(report).collect();
        self.turn(|turn| turn.observe(Observation::Connected(host, reports)));
    }

    /// The machine cannot be reached; what runs there goes on, and its end is reported all the same.
    pub fn disconnect(&mut self, machine: usize) {
        self.connected.remove(&machine);
        let id = self.hosts[machine].instance_id.clone();
        self.turn(|turn| turn.observe(Observation::Disconnected(id)));
    }

    pub fn create_environment(&mut self, given: Environment) {
        self.turn(|turn| turn.create_compute_environment(given.0, given.1)).expect("a new name");
        self.advance(1);
    }

    pub fn create_queue(&mut self, given: Queue) {
        self.turn(|turn| turn.create_job_queue(given.0, given.1)).expect("a new name");
        self.advance(1);
    }

    /// Submits a job whose attempts run for so long.
    pub fn submit(&mut self, job: Submit, seconds: u64) -> JobId {
        self.submitting = seconds; // it may start within the turn
        let submitted = self.turn(|turn| {
            let submitted = turn.submit_job(&scope(), job.0);
            submitted.expect("the submission is accepted").id
        });
        self.seconds.insert(submitted, seconds);
        self.settle();
        JobId::whole(submitted)
    }

    pub fn status(&self, id: JobId) -> JobStatus {
        self.state.status_of(id).expect("the job exists")
    }

    /// When a job started first, in milliseconds; `None` when it has not.
    pub fn start_of(&self, id: JobId) -> Option<u64> {
        self.started.iter().find(|(_, started, _)| *started == id).map(|&(at, ..)| at)
    }

    /// What runs, by machine.
    pub fn machine_of(&self, id: JobId) -> Option<usize> {
        self.started.iter().rfind(|(_, started, _)| *started == id).map(|&(.., machine)| machine)
    }

    /// Whether nothing runs.
    pub fn is_idle(&self) -> bool {
        self.runs.is_empty()
    }

    /// One turn, what follows from it, and what backends report of that.
    pub fn turn<R>(&mut self, decide: impl FnOnce(&mut Turn<'_>) -> R) -> R {
        self.turns += 1;
        let mut turn = Turn::begin(&mut self.state, Timestamp(self.now), self.turns);
        let result = decide(&mut turn);
        let decision = turn.finish();
        decision.actions.into_iter().for_each(|action| self.carry_out(action));
        result
    }

    /// Lets so many milliseconds pass, and everything happen that happens within.
    pub fn advance(&mut self, millis: u64) {
        let until = self.now + millis;
        self.settle();
        loop {
            let end = self.ends.first().map(|&(at, _)| at);
            let timer = self.state.next_timer().map(|at| at.0);
            match end.into_iter().chain(timer).min().filter(|&at| at <= until) {
                None => break,
                Some(at) => self.now = self.now.max(at),
            }
            match self.ends.first().copied().filter(|&(at, _)| at <= self.now) {
                Some((_, attempt)) => self.end(attempt, 0),
                None => self.turn(|_| ()),
            }
            self.settle();
        }
        self.now = until;
    }

    /// Lets the scheduler look at everything as if all of it had changed, and returns what it starts that it had missed.
    /// Before, something happens that concerns nobody: time alone can change whose turn it is.
    pub fn look_again(&mut self) -> Vec<JobId> {
        self.turn(|turn| turn.submit_job(&scope(), build::job("idle").queue("idle").0)).expect("it waits");
        self.settle();
        let before = self.started.len();
        self.state.configure(self.settings);
        self.turn(|_| ());
        let missed = self.started[before..].iter().map(|&(_, id, _)| id).collect();
        self.settle();
        missed
    }

    fn settle(&mut self) {
        while let Some(observation) = self.observed.pop_front() {
            self.turn(|turn| turn.observe(observation));
        }
        // It looks at every job there is, so not each time.
        if self.turns.is_multiple_of(64) {
            self.state.check();
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Start(launch) => self.start(*launch),
            Action::Stop(attempt) => {
                let on = self.runs.get(&attempt).map(|run| self.machine(&run.launch));
                if on.is_some_and(|machine| self.connected.contains(&machine)) {
                    self.end(attempt, 137);
                }
            }
            Action::Forget(_) => {}
        }
    }

    fn machine(&self, launch: &Launch) -> usize {
        let is_it = |host: &Host| host.instance_id == launch.instance_id;
        self.hosts.iter().position(is_it).expect("it is on a machine that exists")
    }

    fn start(&mut self, launch: Launch) {
        let attempt = launch.attempt;
        let machine = self.machine(&launch);
        if self.runs.contains_key(&attempt) || !self.connected.contains(&machine) {
            return; // it runs already, or nobody hears of it
        }
        let end = self.now + self.seconds.get(&attempt.job.job).copied().unwrap_or(self.submitting) * 1000;
        self.runs.insert(attempt, Run { launch, started_at: self.now });
        self.ends.insert((end, attempt));
        self.started.push((self.now, attempt.job, machine));
        let mut used = Resources::default();
        let host = &self.hosts[machine];
        let here = self.runs.values().filter(|run| run.launch.instance_id == host.instance_id);
        here.for_each(|run| used.reserve(&run.launch.resources));
        assert!(host.capacity.covers(&used), "{attempt} overbooks machine {machine}: {used:?}");
        self.observed.push_back(Observation::Started(attempt, Timestamp(self.now)));
    }

    fn end(&mut self, attempt: AttemptId, exit_code: i32) {
        let Some(run) = self.runs.remove(&attempt) else { return };
        self.ends.retain(|&(_, ends)| ends != attempt);
        let outcome =
            Outcome { exit_code: Some(exit_code), reason: None, usage: Usage::default(), containers: None };
        let ended = Some((Timestamp(self.now), outcome));
        let started_at = Some(Timestamp(run.started_at));
        self.observed.push_back(Observation::Exited(AttemptReport { attempt, started_at, ended }));
    }
}
