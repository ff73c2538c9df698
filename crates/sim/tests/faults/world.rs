//! The world of one seed: a server, machines, a cloud and clients in virtual time, one thing after another.

use std::collections::{BTreeMap, BTreeSet};

use fornada_core::attempt::{Action, Host, Observation};
use fornada_core::history::PastJob;
use fornada_core::id::{AttemptId, JobId, TaskId, Uuid};
use fornada_core::instance::Provision;
use fornada_core::quantity::Resources;
use fornada_core::state::Settings;
use fornada_core::text::Text;
use fornada_core::turn::Turn;
use fornada_engine::step;
use fornada_sim::cloud::Parameters;
use fornada_sim::random::Distribution;

use crate::calls::{Call, Reply};
use crate::checks;
use crate::client::{self, COUNTER, Client, Known};
use crate::cloud::{Cloud, News};
use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::machine::{Happening, Machine};
use crate::network::Link;
use crate::plan::{Fault, Plan};
use crate::ports::{Door, Effect, Fate};
use crate::server::Server;
use crate::told::Told;
use crate::trace::Trace;

/// When virtual time begins, in milliseconds since the epoch.
const BEGIN: u64 = 1_000_000_000;

/// What happens at a time.
pub enum Event {
    /// A message of a link to the server.
    ToServer(Text, u64, Observation),
    /// A message of a link to a machine.
    ToMachine(Text, u64, Action),
    /// A message of a link to the cloud.
    ToCloud(u64, Provision),
    /// The server notices that a link is gone.
    Broken(Text, u64),
    Connect(Text),
    /// A report that comes at any time.
    Late(Text, Observation),
    /// In that incarnation of a machine.
    Happens(Text, TaskId, Happening),
    MachineRecovers(Text),
    DiskHasSpace,
    Boot,
    Again(Call),
    /// Events up to that number have arrived.
    Acknowledged(u64),
}

pub struct World<'t> {
    pub seed: u64,
    pub plan: Plan,
    pub dice: Dice,
    /// Milliseconds since the beginning.
    pub now: u64,
    pub trace: &'t mut Trace,
    pub door: Door,
    pub server: Option<Server>,
    pub boots: u64,
    pub ledger: Ledger,
    pub told: Told,
    pub machines: BTreeMap<Text, Machine>,
    pub links: BTreeMap<Text, Link>,
    pub number: u64,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    pub cloud: Cloud,
    /// Which machine the backend takes an attempt to be on.
    pub routes: BTreeMap<AttemptId, Text>,
    /// What really lives, and where.
    pub live: BTreeMap<JobId, (AttemptId, Text)>,
    /// What has ever lived.
    pub born: BTreeSet<AttemptId>,
    pub client: Client,
    /// Calls without an answer.
    calls: BTreeMap<u64, Call>,
    /// Of the server's clock, to the time that really is.
    pub clock_offset: i64,
    turns: u64,
    /// Nothing goes wrong.
    is_calm: bool,
}

impl<'t> World<'t> {
    pub fn new(seed: u64, trace: &'t mut Trace) -> World<'t> {
        let plan = Plan::of(seed);
        let mut dice = Dice::new(seed, 2);
        let launches_fail = if dice.chance(0.5) { 0.2 } else { 0.0 };
        let parameters = Parameters {
            launch_delay: Distribution::Uniform(5.0, 120.0),
            launch_failure_probability: launches_fail,
            spot_shortage_probability: launches_fail,
            spot_interruptions_per_hour: if dice.chance(0.5) { 4.0 } else { 0.0 },
            ..Parameters::default()
        };
        let mut world = World {
            seed,
            cloud: Cloud::new(parameters, seed, 0),
            plan,
            dice,
            now: 0,
            trace,
            door: Door::default(),
            server: None,
            boots: 0,
            ledger: Ledger::default(),
            told: Told::new(seed),
            machines: BTreeMap::new(),
            links: BTreeMap::new(),
            number: 0,
            events: BTreeMap::new(),
            sequence: 0,
            routes: BTreeMap::new(),
            live: BTreeMap::new(),
            born: BTreeSet::new(),
            client: Client::default(),
            calls: BTreeMap::new(),
            clock_offset: 0,
            turns: 0,
            is_calm: true,
        };
        for number in 0..world.plan.machines {
            let vcpus = world.dice.small(2, 8);
            world.add_machine(number, vcpus, u32::from(world.plan.machines > 1 && number == 0));
        }
        world
    }

    pub fn add_machine(&mut self, number: u32, vcpus: u32, gpus: u32) {
        let instance_id: Text = format!("i-{number:017x}").into();
        let capacity = Resources { milli_vcpus: u64::from(vcpus) * 1000, memory_mib: 10_000, gpus };
        let host =
            Host { instance_id: instance_id.clone(), incarnation: TaskId(1), capacity, architecture: None };
        self.machines.insert(instance_id.clone(), Machine::new(host, false, &mut self.dice));
        self.later(1, Event::Connect(instance_id));
    }

    pub fn run(&mut self) {
        self.boot();
        let furniture = client::furniture(&self.plan, &mut self.dice);
        for calls in furniture {
            calls.into_iter().for_each(|call| self.call(call));
            self.work_off(2000);
        }
        self.is_calm = false;
        for _ in 0..self.plan.steps {
            self.strike();
            if self.dice.chance(self.plan.calls) {
                let call = self.client.next_call(&self.plan, &mut self.dice);
                self.call(call);
            }
            self.step();
        }
        self.end();
        self.trace.count("virtual milliseconds", self.now);
        self.trace.count("jobs", self.client.jobs.len() as u64);
        self.trace.count("service jobs", self.client.training.len() as u64);
    }

    /// Whether a fault strikes where it could.
    pub fn strikes(&mut self, fault: Fault) -> bool {
        let strikes = !self.is_calm && self.dice.chance(self.plan.rate(fault));
        if strikes {
            self.trace.count(&format!("fault {fault:?}"), 1);
        }
        strikes
    }

    /// No call is made again that was made before.
    pub fn forget_calls(&mut self) {
        self.events.retain(|_, event| !matches!(event, Event::Again(_)));
    }

    pub fn later(&mut self, millis: u64, event: Event) {
        self.at(self.now + millis, event);
    }

    pub fn at(&mut self, time: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((time, self.sequence), event);
    }

    // ---- steps

    /// Something that can happen does; false when nothing is left.
    pub fn step(&mut self) -> bool {
        self.trace.count("steps", 1);
        self.set_clock();
        let slow = self.dice.chance(self.plan.rate(Fault::DiskSlow));
        let settles = self.server.as_ref().is_some_and(Server::may_settle);
        let decides = self.server.as_ref().is_some_and(Server::may_decide);
        if settles && !slow && self.dice.chance(0.6) {
            self.settle();
        } else if decides && self.dice.chance(0.7) {
            self.decide();
        } else if !self.pass() {
            match (settles, decides) {
                (true, _) => self.settle(),
                (_, true) => self.decide(),
                (false, false) => return false,
            }
        }
        true
    }

    /// Without faults, until the server has nothing to do and so much time has passed.
    pub fn work_off(&mut self, millis: u64) {
        let until = self.now + millis;
        loop {
            self.set_clock();
            let settles = self.server.as_ref().is_some_and(Server::may_settle);
            let decides = self.server.as_ref().is_some_and(Server::may_decide);
            if settles {
                self.settle();
            } else if decides {
                self.decide();
            } else if self.next_time().is_none_or(|at| at > until) {
                self.now = until;
                return;
            } else {
                self.pass();
            }
        }
    }

    /// When something happens next by itself.
    pub fn next_time(&self) -> Option<u64> {
        let event = self.events.first_key_value().map(|(&(at, _), _)| at);
        let timer = self.server.as_ref().and_then(Server::next_turn_in);
        let timer = timer.filter(|wait| *wait > 0).map(|wait| self.now + wait);
        [event, timer, self.cloud.next_event()].into_iter().flatten().min()
    }

    /// Time passes until something happens, and it does.
    fn pass(&mut self) -> bool {
        let Some(at) = self.next_time() else { return false };
        self.now = self.now.max(at);
        self.set_clock();
        if self.events.first_key_value().is_some_and(|(&(at, _), _)| at <= self.now) {
            let (_, event) = self.events.pop_first().expect("there is one");
            self.happen(event);
        } else if self.cloud.next_event().is_some_and(|at| at <= self.now) {
            self.cloud_advances();
        }
        true
    }

    /// What has happened in the cloud up to now is heard of.
    pub fn cloud_advances(&mut self) {
        for news in self.cloud.advance(self.now) {
            self.hear_of(news);
        }
    }

    pub fn set_clock(&mut self) {
        let clock = (BEGIN + self.now).saturating_add_signed(self.clock_offset);
        self.door.open(|outside| outside.clock = clock);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ToServer(name, link, observation) => self.reach_server(&name, link, observation),
            Event::ToMachine(name, link, action) => self.reach_machine(&name, link, action),
            Event::ToCloud(link, provision) => self.reach_cloud(link, provision),
            Event::Broken(name, link) => self.broken(&name, link),
            Event::Connect(name) => self.connect(&name),
            Event::Late(name, observation) => {
                if let Observation::Exited(report) = &observation {
                    self.routes.insert(report.attempt, name);
                }
                self.trace.note(self.now, format_args!("late: {}", brief(&observation)));
                self.observe(observation);
            }
            Event::Happens(name, incarnation, happening) => {
                self.machine_happens(&name, incarnation, happening)
            }
            Event::MachineRecovers(name) => self.machine_recovers(&name),
            Event::DiskHasSpace => self.door.open(|outside| outside.is_full = false),
            Event::Boot if self.server.is_none() => self.boot(),
            Event::Boot => {}
            Event::Again(call) => self.call(call),
            Event::Acknowledged(up_to) => {
                if let Some(server) = &mut self.server {
                    server.waiting.push(step::acknowledgement(up_to));
                }
            }
        }
    }

    fn hear_of(&mut self, news: News) {
        match news {
            News::Ready(host) => {
                let id = host.instance_id.clone();
                self.trace.note(self.now, format_args!("{id} is launched"));
                self.machines.insert(id.clone(), Machine::new(host, true, &mut self.dice));
                self.connect(&id);
            }
            News::Said(observation) => {
                if let Observation::Terminated(id) = &observation {
                    self.machine_is_gone(id);
                    self.machines.remove(id);
                }
                self.trace.note(self.now, format_args!("cloud: {}", brief(&observation)));
                self.say(&crate::network::CLOUD.into(), observation);
            }
        }
    }

    // ---- the server

    pub fn boot(&mut self) {
        self.boots += 1;
        if self.boots > 1 && self.strikes(Fault::ClockJumps) {
            self.jump();
        }
        let power = (self.boots > 1 && self.strikes(Fault::CrashAgain)).then(|| self.dice.small(0, 12));
        self.door.open(|outside| {
            outside.power = power;
            outside.next_commit = Fate::Commits;
            outside.effects.clear();
        });
        self.set_clock();
        let Plan { backfill, scale, ended_records, .. } = self.plan;
        let settings = Settings { backfill, scale, ended_records, events: self.told.is_on };
        let server = Server::start(&self.door, settings, Dice::new(self.seed, 1000 + self.boots));
        server.state().check();
        checks::same(server.state(), &self.ledger);
        self.server = Some(server);
        self.trace.note(self.now, format_args!("the server starts, dies after {power:?}"));
        let names: Vec<Text> = self.machines.keys().cloned().chain([crate::network::CLOUD.into()]).collect();
        for name in names {
            let delay = self.dice.millis(1, 500);
            self.later(delay, Event::Connect(name));
        }
    }

    pub fn crash(&mut self, why: &str) {
        if self.server.take().is_none() {
            return;
        }
        self.trace.count("crashes", 1);
        self.trace.note(self.now, format_args!("the server dies: {why}"));
        self.routes.clear();
        let names: Vec<Text> = self.links.keys().cloned().collect();
        names.iter().for_each(|name| self.cut(name));
        let unanswered = std::mem::take(&mut self.calls);
        for call in unanswered.into_values() {
            if self.dice.chance(0.5) {
                let delay = self.dice.millis(10, 120_000);
                self.later(delay, Event::Again(call));
            }
        }
        let delay = self.dice.millis(10, 60_000);
        self.later(delay, Event::Boot);
    }

    pub fn observe(&mut self, observation: Observation) {
        if let Some(server) = &mut self.server {
            server.waiting.push(step::observation(observation));
        }
    }

    pub fn call(&mut self, call: Call) {
        let Some(server) = &mut self.server else {
            return self.trace.count("calls without a server", 1);
        };
        self.number += 1;
        let number = self.number;
        self.trace.count("calls", 1);
        self.trace.note(self.now, format_args!("call {number}: {} {}", call.name(), call.detail()));
        self.calls.insert(number, call.clone());
        let door = self.door.clone();
        let reply = move |reply| door.reply(number, reply);
        server.waiting.push(step::command(move |turn| call.apply(turn), reply));
    }

    /// A call named jobs that are not in memory: it is carried out with what the disk has of them.
    fn call_with_past(&mut self, number: u64, absent: &[Uuid]) {
        let Some(server) = &mut self.server else { return };
        self.trace.count("calls about the past", 1);
        let past: Vec<PastJob> =
            self.door.open(|outside| absent.iter().filter_map(|&job| outside.disk.past(job)).collect());
        let call = self.calls[&number].clone();
        let door = self.door.clone();
        let reply = move |reply| door.reply(number, reply);
        let command = move |turn: &mut Turn<'_>| {
            past.into_iter().for_each(|job| turn.recall(job));
            call.carry_out(turn)
        };
        server.waiting.push(step::command(command, reply));
    }

    pub fn decide(&mut self) {
        let server = self.server.as_mut().expect("somebody decides");
        let length = server.waiting.len();
        let all = self.dice.chance(0.6);
        let count = if all || length == 0 { length } else { 1 + self.dice.index(length) };
        self.trace.note(self.now, format_args!("turn with {count} of {length} inputs"));
        server.decide(count);
        self.turns += 1;
        self.trace.count("turns", 1);
        let state = server.state();
        let next = state.next_timer();
        assert!(next.is_none_or(|at| at > state.latest()), "TIMER: {next:?} would fire for ever");
        if self.turns.is_multiple_of(self.plan.check_every) {
            state.check();
        }
    }

    pub fn settle(&mut self) {
        let fate = match (self.strikes(Fault::CommitFails), self.strikes(Fault::CommitTorn)) {
            (true, _) => Fate::Fails,
            (_, true) => Fate::Torn,
            (false, false) => Fate::Commits,
        };
        let dies = self.strikes(Fault::CrashInside).then(|| self.dice.small(0, 5));
        self.door.open(|outside| {
            outside.next_commit = fate;
            outside.power = dies.or(outside.power);
        });
        let result = self.server.as_mut().expect("somebody settles").settle();
        let effects = self.door.open(|outside| {
            outside.next_commit = Fate::Commits;
            std::mem::take(&mut outside.effects)
        });
        self.trace.note(self.now, format_args!("settled: {:?}, {} effects", result.is_ok(), effects.len()));
        for effect in effects {
            self.come_out(effect);
        }
        if let Some((delay, up_to)) = self.told.acknowledge() {
            self.later(delay, Event::Acknowledged(up_to));
        }
        let has_power = self.door.open(|outside| outside.power != Some(0));
        match result {
            Err(error) => self.crash(&error.what),
            Ok(()) if !has_power => self.crash("within a batch"),
            Ok(()) => self.compare(),
        }
    }

    /// Now and then, where nothing is decided that is not durable: the state is what was committed.
    fn compare(&mut self) {
        let Some(server) = self.server.as_ref().filter(|server| !server.may_settle()) else { return };
        if self.turns.is_multiple_of(4) {
            checks::same(server.state(), &self.ledger);
        }
        if server.waiting.is_empty() {
            self.check_stops();
        }
    }

    fn come_out(&mut self, effect: Effect) {
        match effect {
            Effect::Committed(changes) => {
                self.trace.count("records", changes.len() as u64);
                checks::commit(&mut self.ledger, &changes);
                self.told.commit(&self.ledger, &changes);
            }
            Effect::Acted(action) => {
                checks::action(&self.ledger, &action);
                self.trace.count("actions", 1);
                self.send(action);
            }
            Effect::Delivered(event) => {
                self.trace.count("events", 1);
                self.trace.note(self.now, format_args!("event: {} {}", event.job, event.status));
                self.told.deliver(&event);
            }
            Effect::Provisioned(provision) => self.send_to_cloud(provision),
            Effect::Replied(number, reply) => self.replied(number, reply),
        }
    }

    fn replied(&mut self, number: u64, reply: Reply) {
        if let Reply::Absent(jobs) = &reply {
            return self.call_with_past(number, jobs);
        }
        let call = self.calls.remove(&number).expect("each call is answered once");
        self.check_reply(&reply);
        if let (Call::UpdateConsumable(arn, _, Some(token)), Reply::Done) = (&call, &reply)
            && arn.ends_with(COUNTER)
        {
            self.client.acknowledged.insert(token.clone());
        }
        match &reply {
            Reply::Refused(refusal) => {
                self.trace.count("refusals", 1);
                self.trace.note(self.now, format_args!("reply {number}: refused, {refusal}"));
            }
            reply => {
                self.trace.count(&format!("call {}", call.name()), 1);
                self.trace.note(self.now, format_args!("reply {number}: {reply:?}"));
            }
        }
        if self.strikes(Fault::ReplyLost) {
            let delay = self.dice.millis(10, 60_000);
            self.later(delay, Event::Again(call));
        }
    }

    /// What a client is told is durable, and follows on what it was told before.
    fn check_reply(&mut self, reply: &Reply) {
        match *reply {
            Reply::Done | Reply::Refused(_) | Reply::Absent(_) => {}
            Reply::Submitted(id, size, is_array) => {
                assert!(self.ledger.job(id).is_some(), "ACKNOWLEDGED: {id}, before it is durable");
                self.client.learn(Known { id, size, is_array });
            }
            Reply::Training(id) => {
                assert!(self.ledger.service_job(id).is_some(), "ACKNOWLEDGED: {id}, before it is durable");
                self.client.training.push(id);
            }
            Reply::Job(id, Some((status, attempts))) => {
                let durable = self.ledger.status(id);
                assert!(
                    !status.is_terminal() || durable == Some(status),
                    "READ: {id} {status}, durable {durable:?}"
                );
                let is_settled = !matches!(id.member, fornada_core::id::Member::Node(_));
                if let Some((before, number)) =
                    self.client.seen.insert(id, (status, attempts)).filter(|_| is_settled)
                {
                    assert!(checks::may_follow(before, status), "READ: {id} from {before} to {status}");
                    assert!(number <= attempts, "READ: {id} had {number} attempts, now {attempts}");
                }
            }
            Reply::Job(id, None) => {
                assert!(!self.client.knows(id) || self.ledger.is_over(id), "READ: {id} is not found");
            }
            Reply::TrainingJob(id, None) => {
                assert!(self.ledger.is_over(JobId::whole(id)), "READ: {id} is not found")
            }
            Reply::TrainingJob(id, Some((status, _))) => {
                let durable = self.ledger.service_job(id).map(|job| job.status);
                assert!(
                    !status.is_terminal() || durable == Some(status),
                    "READ: {id} {status}, durable {durable:?}"
                );
            }
        }
    }
}

/// An observation in one line.
pub fn brief(observation: &Observation) -> String {
    match observation {
        Observation::Connected(host, reports) => {
            let all = reports.iter().map(|report| {
                let how = match (&report.started_at, &report.ended) {
                    (_, Some((_, outcome))) => format!("ended {:?}", outcome.exit_code),
                    (Some(_), None) => "runs".to_owned(),
                    (None, None) => "starts".to_owned(),
                };
                format!("{} {how}", report.attempt)
            });
            let all: Vec<String> = all.collect();
            format!("Connected {} incarnation {}, {all:?}", host.instance_id, host.incarnation)
        }
        Observation::Exited(report) => {
            let code = report.ended.as_ref().map(|(_, outcome)| outcome.exit_code);
            format!("Exited {} {code:?}", report.attempt)
        }
        Observation::Started(attempt, _) => format!("Started {attempt}"),
        other => format!("{other:?}"),
    }
}

/// An action in one line.
pub fn brief_action(action: &Action) -> String {
    match action {
        Action::Start(launch) => {
            format!("Start {} on {} incarnation {}", launch.attempt, launch.instance_id, launch.incarnation)
        }
        Action::Stop(_) | Action::Forget(_) => format!("{action:?}"),
    }
}
