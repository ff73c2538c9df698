//! How the server leaves: jobs that run are not its own but the node's, and go on unless the operator says otherwise.

use std::time::Duration;

use anyhow::Result;
use fornada_engine::Handle;
use fornada_node::Client;
use tokio::signal::unix::{self, SignalKind};

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

/// Says what becomes of running jobs, as soon as the signal has come; how many there are.
pub(super) async fn announce(signal: Signal, engine: &Handle) -> usize {
    let running = engine.read(|state| state.running_attempts()).await.unwrap_or(0);
    if running == 0 {
        return 0;
    }
    let jobs = if running == 1 { "1 job is".to_owned() } else { format!("{running} jobs are") };
    eprintln!("{jobs} running and will go on; `fornada up` takes them up again.");
    if signal == Signal::Interrupt {
        eprintln!("Press Ctrl-C again within {} seconds to stop them too.", SECOND_THOUGHTS.as_secs());
    }
    running
}

/// Decides what becomes of the node. Everything acknowledged is durable already.
pub(super) async fn leave(
    signal: Signal,
    running: usize,
    signals: &mut Signals,
    engine: &Handle,
    node: &Client,
) {
    if running == 0 {
        return node.shutdown(false).await;
    }
    if signal == Signal::Terminate {
        return;
    }
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
