//! What every request can reach, and the context of one call.

use std::sync::Arc;

use fornada_core::arn::Scope;
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
}
