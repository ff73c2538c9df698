//! Connections between the server, machines and the cloud: in order while they last, and lost when they break.

use fornada_core::attempt::{Action, Observation};
use fornada_core::id::{AttemptId, TaskId};
use fornada_core::instance::Provision;
use fornada_core::text::Text;

use crate::checks;
use crate::machine::{Happening, Response};
use crate::plan::Fault;
use crate::world::{Event, World, brief, brief_action};

/// Name of the link to the cloud.
pub const CLOUD: &str = "cloud";

pub struct Link {
    number: u64,
    /// The server has heard of it. What it is asked to send before is dropped.
    is_open: bool,
    /// When the last message on its way up arrives.
    up: u64,
    /// The same on its way down.
    down: u64,
    /// It broke: what would arrive later than this is lost.
    cut: Option<u64>,
}

impl Link {
    fn carries(&self, number: u64, now: u64) -> bool {
        self.number == number && self.cut.is_none_or(|cut| now <= cut)
    }
}

impl World<'_> {
    /// A machine, or the cloud, says all that it has to say to a server that is new to it.
    pub fn connect(&mut self, name: &Text) {
        let is_linked = self.links.get(name).is_some_and(|link| link.cut.is_none());
        if self.server.is_none() || is_linked {
            return;
        }
        let now = self.now;
        let said = match self.machines.get(name) {
            Some(machine) if machine.is_up && machine.hangs_until <= now => machine.hello(),
            None if name.as_str() == CLOUD => self.cloud.hello(),
            Some(_) | None => return, // it connects when it is back
        };
        self.number += 1;
        let link = Link { number: self.number, is_open: false, up: now, down: now, cut: None };
        self.links.insert(name.clone(), link);
        said.into_iter().for_each(|observation| self.send_up(name, observation));
    }

    /// A link breaks. Part of what is under way may still arrive.
    pub fn cut(&mut self, name: &Text) {
        let grace = if self.dice.chance(0.5) { 0 } else { self.dice.millis(1, 200) };
        let Some(link) = self.links.get_mut(name).filter(|link| link.cut.is_none()) else { return };
        let cut = self.now + grace;
        link.cut = Some(cut);
        let number = link.number;
        self.trace.note(self.now, format_args!("the link to {name} breaks"));
        self.at(cut, Event::Broken(name.clone(), number));
    }

    /// The server notices, and connects anew.
    pub fn broken(&mut self, name: &Text, number: u64) {
        let Some(link) = self.links.get(name).filter(|link| link.number == number) else { return };
        if link.is_open && name.as_str() != CLOUD {
            self.observe(Observation::Disconnected(name.clone()));
        }
        self.links.remove(name);
        let delay = self.dice.millis(5, 30_000);
        self.later(delay, Event::Connect(name.clone()));
    }

    /// Something happened at the other end of a link. Reports of attempts may be repeated or late.
    pub fn say(&mut self, name: &Text, observation: Observation) {
        if matches!(observation, Observation::Started(..) | Observation::Exited(_)) {
            let is_late = self.strikes(Fault::ReportLate);
            if is_late || self.strikes(Fault::ReportRepeated) {
                // Not before what was said when the link was made: that is a barrier.
                let after = self.links.get(name).map_or(self.now, |link| link.up.max(self.now));
                let delay = self.dice.millis(1, 600_000);
                self.at(after + delay, Event::Late(name.clone(), observation.clone()));
            }
            if is_late && self.links.get(name).is_some_and(|link| link.cut.is_none()) {
                return;
            }
        }
        self.send_up(name, observation);
    }

    fn send_up(&mut self, name: &Text, observation: Observation) {
        let latency = self.latency();
        let Some(link) = self.links.get_mut(name).filter(|link| link.cut.is_none()) else { return };
        link.up = link.up.max(self.now + latency);
        let (at, number) = (link.up, link.number);
        self.at(at, Event::ToServer(name.clone(), number, observation));
    }

    fn latency(&mut self) -> u64 {
        if self.strikes(Fault::SlowMessage) { self.dice.millis(100, 20_000) } else { self.dice.below(3) }
    }

    pub fn reach_server(&mut self, name: &Text, number: u64, observation: Observation) {
        if self.server.is_none() {
            return;
        }
        let Some(link) = self.links.get_mut(name).filter(|link| link.carries(number, self.now)) else {
            return;
        };
        link.is_open = true;
        self.trace.note(self.now, format_args!("{name}: {}", brief(&observation)));
        self.trace.count("observations", 1);
        let known: Vec<AttemptId> = match &observation {
            Observation::Connected(_, reports) => reports.iter().map(|report| report.attempt).collect(),
            Observation::Exited(report) => vec![report.attempt],
            _ => Vec::new(),
        };
        known.into_iter().for_each(|attempt| drop(self.routes.insert(attempt, name.clone())));
        self.observe(observation);
    }

    /// An action on its way to the machine that it is for.
    pub fn send(&mut self, action: Action) {
        let known =
            |attempt: &AttemptId| self.routes.get(attempt).cloned().or_else(|| self.place_of(*attempt));
        let name = match &action {
            Action::Start(launch) => Some(launch.instance_id.clone()),
            Action::Stop(attempt) | Action::Forget(attempt) => known(attempt),
        };
        let Some(name) = name else {
            return self.trace.note(self.now, format_args!("nobody is told: {}", brief_action(&action)));
        };
        match &action {
            Action::Start(launch) => drop(self.routes.insert(launch.attempt, name.clone())),
            Action::Forget(attempt) => drop(self.routes.remove(attempt)),
            Action::Stop(_) => {}
        }
        let latency = self.latency();
        let is_repeated = self.strikes(Fault::ActionRepeated);
        let Some(link) = self.links.get_mut(&name).filter(|link| link.is_open && link.cut.is_none()) else {
            return self.trace.note(self.now, format_args!("no way to {name}: {}", brief_action(&action)));
        };
        link.down = link.down.max(self.now + latency);
        let (at, number) = (link.down, link.number);
        if is_repeated {
            self.at(at, Event::ToMachine(name.clone(), number, action.clone()));
        }
        self.at(at, Event::ToMachine(name, number, action));
    }

    /// Where the records have an attempt: a stop does not say it, and the backend that heard of the start may be gone.
    fn place_of(&self, attempt: AttemptId) -> Option<Text> {
        if let Some(job) = self.ledger.service_job(attempt.job.job) {
            return job.placement.as_ref().map(|placement| placement.instance_id.clone());
        }
        self.ledger.placement(attempt.job).map(|placement| placement.instance_id.clone())
    }

    pub fn reach_machine(&mut self, name: &Text, number: u64, action: Action) {
        if !self.links.get(name).is_some_and(|link| link.carries(number, self.now)) {
            return;
        }
        let now = self.now;
        let Some(machine) = self.machines.get_mut(name).filter(|machine| machine.is_up) else { return };
        if machine.hangs_until > now {
            let at = machine.hangs_until;
            return self.at(at, Event::ToMachine(name.clone(), number, action));
        }
        self.trace.note(now, format_args!("at {name}: {}", brief_action(&action)));
        let Response { said, happenings, born } = machine.perform(&action, now, &self.plan, &mut self.dice);
        let incarnation = machine.host.incarnation;
        if let Some(attempt) = born {
            self.is_born(attempt, name);
        }
        for (delay, happening) in happenings {
            self.later(delay, Event::Happens(name.clone(), incarnation, happening));
        }
        if let Some(observation) = said {
            self.say(name, observation);
        }
    }

    /// A process comes to life: no other of its job may live anywhere, and the records want it here.
    fn is_born(&mut self, attempt: AttemptId, name: &Text) {
        let other = self.live.insert(attempt.job, (attempt, name.clone()));
        assert!(other.is_none(), "TWICE: {attempt} starts on {name}, while {other:?} lives");
        assert!(self.born.insert(attempt), "AGAIN: {attempt} starts on {name}, and has run before");
        checks::accepted(&self.ledger, attempt, name);
        self.trace.count("processes", 1);
    }

    pub fn machine_happens(&mut self, name: &Text, incarnation: TaskId, happening: Happening) {
        let now = self.now;
        let of = self.machines.get_mut(name);
        let Some(machine) = of.filter(|it| it.is_up && it.host.incarnation == incarnation) else { return };
        if machine.hangs_until > now {
            let at = machine.hangs_until;
            return self.at(at, Event::Happens(name.clone(), incarnation, happening));
        }
        let Some(observation) = machine.happens(&happening, now) else { return };
        if let Happening::Ends(attempt, _) = happening {
            self.live.remove(&attempt.job);
        }
        self.say(name, observation);
    }

    /// All processes of a machine are gone, and so is its link.
    pub fn machine_is_gone(&mut self, name: &Text) {
        let Some(machine) = self.machines.get_mut(name) else { return };
        machine.is_up = false;
        for attempt in machine.lose_all() {
            self.live.remove(&attempt.job);
        }
        self.cut(name);
    }

    /// It is back without knowing what ran.
    pub fn machine_recovers(&mut self, name: &Text) {
        let Some(machine) = self.machines.get_mut(name).filter(|machine| !machine.is_up) else { return };
        machine.is_up = true;
        machine.host.incarnation.0 += 1;
        self.trace.note(self.now, format_args!("{name} is back, incarnation {}", machine.host.incarnation));
        self.connect(&name.clone());
    }

    /// Where nothing is under way, whatever is over or is to be stopped has been told so.
    pub fn check_stops(&self) {
        for (name, machine) in
            self.machines.iter().filter(|(_, machine)| machine.is_up && machine.hangs_until < self.now)
        {
            let is_quiet =
                |link: &&Link| link.is_open && link.cut.is_none() && link.up.max(link.down) < self.now;
            if self.links.get(name).filter(is_quiet).is_some() {
                machine.unstopped().for_each(|attempt| checks::may_go_on(&self.ledger, attempt));
            }
        }
    }

    pub fn send_to_cloud(&mut self, provision: Provision) {
        let latency = self.latency();
        self.trace.count("provisions", 1);
        let Some(link) = self.links.get_mut(CLOUD).filter(|link| link.is_open && link.cut.is_none()) else {
            return self.trace.note(self.now, format_args!("no way to the cloud: {provision:?}"));
        };
        link.down = link.down.max(self.now + latency);
        let (at, number) = (link.down, link.number);
        self.at(at, Event::ToCloud(number, provision));
    }

    pub fn reach_cloud(&mut self, number: u64, provision: Provision) {
        if self.links.get(CLOUD).is_some_and(|link| link.carries(number, self.now)) {
            self.trace.note(self.now, format_args!("at the cloud: {provision:?}"));
            self.cloud_advances();
            if let Some(answer) = self.cloud.perform(provision) {
                self.say(&CLOUD.into(), answer);
            }
        }
    }
}
