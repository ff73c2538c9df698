//! Gives back the disk space of logs that have expired.

use std::sync::Arc;
use std::time::Duration;

use fornada_api::app::App;

/// Between two looks. Retention is counted in days, and readers leave out what has expired by themselves.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Expires logs now and from time to time, for as long as the process lives.
pub(super) fn run(app: Arc<App>) {
    tokio::spawn(async move {
        let mut next = tokio::time::interval(EVERY);
        loop {
            next.tick().await;
            let app = Arc::clone(&app);
            let expired = tokio::task::spawn_blocking(move || app.logs.expire(app.clock.now())).await;
            match expired {
                Ok(Ok(0)) => {}
                Ok(Ok(bytes)) => tracing::info!(bytes, "deleted expired logs"),
                Ok(Err(error)) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "expired logs could not all be deleted");
                }
                Err(error) => tracing::error!(%error, "expiring logs failed"),
            }
        }
    });
}
