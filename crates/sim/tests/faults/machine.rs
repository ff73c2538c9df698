//! One machine: what it was asked to run, what really runs there, and what it says of that.
//!
//! It follows the node (`crates/node/src/supervisor.rs`): an attempt stays known until it is forgotten, what is told twice is
//! done once, and what is meant for an earlier incarnation is refused.

use std::collections::{BTreeMap, BTreeSet};

use fornada_core::attempt::{Action, AttemptReport, Host, Launch, Observation, Outcome, Usage};
use fornada_core::id::{AttemptId, TaskId};
use fornada_core::quantity::Resources;
use fornada_core::service_job::LOG_GROUP;
use fornada_core::time::Timestamp;

use crate::dice::Dice;
use crate::plan::Plan;

/// What happens to an attempt by itself.
#[derive(Clone, Debug)]
pub enum Happening {
    Starts(AttemptId),
    /// With this exit code; without one it could not be started.
    Ends(AttemptId, Option<i32>),
}

struct Held {
    launch: Option<Launch>,
    is_stopping: bool,
    report: AttemptReport,
}

impl Held {
    fn is_live(&self) -> bool {
        self.report.ended.is_none()
    }
}

pub struct Machine {
    pub host: Host,
    pub is_up: bool,
    /// It is about to stop, and starts nothing more.
    pub is_closing: bool,
    /// Nothing happens there before this time.
    pub hangs_until: u64,
    /// It belongs to the cloud.
    pub is_managed: bool,
    /// How much longer everything takes here than elsewhere.
    slowness: u64,
    held: BTreeMap<AttemptId, Held>,
    refused: BTreeSet<TaskId>,
}

/// What comes of an action.
#[derive(Default)]
pub struct Response {
    pub said: Option<Observation>,
    /// After so many milliseconds.
    pub happenings: Vec<(u64, Happening)>,
    /// It was accepted, and lives from now on.
    pub born: Option<AttemptId>,
}

impl Machine {
    pub fn new(host: Host, is_managed: bool, dice: &mut Dice) -> Machine {
        let slowness = if dice.chance(0.2) { 10 } else { 1 };
        Machine {
            host,
            is_up: true,
            is_closing: false,
            hangs_until: 0,
            is_managed,
            slowness,
            held: BTreeMap::new(),
            refused: BTreeSet::new(),
        }
    }

    pub fn perform(&mut self, action: &Action, now: u64, plan: &Plan, dice: &mut Dice) -> Response {
        match action {
            Action::Start(launch) => self.start(launch, plan, dice),
            Action::Stop(attempt) => self.stop(*attempt, now, dice),
            Action::Forget(attempt) => {
                if self.held.get(attempt).is_some_and(|held| !held.is_live()) {
                    self.held.remove(attempt);
                }
                Response::default()
            }
        }
    }

    fn start(&mut self, launch: &Launch, plan: &Plan, dice: &mut Dice) -> Response {
        let attempt = launch.attempt;
        if self.held.contains_key(&attempt) {
            return Response::default(); // told twice
        }
        assert_eq!(launch.instance_id, self.host.instance_id, "{attempt} is brought to the wrong machine");
        if self.is_closing || launch.incarnation != self.host.incarnation {
            // Said once: by then the attempt may be placed elsewhere.
            let said = self.refused.insert(launch.task_id).then_some(Observation::Refused(attempt));
            return Response { said, ..Response::default() };
        }
        let report = AttemptReport { attempt, started_at: None, ended: None };
        self.held.insert(attempt, Held { launch: Some(launch.clone()), is_stopping: false, report });
        let used = self.used();
        assert!(
            self.host.capacity.covers(&used),
            "CAPACITY: {attempt} overbooks {}: {used:?}",
            self.host.instance_id
        );
        let starts = dice.millis(1, 3000) * self.slowness;
        let fails_to_start = dice.chance(0.05);
        let code = dice.pick(&[0, 0, 0, 0, 0, 0, 1, 1, 13, 137]);
        let mut happenings = Vec::new();
        if fails_to_start {
            happenings.push((starts, Happening::Ends(attempt, None)));
        } else {
            happenings.push((starts, Happening::Starts(attempt)));
            let runs = dice.millis(10, plan.longest) * self.slowness;
            happenings.push((starts + runs, Happening::Ends(attempt, Some(code))));
        }
        Response { said: None, happenings, born: Some(attempt) }
    }

    fn stop(&mut self, attempt: AttemptId, now: u64, dice: &mut Dice) -> Response {
        match self.held.get_mut(&attempt) {
            Some(held) if held.is_live() => {
                held.is_stopping = true;
                let code = dice.pick(&[0, 137, 143]); // it may end well though it was told to stop
                let happenings = vec![(dice.millis(1, 30_000), Happening::Ends(attempt, Some(code)))];
                Response { happenings, ..Response::default() }
            }
            Some(_) => Response::default(),
            None => {
                // Never started here. The end is kept as well, so that a start which arrives late does nothing.
                let ended = Some((Timestamp(now), Outcome::without_process(None)));
                let report = AttemptReport { attempt, started_at: None, ended };
                self.held.insert(attempt, Held { launch: None, is_stopping: true, report: report.clone() });
                Response { said: Some(Observation::Exited(report)), ..Response::default() }
            }
        }
    }

    /// What it says of it; and whether that is the end of an attempt that lived.
    pub fn happens(&mut self, happening: &Happening, now: u64) -> Option<Observation> {
        let (Happening::Starts(attempt) | Happening::Ends(attempt, _)) = happening;
        let held = self.held.get_mut(attempt).filter(|held| held.is_live())?;
        let now = Timestamp(now);
        match happening {
            Happening::Starts(_) => {
                held.report.started_at = Some(now);
                Some(Observation::Started(*attempt, now))
            }
            Happening::Ends(_, code) => {
                // What is stopped before it began has no process.
                let exit_code = code.filter(|_| held.report.started_at.is_some());
                let reason = exit_code.is_none().then(|| "CannotPullContainerError: no".into());
                let outcome = Outcome { exit_code, reason, usage: Usage::default(), containers: None };
                held.report.ended = Some((now, outcome));
                Some(Observation::Exited(held.report.clone()))
            }
        }
    }

    /// What is said with each new connection.
    pub fn hello(&self) -> Vec<Observation> {
        let reports = self.held.values().map(|held| held.report.clone()).collect();
        let mut said = vec![Observation::Connected(self.host.clone(), reports)];
        if self.is_closing {
            said.push(Observation::Disconnected(self.host.instance_id.clone()));
        }
        said
    }

    /// All that ran there is gone; returns it.
    pub fn lose_all(&mut self) -> Vec<AttemptId> {
        let live = self.live().collect();
        self.held.clear();
        self.is_closing = false;
        live
    }

    pub fn live(&self) -> impl Iterator<Item = AttemptId> {
        self.held.values().filter(|held| held.is_live()).map(|held| held.report.attempt)
    }

    /// What lives and was not told to stop.
    pub fn unstopped(&self) -> impl Iterator<Item = AttemptId> {
        let unstopped = self.held.values().filter(|held| held.is_live() && !held.is_stopping);
        unstopped.map(|held| held.report.attempt)
    }

    /// All that it has not been told to forget.
    pub fn known(&self) -> impl Iterator<Item = AttemptId> {
        self.held.keys().copied()
    }

    /// What lives there uses. Service jobs draw on another pool.
    fn used(&self) -> Resources {
        let mut used = Resources::default();
        for launch in self.held.values().filter(|held| held.is_live()).filter_map(|held| held.launch.as_ref())
        {
            if launch.containers[0].log_group != LOG_GROUP {
                used.reserve(&launch.resources);
            }
        }
        used
    }
}
