//! Counters of the loop, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the loop has done since it started. Each is a running total.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(crate) turns: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) commit_micros: AtomicU64,
    pub(crate) actions: AtomicU64,
}

impl Metrics {
    /// Name, description and value of each counter.
    pub fn totals(&self) -> [(&'static str, &'static str, u64); 5] {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("engine_turns", "Turns of the loop", get(&self.turns)),
            ("store_commits", "Durable transactions", get(&self.commits)),
            ("store_records", "Records written", get(&self.records)),
            ("store_commit_microseconds", "Time spent in commits", get(&self.commit_micros)),
            ("backend_actions", "Actions handed to backends", get(&self.actions)),
        ]
    }
}
