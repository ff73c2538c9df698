//! A model of a cloud, as strict as a provisioner may be: it panics when it is asked for something wrong. Time is virtual:
//! instances take a while to launch and to go, attempts run for as long as the test says.
//!
//! Every turn runs through [`Cloud::turn`], which commits the changes, checks the state and what must always hold of a fleet,
//! and only then carries out what was decided.

use std::collections::{BTreeMap, BTreeSet};

use fornada_core::arn::Arn;
use fornada_core::attempt::{Action, AttemptReport, Host, Launch, Observation, Outcome, Usage};
use fornada_core::id::{AttemptId, JobId, Member, TaskId, Uuid};
use fornada_core::instance::{InstanceRequest, LaunchFailure, Market, Provision};
use fornada_core::job::{Execution, JobStatus};
use fornada_core::quantity::Resources;
use fornada_core::resource::Status;
use fornada_core::scale::instance_type::{self, InstanceType};
use fornada_core::scale::{AllocationStrategy, Scaling};
use fornada_core::service_job::LOG_GROUP;
use fornada_core::state::{Settings, State};
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_core::turn::Turn;

use super::build::{Environment, Queue, Submit, definition, environment, environment_arn, multinode, scope};
use super::{Lost, Store};

pub const MINUTE: u64 = 60_000;

/// Between an instance's notice and its end. Source: Amazon EC2 User Guide, Spot Instance interruption notices.
const NOTICE: u64 = 2 * MINUTE;
/// How long a failed launch, and a termination, take.
const SOON: u64 = 1000;
/// Nothing takes so many turns unless it never ends.
const TURNS_MAX: usize = 20_000;

/// An environment of on-demand instances, or of spot instances where the strategy is for those.
pub fn fleet(name: &str, max_vcpus: u32, strategy: AllocationStrategy, types: &[&str]) -> Environment {
    let market = match strategy {
        AllocationStrategy::BestFit
        | AllocationStrategy::BestFitProgressive
        | AllocationStrategy::BestFitProgressiveOrdered => Market::OnDemand,
        AllocationStrategy::SpotCapacityOptimized
        | AllocationStrategy::SpotPriceCapacityOptimized
        | AllocationStrategy::SpotCapacityOptimizedPrioritized => Market::Spot,
    };
    let mut environment = environment(name).max_vcpus(max_vcpus);
    environment.0.scaling = Some(Box::new(Scaling {
        market,
        strategy,
        instance_types: types.iter().map(|&one| one.into()).collect(),
        min_vcpus: 0,
        desired_vcpus: 0,
        bid_percentage: None,
        scale_down_delay_minutes: None,
        terminate_jobs_on_update: false,
        job_execution_timeout_minutes: 30,
        generation: 0,
    }));
    environment
}

impl Environment {
    pub fn scaling(mut self, change: impl FnOnce(&mut Scaling)) -> Self {
        change(self.0.scaling.as_mut().expect("it scales"));
        self
    }

    pub fn min_vcpus(self, vcpus: u32) -> Self {
        self.scaling(|scaling| scaling.min_vcpus = vcpus)
    }
}

#[derive(Debug)]
enum Event {
    Ready(Text),
    LaunchFails(Text),
    Starts(AttemptId),
    Ends(AttemptId, i32),
    Gone(Text),
}

/// An instance that the cloud has.
#[derive(Debug)]
pub struct Ec2 {
    pub request: InstanceRequest,
    pub instance_type: &'static InstanceType,
    pub is_ready: bool,
    pub is_noticed: bool,
    is_terminating: bool,
    attempts: BTreeMap<AttemptId, (Launch, AttemptReport)>,
}

impl Ec2 {
    fn host(&self) -> Host {
        Host {
            instance_id: self.request.instance_id.clone(),
            incarnation: TaskId(7),
            capacity: self.instance_type.capacity(),
            architecture: Some(self.instance_type.architecture),
        }
    }

    pub fn live(&self) -> impl Iterator<Item = AttemptId> {
        self.attempts.iter().filter(|(_, (_, report))| report.ended.is_none()).map(|(&id, _)| id)
    }
}

pub struct Cloud {
    pub state: State,
    pub now: u64,
    pub store: Store,
    pub jobs: Vec<Uuid>,
    pub instances: BTreeMap<Text, Ec2>,
    /// Types of which there are no more.
    pub short: BTreeSet<&'static str>,
    pub launch_delay: u64,
    /// How long attempts run, unless `lasts` says otherwise.
    pub runs: u64,
    pub lasts: BTreeMap<Uuid, u64>,
    /// Types of all instances that were asked for.
    pub asked: Vec<String>,
    /// Terminations that were asked for.
    pub given_back: usize,
    /// Ids that were ever decided on: after a crash they are asked for again.
    requested: BTreeSet<Text>,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    turns: u128,
    last: Lost,
    is_connected: bool,
}

impl Cloud {
    /// Definition `d` (1 vCPU, 1 MiB), and nothing to submit to.
    pub fn new() -> Cloud {
        let mut cloud = Cloud {
            state: State::default(),
            now: 1_000_000_000,
            store: Store::default(),
            jobs: Vec::new(),
            instances: BTreeMap::new(),
            short: BTreeSet::new(),
            launch_delay: 2 * MINUTE,
            runs: MINUTE,
            lasts: BTreeMap::new(),
            asked: Vec::new(),
            given_back: 0,
            requested: BTreeSet::new(),
            events: BTreeMap::new(),
            sequence: 0,
            turns: 0,
            last: Lost::Nothing,
            is_connected: true,
        };
        cloud.state.configure(Self::settings());
        cloud.turn(|turn| turn.register_job_definition(&scope(), "d", definition()));
        cloud
    }

    /// With these environments, in this order, behind queue `q`.
    pub fn with<const N: usize>(environments: [Environment; N]) -> Cloud {
        let mut cloud = Cloud::new();
        let arns = environments.each_ref().map(|environment| environment.0.arn.clone());
        environments.into_iter().for_each(|environment| cloud.create(environment));
        let mut queue = super::queue("q");
        queue.0.environments = arns.into();
        cloud.create_queue(queue);
        cloud
    }

    pub fn settings() -> Settings {
        Settings { scale: true, ..Settings::default() }
    }

    // ---- turns

    /// One turn: decide, commit, check, act.
    pub fn turn<R>(&mut self, decide: impl FnOnce(&mut Turn<'_>) -> R) -> R {
        self.turns += 1;
        let mut turn = Turn::begin(&mut self.state, Timestamp(self.now), self.turns);
        let result = decide(&mut turn);
        let decision = turn.finish();
        self.state.check();
        let next = self.state.next_timer();
        assert!(next.is_none_or(|at| at.0 > self.now), "a timer of now would fire for ever");
        self.check_launches(&decision.provisions);
        if self.last == Lost::Everything {
            return result;
        }
        self.store.commit(decision.changes);
        if self.last == Lost::Nothing {
            decision.actions.into_iter().for_each(|action| self.carry_out(action));
            if self.is_connected {
                decision.provisions.into_iter().for_each(|provision| self.provision(provision));
            }
        }
        result
    }

    /// Launches go beyond the ceiling by less than one instance, and not at all with BEST_FIT on demand.
    fn check_launches(&mut self, provisions: &[Provision]) {
        let mut largest: BTreeMap<&Arn, u64> = BTreeMap::new();
        for provision in provisions {
            if let Provision::Launch(request) = provision
                && self.requested.insert(request.instance_id.clone())
            {
                let vcpus = instance_type::find(&request.instance_type).expect("it is known").vcpus;
                let largest = largest.entry(&request.compute_environment).or_default();
                *largest = (*largest).max(vcpus.into());
            }
        }
        for (arn, largest) in largest {
            let ce = &self.state.compute_environments()[arn];
            let scaling = ce.scaling.as_deref().expect("it scales");
            let max = u64::from(ce.max_vcpus.expect("it has a ceiling"));
            let strict =
                scaling.market == Market::OnDemand && scaling.strategy == AllocationStrategy::BestFit;
            let limit = if strict { max } else { max + largest - 1 };
            let vcpus = self.state.fleet_vcpus(arn);
            assert!(vcpus <= limit, "{arn} has {vcpus} vCPUs of {max}");
        }
    }

    fn provision(&mut self, provision: Provision) {
        match provision {
            Provision::Launch(request) => {
                let id = request.instance_id.clone();
                assert!(!self.instances.contains_key(&id), "{id} is launched twice");
                let instance_type = instance_type::find(&request.instance_type).expect("the type is known");
                self.asked.push(instance_type.name.to_owned());
                if self.short.contains(instance_type.name) {
                    self.later(SOON, Event::LaunchFails(id.clone()));
                } else {
                    self.later(self.launch_delay, Event::Ready(id.clone()));
                }
                let (is_ready, is_noticed, is_terminating) = (false, false, false);
                let (request, attempts) = (*request, BTreeMap::new());
                let ec2 = Ec2 { request, instance_type, is_ready, is_noticed, is_terminating, attempts };
                self.instances.insert(id, ec2);
            }
            Provision::Terminate(id) => {
                let ec2 = self.instances.get_mut(&id).expect("what is terminated is there");
                assert!(!std::mem::replace(&mut ec2.is_terminating, true), "{id} is terminated twice");
                self.given_back += 1;
                self.later(SOON, Event::Gone(id));
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Start(launch) => {
                let attempt = launch.attempt;
                let id = launch.instance_id.clone();
                let ec2 = self.instances.get_mut(&id).expect("attempts start on instances that are there");
                assert!(ec2.is_ready, "{attempt} starts on {id}, which is not ready");
                let follows = matches!(attempt.job.member, Member::Node(_));
                let takes_more = !ec2.is_noticed && !ec2.is_terminating;
                assert!(takes_more || follows, "{attempt} starts on {id}, which is going");
                assert_eq!(launch.incarnation, TaskId(7), "{attempt} is for another incarnation");
                if ec2.attempts.contains_key(&attempt) {
                    return;
                }
                let report = AttemptReport { attempt, started_at: None, ended: None };
                ec2.attempts.insert(attempt, (*launch, report));
                let mut used = Resources::default();
                let live = ec2.attempts.values().filter(|(_, report)| report.ended.is_none());
                // Service jobs draw on another pool.
                for (launch, _) in live.filter(|(launch, _)| launch.containers[0].log_group != LOG_GROUP) {
                    used.reserve(&launch.resources);
                }
                assert!(ec2.instance_type.capacity().covers(&used), "{id} is overbooked: {used:?}");
                self.later(0, Event::Starts(attempt));
                let runs = self.lasts.get(&attempt.job.job).copied().unwrap_or(self.runs);
                self.later(runs, Event::Ends(attempt, 0));
            }
            Action::Stop(attempt) => self.later(0, Event::Ends(attempt, 137)),
            Action::Forget(attempt) => {
                for ec2 in self.instances.values_mut() {
                    let forgotten = ec2.attempts.remove(&attempt);
                    assert!(forgotten.is_none_or(|(_, report)| report.ended.is_some()), "{attempt} lives");
                }
            }
        }
    }

    // ---- time

    fn later(&mut self, millis: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + millis, self.sequence), event);
    }

    /// When something happens next; `None` when nothing does any more.
    pub fn next(&self) -> Option<u64> {
        let timer = self.state.next_timer().map(|at| at.0);
        self.events.keys().map(|&(at, _)| at).next().into_iter().chain(timer).min()
    }

    /// What happens next happens.
    pub fn step(&mut self) {
        let Some(at) = self.next() else { return };
        self.now = self.now.max(at);
        if self.events.keys().next().is_some_and(|&(event, _)| event <= self.now) {
            let (_, event) = self.events.pop_first().expect("there is one");
            self.happens(event);
        } else {
            self.turn(|_| ());
        }
    }

    /// All that happens in so much time.
    pub fn pass(&mut self, millis: u64) {
        let until = self.now + millis;
        for _ in 0..TURNS_MAX {
            if self.next().is_none_or(|at| at > until) {
                self.now = until;
                return self.turn(|_| ());
            }
            self.step();
        }
        panic!("time does not pass");
    }

    /// All that happens until nothing does any more.
    pub fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            if self.next().is_none() {
                return;
            }
            self.step();
        }
        panic!("it never ends: {:?}", self.next());
    }

    fn report(&mut self, attempt: AttemptId) -> Option<&mut AttemptReport> {
        let mut all = self.instances.values_mut().filter(|ec2| ec2.is_ready);
        all.find_map(|ec2| ec2.attempts.get_mut(&attempt)).map(|(_, report)| report)
    }

    fn happens(&mut self, event: Event) {
        let now = Timestamp(self.now);
        match event {
            Event::Ready(id) => {
                let Some(ec2) = self.instances.get_mut(&id) else { return };
                ec2.is_ready = true;
                let host = ec2.host();
                self.turn(|turn| turn.observe(Observation::Connected(host, Vec::new())));
            }
            Event::LaunchFails(id) => {
                if self.forget(&id) {
                    let failure = LaunchFailure::InsufficientCapacity;
                    self.turn(|turn| turn.observe(Observation::LaunchFailed(id, failure)));
                }
            }
            Event::Starts(attempt) => {
                let Some(report) = self.report(attempt).filter(|report| report.ended.is_none()) else {
                    return;
                };
                report.started_at = Some(now);
                self.turn(|turn| turn.observe(Observation::Started(attempt, now)));
            }
            Event::Ends(attempt, exit_code) => {
                let Some(report) = self.report(attempt).filter(|report| report.ended.is_none()) else {
                    return;
                };
                let (exit_code, usage) = (Some(exit_code), Usage::default());
                report.started_at.get_or_insert(now);
                report.ended = Some((now, Outcome { exit_code, reason: None, usage, containers: None }));
                let report = report.clone();
                self.turn(|turn| turn.observe(Observation::Exited(report)));
            }
            Event::Gone(id) => {
                if self.forget(&id) {
                    self.turn(|turn| turn.observe(Observation::Terminated(id)));
                }
            }
        }
    }

    /// An instance is there no more, and nothing more comes of it, even if one is launched by its name again; whether it was
    /// there.
    fn forget(&mut self, id: &Text) -> bool {
        self.events.retain(|_, event| match event {
            Event::Ready(of) | Event::LaunchFails(of) | Event::Gone(of) => of != id,
            Event::Starts(_) | Event::Ends(..) => true,
        });
        self.instances.remove(id).is_some()
    }

    // ---- faults

    /// The instance will be taken back.
    pub fn reclaim(&mut self, id: &Text) {
        let ec2 = self.instances.get_mut(id).expect("it is there");
        ec2.is_noticed = true;
        self.turn(|turn| turn.observe(Observation::Interrupted(id.clone())));
        self.later(NOTICE, Event::Gone(id.clone()));
    }

    /// The instance is gone, without notice.
    pub fn lose(&mut self, id: &Text) {
        self.happens(Event::Gone(id.clone()));
    }

    /// The server crashes with `step`, whose turns are lost as `lost` says, and recovers.
    pub fn crash(&mut self, lost: Lost, step: impl FnOnce(&mut Cloud)) {
        self.last = lost;
        step(self);
        self.last = Lost::Nothing;
        self.state = State::recover(self.store.records());
        self.state.configure(Self::settings());
        self.is_connected = false;
        self.turn(|turn| turn.resume());
        self.is_connected = true;
        let ids: Vec<Text> = self.instances.keys().cloned().collect();
        self.instances.values_mut().for_each(|ec2| ec2.is_terminating = false); // it is asked for again
        self.turn(|turn| turn.observe(Observation::Instances(ids.clone())));
        for id in ids {
            let Some(ec2) = self.instances.get(&id) else { continue };
            let (is_noticed, host) = (ec2.is_noticed, ec2.host());
            if ec2.is_ready {
                let reports = ec2.attempts.values().map(|(_, report)| report.clone()).collect();
                self.turn(|turn| turn.observe(Observation::Connected(host, reports)));
            }
            if is_noticed {
                self.turn(|turn| turn.observe(Observation::Interrupted(id)));
            }
        }
        let known = self.state.compute_environments().keys().map(|arn| self.state.fleet_vcpus(arn)).sum();
        let there = self.instances.values().filter(|ec2| !ec2.is_terminating);
        let there: u64 = there.map(|ec2| u64::from(ec2.instance_type.vcpus)).sum();
        assert_eq!(there, known, "the cloud has what the records say");
    }

    // ---- resources and jobs

    pub fn create(&mut self, given: Environment) {
        self.turn(|turn| turn.create_compute_environment(given.0, given.1)).expect("a new name");
        self.pass(1);
    }

    pub fn create_queue(&mut self, given: Queue) {
        self.turn(|turn| turn.create_job_queue(given.0, given.1)).expect("a new name");
        self.pass(1);
    }

    pub fn update(&mut self, given: Environment) {
        let version = self.state.compute_environments()[&given.0.arn].version;
        self.turn(|turn| turn.update_compute_environment(given.0, version)).expect("it is settled");
        self.pass(1);
    }

    /// A definition of so many nodes of so many vCPUs, led by node `main`, named `{nodes}x{vcpus}`.
    pub fn define_gang(&mut self, nodes: u32, vcpus: u32, main: u32) {
        let mut definition = multinode(nodes, main);
        for range in definition.nodes.iter_mut().flat_map(|nodes| &mut nodes.ranges) {
            range.task.containers[0].requirements.milli_vcpus = Some(u64::from(vcpus) * 1000);
        }
        self.turn(|turn| turn.register_job_definition(&scope(), &format!("{nodes}x{vcpus}"), definition));
    }

    pub fn submit(&mut self, job: Submit) -> JobId {
        let submitted = self.turn(|turn| turn.submit_job(&scope(), job.0)).expect("it is accepted");
        self.jobs.push(submitted.id);
        JobId::whole(submitted.id)
    }

    /// Several in one turn.
    pub fn submit_all(&mut self, jobs: &[Submit]) {
        let submitted = self.turn(|turn| {
            let submit = |job: &Submit| turn.submit_job(&scope(), job.0.clone()).expect("it is accepted").id;
            jobs.iter().map(submit).collect::<Vec<_>>()
        });
        self.jobs.extend(submitted);
    }

    // ---- what is there

    pub fn find(&self, id: JobId) -> Execution {
        (*self.state.find(id).expect("the job exists").1).clone()
    }

    pub fn status(&self, id: JobId) -> JobStatus {
        self.state.status_of(id).expect("the job exists")
    }

    pub fn health(&self, name: &str) -> Option<Status> {
        self.state.compute_environments().get(&environment_arn(name)).map(|ce| ce.status)
    }

    /// vCPUs of an environment's instances that were not asked to go.
    pub fn vcpus(&self, name: &str) -> u64 {
        self.state.fleet_vcpus(&environment_arn(name))
    }

    /// Types of an environment's instances, ready or not, sorted.
    pub fn types(&self, name: &str) -> Vec<&'static str> {
        let of = |ec2: &&Ec2| ec2.request.compute_environment == environment_arn(name) && !ec2.is_terminating;
        let mut types: Vec<_> =
            self.instances.values().filter(of).map(|ec2| ec2.instance_type.name).collect();
        types.sort_unstable();
        types
    }

    pub fn ids(&self) -> Vec<Text> {
        self.instances.keys().cloned().collect()
    }

    /// The instance that the current attempt of a job is on.
    pub fn host_of(&self, id: JobId) -> Text {
        self.find(id).placement.expect("it is placed").instance_id
    }

    /// Jobs that have not ended, and why they wait.
    pub fn waiting(&self) -> Vec<(JobStatus, String)> {
        let jobs = self.jobs.iter().filter_map(|&id| self.state.job(id));
        let waiting = jobs.filter(|job| !job.execution.status.is_terminal()).map(|job| {
            let id = JobId::whole(job.id);
            let why = self.state.explain(id, Timestamp(self.now)).expect("it exists").summary;
            (job.execution.status, format!("{:?} {:?} {why}", job.resources, job.nodes.is_some()))
        });
        waiting.collect()
    }

    /// Whether every job has ended.
    pub fn all_ended(&self) -> bool {
        let jobs = self.jobs.iter().filter_map(|&id| self.state.job(id));
        jobs.into_iter().all(|job| job.execution.status.is_terminal())
    }
}
