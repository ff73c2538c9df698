//! Chance, all of it from one seed.
//!
//! What is drawn depends on the seed and on what it is drawn for, never on when: a job takes as long on one set of machines as
//! on another, so that two simulations of the same work differ only by what was changed.

use std::f64::consts::TAU;

/// A source of random numbers for one purpose.
#[derive(Clone, Debug)]
pub struct Draw(fastrand::Rng);

impl Draw {
    /// The numbers of this `seed` for the purpose that `keys` name; the same keys give the same numbers.
    pub fn new(seed: u64, keys: &[u64]) -> Draw {
        Draw(fastrand::Rng::with_seed(keys.iter().fold(mix(seed), |state, key| mix(state ^ mix(*key)))))
    }

    /// At least 0 and below 1.
    pub fn unit(&mut self) -> f64 {
        self.0.f64()
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// 128 bits for the ids of a turn.
    pub fn bits(&mut self) -> u128 {
        self.0.u128(..)
    }

    /// Exponentially distributed with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Normally distributed with mean 0 and deviation 1 (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (TAU * self.unit()).cos()
    }
}

/// A number from text, for use as a key: FNV-1a.
pub fn key(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The finaliser of SplitMix64: a bijection that spreads every bit.
fn mix(bits: u64) -> u64 {
    let mut z = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// How an amount is distributed; in the unit of its owner, never negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Always this.
    Fixed(f64),
    /// Anything between two amounts, equally likely.
    Uniform(f64, f64),
    /// Many small and a few large, with this mean.
    Exponential(f64),
    /// The logarithm is normal: most lie around the median, and the largest are many times that.
    LogNormal {
        /// Half of all are below.
        median: f64,
        /// Deviation of the logarithm; 0.5 is moderate, 1 is wide.
        sigma: f64,
    },
}

impl Distribution {
    /// One amount.
    pub fn sample(&self, draw: &mut Draw) -> f64 {
        let amount = match *self {
            Distribution::Fixed(amount) => amount,
            Distribution::Uniform(low, high) => low + (high - low) * draw.unit(),
            Distribution::Exponential(mean) => draw.exponential(mean),
            Distribution::LogNormal { median, sigma } => median * (sigma * draw.normal()).exp(),
        };
        amount.max(0.0)
    }

    /// One amount of seconds, in milliseconds.
    pub fn sample_millis(&self, draw: &mut Draw) -> u64 {
        millis(self.sample(draw))
    }
}

/// Milliseconds in so many seconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and a cast saturates"
)]
pub fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_repeat_by_key_and_differ_between_keys() {
        let first = |seed, keys: &[u64]| Draw::new(seed, keys).unit().to_bits();
        assert_eq!(first(1, &[2, 3]), first(1, &[2, 3]));
        let all =
            [first(1, &[2, 3]), first(2, &[2, 3]), first(1, &[3, 2]), first(1, &[2]), first(1, &[2, 4])];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn samples_have_the_mean_that_the_distribution_says() {
        for (distribution, mean) in [
            (Distribution::Fixed(7.0), 7.0),
            (Distribution::Uniform(2.0, 4.0), 3.0),
            (Distribution::Exponential(10.0), 10.0),
            (Distribution::LogNormal { median: 100.0, sigma: 0.5 }, 113.3), // median · exp(σ²/2)
        ] {
            let count = 100_000_u32;
            let mut draw = Draw::new(1, &[]);
            let sum: f64 = (0..count).map(|_| distribution.sample(&mut draw)).sum();
            let got = sum / f64::from(count);
            assert!((got / mean - 1.0).abs() < 0.01, "{distribution:?}: {got}, not {mean}");
        }
    }
}
