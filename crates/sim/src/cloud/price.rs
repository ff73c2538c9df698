//! Spot prices over time.

use std::collections::BTreeMap;

use crate::random::{Draw, key};

/// A price holds for an hour.
const HOUR: u64 = 3_600_000;
/// How far the fraction moves in an hour, as a part of its mean.
const STEP: f64 = 0.02;
/// How strongly it is drawn back to its mean.
const PULL: f64 = 0.05;
/// Types differ from each other by so much of the mean.
const SPREAD: f64 = 0.15;

/// Spot prices as fractions of the on-demand price: for each type a walk around its own mean.
#[derive(Clone, Debug)]
pub(super) struct Prices {
    seed: u64,
    begin: u64,
    mean: f64,
    walks: BTreeMap<String, (Draw, f64, Vec<f64>)>,
}

impl Prices {
    /// Around `mean`, from time `begin` on.
    pub(super) fn new(seed: u64, begin: u64, mean: f64) -> Prices {
        Prices { seed, begin, mean, walks: BTreeMap::new() }
    }

    /// The fraction that holds at a time, for a type.
    pub(super) fn at(&mut self, instance_type: &str, time: u64) -> f64 {
        let hour = usize::try_from(time.saturating_sub(self.begin) / HOUR).unwrap_or(usize::MAX);
        let mean = self.mean;
        if !self.walks.contains_key(instance_type) {
            let mut draw = Draw::new(self.seed, &[3, key(instance_type)]);
            let own = mean * (1.0 + SPREAD * (2.0 * draw.unit() - 1.0));
            self.walks.insert(instance_type.to_owned(), (draw, own, vec![own]));
        }
        let (draw, own, walk) = self.walks.get_mut(instance_type).expect("it has just been made");
        while walk.len() <= hour {
            let last = walk[walk.len() - 1];
            let next = last + PULL * (*own - last) + STEP * mean * draw.normal();
            walk.push(next.clamp(0.5 * mean, 1.0));
        }
        walk[hour]
    }

    /// The mean fraction between two times.
    pub(super) fn between(&mut self, instance_type: &str, from: u64, to: u64) -> f64 {
        if to <= from {
            return self.at(instance_type, from);
        }
        let (mut at, mut sum) = (from, 0.0);
        while at < to {
            let next = (self.hour_end(at)).min(to);
            #[expect(clippy::cast_precision_loss, reason = "an hour")]
            let millis = (next - at) as f64;
            sum += self.at(instance_type, at) * millis;
            at = next;
        }
        #[expect(clippy::cast_precision_loss, reason = "no simulation takes 2^52 ms")]
        let whole = (to - from) as f64;
        sum / whole
    }

    /// The first time from `from` on, up to `until`, at which the fraction is above `limit`.
    pub(super) fn exceeds(&mut self, instance_type: &str, limit: f64, from: u64, until: u64) -> Option<u64> {
        let mut at = from;
        while at < until {
            if self.at(instance_type, at) > limit {
                return Some(at);
            }
            at = self.hour_end(at);
        }
        None
    }

    fn hour_end(&self, at: u64) -> u64 {
        self.begin + (at.saturating_sub(self.begin) / HOUR + 1) * HOUR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_stay_around_their_mean_and_do_not_depend_on_who_asks_first() {
        let mut one = Prices::new(1, 0, 0.35);
        let mut other = Prices::new(1, 0, 0.35);
        let late = other.at("m6i.large", 1000 * HOUR);
        let all: Vec<f64> = (0..=1000).map(|hour| one.at("m6i.large", hour * HOUR)).collect();
        assert_eq!(all[1000].to_bits(), late.to_bits());
        assert!(all.iter().all(|fraction| (0.2..0.6).contains(fraction)), "{all:?}");
        assert!(all.iter().any(|fraction| *fraction != all[0]), "it moves");
        assert_ne!(one.at("c6i.large", 0).to_bits(), one.at("m6i.large", 0).to_bits());
    }

    #[test]
    fn the_mean_of_a_part_of_an_hour_is_its_price_and_limits_are_found() {
        let mut prices = Prices::new(1, 500, 0.35);
        let (first, second) = (prices.at("x", 500), prices.at("x", 500 + HOUR));
        assert!((prices.between("x", 600, 700) - first).abs() < 1e-12);
        let half = prices.between("x", 500 + HOUR / 2, 500 + HOUR + HOUR / 2);
        assert!((half - f64::midpoint(first, second)).abs() < 1e-12);
        assert_eq!(prices.exceeds("x", 0.01, 700, 800), Some(700));
        assert_eq!(prices.exceeds("x", 1.0, 0, 100 * HOUR), None);
    }
}
