use super::*;
use crate::instance::Market;
use crate::scale::AllocationStrategy::{self, *};
use crate::scale::spot::SpotMarket;
use crate::scale::tests::scaling;
use crate::time::Timestamp;
use proptest::prelude::*;

fn offer(strategy: AllocationStrategy, instance_types: &[&str]) -> Offer {
    let market = match strategy {
        SpotCapacityOptimized | SpotPriceCapacityOptimized | SpotCapacityOptimizedPrioritized => Market::Spot,
        BestFit | BestFitProgressive | BestFitProgressiveOrdered => Market::OnDemand,
    };
    let own = scaling(market, strategy, instance_types);
    Offer::new(&own, 1_000, &SpotMarket::default(), &BTreeMap::new(), Timestamp(0))
}

fn shape(milli_vcpus: u64, memory_mib: u64, gpus: u32) -> Resources {
    Resources { milli_vcpus, memory_mib, gpus }
}

fn demand(resources: Resources, count: u64) -> Demand {
    Demand { need: Need { resources, architecture: None, multi_node: false }, count }
}

fn planned(
    offer: &Offer,
    demand: &[Demand],
    coming: &[(Resources, u64)],
    room: u64,
) -> Vec<(&'static str, u64)> {
    let mut coming = coming.iter().map(|&(free, count)| Coming { free, architecture: None, count }).collect();
    plan(offer, &left_over(demand, &mut coming), room)
        .iter()
        .map(|one| (one.instance_type.name, one.count))
        .collect()
}

#[test]
fn shapes_are_packed_together() {
    let optimal = offer(BestFitProgressive, &["optimal"]);
    let of = |shapes: &[(Resources, u64)]| -> Vec<(&str, u64)> {
        let all: Vec<Demand> = shapes.iter().map(|(shape, count)| demand(*shape, *count)).collect();
        planned(&optimal, &all, &[], u64::MAX)
    };
    assert_eq!(of(&[]), []);
    assert_eq!(of(&[(shape(1000, 100, 0), 1)]), [("c6i.large", 1)]);
    assert_eq!(of(&[(shape(1000, 100, 0), 4)]), [("c6i.xlarge", 1)]);
    // Full large ones, and a small one for the rest.
    assert_eq!(of(&[(shape(1000, 100, 0), 128 * 7 + 2)]), [("c6i.32xlarge", 7), ("c6i.large", 1)]);
    // Seven different shapes of one vCPU each in sum share an instance.
    let mixed: Vec<_> = (1..=7).map(|n| (shape(250 * n, 64, 0), 1)).collect();
    assert_eq!(of(&mixed), [("c6i.2xlarge", 1)]);
}

#[test]
fn what_comes_is_used_before_anything_is_launched() {
    let offer = offer(BestFitProgressive, &["m6i.large"]);
    let all = [demand(shape(1000, 100, 0), 10)];
    let free = shape(2000, 7000, 0);
    assert_eq!(planned(&offer, &all, &[(free, 5)], u64::MAX), []);
    assert_eq!(planned(&offer, &all, &[(free, 3), (shape(500, 9000, 0), 9)], u64::MAX), [("m6i.large", 2)]);
    assert_eq!(planned(&offer, &all, &[(free, 0)], u64::MAX), [("m6i.large", 5)]);
}

/// `minvCpus` without any job.
#[test]
fn vcpus_for_whatever_may_come() {
    for (instance_types, want) in [
        (["optimal"], vec![("c6i.large", 1), ("c6i.xlarge", 1)]),
        (["m5.2xlarge"], vec![("m5.2xlarge", 1)]),
        (["g5"], vec![("g5.xlarge", 2)]),
    ] {
        let offer = offer(BestFitProgressive, &instance_types);
        assert_eq!(planned(&offer, &[Demand::of_vcpus(5)], &[], 256), want);
    }
}

#[test]
fn gpus_are_for_those_that_need_them() {
    let offer = offer(BestFitProgressive, &["g4dn", "m6i"]);
    let (cpu, gpu) = (demand(shape(2000, 100, 0), 1), demand(shape(1000, 100, 1), 4));
    assert_eq!(planned(&offer, &[cpu], &[], u64::MAX), [("m6i.large", 1)]);
    let Launch { instance_type, count, .. } = plan(&offer, &[gpu], u64::MAX)[0];
    assert_eq!((instance_type.name, count), ("g4dn.xlarge", 4));
    // A free corner of an instance with GPUs is as good as any.
    assert_eq!(planned(&offer, &[cpu, gpu], &[], u64::MAX), [("g4dn.xlarge", 4)]);
}

/// Source: AWS Batch User Guide, Compute environment parameters (`maxvCpus`).
#[test]
fn room() {
    let all = [demand(shape(4000, 100, 0), 3)];
    for (strategy, room, want) in [
        (BestFit, 3, vec![]),
        (BestFit, 11, vec![("c6i.xlarge", 2)]),
        (BestFitProgressive, 0, vec![]),
        (BestFitProgressive, 3, vec![("c6i.xlarge", 1)]),
        (BestFitProgressive, 11, vec![("c6i.2xlarge", 1), ("c6i.xlarge", 1)]),
    ] {
        assert_eq!(planned(&offer(strategy, &["c6i"]), &all, &[], room), want, "{strategy:?} {room}");
    }
    // The first ones get it, and nothing passes one that waits for room.
    let optimal = offer(BestFit, &["c6i"]);
    let (large, small) = (demand(shape(64_000, 100, 0), 2), demand(shape(1000, 100, 0), 50));
    assert_eq!(planned(&optimal, &[large, small], &[], 100), [("c6i.16xlarge", 1)]);
    assert_eq!(planned(&optimal, &[small, large], &[], 100), [("c6i.large", 25)]);
    // What no type is large enough for stands in nobody's way.
    let huge = demand(shape(1_000_000, 100, 0), 1);
    assert_eq!(planned(&optimal, &[huge, large], &[], 100), [("c6i.16xlarge", 1)]);
}

/// The steps depend on shapes and types only: this would never end otherwise.
#[test]
fn a_trillion_jobs_of_a_thousand_shapes() {
    let all: Vec<Demand> =
        (0..1000).map(|n| demand(shape(250 + n, 100 + 7 * n, 0), 1_000_000_000_000)).collect();
    for strategy in [BestFit, BestFitProgressive, SpotCapacityOptimized] {
        let offer = offer(strategy, &["optimal", "m5", "c5", "r5"]);
        let vcpus: u64 = plan(&offer, &all, u64::MAX)
            .iter()
            .map(|one| u64::from(one.instance_type.vcpus) * one.count)
            .sum();
        assert!(vcpus > 250_000_000_000_000, "{strategy:?}");
        let coming = [(shape(500, 500, 0), 1_000_000_000_000)];
        assert!(!planned(&offer, &all, &coming, 1 << 40).is_empty());
    }
}

fn any_strategy() -> impl Strategy<Value = AllocationStrategy> {
    prop::sample::select(vec![
        BestFit,
        BestFitProgressive,
        BestFitProgressiveOrdered,
        SpotCapacityOptimized,
        SpotPriceCapacityOptimized,
        SpotCapacityOptimizedPrioritized,
    ])
}

prop_compose! {
    fn any_demand()(
        given in prop::collection::vec((1u64..40, 1u64..60, prop::bool::weighted(0.2), 1u64..12), 1..9),
    ) -> Vec<Demand> {
        let of = |(vcpus, memory, gpu, count): (u64, u64, bool, u64)| {
            demand(shape(vcpus * 250, memory * 256, u32::from(gpu)), count)
        };
        given.into_iter().map(of).collect()
    }
}

const TYPES: [&str; 4] = ["optimal", "g4dn", "m5", "c5.large"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// What was put on the instances is all that was wanted, and not more than they have.
    #[test]
    fn all_work_gets_a_place(strategy in any_strategy(), all in any_demand()) {
        let offer = offer(strategy, &TYPES);
        // Any few types will do here, equal to the strategy or not.
        let choices = |one: &Demand| {
            let mut choices = offer.candidates(&one.need);
            choices.truncate(4);
            choices
        };
        let wanted: Vec<Wanted> = all
            .iter()
            .map(|one| Wanted { shape: one.need.resources, architecture: None, count: one.count, choices: choices(one) })
            .collect();
        let mut placed = (0, 0, 0);
        for Group { free, count, of, .. } in pack(&largest_first(&wanted), u64::MAX, false) {
            let capacity = of.unwrap().0.capacity;
            prop_assert!(capacity.covers(&free));
            placed.0 += (capacity.milli_vcpus - free.milli_vcpus) * count;
            placed.1 += (capacity.memory_mib - free.memory_mib) * count;
            placed.2 += u64::from(capacity.gpus - free.gpus) * count;
        }
        let sum = |of: fn(&Resources) -> u64| all.iter().map(|one| of(&one.need.resources) * one.count).sum::<u64>();
        let asked = (sum(|one| one.milli_vcpus), sum(|one| one.memory_mib), sum(|one| one.gpus.into()));
        prop_assert_eq!(placed, asked);
    }

    /// Against what it would cost if shapes were liquid: one family, so that every vCPU has the same price.
    #[test]
    fn little_is_wasted(all in any_demand()) {
        let all: Vec<Demand> = all.into_iter().filter(|one| one.need.resources.gpus == 0).collect();
        let sum = |of: fn(&Resources) -> u64| all.iter().map(|one| of(&one.need.resources) * one.count).sum::<u64>();
        let (milli_vcpus, memory_mib) = (sum(|one| one.milli_vcpus), sum(|one| one.memory_mib));
        let largest = InstanceType::capacity(crate::scale::instance_type::find("m6i.32xlarge").unwrap());
        let memory_per_vcpu = largest.memory_mib / 128;
        let least = milli_vcpus.div_ceil(1000).max(memory_mib.div_ceil(memory_per_vcpu));
        let launches = plan(&offer(BestFitProgressive, &["m6i"]), &all, u64::MAX);
        let vcpus: u64 = launches.iter().map(|one| u64::from(one.instance_type.vcpus) * one.count).sum();
        prop_assert!(vcpus <= 2 * least.next_multiple_of(2), "{vcpus} instead of {least}: {launches:?}");
    }

    #[test]
    fn room_is_exceeded_by_one_instance_at_most(strategy in any_strategy(), all in any_demand(), room in 0u64..200) {
        let offer = offer(strategy, &TYPES);
        let launches = plan(&offer, &all, room);
        let vcpus: u64 = launches.iter().map(|one| u64::from(one.instance_type.vcpus) * one.count).sum();
        let largest = launches.iter().map(|one| u64::from(one.instance_type.vcpus)).max().unwrap_or(0);
        let limit = if offer.may_overshoot() { (room + largest).saturating_sub(1) } else { room };
        prop_assert!(vcpus <= limit, "{vcpus} of {room}: {launches:?}");
        prop_assert!(room > 0 || launches.is_empty());
    }

    /// With one type, there are exactly as many instances as are needed.
    #[test]
    fn identical_shapes_fill_every_instance(vcpus in 1u64..=16, memory in 1u64..=60, count in 1u64..10_000_000) {
        let offer = offer(BestFitProgressive, &["m6i.4xlarge"]);
        let one = demand(shape(vcpus * 1000, memory * 1000, 0), count);
        let per_instance = (16 / vcpus).min(63_537 / (memory * 1000));
        let want = vec![("m6i.4xlarge", count.div_ceil(per_instance))];
        prop_assert_eq!(planned(&offer, &[one], &[], u64::MAX), want);
    }
}
