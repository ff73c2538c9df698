//! The steps of the loop as plain values: whoever drives them decides what runs when. The engine drives them with two threads.
//!
//! ```text
//! inputs → Decider::turn → Batch → Committer::settle → records, actions, events, replies
//! ```
//!
//! Batches are settled in the order in which they were decided, and at most [`AHEAD`] wait while one is being settled. When
//! settling fails nothing may be settled after it: whoever drives stops, and [`recover`] is the way back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fornada_core::attempt::{Action, Observation};
use fornada_core::event::Event;
use fornada_core::instance::Provision;
use fornada_core::record::Change;
use fornada_core::state::{Settings, State};
use fornada_core::turn::{Decision, Turn};
use tracing::info;

use crate::metrics::Metrics;
use crate::port::backend::Backend;
use crate::port::clock::Clock;
use crate::port::event::EventSink;
use crate::port::provisioner::Provisioner;
use crate::port::store::{self, Store};
use crate::run::Ports;

/// Batches that may wait while one is being settled: the next is decided meanwhile, and no further.
pub const AHEAD: usize = 1;

/// What to do when the turn is durable.
pub type Release = Box<dyn FnOnce() + Send>;

/// One input of a turn.
pub type Input = Box<dyn FnOnce(&mut Turn<'_>) -> Option<Release> + Send>;

/// A command, whose result is handed to `reply` once what it changed is durable.
pub fn command<R: Send + 'static>(
    command: impl FnOnce(&mut Turn<'_>) -> R + Send + 'static,
    reply: impl FnOnce(R) + Send + 'static,
) -> Input {
    Box::new(move |turn| {
        let result = command(turn);
        Some(Box::new(move || reply(result)))
    })
}

/// What a backend or a provisioner saw.
pub fn observation(observation: Observation) -> Input {
    Box::new(move |turn| {
        turn.observe(observation);
        None
    })
}

/// Events up to this number have arrived.
pub fn acknowledgement(up_to: u64) -> Input {
    Box::new(move |turn| {
        turn.delivered(up_to);
        None
    })
}

/// The first input after [`recover`].
pub fn resumption() -> Input {
    Box::new(|turn| {
        turn.resume();
        None
    })
}

/// Recovers the state from the store.
///
/// # Errors
/// When the records cannot be read.
pub fn recover(ports: Ports, metrics: Arc<Metrics>) -> Result<(Decider, Committer), store::Error> {
    let Ports { mut store, backend, provisioner, events, mut clock, entropy, settings } = ports;
    let loaded = store.load()?;
    let count = loaded.records.len();
    let mut state = State::recover(loaded);
    state.configure(Settings { events: events.is_some(), ..settings });
    info!(records = count, "state recovered");
    clock.start_at(state.latest());
    let decider = Decider { state, clock, entropy, metrics: Arc::clone(&metrics) };
    Ok((decider, Committer { store, backend, provisioner, events, metrics }))
}

/// A decided turn on its way to disk.
pub struct Batch {
    changes: Vec<Change>,
    releases: Vec<Release>,
    actions: Vec<Action>,
    provisions: Vec<Provision>,
    events: Vec<Arc<Event>>,
}

/// Owns the state.
pub struct Decider {
    state: State,
    clock: Box<dyn Clock>,
    entropy: Box<dyn FnMut() -> u128 + Send>,
    metrics: Arc<Metrics>,
}

impl Decider {
    /// Stamps the time, applies the inputs in order and decides what follows.
    pub fn turn(&mut self, inputs: impl IntoIterator<Item = Input>) -> Batch {
        self.metrics.turns.fetch_add(1, Ordering::Relaxed);
        let seed = (self.entropy)();
        let mut turn = Turn::begin(&mut self.state, self.clock.now(), seed);
        let releases = inputs.into_iter().filter_map(|input| input(&mut turn)).collect();
        let Decision { changes, actions, provisions, events } = turn.finish();
        Batch { changes, releases, actions, provisions, events }
    }

    /// How long the next turn may wait for inputs; `None` when nothing waits for time to pass.
    pub fn next_turn_in(&self) -> Option<Duration> {
        let at = self.state.next_timer()?;
        Some(Duration::from_millis(at.0.saturating_sub(self.clock.now().0)))
    }

    /// The state as the latest turn left it: not all of it need be durable yet.
    pub fn state(&self) -> &State {
        &self.state
    }
}

/// Owns the store; lets replies and actions out only after the commit.
pub struct Committer {
    store: Box<dyn Store>,
    backend: Box<dyn Backend>,
    provisioner: Box<dyn Provisioner>,
    events: Option<Box<dyn EventSink>>,
    metrics: Arc<Metrics>,
}

impl Committer {
    /// Makes a batch durable; then acts, and replies.
    ///
    /// # Errors
    /// When it cannot be made durable: then nothing of it is acted on or acknowledged.
    pub fn settle(&mut self, batch: Batch) -> Result<(), store::Error> {
        let Batch { changes, releases, actions, provisions, events } = batch;
        if !changes.is_empty() {
            let began = Instant::now();
            self.store.commit(&changes)?;
            let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.metrics.commits.fetch_add(1, Ordering::Relaxed);
            self.metrics.records.fetch_add(changes.len() as u64, Ordering::Relaxed);
            self.metrics.commit_micros.fetch_add(micros, Ordering::Relaxed);
        }
        if !actions.is_empty() {
            self.metrics.actions.fetch_add(actions.len() as u64, Ordering::Relaxed);
            self.backend.perform(actions);
        }
        if !provisions.is_empty() {
            self.provisioner.perform(provisions);
        }
        if let Some(sink) = self.events.as_mut().filter(|_| !events.is_empty()) {
            sink.deliver(events);
        }
        releases.into_iter().for_each(|release| release());
        Ok(())
    }
}
