//! What every request can reach, and the context of one call.

use std::sync::Arc;

use fornada_core::arn::Scope;
use fornada_core::id::Uuid;
use fornada_core::turn::Turn;
use fornada_engine::Handle;
use fornada_engine::port::clock::Clock;
use fornada_engine::port::log::LogReader;
use fornada_engine::port::store::JobIndex;
use tokio::sync::OwnedSemaphorePermit;

use crate::access_keys::AccessKeys;
use crate::error::WireError;
use crate::limits::Limits;

/// Whether signatures are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Every request carries a valid Signature Version 4.
    SigV4,
    /// Anyone who reaches the port is let in; only for loopback addresses.
    None,
}

/// The server's parts, shared by all requests.
pub struct App {
    /// Commands and reads of the state.
    pub engine: Handle,
    /// Searching jobs.
    pub jobs: Arc<dyn JobIndex>,
    /// Reading logs.
    pub logs: Arc<dyn LogReader>,
    /// Who may call.
    pub keys: AccessKeys,
    /// Whether that is checked.
    pub auth: Auth,
    /// Region of requests that name none.
    pub region: String,
    /// Account of requests without a key, under [`Auth::None`].
    pub account_id: String,
    /// Time for checking signatures.
    pub clock: Box<dyn Clock + Sync>,
    /// How much one request may ask for.
    pub limits: Limits,
    /// What goes beyond AWS Batch is refused as AWS Batch would refuse it.
    pub strict: bool,
}

/// One call: the server, and on whose behalf.
#[derive(Clone)]
pub struct Call {
    /// The server.
    pub app: Arc<App>,
    /// Account and region of the caller.
    pub scope: Scope,
    /// Its place among the requests that are worked on; `None` for the server's own.
    pub(crate) slot: Option<Arc<OwnedSemaphorePermit>>,
}

impl Call {
    /// Runs `read`, which blocks on disk, off the async threads. The front door bounds how many do.
    ///
    /// # Errors
    /// Those of `read`, and when it panics.
    pub async fn blocking<R: Send + 'static>(
        &self,
        read: impl FnOnce(&App) -> Result<R, WireError> + Send + 'static,
    ) -> Result<R, WireError> {
        let app = Arc::clone(&self.app);
        let slot = self.slot.clone();
        let read = move || {
            let _slot = slot; // a thread goes on when its client has gone
            read(&app)
        };
        tokio::task::spawn_blocking(read).await.map_err(WireError::server)?
    }

    /// Applies a command, or reads, in a turn that has these jobs in memory, as far as they exist: those that ended long ago
    /// are fetched from the store first.
    ///
    /// # Errors
    /// When the store cannot be read, or the engine gives no answer.
    pub async fn decide_about<R: Send + 'static>(
        &self,
        jobs: Vec<Uuid>,
        command: impl FnOnce(&mut Turn<'_>) -> R + Send + 'static,
    ) -> Result<R, WireError> {
        let attempt = move |turn: &mut Turn<'_>| {
            let absent: Vec<Uuid> = jobs.into_iter().filter(|&job| !turn.state().knows(job)).collect();
            if absent.is_empty() { Ok(command(turn)) } else { Err((absent, command)) }
        };
        let (absent, command) = match self.app.engine.decide(attempt).await? {
            Ok(result) => return Ok(result),
            Err(again) => again,
        };
        let past = self.blocking(move |app| app.jobs.past_jobs(&absent).map_err(WireError::server)).await?;
        let with_past = move |turn: &mut Turn<'_>| {
            past.into_iter().for_each(|job| turn.recall(job));
            command(turn)
        };
        Ok(self.app.engine.decide(with_past).await?)
    }
}
