//! What provisioners report: instances that could not be launched, will be taken back, or are gone.
//!
//! An instance that is ready reports itself by connecting, as every machine does ([`crate::job::observe`]).

use std::collections::BTreeSet;

use crate::attempt::Observation;
use crate::id::AttemptId;
use crate::instance::{LaunchFailure, Managed, Phase, Provision};
use crate::record::Key;
use crate::scale::fleet::SHORT_MS;
use crate::text::Text;
use crate::turn::Turn;

/// What is left to an instance that will be taken back, in seconds. Source: Amazon EC2 User Guide, Spot Instance interruption
/// notices.
const NOTICE_SECONDS: u32 = 120;

impl Turn<'_> {
    /// Applies what a provisioner reports; returns what is none of that.
    pub(crate) fn observe_instances(&mut self, observation: Observation) -> Option<Observation> {
        match observation {
            Observation::LaunchFailed(id, failure) => self.launch_failed(&id, failure),
            Observation::Interrupted(id) => self.interrupted(&id),
            Observation::Terminated(id) => self.terminated(&id),
            Observation::Instances(ids) => self.compare_instances(&ids),
            Observation::Connected(..)
            | Observation::Started(..)
            | Observation::Exited(_)
            | Observation::Disconnected(_)
            | Observation::Refused(_) => return Some(observation),
        }
        self.settle_dependents();
        None
    }

    /// Other types are tried, or the same one after a while.
    fn launch_failed(&mut self, id: &Text, failure: LaunchFailure) {
        let Some(managed) = self.managed(id).filter(|managed| managed.phase == Phase::Launching) else {
            return self.terminated(id);
        };
        self.forget_instance(id);
        if let Some(fleet) = self.state.fleets.get_mut(&managed.compute_environment) {
            fleet.short.insert(managed.instance_type.clone(), self.now.plus_millis(SHORT_MS));
            fleet.failure = Some((managed.instance_type, failure));
        }
        self.state.refresh_fleet(&managed.compute_environment);
        self.state.demand_due = true;
    }

    /// Nothing new is placed on it; what runs there runs until it is gone.
    fn interrupted(&mut self, id: &Text) {
        if self.managed(id).is_some_and(|managed| managed.phase != Phase::Terminating) {
            let until = self.now.plus_seconds(NOTICE_SECONDS);
            self.set_phase(id, Phase::Draining(Some(until)));
            self.state.demand_due = true;
            self.state.schedule_due = true;
        }
    }

    fn terminated(&mut self, id: &Text) {
        let Some(managed) = self.managed(id) else { return };
        let attempts: Vec<AttemptId> =
            self.state.instances.get(id).into_iter().flat_map(|room| room.attempts.iter().copied()).collect();
        for attempt in attempts {
            if self.is_of_service_job(attempt) {
                self.reconcile_service_job(attempt, None, true);
            } else {
                self.host_lost(attempt, id);
            }
        }
        self.forget_instance(id);
        self.state.scale_due.insert(managed.compute_environment);
        self.state.demand_due = true;
        self.state.schedule_due = true;
    }

    /// What the provisioner has is compared with what it should have; what it does not know of was lost on the way, or is gone.
    fn compare_instances(&mut self, ids: &[Text]) {
        let ids: BTreeSet<&Text> = ids.iter().collect();
        let known: Vec<Text> =
            self.state.instances.values().map(|room| room.record.instance_id.clone()).collect();
        for id in known {
            let Some(managed) = self.managed(&id) else { continue };
            match (managed.phase, ids.contains(&id)) {
                (Phase::Terminating, true) => self.provision(Provision::Terminate(id)),
                (Phase::Launching, false) => {
                    let request = managed.request(id);
                    self.provision(Provision::Launch(Box::new(request)));
                }
                (Phase::Ready | Phase::Draining(_) | Phase::Terminating, false) => self.terminated(&id),
                (Phase::Launching | Phase::Ready | Phase::Draining(_), true) => {}
            }
        }
        for id in ids {
            if self.managed(id).is_none() {
                self.provision(Provision::Terminate(id.clone()));
            }
        }
    }

    fn managed(&self, id: &str) -> Option<Managed> {
        self.state.instances.get(id)?.record.managed.as_deref().cloned()
    }

    fn forget_instance(&mut self, id: &Text) {
        self.state.instances.remove(id);
        self.touch(Key::Instance(id.clone()));
    }
}
