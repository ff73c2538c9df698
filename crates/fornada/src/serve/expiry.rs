//! Deletes what has expired, jobs and logs, and gives back the disk space.

use std::sync::Arc;
use std::time::Duration;

use fornada_api::app::App;
use fornada_core::time::Timestamp;

/// The longest time between two looks. Retention is counted in days as a rule.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Deletes what has expired, now and from time to time, for as long as the process lives: jobs when they have been over for
/// `retention`, logs as their groups say.
pub(super) fn run(app: Arc<App>, retention: Duration) {
    tokio::spawn(async move {
        // What is to be gone in an hour is not kept for two.
        let every = EVERY.min(retention / 4).max(Duration::from_secs(1));
        let mut next = tokio::time::interval(every);
        next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            next.tick().await;
            let app = Arc::clone(&app);
            let now = app.clock.now();
            let expired =
                Timestamp(now.0.saturating_sub(u64::try_from(retention.as_millis()).unwrap_or(u64::MAX)));
            if app.engine.decide(move |turn| turn.forget_ended(expired)).await.is_err() {
                continue; // it is busy, or the end has come
            }
            if let Err(error) = tokio::task::spawn_blocking(move || expire(&app, now, expired)).await {
                tracing::error!(%error, "deleting what has expired failed");
            }
        }
    });
}

fn expire(app: &App, now: Timestamp, expired: Timestamp) {
    match app.jobs.expire(expired) {
        Ok(0) => {}
        Ok(jobs) => tracing::info!(jobs, "deleted jobs that ended long ago"),
        Err(error) => warn(&error),
    }
    match app.logs.expire(now) {
        Ok(0) => {}
        Ok(bytes) => tracing::info!(bytes, "deleted expired logs"),
        Err(error) => warn(&error),
    }
}

fn warn(error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(error, "what has expired could not all be deleted");
}
