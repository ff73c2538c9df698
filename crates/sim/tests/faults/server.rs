//! The server: the engine's own steps, in any order that its two threads could take them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fornada_core::state::{Settings, State};
use fornada_engine::port::event::EventSink;
use fornada_engine::port::store::Error;
use fornada_engine::step::{self, AHEAD, Batch, Committer, Decider, Input};
use fornada_engine::{Metrics, Ports};

use crate::dice::Dice;
use crate::ports::Door;

pub struct Server {
    decider: Decider,
    committer: Committer,
    /// Decided, and not yet settled.
    batches: VecDeque<Batch>,
    pub waiting: Vec<Input>,
}

impl Server {
    pub fn start(door: &Door, settings: Settings, mut entropy: Dice) -> Server {
        let sink = settings.events.then(|| Box::new(door.clone()) as Box<dyn EventSink>);
        let ports = Ports {
            store: Box::new(door.clone()),
            backend: Box::new(door.clone()),
            provisioner: Box::new(door.clone()),
            events: sink,
            clock: Box::new(door.clone()),
            entropy: Box::new(move || entropy.bits()),
            settings,
        };
        let (decider, committer) =
            step::recover(ports, Arc::new(Metrics::default())).expect("the disk can be read");
        Server { decider, committer, batches: VecDeque::new(), waiting: vec![step::resumption()] }
    }

    pub fn state(&self) -> &State {
        self.decider.state()
    }

    /// Milliseconds until the next turn is due by itself.
    pub fn next_turn_in(&self) -> Option<u64> {
        let wait = self.decider.next_turn_in()?;
        Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn may_decide(&self) -> bool {
        let is_due = !self.waiting.is_empty() || self.decider.next_turn_in() == Some(Duration::ZERO);
        self.batches.len() <= AHEAD && is_due
    }

    pub fn may_settle(&self) -> bool {
        !self.batches.is_empty()
    }

    /// One turn with the first `count` inputs.
    pub fn decide(&mut self, count: usize) {
        self.batches.push_back(self.decider.turn(self.waiting.drain(..count)));
    }

    pub fn settle(&mut self) -> Result<(), Error> {
        let batch = self.batches.pop_front().expect("there is one to settle");
        self.committer.settle(batch)
    }
}
