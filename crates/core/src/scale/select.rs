//! Which instance types an environment may launch for a job, in the order in which its allocation strategy tries them.
//!
//! The order is the same for every job of an environment; only how far down it a job must look differs. So an [`Offer`] is
//! ranked once, and asked for each shape of job.
//!
//! Source: AWS Batch User Guide, Instance type allocation strategies.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use super::instance_type::{self, InstanceType};
use super::spot::SpotMarket;
use super::{AllocationStrategy, Scaling};
use crate::instance::{Architecture, Market};
use crate::quantity::Resources;
use crate::text::Text;
use crate::time::Timestamp;

/// What a vCPU of a type without a known price counts, in millionths of a US dollar per hour: more than of any other type, so
/// that it comes last.
const UNKNOWN_PRICE_PER_VCPU: u64 = 1_000_000;
/// Lowest scores of spot pools from which instances are had without waiting, and at all. Pools between the same two are
/// equally good where a strategy weighs capacity against something else.
const PLENTIFUL: u32 = 7;
const FAIR: u32 = 4;

/// What one unit of work needs of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Room on one instance.
    pub resources: Resources,
    /// `None` for any.
    pub architecture: Option<Architecture>,
    /// Whether it is a node of a multi-node parallel job.
    pub multi_node: bool,
}

/// An instance type that may be launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The type.
    pub instance_type: &'static InstanceType,
    /// What jobs can use of it.
    pub capacity: Resources,
    /// What an hour counts in the environment's market, in millionths of a US dollar.
    pub price: u64,
    /// The most that an hour may cost, likewise; `None` for whatever it costs.
    pub max_price: Option<u64>,
    /// Candidates of the same tier are equal to the strategy; a lower one is tried first.
    pub tier: usize,
    /// Likelihood of capacity, 1..=10; 10 on demand.
    score: u32,
    /// Index into `instanceTypes`.
    entry: usize,
    /// There is no more of it now.
    short: bool,
}

/// All that an environment may launch now, best first.
#[derive(Clone, Debug)]
pub struct Offer {
    strategy: AllocationStrategy,
    may_overshoot: bool,
    ranked: Vec<Candidate>,
}

impl Offer {
    /// What an environment with the ceiling `max_vcpus` may launch.
    ///
    /// `short` holds until when there is no capacity of a type. Entries of `instanceTypes` that the catalogue does not know
    /// offer nothing.
    pub fn new(
        scaling: &Scaling,
        max_vcpus: u32,
        spot: &SpotMarket,
        short: &BTreeMap<Text, Timestamp>,
        now: Timestamp,
    ) -> Offer {
        let strategy = scaling.strategy;
        // Source: AWS Batch User Guide, Compute environment parameters (`maxvCpus`).
        let may_overshoot = strategy != AllocationStrategy::BestFit || scaling.market == Market::Spot;
        let mut ranked: Vec<Candidate> = listed(&scaling.instance_types)
            .into_iter()
            .filter(|(_, one)| may_overshoot || one.vcpus <= max_vcpus)
            .filter_map(|(entry, one)| {
                let is_short = short.get(one.name).is_some_and(|until| now < *until);
                priced(one, scaling, spot).map(|priced| Candidate { entry, short: is_short, ..priced })
            })
            .collect();
        ranked.sort_by(|a, b| {
            let size = |one: &Candidate| (one.price, one.instance_type.vcpus, one.instance_type.name);
            preference(strategy, a, b).then_with(|| size(a).cmp(&size(b)))
        });
        for index in 1..ranked.len() {
            let (before, this) = (&ranked[index - 1], &ranked[index]);
            // BEST_FIT knows one best type, never several that are equal.
            let equal = strategy != AllocationStrategy::BestFit && preference(strategy, before, this).is_eq();
            ranked[index].tier = before.tier + usize::from(!equal);
        }
        Offer { strategy, may_overshoot, ranked }
    }

    /// Whether launches may exceed `maxvCpus`, by at most one instance: not with BEST_FIT on demand.
    ///
    /// Source: AWS Batch User Guide, Compute environment parameters (`maxvCpus`).
    pub fn may_overshoot(&self) -> bool {
        self.may_overshoot
    }

    /// Whether anything that is offered could ever hold `need`.
    pub fn suits(&self, need: &Need) -> bool {
        self.ranked.iter().any(|one| one.suits(need))
    }

    /// The types that the strategy tries for `need`, best first; none when there is nothing to do but wait.
    ///
    /// Types with GPUs are for jobs that need them, and for others only where every type that is large enough has some.
    pub fn candidates(&self, need: &Need) -> Vec<&Candidate> {
        let mut suitable: Vec<&Candidate> = self.ranked.iter().filter(|one| one.suits(need)).collect();
        if need.resources.gpus == 0 && suitable.iter().any(|one| one.capacity.gpus == 0) {
            suitable.retain(|one| one.capacity.gpus == 0);
        }
        let only_best = match self.strategy {
            AllocationStrategy::BestFit => true,
            AllocationStrategy::BestFitProgressive => need.multi_node,
            AllocationStrategy::BestFitProgressiveOrdered
            | AllocationStrategy::SpotCapacityOptimized
            | AllocationStrategy::SpotPriceCapacityOptimized
            | AllocationStrategy::SpotCapacityOptimizedPrioritized => false,
        };
        if only_best {
            suitable.truncate(1);
        }
        suitable.retain(|one| !one.short);
        suitable
    }
}

impl Candidate {
    fn suits(&self, need: &Need) -> bool {
        let architecture = need.architecture.is_none_or(|wanted| wanted == self.instance_type.architecture);
        architecture && self.capacity.covers(&need.resources)
    }
}

/// The types that `instanceTypes` stand for, each once, with the index of its entry. A type that is listed by its name belongs
/// to that entry, not to a family or group that is listed as well, wherever either stands.
///
/// Source: AWS Batch User Guide, Instance type allocation strategies (BEST_FIT_PROGRESSIVE_ORDERED).
fn listed(instance_types: &[Text]) -> Vec<(usize, &'static InstanceType)> {
    let explicit: BTreeSet<&str> = instance_types.iter().map(Text::as_str).collect();
    let mut seen = BTreeSet::new();
    let mut types = Vec::new();
    for (entry, name) in instance_types.iter().enumerate() {
        for one in instance_type::expand(name).unwrap_or_default() {
            let elsewhere = explicit.contains(one.name) && one.name != name.as_str();
            if !elsewhere && seen.insert(one.name) {
                types.push((entry, one));
            }
        }
    }
    types
}

/// The type in the environment's market; `None` where it is not sold there, or for more than the environment bids.
///
/// Source: AWS Batch API reference, ComputeResource (`bidPercentage`): a share of the on-demand price, all of it by default.
fn priced(one: &'static InstanceType, scaling: &Scaling, spot: &SpotMarket) -> Option<Candidate> {
    let (price, score, max_price) = match scaling.market {
        Market::OnDemand => (one.price, 10, None),
        Market::Spot => {
            let pool = spot.pool(one)?;
            let bid = u64::from(scaling.bid_percentage.unwrap_or(100));
            (pool.price, pool.score, one.price.map(|price| price * bid / 100))
        }
    };
    if price.zip(max_price).is_some_and(|(price, max)| price > max) {
        return None;
    }
    let price = price.unwrap_or(u64::from(one.vcpus) * UNKNOWN_PRICE_PER_VCPU);
    Some(Candidate {
        instance_type: one,
        capacity: one.capacity(),
        price,
        max_price,
        tier: 0,
        score,
        entry: 0,
        short: false,
    })
}

/// Which of two types the strategy tries first; equal where it leaves the choice to how well jobs pack.
fn preference(strategy: AllocationStrategy, a: &Candidate, b: &Candidate) -> Ordering {
    let per_unit = || {
        let cost = |one: &Candidate, other: &Candidate| u128::from(one.price) * u128::from(units(other));
        let with_gpus = |one: &Candidate| one.capacity.gpus > 0;
        with_gpus(a).cmp(&with_gpus(b)).then_with(|| cost(a, b).cmp(&cost(b, a)))
    };
    let capacity = || Reverse(band(a.score)).cmp(&Reverse(band(b.score)));
    let list = || a.entry.cmp(&b.entry);
    match strategy {
        AllocationStrategy::BestFit => a.price.cmp(&b.price),
        AllocationStrategy::BestFitProgressive => per_unit(),
        AllocationStrategy::BestFitProgressiveOrdered => list().then_with(per_unit),
        AllocationStrategy::SpotCapacityOptimized => b.score.cmp(&a.score),
        AllocationStrategy::SpotPriceCapacityOptimized => capacity().then_with(per_unit),
        AllocationStrategy::SpotCapacityOptimizedPrioritized => capacity().then_with(list),
    }
}

/// What a price is compared by: vCPUs, or GPUs where it has some. Per vCPU, a type with many idle vCPUs beside its one GPU would
/// come before all others of its family; that is our reading, AWS speaks of vCPUs only.
fn units(one: &Candidate) -> u32 {
    if one.capacity.gpus > 0 { one.capacity.gpus } else { one.instance_type.vcpus }
}

/// Pools of the same band are equally likely to have capacity.
fn band(score: u32) -> u32 {
    u32::from(score >= FAIR) + u32::from(score >= PLENTIFUL)
}

#[cfg(test)]
mod tests;
