//! How the server leaves: jobs that run are not its own but the node's, and go on unless the operator says otherwise.

use std::time::Duration;

use anyhow::Result;
use fornada_engine::Handle;
use fornada_node::Client;
use tokio::signal::unix::{self, SignalKind};

use super::keeper::Keeper;

/// How long a second Ctrl-C counts.
const SECOND_THOUGHTS: Duration = Duration::from_secs(5);
/// SIGTERM, 30 seconds, SIGKILL, and a little for the last reports.
const STOPPING_MAX: Duration = Duration::from_secs(35);
/// Between two looks at whether the jobs have stopped.
const LOOK: Duration = Duration::from_millis(20);

/// What asks the server to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Ctrl-C: somebody is there.
    Interrupt,
    /// A service manager, or a terminal that was closed.
    Terminate,
}

/// The signals that end the server.
pub(super) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Signals> {
        Ok(Signals {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            hangup: unix::signal(SignalKind::hangup())?,
        })
    }

    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.hangup.recv() => Signal::Terminate,
        }
    }
}

/// Decides what becomes of the node. Everything acknowledged is durable already.
pub(super) async fn leave(
    signal: Signal,
    signals: &mut Signals,
    engine: &Handle,
    node: &Client,
    keeper: Option<Keeper>,
) {
    let Some(keeper) = keeper else { return }; // somebody else's node
    keeper.release();
    let running = engine.read(|state| state.running_attempts()).await.unwrap_or(0);
    if running == 0 {
        return node.shutdown(false).await;
    }
    let jobs = if running == 1 { "1 job is".to_owned() } else { format!("{running} jobs are") };
    eprintln!("{jobs} running and will go on; `fornada up` takes them up again.");
    if signal == Signal::Terminate {
        return;
    }
    eprintln!("Press Ctrl-C again within {} seconds to stop them too.", SECOND_THOUGHTS.as_secs());
    if tokio::time::timeout(SECOND_THOUGHTS, signals.next()).await != Ok(Signal::Interrupt) {
        return;
    }
    eprintln!("stopping {running} (SIGTERM, 30 seconds, SIGKILL) …");
    // Nothing new is placed meanwhile: a retry waits for the next start.
    let _ = engine.decide(|turn| turn.drain()).await;
    node.shutdown(true).await;
    let stopped = async {
        while engine.read(|state| state.running_attempts()).await.unwrap_or(0) > 0 {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(STOPPING_MAX, stopped).await.is_err() {
        eprintln!("some did not report their end; the next `fornada up` sorts that out");
    }
}
