//! The node as the engine's backend.

use std::path::Path;
use std::sync::Arc;

use fornada_core::attempt::{Action, Observation};
use fornada_core::instance::{LaunchFailure, Provision};
use fornada_engine::Handle;
use fornada_engine::port::backend::Backend;
use fornada_engine::port::provisioner::Provisioner;
use fornada_node::Client;
use tokio::sync::mpsc;

/// Hands the engine's actions to the node.
pub(super) struct NodeBackend(pub(super) Arc<Client>);

impl Backend for NodeBackend {
    fn perform(&self, actions: Vec<Action>) {
        self.0.perform(actions);
    }
}

/// Observations that wait for the engine. When there are more, the node is not read from, and keeps them.
const WAITING_MAX: usize = 1024;

/// This machine as a provisioner: one machine, which is there as soon as its node is, and no other.
pub(super) struct ThisMachine(mpsc::UnboundedSender<Observation>);

impl Provisioner for ThisMachine {
    fn perform(&mut self, provisions: Vec<Provision>) {
        let answers = provisions.into_iter().map(|provision| match provision {
            Provision::Launch(request) => {
                Observation::LaunchFailed(request.instance_id, LaunchFailure::InsufficientCapacity)
            }
            Provision::Terminate(instance_id) => Observation::Terminated(instance_id),
        });
        answers.for_each(|answer| drop(self.0.send(answer)));
    }
}

/// What the node saw, and what became of launches, on its way to the engine.
pub(super) struct Observations {
    node: mpsc::Receiver<Observation>,
    /// Whoever answers holds up commits, so it may not wait. There is one answer for each instance that the engine waits for.
    provisioner: mpsc::UnboundedReceiver<Observation>,
}

/// Connects to the node of `dir`; jobs reach this server at `endpoint`.
pub(super) fn connect(dir: &Path, endpoint: &str) -> (Arc<Client>, ThisMachine, Observations) {
    let (sender, node) = mpsc::channel(WAITING_MAX);
    let (answers, provisioner) = mpsc::unbounded_channel();
    let client = Client::connect(dir, endpoint, sender);
    (Arc::new(client), ThisMachine(answers), Observations { node, provisioner })
}

impl Observations {
    /// Passes them on for as long as both sides live.
    pub(super) fn deliver_to(mut self, engine: Handle) {
        tokio::spawn(async move {
            loop {
                let observation = tokio::select! {
                    Some(observation) = self.node.recv() => observation,
                    Some(observation) = self.provisioner.recv() => observation,
                    else => return,
                };
                engine.observe(observation).await;
            }
        });
    }
}
