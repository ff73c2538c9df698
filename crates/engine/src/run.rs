//! The loop itself: one thread decides, one thread commits and acts. What they do stands in [`crate::step`].

use std::sync::Arc;
use std::time::Duration;

use fornada_core::state::Settings;
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use crate::handle::Handle;
use crate::metrics::Metrics;
use crate::port::backend::Backend;
use crate::port::clock::Clock;
use crate::port::event::EventSink;
use crate::port::provisioner::Provisioner;
use crate::port::store::{self, Store};
use crate::step::{self, AHEAD, Batch, Committer, Decider, Input};

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
    /// Who is told of changes of status. Without, none are recorded.
    pub events: Option<Box<dyn EventSink>>,
    /// What time it is.
    pub clock: Box<dyn Clock>,
    /// 128 random bits, anew on each call.
    pub entropy: Box<dyn FnMut() -> u128 + Send>,
    /// What the operator chose of how decisions are made; whether there are events follows from the port.
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

impl Engine {
    /// Recovers the state from the store and starts the loop.
    ///
    /// # Errors
    /// When the records cannot be read.
    ///
    /// # Panics
    /// When no thread can be started.
    pub fn start(ports: Ports) -> Result<Engine, store::Error> {
        let metrics = Arc::new(Metrics::default());
        let (decider, committer) = step::recover(ports, Arc::clone(&metrics))?;
        let (inputs, receiver) = mpsc::channel::<Input>(QUEUE_MAX);
        let (batches, committing) = mpsc::channel::<Batch>(AHEAD);
        let (fatal, stopped) = oneshot::channel();

        let loop_thread = std::thread::Builder::new().name("engine".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            runtime.expect("a timer needs no resources").block_on(decide(decider, receiver, batches));
        });
        let loop_thread = loop_thread.expect("a thread can be started");
        let commit_thread = std::thread::Builder::new().name("commit".into()).spawn(move || {
            let end =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| commit(committer, committing)));
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

/// Lets the decider take turns for as long as somebody takes its batches.
async fn decide(mut decider: Decider, mut inputs: mpsc::Receiver<Input>, batches: mpsc::Sender<Batch>) {
    let mut waiting: Vec<Input> = vec![step::resumption()];
    // Inputs are taken only when there is room at the committer: until then they gather, and the batch is the larger for it.
    while let Ok(slot) = batches.reserve().await {
        if waiting.is_empty() {
            tokio::select! {
                biased;
                () = batches.closed() => return, // a failed commit ends the loop at once, not at the next input
                taken = inputs.recv_many(&mut waiting, TURN_MAX) => if taken == 0 { return },
                () = until(decider.next_turn_in()) => {}
            }
        }
        slot.send(decider.turn(waiting.drain(..)));
    }
}

async fn until(timer: Option<Duration>) {
    match timer {
        Some(wait) => tokio::time::sleep(wait.min(SLEEP_MAX)).await,
        None => std::future::pending().await,
    }
}

/// Settles batches for as long as there is somebody to decide them.
fn commit(mut committer: Committer, mut batches: mpsc::Receiver<Batch>) -> Result<(), store::Error> {
    while let Some(batch) = batches.blocking_recv() {
        committer.settle(batch)?;
    }
    Ok(())
}
