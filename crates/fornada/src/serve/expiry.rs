//! Deletes what has expired, jobs and logs, and gives back the disk space.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use fornada_api::app::App;
use fornada_core::time::Timestamp;
use fornada_engine::port::store::Expired;
use tokio::time::sleep;

/// The longest time between two looks. Retention is counted in days as a rule.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Before the first look, and before one that comes instead of one that failed: a clock that is wrong when the machine starts
/// has been set by then.
const SOON: Duration = Duration::from_secs(60);

/// Between two steps, in which others write.
const PAUSE: Duration = Duration::from_millis(5);

/// Deletes what has expired, from time to time, for as long as the process lives: jobs when they have been over for
/// `retention`, logs as their groups say.
pub(super) fn run(app: Arc<App>, retention: Duration) {
    tokio::spawn(async move {
        // What is to be gone in an hour is not kept for two.
        let every = EVERY.min(retention / 4).max(Duration::from_secs(1));
        let mut wait = SOON.min(every);
        loop {
            sleep(wait).await;
            wait = match expire(&app, retention).await {
                Ok(()) => every,
                Err(error) => {
                    tracing::warn!(error = &*error, "what has expired could not all be deleted");
                    SOON.min(every)
                }
            };
        }
    });
}

async fn expire(app: &Arc<App>, retention: Duration) -> Result<()> {
    let now = app.clock.now();
    let retention = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
    let before = Timestamp(now.0.saturating_sub(retention));
    app.engine.decide(move |turn| turn.forget_ended(before)).await.context("ended jobs stay in memory")?;
    let mut jobs = 0;
    loop {
        let step = blocking(app, move |app| Ok(app.jobs.expire(before)?)).await?;
        let Expired { jobs: some, may_go_on } = step;
        jobs += some;
        if !may_go_on {
            break;
        }
        sleep(PAUSE).await;
    }
    let bytes = blocking(app, move |app| Ok(app.logs.expire(now)?)).await?;
    if jobs > 0 || bytes > 0 {
        tracing::info!(jobs, log_bytes = bytes, "deleted what has expired");
    }
    Ok(())
}

/// One step that blocks on the disk: a server that stops waits for no more than that.
async fn blocking<R: Send + 'static>(
    app: &Arc<App>,
    step: impl FnOnce(&App) -> Result<R> + Send + 'static,
) -> Result<R> {
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || step(&app)).await.map_err(|_| anyhow!("deleting has failed"))?
}
