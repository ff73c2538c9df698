//! The node as the engine's backend.

use std::path::Path;
use std::sync::Arc;

use fornada_core::attempt::{Action, Observation};
use fornada_engine::Handle;
use fornada_engine::port::backend::Backend;
use fornada_node::Client;
use tokio::sync::mpsc;

/// Hands the engine's actions to the node.
pub(super) struct NodeBackend(pub(super) Arc<Client>);

impl Backend for NodeBackend {
    fn perform(&self, actions: Vec<Action>) {
        self.0.perform(actions);
    }
}

/// What the node saw, on its way to the engine. At most a few for each attempt that runs, so it needs no bound of its own.
pub(super) struct Observations(mpsc::UnboundedReceiver<Observation>);

/// Connects to the node of `dir`; jobs reach this server at `endpoint`.
pub(super) fn connect(dir: &Path, endpoint: &str) -> (Arc<Client>, Observations) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let client = Client::connect(dir, endpoint, move |observation| drop(sender.send(observation)));
    (Arc::new(client), Observations(receiver))
}

impl Observations {
    /// Passes them on for as long as both sides live.
    pub(super) fn deliver_to(mut self, engine: Handle) {
        tokio::spawn(async move {
            while let Some(observation) = self.0.recv().await {
                engine.observe(observation).await;
            }
        });
    }
}
