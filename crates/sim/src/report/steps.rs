//! Amounts over time, as means over steps of equal length.

/// Step lengths in seconds that people can read.
const LENGTHS: [u64; 20] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800,
    604_800,
];
/// A chart has about as many points as a screen can show.
const STEPS_MAX: u64 = 300;

/// The steps of a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Milliseconds since the Unix epoch.
    pub begin: u64,
    /// The same.
    pub end: u64,
    /// Of one step, in milliseconds.
    pub length: u64,
}

impl Steps {
    /// The shortest steps that are few enough.
    pub fn new(begin: u64, end: u64) -> Steps {
        let end = end.max(begin + 1);
        let fits = |length: &&u64| (end - begin).div_ceil(**length * 1000) <= STEPS_MAX;
        let length = LENGTHS.iter().find(fits).copied().unwrap_or((end - begin) / STEPS_MAX / 1000 + 1);
        Steps { begin, end, length: length * 1000 }
    }

    /// How many.
    pub fn count(&self) -> usize {
        usize::try_from((self.end - self.begin).div_ceil(self.length)).expect("steps are few")
    }

    /// The times at which each begins.
    pub fn starts(&self) -> impl Iterator<Item = u64> {
        let (begin, length) = (self.begin, self.length);
        (0..self.count() as u64).map(move |step| begin + step * length)
    }
}

/// An amount that changes, collected from intervals in which something added to it. Adding one costs O(1).
#[derive(Clone, Debug)]
pub(super) struct Level {
    steps: Steps,
    /// By step: amount × milliseconds of intervals that do not fill it.
    partial: Vec<u64>,
    /// By step: by how much the amount of intervals that fill whole steps changes.
    change: Vec<i64>,
}

impl Level {
    pub(super) fn new(steps: Steps) -> Level {
        Level { steps, partial: vec![0; steps.count()], change: vec![0; steps.count() + 1] }
    }

    /// Something of this amount from one time until another.
    pub(super) fn add(&mut self, from: u64, until: u64, amount: u64) {
        let Steps { begin, end, length } = self.steps;
        let (from, until) = (from.clamp(begin, end) - begin, until.clamp(begin, end) - begin);
        if until <= from {
            return;
        }
        let step = |at: u64| usize::try_from(at / length).expect("steps are few");
        let (first, last) = (step(from), step(until - 1));
        if first == last {
            self.partial[first] += amount * (until - from);
            return;
        }
        self.partial[first] += amount * ((first as u64 + 1) * length - from);
        self.partial[last] += amount * (until - last as u64 * length);
        let amount = i64::try_from(amount).expect("amounts are of this world");
        self.change[first + 1] += amount;
        self.change[last] -= amount;
    }

    /// Amount × milliseconds of each step.
    fn areas(&self) -> impl Iterator<Item = u64> {
        let mut level = 0;
        self.partial.iter().zip(&self.change).map(move |(partial, change)| {
            level += change;
            partial + u64::try_from(level).expect("what was taken away was there") * self.steps.length
        })
    }

    /// Amount × milliseconds of the whole time.
    #[cfg(test)]
    pub(super) fn area(&self) -> u64 {
        self.areas().sum()
    }

    /// The mean amount in each step, divided by `unit`.
    #[expect(clippy::cast_precision_loss, reason = "means are for the eye")]
    pub(super) fn means(&self, unit: f64) -> Vec<f64> {
        let widths = self.steps.starts().map(|start| (self.steps.end - start).min(self.steps.length));
        self.areas().zip(widths).map(|(area, width)| area as f64 / width as f64 / unit).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn steps_are_readable_and_few() {
        for (seconds, want) in [(0, 1), (300, 1), (301, 2), (3600, 15), (86_400, 300), (31_536_000, 172_800)]
        {
            let steps = Steps::new(5, 5 + seconds * 1000);
            assert_eq!(steps.length, want * 1000, "{seconds} s");
            assert!(steps.count() <= 300 && steps.count() > 0);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_between_the_steps(
            intervals in proptest::collection::vec((0..2_000_000_u64, 0..2_000_000_u64, 0..50_u64), 0..50),
        ) {
            let steps = Steps::new(0, 2_000_000);
            let mut level = Level::new(steps);
            for (from, until, amount) in &intervals {
                level.add(*from, *until, *amount);
            }
            let want: u64 = intervals.iter().map(|(from, until, amount)| until.saturating_sub(*from) * amount).sum();
            prop_assert_eq!(level.area(), want);
            for (start, mean) in steps.starts().zip(level.means(1.0)) {
                let end = start + steps.length;
                let inside = |(from, until, amount): &(u64, u64, u64)| {
                    until.min(&end).saturating_sub(*from.max(&start)) * amount
                };
                let area: u64 = intervals.iter().map(inside).sum();
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let want = area as f64 / steps.length as f64;
                prop_assert!((mean - want).abs() < 1e-9, "at {}: {} is not {}", start, mean, want);
            }
        }
    }
}
