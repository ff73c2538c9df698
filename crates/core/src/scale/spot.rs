//! The spot market: what an instance of a type costs there now, and how likely it is to stay.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::instance_type::InstanceType;
use crate::text::Text;

/// vCPUs above which EC2 has fewer hosts to place a type on, step by step. Our choice: eight and twenty-four `xlarge`.
const LARGE_VCPUS: [u32; 2] = [32, 96];

/// Spot capacity pools that a provisioner knows, by instance type. A type that is not here is taken to be as
/// [`SpotPool::expected`] says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SpotMarket(#[n(0)] pub BTreeMap<Text, SpotPool>);

/// The spot capacity pool of an instance type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SpotPool {
    /// Millionths of a US dollar per hour; `None` where it is not known.
    #[n(0)]
    pub price: Option<u64>,
    /// How likely an instance is to be had and to stay: 1..=10, 10 the most likely, as EC2's Spot placement scores are.
    #[n(1)]
    pub score: u32,
}

impl SpotMarket {
    /// The pool of a type; `None` where it is not offered as Spot Instance.
    pub fn pool(&self, instance_type: &InstanceType) -> Option<SpotPool> {
        let known = self.0.get(instance_type.name).copied();
        known.or_else(|| instance_type.spot.then(|| SpotPool::expected(instance_type)))
    }
}

impl SpotPool {
    /// What to expect of a type about which nothing is published. It is always the same: types that are larger, of a previous
    /// generation, bare metal or have GPUs are scarcer, and the scarcer the dearer, 31 % to 39 % of the on-demand price.
    ///
    /// Our choice: AWS publishes the savings over on-demand (60 % to 70 % for most types), and the kinds of types that are
    /// short in supply, but no formula.
    pub fn expected(instance_type: &InstanceType) -> SpotPool {
        let large: u32 = LARGE_VCPUS.iter().map(|vcpus| u32::from(instance_type.vcpus > *vcpus)).sum();
        let previous = if instance_type.current_generation { 0 } else { 2 };
        let scarce = u32::from(instance_type.bare_metal) + 2 * u32::from(instance_type.gpus > 0) + previous;
        let score = 9 - scarce - large;
        let price = instance_type.price.map(|price| price * u64::from(40 - score) / 100);
        SpotPool { price, score }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::instance_type::{all, find};

    #[test]
    fn what_is_published_counts_and_the_rest_is_expected() {
        for one in all() {
            let SpotPool { price, score } = SpotPool::expected(one);
            assert!((1..=9).contains(&score), "{}: {score}", one.name);
            let (Some(price), Some(on_demand)) = (price, one.price) else { continue };
            assert!((30..=40).contains(&(price * 100).div_ceil(on_demand)), "{}: {price}", one.name);
        }
        let score = |name| SpotPool::expected(find(name).unwrap()).score;
        assert!(score("m6i.large") > score("m6i.16xlarge") && score("m6i.16xlarge") > score("m6i.metal"));
        assert!(score("m5.large") >= score("m4.large") && score("m6i.large") > score("g5.xlarge"));

        let mut market = SpotMarket::default();
        let (known, never) = (find("m6i.large").unwrap(), find("t2.nano").unwrap());
        let pool = SpotPool { price: Some(7), score: 2 };
        market.0.insert(known.name.into(), pool);
        assert_eq!((market.pool(known), market.pool(never)), (Some(pool), None));
    }
}
