//! The threads that fork.
//!
//! A job's process dies with the *thread* that forked it (`PR_SET_PDEATHSIG`), so all are forked by a few threads that
//! live as long as the node. Several of them, so that one slow start delays no other.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use tokio::sync::{Semaphore, oneshot};

use crate::process::Context;

/// Forks are mostly spent in the kernel: more threads than this gain nothing, fewer wait for each other.
const THREADS: usize = 3;

type Work = Box<dyn FnOnce(&Context) + Send>;

/// The threads. They end when this is dropped, and what they forked with them.
pub(crate) struct Spawner {
    work: mpsc::Sender<Work>,
    /// One a thread: who has none can still be stopped before anything was started.
    permits: Semaphore,
}

impl Spawner {
    pub(crate) fn new(context: &Arc<Context>) -> io::Result<Spawner> {
        let (work, receiver) = mpsc::channel::<Work>();
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..THREADS {
            let (context, receiver) = (context.clone(), receiver.clone());
            let serve = move || loop {
                let work = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(work) = work else { return };
                work(&context);
            };
            std::thread::Builder::new().name(format!("spawn-{number}")).spawn(serve)?;
        }
        Ok(Spawner { work, permits: Semaphore::new(THREADS) })
    }

    /// Does `work` on one of the threads. `None` when `stopped` came before one was free, or the node is shutting down.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        stopped: impl Future<Output = ()>,
        work: impl FnOnce(&Context) -> T + Send + 'static,
    ) -> Option<T> {
        let _permit = tokio::select! {
            biased;
            () = stopped => return None,
            permit = self.permits.acquire() => permit,
        };
        let (reply, answer) = oneshot::channel();
        self.work.send(Box::new(move |context| drop(reply.send(work(context))))).ok()?;
        answer.await.ok()
    }
}
