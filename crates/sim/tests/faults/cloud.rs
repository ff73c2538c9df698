//! The simulated cloud as a provisioner that answers whatever it is asked, also twice, and that can lose its connection.

use std::collections::{BTreeMap, BTreeSet};

use fornada_core::attempt::{Host, Observation};
use fornada_core::instance::Provision;
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_engine::port::provisioner::Provisioner;
use fornada_sim::cloud::{Parameters, SimulatedCloud};

/// What happened in the cloud.
pub enum News {
    /// Attempts can be placed on an instance from now on.
    Ready(Host),
    Said(Observation),
}

pub struct Cloud {
    cloud: SimulatedCloud,
    live: BTreeSet<Text>,
    noticed: BTreeSet<Text>,
    /// The last that was said of those that are not.
    over: BTreeMap<Text, Observation>,
}

impl Cloud {
    pub fn new(parameters: Parameters, seed: u64, begin: u64) -> Cloud {
        let cloud = SimulatedCloud::new(parameters, seed, Timestamp(begin));
        Cloud { cloud, live: BTreeSet::new(), noticed: BTreeSet::new(), over: BTreeMap::new() }
    }

    /// Takes what is asked for; what it can answer at once, it does.
    pub fn perform(&mut self, provision: Provision) -> Option<Observation> {
        let id = match &provision {
            Provision::Launch(request) => request.instance_id.clone(),
            Provision::Terminate(id) => id.clone(),
        };
        match (&provision, self.over.get(&id)) {
            (Provision::Launch(_), Some(last)) => return Some(last.clone()),
            (Provision::Launch(_), None) => drop(self.live.insert(id)),
            (Provision::Terminate(_), _) if !self.live.contains(&id) => {
                return Some(Observation::Terminated(id));
            }
            (Provision::Terminate(_), _) => {}
        }
        self.cloud.perform(vec![provision]);
        None
    }

    /// An instance is gone; it is heard of that later.
    pub fn lose(&mut self, id: &Text) {
        self.cloud.perform(vec![Provision::Terminate(id.clone())]);
    }

    pub fn next_event(&self) -> Option<u64> {
        self.cloud.next_event().map(|at| at.0)
    }

    pub fn advance(&mut self, now: u64) -> Vec<News> {
        let seen = self.cloud.advance(Timestamp(now));
        seen.into_iter().map(|observation| self.note(observation)).collect()
    }

    fn note(&mut self, observation: Observation) -> News {
        match &observation {
            Observation::Connected(host, _) => return News::Ready(host.clone()),
            Observation::Interrupted(id) => drop(self.noticed.insert(id.clone())),
            Observation::LaunchFailed(id, _) | Observation::Terminated(id) => {
                self.live.remove(id);
                self.noticed.remove(id);
                self.over.insert(id.clone(), observation.clone());
            }
            other => unreachable!("{other:?} is not of a cloud"),
        }
        News::Said(observation)
    }

    /// What is said with each new connection.
    pub fn hello(&self) -> Vec<Observation> {
        let all = Observation::Instances(self.live.iter().cloned().collect());
        let noticed = self.noticed.iter().cloned().map(Observation::Interrupted);
        [all].into_iter().chain(noticed).collect()
    }

    /// Launched, or being launched.
    pub fn live(&self) -> &BTreeSet<Text> {
        &self.live
    }
}
