//! Time.

use std::cell::Cell;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use fornada_core::time::Timestamp;

/// Tells the time of turns.
pub trait Clock: Send {
    /// Now.
    fn now(&self) -> Timestamp;

    /// From here on, no time before `earliest` is told: records speak of it already.
    fn start_at(&mut self, earliest: Timestamp) {
        let _ = earliest;
    }
}

/// The machine's clock for decisions: it follows a clock that is set forward, and goes on at its own pace when the clock is set
/// back, so that nothing waits for a time to come round again.
#[derive(Debug)]
pub struct SteadyClock {
    latest: Cell<(Timestamp, Instant)>,
}

impl Default for SteadyClock {
    fn default() -> Self {
        SteadyClock { latest: Cell::new((SystemClock.now(), Instant::now())) }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let (latest, at) = self.latest.get();
        let elapsed = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = SystemClock.now().max(latest.plus_millis(elapsed));
        if now > latest {
            self.latest.set((now, Instant::now()));
        }
        now
    }

    fn start_at(&mut self, earliest: Timestamp) {
        self.latest.set((earliest, Instant::now()));
    }
}

/// The machine's clock as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}
