//! Chance for the faults: what the tests of a seed draw, in one order.

use fornada_sim::random::Draw;

pub struct Dice(Draw);

impl Dice {
    pub fn new(seed: u64, purpose: u64) -> Dice {
        Dice(Draw::new(seed, &[0xfa17, purpose]))
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.0.chance(probability)
    }

    /// At least 0 and below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        u64::try_from(self.0.bits() % u128::from(bound.max(1))).expect("it is below a u64")
    }

    /// At least `low` and at most `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// The same for small numbers.
    pub fn small(&mut self, low: u32, high: u32) -> u32 {
        u32::try_from(self.between(low.into(), high.into())).expect("it is at most a u32")
    }

    /// Between `low` and `high`, each order of magnitude as likely as another.
    pub fn magnitude(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.0.unit())
    }

    /// As [`Dice::magnitude`], in milliseconds.
    pub fn millis(&mut self, low: u32, high: u32) -> u64 {
        fornada_sim::random::millis(self.magnitude(f64::from(low.max(1)), f64::from(high)) / 1000.0)
    }

    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("it is below a usize")
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    pub fn bits(&mut self) -> u128 {
        self.0.bits()
    }
}
