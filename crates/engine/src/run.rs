//! The loop itself: one thread decides, one thread commits and acts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fornada_core::attempt::Action;
use fornada_core::instance::Provision;
use fornada_core::record::Change;
use fornada_core::state::{Settings, State};
use fornada_core::turn::{Decision, Turn};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info};

use crate::handle::{Handle, Input, Release};
use crate::metrics::Metrics;
use crate::port::backend::Backend;
use crate::port::clock::Clock;
use crate::port::provisioner::Provisioner;
use crate::port::store::{self, Store};

/// Inputs that may wait. More than a batch, so that the loop never idles under load; each is about a kilobyte.
const QUEUE_MAX: usize = 8192;

/// Inputs that one turn takes: bounds how long the first of them waits for the last.
const TURN_MAX: usize = 1024;

/// The longest sleep between looks at the clock, so that a clock set forward is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// The world that the loop runs in.
pub struct Ports {
    /// Where records are kept.
    pub store: Box<dyn Store>,
    /// Where attempts run.
    pub backend: Box<dyn Backend>,
    /// Where instances come from, for environments that scale.
    pub provisioner: Box<dyn Provisioner>,
    /// What time it is.
    pub clock: Box<dyn Clock>,
    /// 128 random bits, anew on each call.
    pub entropy: Box<dyn FnMut() -> u128 + Send>,
    /// What the operator chose of how decisions are made.
    pub settings: Settings,
}

/// Why the engine stopped by itself. Starting it again is the way back.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// Changes could not be made durable. Nothing of them was acknowledged.
    #[error("cannot commit")]
    Commit(#[source] store::Error),
    /// A bug: an invariant did not hold.
    #[error("the engine panicked; this is a bug")]
    Panic,
}

/// A running engine.
pub struct Engine {
    handle: Handle,
    stopped: oneshot::Receiver<Fatal>,
}

/// A decided turn on its way to disk.
struct Batch {
    changes: Vec<Change>,
    releases: Vec<Release>,
    actions: Vec<Action>,
    provisions: Vec<Provision>,
}

impl Engine {
    /// Recovers the state from the store and starts the loop.
    ///
    /// # Errors
    /// When the records cannot be read.
    ///
    /// # Panics
    /// When no thread can be started.
    pub fn start(mut ports: Ports) -> Result<Engine, store::Error> {
        let loaded = ports.store.load()?;
        let count = loaded.records.len();
        let mut state = State::recover(loaded);
        state.configure(ports.settings);
        info!(records = count, "state recovered");

        let metrics = Arc::new(Metrics::default());
        let (inputs, receiver) = mpsc::channel::<Input>(QUEUE_MAX);
        // One batch may wait while one is being committed: the next is decided meanwhile, and no further.
        let (batches, committing) = mpsc::channel::<Batch>(1);
        let (fatal, stopped) = oneshot::channel();

        let Ports { store, backend, provisioner, mut clock, entropy, settings: _ } = ports;
        clock.start_at(state.latest());
        let decider = Decider { state, clock, entropy, metrics: Arc::clone(&metrics) };
        let loop_thread = std::thread::Builder::new().name("engine".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            runtime.expect("a timer needs no resources").block_on(decider.run(receiver, batches));
        });
        let loop_thread = loop_thread.expect("a thread can be started");
        let committer = Committer { store, backend, provisioner, metrics: Arc::clone(&metrics) };
        let commit_thread = std::thread::Builder::new().name("commit".into()).spawn(move || {
            let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| committer.run(committing)));
            let decided = loop_thread.join(); // the channel is closed either way, so the loop ends too
            let reason = match (end, decided) {
                (Ok(Err(source)), _) => Some(Fatal::Commit(source)),
                (Err(_), _) | (_, Err(_)) => Some(Fatal::Panic),
                (Ok(Ok(())), Ok(())) => None,
            };
            if let Some(reason) = reason {
                error!(error = &reason as &dyn std::error::Error, "the engine stops");
                drop(fatal.send(reason));
            }
        });
        commit_thread.expect("a thread can be started");
        Ok(Engine { handle: Handle { inputs, metrics }, stopped })
    }

    /// The way in.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits for the engine to stop: by itself, with the reason; or, once every handle is gone, when all is committed.
    pub async fn stopped(self) -> Option<Fatal> {
        let Engine { handle, stopped } = self;
        drop(handle);
        stopped.await.ok()
    }
}

/// Owns the state.
struct Decider {
    state: State,
    clock: Box<dyn Clock>,
    entropy: Box<dyn FnMut() -> u128 + Send>,
    metrics: Arc<Metrics>,
}

impl Decider {
    async fn run(mut self, mut inputs: mpsc::Receiver<Input>, batches: mpsc::Sender<Batch>) {
        let mut waiting: Vec<Input> = vec![Box::new(|turn| {
            turn.resume();
            None
        })];
        // Inputs are taken only when there is room at the committer: until then they gather, and the batch is the larger for it.
        while let Ok(slot) = batches.reserve().await {
            if waiting.is_empty() {
                tokio::select! {
                    biased;
                    () = batches.closed() => return, // a failed commit ends the loop at once, not at the next input
                    taken = inputs.recv_many(&mut waiting, TURN_MAX) => if taken == 0 { return },
                    () = self.until_next_timer() => {}
                }
            }
            slot.send(self.turn(&mut waiting));
        }
    }

    fn turn(&mut self, waiting: &mut Vec<Input>) -> Batch {
        self.metrics.turns.fetch_add(1, Ordering::Relaxed);
        let seed = (self.entropy)();
        let mut turn = Turn::begin(&mut self.state, self.clock.now(), seed);
        let releases = waiting.drain(..).filter_map(|input| input(&mut turn)).collect();
        let Decision { changes, actions, provisions } = turn.finish();
        Batch { changes, releases, actions, provisions }
    }

    async fn until_next_timer(&self) {
        let Some(at) = self.state.next_timer() else { return std::future::pending().await };
        let wait = Duration::from_millis(at.0.saturating_sub(self.clock.now().0));
        tokio::time::sleep(wait.min(SLEEP_MAX)).await;
    }
}

/// Owns the store; lets replies and actions out only after the commit.
struct Committer {
    store: Box<dyn Store>,
    backend: Box<dyn Backend>,
    provisioner: Box<dyn Provisioner>,
    metrics: Arc<Metrics>,
}

impl Committer {
    fn run(mut self, mut batches: mpsc::Receiver<Batch>) -> Result<(), store::Error> {
        while let Some(Batch { changes, releases, actions, provisions }) = batches.blocking_recv() {
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
            releases.into_iter().for_each(|release| release());
        }
        Ok(())
    }
}
