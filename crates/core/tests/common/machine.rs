//! A model of one machine, as strict as a backend may be: it panics when it is asked for something wrong.

use std::collections::{BTreeMap, BTreeSet};

use fornada_core::attempt::{Action, AttemptReport, Host, Launch, Outcome, Usage};
use fornada_core::id::{AttemptId, JobId, TaskId};
use fornada_core::quantity::Resources;
use fornada_core::service_job::LOG_GROUP;
use fornada_core::time::Timestamp;

pub struct Machine {
    pub host: Host,
    pub connected: bool,
    /// All actions that reached it.
    pub actions: Vec<Action>,
    attempts: BTreeMap<AttemptId, (Launch, AttemptReport)>,
    forgotten: BTreeSet<AttemptId>,
    stopping: BTreeSet<AttemptId>,
    /// Ends to be reported of what was stopped before it was started.
    pub never_started: Vec<AttemptReport>,
}

impl Machine {
    pub fn new(vcpus: u32) -> Machine {
        let capacity = Resources { milli_vcpus: u64::from(vcpus) * 1000, memory_mib: 10_000, gpus: 1 };
        let host = Host {
            instance_id: "i-00000000000000001".into(),
            incarnation: TaskId(1),
            capacity,
            architecture: None,
        };
        Machine {
            host,
            connected: false,
            actions: Vec::new(),
            attempts: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            stopping: BTreeSet::new(),
            never_started: Vec::new(),
        }
    }

    pub fn carry_out(&mut self, action: Action) {
        if !self.connected {
            return; // nobody hears it
        }
        match &action {
            Action::Start(launch) => self.launch(launch),
            Action::Stop(attempt) => {
                self.stopping.insert(*attempt); // its end is the test's to report
                if !self.attempts.contains_key(attempt) {
                    let ended = Some((Timestamp::default(), Outcome::without_process(None)));
                    self.never_started.push(AttemptReport { attempt: *attempt, started_at: None, ended });
                }
            }
            Action::Forget(attempt) => {
                if let Some((_, report)) = self.attempts.remove(attempt) {
                    assert!(report.ended.is_some(), "{attempt} is forgotten while it lives");
                }
                self.forgotten.insert(*attempt);
            }
        }
        self.actions.push(action);
    }

    /// As if it had never been asked to start anything.
    pub fn forget_all(&mut self) {
        self.attempts.clear();
    }

    fn launch(&mut self, launch: &Launch) {
        let attempt = launch.attempt;
        if self.attempts.contains_key(&attempt) {
            return; // told twice, started once
        }
        assert!(!self.forgotten.contains(&attempt), "{attempt} starts after its end was acknowledged");
        assert_eq!(self.live(attempt.job), None, "{attempt} starts while an older one lives");
        let report = AttemptReport { attempt, started_at: None, ended: None };
        self.attempts.insert(attempt, (launch.clone(), report));
        let mut used = Resources::default();
        for (launch, _) in self.attempts.values().filter(|(_, report)| report.ended.is_none()) {
            if launch.containers[0].log_group == LOG_GROUP {
                continue; // service jobs draw on another pool
            }
            used.reserve(&launch.resources);
        }
        assert!(self.host.capacity.covers(&used), "{attempt} overbooks the machine: {used:?}");
    }

    pub fn started(&mut self, attempt: AttemptId, at: Timestamp) {
        let (_, report) = self.attempts.get_mut(&attempt).expect("it is here");
        report.started_at.get_or_insert(at);
    }

    pub fn exited(
        &mut self,
        attempt: AttemptId,
        at: Timestamp,
        exit_code: Option<i32>,
        reason: Option<&str>,
    ) -> AttemptReport {
        let (_, report) = self.attempts.get_mut(&attempt).expect("it is here");
        if exit_code.is_some() {
            report.started_at.get_or_insert(at);
        }
        let reason = reason.map(Into::into);
        let outcome = Outcome { exit_code, reason, usage: Usage::default(), containers: None };
        report.ended = Some((at, outcome));
        report.clone()
    }

    /// As if it had never been asked to start the live attempt of a job.
    pub fn refuse(&mut self, id: JobId) -> AttemptId {
        let attempt = self.live(id).expect("an attempt is there");
        self.attempts.remove(&attempt);
        self.stopping.remove(&attempt);
        attempt
    }

    pub fn restart(&mut self) {
        self.attempts.clear();
        self.host.incarnation.0 += 1;
    }

    pub fn report(&self) -> (Host, Vec<AttemptReport>) {
        (self.host.clone(), self.attempts.values().map(|(_, report)| report.clone()).collect())
    }

    /// The live attempt of a job or child.
    pub fn live(&self, id: JobId) -> Option<AttemptId> {
        self.attempts.iter().find(|(a, (_, r))| a.job == id && r.ended.is_none()).map(|(a, _)| *a)
    }

    /// Jobs and children that have a live attempt.
    pub fn all_live(&self) -> Vec<JobId> {
        self.attempts.iter().filter(|(_, (_, r))| r.ended.is_none()).map(|(a, _)| a.job).collect()
    }

    /// How the live attempt of a job was launched.
    pub fn launched(&self, id: JobId) -> &Launch {
        &self.attempts[&self.live(id).expect("an attempt is there")].0
    }

    /// Whether the live attempt of a job has been asked to stop.
    pub fn is_stopping(&self, id: JobId) -> bool {
        self.live(id).is_some_and(|attempt| self.stopping.contains(&attempt))
    }

    /// Takes what has been asked since the last look, in short: `start`, `stop` or `forget`, and which attempt.
    pub fn asked(&mut self) -> Vec<(&'static str, AttemptId)> {
        let actions = std::mem::take(&mut self.actions).into_iter();
        actions
            .map(|action| match action {
                Action::Start(launch) => ("start", launch.attempt),
                Action::Stop(attempt) => ("stop", attempt),
                Action::Forget(attempt) => ("forget", attempt),
            })
            .collect()
    }

    /// Whether nothing is left that runs or waits to be acknowledged.
    pub fn is_idle(&self) -> bool {
        self.attempts.is_empty()
    }
}
