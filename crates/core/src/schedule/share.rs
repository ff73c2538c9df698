//! Fair share: how much a share has used lately, and what that means for its turn.
//!
//! A share is scored by the vCPUs that it has now, and the average that it had over the decay window, recent use counting
//! more, times its weight; the lowest score goes next. History is kept in a fixed number of intervals, so that a score
//! costs the same whatever happened. It is a record, written when what the share has changes.
//!
//! Source: AWS Batch User Guide, fair-share scheduling policies; API reference, FairsharePolicy.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use crate::arn::Arn;
use crate::refusal::Refusal;
use crate::text::Text;
use crate::time::Timestamp;

/// Shares of a queue that may be active at once. Source: AWS Batch User Guide, service quotas.
const ACTIVE_SHARES_MAX: usize = 500;

/// The shortest window over which use is remembered, in seconds. Source: AWS Batch API reference, FairsharePolicy
/// (shareDecaySeconds: 0 stands for it).
pub(crate) const DECAY_MIN_SECONDS: u32 = 600;

/// Intervals that a window is cut into.
const INTERVALS: usize = 32;

/// What a share had, over the last window.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Past {
    /// Length of an interval in milliseconds.
    #[n(0)]
    interval: u64,
    /// Thousandths of a vCPU times milliseconds, by number of the interval modulo [`INTERVALS`].
    #[n(1)]
    used: [u64; INTERVALS],
    /// Up to when it is written.
    #[n(2)]
    until: u64,
    /// [`Past::average`], which is asked for much more often than it changes.
    #[n(3)]
    average: u64,
}

impl Past {
    /// Nothing yet, to be remembered for `seconds` and no less than [`DECAY_MIN_SECONDS`].
    pub(crate) fn new(seconds: u32, now: Timestamp) -> Past {
        let window = u64::from(seconds.max(DECAY_MIN_SECONDS)) * 1000;
        Past { interval: window / INTERVALS as u64, used: [0; INTERVALS], until: now.0, average: 0 }
    }

    /// Length of the window in milliseconds.
    pub(crate) fn window(&self) -> u64 {
        self.interval * INTERVALS as u64
    }

    /// Up to when it is written.
    pub(crate) fn until(&self) -> Timestamp {
        Timestamp(self.until)
    }

    /// Writes down that `running` thousandths of a vCPU were in use until `now`.
    pub(crate) fn advance(&mut self, running: u64, now: Timestamp) {
        let begin = self.until.max(now.0.saturating_sub(self.window()));
        for number in self.until / self.interval + 1..=now.0 / self.interval {
            if number + INTERVALS as u64 > now.0 / self.interval {
                self.used[Self::place(number)] = 0;
            }
        }
        self.until = self.until.max(now.0);
        self.write(running, begin, now.0);
        self.average = self.weigh();
    }

    /// Adds what an earlier attempt had, as far as it is within the window that ends now.
    pub(crate) fn recall(&mut self, milli_vcpus: u64, from: Timestamp, to: Timestamp) {
        // The oldest interval has been given to the newest already.
        let oldest = (self.until / self.interval + 1).saturating_sub(INTERVALS as u64) * self.interval;
        self.write(milli_vcpus, from.0.max(oldest), to.0.min(self.until));
        self.average = self.weigh();
    }

    fn write(&mut self, milli_vcpus: u64, mut from: u64, to: u64) {
        while from < to && milli_vcpus > 0 {
            let end = ((from / self.interval + 1) * self.interval).min(to);
            let used = &mut self.used[Self::place(from / self.interval)];
            *used = used.saturating_add(milli_vcpus.saturating_mul(end - from));
            from = end;
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "reduced to less than INTERVALS before")]
    fn place(number: u64) -> usize {
        (number % INTERVALS as u64) as usize
    }

    /// The average over the window in thousandths of a vCPU, where use counts the less the older it is, down to nothing:
    /// who had 1 vCPU all the time gets 1000.
    pub(crate) fn average(&self) -> u64 {
        self.average
    }

    fn weigh(&self) -> u64 {
        if self.used == [0; INTERVALS] {
            return 0;
        }
        let (newest, window) = (self.until / self.interval, u128::from(self.window()));
        let oldest = (newest + 1).saturating_sub(INTERVALS as u64);
        let weighted: u128 = (oldest..=newest)
            .map(|number| {
                let middle = number * self.interval + self.interval / 2;
                let age = u128::from(self.until.saturating_sub(middle));
                u128::from(self.used[Self::place(number)]) * window.saturating_sub(age)
            })
            .sum();
        u64::try_from(weighted * 2 / (window * window)).unwrap_or(u64::MAX)
    }

    /// The same, to be remembered for another time.
    pub(crate) fn over(&self, seconds: u32) -> Past {
        let mut other = Past::new(seconds, Timestamp(self.until));
        if other.interval == self.interval {
            return self.clone();
        }
        let Some(newest) = self.until.checked_div(self.interval) else { return other }; // a record may be damaged
        for number in (newest + 1).saturating_sub(INTERVALS as u64)..=newest {
            let begin = number * self.interval;
            let end = (begin + self.interval).min(self.until);
            let used = self.used[Self::place(number)];
            if end > begin {
                other.recall(used / (end - begin), Timestamp(begin), Timestamp(end));
            }
        }
        other
    }
}

/// What shares are compared by: use in thousandths of a vCPU, weight in ten-thousandths.
pub(crate) fn usage(running: u64, weight: u32) -> u128 {
    u128::from(running) * u128::from(weight)
}

/// Of `total`, in whatever unit, what `active` shares may use: `percent` to the power of their number is kept for shares that
/// are not active yet. Source: AWS Batch API reference, FairsharePolicy (computeReservation).
pub(crate) fn cap(total: u64, percent: u32, active: usize) -> u64 {
    let mut kept = total;
    for _ in 0..active {
        let next = u64::try_from(u128::from(kept) * u128::from(percent) / 100).unwrap_or(kept);
        if next == kept {
            break;
        }
        kept = next;
    }
    total - kept.min(total)
}

/// A job of a fair-share queue names a share, and one more may be `active`.
pub(crate) fn check_share<V>(
    queue: &Arn,
    share: Option<&str>,
    active: Option<&BTreeMap<Text, V>>,
) -> Result<(), Refusal> {
    let share = share.ok_or_else(|| Refusal::ShareRequired { arn: queue.clone() })?;
    if active.is_some_and(|active| active.len() >= ACTIVE_SHARES_MAX && !active.contains_key(share)) {
        return Err(Refusal::TooManyShares { arn: queue.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 600_000;

    fn past(history: &[(u64, u64)]) -> Past {
        let mut past = Past::new(0, Timestamp(1_000_000_000));
        for &(running, millis) in history {
            past.advance(running, Timestamp(past.until + millis));
        }
        past
    }

    #[test]
    fn use_counts_less_the_older_it_is() {
        let near = |a: u64, b: u64| a.abs_diff(b) <= 50; // a window has 32 intervals
        for (history, want) in [
            (&[][..], 0),
            (&[(1000, 10 * WINDOW)], 1000),
            (&[(1000, WINDOW / 2)], 750),
            (&[(1000, WINDOW / 2), (0, WINDOW / 2)], 250),
            (&[(1000, WINDOW), (0, WINDOW / 2)], 250),
            (&[(1000, WINDOW), (0, 2 * WINDOW)], 0),
            (&[(1000, WINDOW), (0, 1000 * WINDOW), (2000, WINDOW / 2)], 1500),
            (&[(4000, WINDOW / 4), (0, WINDOW / 4), (4000, WINDOW / 2)], 3000 + 250),
        ] {
            let got = past(history).average();
            assert!(near(got, want), "{history:?}: {got}, not {want}");
        }
    }

    #[test]
    fn the_reservation_shrinks_with_each_active_share() {
        for (percent, active, want) in
            [(50, 1, 500), (50, 2, 750), (50, 3, 875), (0, 1, 1000), (99, 1, 10), (50, 500, 1000), (0, 0, 0)]
        {
            assert_eq!(cap(1000, percent, active), want, "{percent} % for {active}");
        }
        assert_eq!(cap(u64::MAX, 99, 1), u64::MAX - u64::try_from(u128::from(u64::MAX) * 99 / 100).unwrap());
    }

    #[test]
    fn what_is_recalled_is_what_was_written() {
        let start = 1_000_000_000;
        let mut written = past(&[(3000, 200_000), (1000, 100_000)]);
        let mut recalled = Past::new(0, Timestamp(written.until));
        recalled.recall(3000, Timestamp(start), Timestamp(start + 200_000));
        recalled.recall(1000, Timestamp(start + 200_000), Timestamp(start + 300_000));
        recalled.recall(1000, Timestamp(5), Timestamp(start - WINDOW));
        assert_eq!(recalled, written);
        // 3000 for 200 s at an age of 200 s, 1000 for 100 s at an age of 50 s.
        assert!(written.average().abs_diff(1638) <= 50, "{}", written.average());
        assert!(written.over(6_000).average().abs_diff(226) <= 10, "{}", written.over(6_000).average());
        written.advance(0, Timestamp(written.until + 2 * WINDOW));
        assert_eq!(written.average(), 0);
    }
}
