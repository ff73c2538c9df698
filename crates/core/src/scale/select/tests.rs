//! The rules of AWS Batch User Guide, Instance type allocation strategies, one by one.

use super::AllocationStrategy::*;
use super::*;
use crate::instance::Market::{OnDemand, Spot};
use crate::scale::spot::SpotPool;
use crate::scale::tests::scaling;

fn need(vcpus: u64, memory_mib: u64, gpus: u32) -> Need {
    let resources = Resources { milli_vcpus: vcpus * 1000, memory_mib, gpus };
    Need { resources, architecture: None, multi_node: false }
}

fn offer(scaling: &Scaling, market: &[(&str, u64, u32)], short: &[&str]) -> Offer {
    let pools = market
        .iter()
        .map(|(name, price, score)| ((*name).into(), SpotPool { price: Some(*price), score: *score }));
    let short = short.iter().map(|name| ((*name).into(), Timestamp(10))).collect();
    Offer::new(scaling, 256, &SpotMarket(pools.collect()), &short, Timestamp(9))
}

fn names(offer: &Offer, need: Need) -> Vec<&'static str> {
    offer.candidates(&need).iter().map(|one| one.instance_type.name).collect()
}

fn on_demand(strategy: AllocationStrategy, instance_types: &[&str], short: &[&str]) -> Offer {
    offer(&scaling(OnDemand, strategy, instance_types), &[], short)
}

#[test]
fn best_fit_knows_the_cheapest_type_that_fits_and_waits_for_it() {
    let types = ["c6i", "m6i", "g5.xlarge"];
    for (need, want) in [
        (need(1, 100, 0), "c6i.large"),
        (need(2, 4096, 0), "m6i.large"), // c6i.large has 4096 MiB nominally
        (need(1, 8192, 0), "m6i.xlarge"),
        (need(1, 100, 1), "g5.xlarge"),
    ] {
        assert_eq!(names(&on_demand(BestFit, &types, &[]), need), [want]);
        assert!(names(&on_demand(BestFit, &types, &[want]), need).is_empty(), "{want} has no substitute");
    }
    assert!(!on_demand(BestFit, &types, &[]).may_overshoot());
    assert!(offer(&scaling(Spot, BestFit, &types), &[], &[]).may_overshoot());
    assert!(on_demand(BestFitProgressive, &types, &[]).may_overshoot());
}

#[test]
fn best_fit_progressive_goes_from_low_to_high_price_per_vcpu_and_past_what_is_short() {
    let types = ["m6i.large", "m6i.xlarge", "c7i.xlarge", "c6i.xlarge", "r6i.large"];
    let free = on_demand(BestFitProgressive, &types, &[]);
    assert_eq!(
        names(&free, need(1, 100, 0)),
        ["c6i.xlarge", "c7i.xlarge", "m6i.large", "m6i.xlarge", "r6i.large"]
    );
    assert_eq!(names(&free, need(1, 9000, 0)), ["m6i.xlarge", "r6i.large"]);
    let tiers: Vec<usize> = free.candidates(&need(1, 100, 0)).iter().map(|one| one.tier).collect();
    assert_eq!(tiers, [0, 1, 2, 2, 3], "sizes of a family cost the same per vCPU");

    let short = on_demand(BestFitProgressive, &types, &["c6i.xlarge", "m6i.large"]);
    assert_eq!(names(&short, need(1, 100, 0)), ["c7i.xlarge", "m6i.xlarge", "r6i.large"]);
    let node = Need { multi_node: true, ..need(1, 100, 0) };
    assert_eq!(names(&free, node), ["c6i.xlarge"]);
    assert!(names(&short, node).is_empty(), "nodes do not fall through");
}

#[test]
fn best_fit_progressive_ordered_keeps_the_order_of_the_list() {
    let types = ["r6i.large", "m6i", "m6i.xlarge", "c6i.large"];
    let offer = on_demand(BestFitProgressiveOrdered, &types, &[]);
    let all = names(&offer, need(1, 100, 0));
    assert_eq!(all[..3], ["r6i.large", "m6i.large", "m6i.2xlarge"]);
    assert_eq!(all[all.len() - 2..], ["m6i.xlarge", "c6i.large"], "it is no longer part of its family");
    assert_eq!(all.iter().filter(|name| **name == "m6i.xlarge").count(), 1);
    // Too small ones are skipped.
    assert_eq!(names(&offer, need(4, 100, 0))[0], "m6i.2xlarge");
    assert_eq!(
        names(&on_demand(BestFitProgressiveOrdered, &types, &["r6i.large"]), need(1, 100, 0))[0],
        "m6i.large"
    );
}

#[test]
fn spot_strategies_weigh_capacity_and_price_and_order() {
    let types = ["m6i.large", "c6i.large", "r6i.large", "c7i.large"];
    let pools = [
        ("m6i.large", 50_000, 8),
        ("c6i.large", 40_000, 7),
        ("r6i.large", 60_000, 10),
        ("c7i.large", 10_000, 3),
    ];
    for (strategy, want) in [
        (BestFit, vec!["c7i.large"]),
        (BestFitProgressive, vec!["c7i.large", "c6i.large", "m6i.large", "r6i.large"]),
        (SpotCapacityOptimized, vec!["r6i.large", "m6i.large", "c6i.large", "c7i.large"]),
        (SpotPriceCapacityOptimized, vec!["c6i.large", "m6i.large", "r6i.large", "c7i.large"]),
        (SpotCapacityOptimizedPrioritized, vec!["m6i.large", "c6i.large", "r6i.large", "c7i.large"]),
    ] {
        let offer = offer(&scaling(Spot, strategy, &types), &pools, &[]);
        assert_eq!(names(&offer, need(1, 100, 0)), want, "{strategy:?}");
    }
}

/// Source: AWS Batch API reference, ComputeResource (`bidPercentage`).
#[test]
fn spot_instances_cost_no_more_than_the_bid() {
    let bid = |percentage| Scaling {
        bid_percentage: percentage,
        ..scaling(Spot, SpotCapacityOptimized, &["m6i.large", "t2.nano"])
    };
    let price = 48_000; // half of the on-demand price
    for (percentage, price, want) in
        [(None, 96_000, true), (None, 96_001, false), (Some(50), price, true), (Some(49), price, false)]
    {
        let offer = offer(&bid(percentage), &[("m6i.large", price, 5)], &[]);
        let found = offer.candidates(&need(1, 100, 0));
        assert_eq!(!found.is_empty(), want, "{percentage:?} {price}");
        let most = 96_000 * u64::from(percentage.unwrap_or(100)) / 100;
        assert!(found.iter().all(|one| (one.price, one.max_price) == (price, Some(most))));
    }
    assert!(
        names(&offer(&bid(Some(20)), &[], &[]), need(1, 100, 0)).is_empty(),
        "30 % and more are expected"
    );
}

#[test]
fn gpus_and_architectures() {
    let mixed = on_demand(BestFitProgressive, &["g4dn.xlarge", "r6i.large"], &[]);
    assert_eq!(names(&mixed, need(1, 100, 0)), ["r6i.large"]);
    assert_eq!(names(&mixed, need(4, 100, 0)), ["g4dn.xlarge"], "nothing else is large enough");
    assert_eq!(names(&mixed, need(1, 100, 1)), ["g4dn.xlarge"]);
    let short = on_demand(BestFitProgressive, &["g4dn.xlarge", "r6i.large"], &["r6i.large"]);
    assert!(names(&short, need(1, 100, 0)).is_empty(), "GPUs are not a substitute");

    let arm = Need { architecture: Some(Architecture::Arm64), ..need(1, 100, 0) };
    assert!(!mixed.suits(&arm) && on_demand(BestFit, &["default_arm64"], &[]).suits(&arm));
    assert!(!on_demand(BestFit, &["m99", "no.such"], &[]).suits(&need(0, 0, 0)));
}

#[test]
fn what_is_short_is_so_until_then() {
    let one = scaling(OnDemand, BestFit, &["m6i.large"]);
    let short = BTreeMap::from([("m6i.large".into(), Timestamp(10))]);
    for (now, want) in [(9, 0), (10, 1)] {
        let offer = Offer::new(&one, 256, &SpotMarket::default(), &short, Timestamp(now));
        assert_eq!(offer.candidates(&need(1, 1, 0)).len(), want);
        assert!(offer.suits(&need(1, 1, 0)));
    }
    let small = Offer::new(&one, 1, &SpotMarket::default(), &BTreeMap::new(), Timestamp(0));
    assert!(!small.suits(&need(1, 1, 0)), "it would exceed maxvCpus");
}
