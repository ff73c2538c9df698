//! Simulations in which instances are launched, taken back, and given back.

use std::collections::BTreeMap;

use fornada_core::instance::Market;
use fornada_core::scale::instance_type::find;
use fornada_core::scale::surplus::IDLE_DELAY_MS;
use fornada_core::scale::{AllocationStrategy, Scaling};
use proptest::prelude::*;

use super::*;
use crate::journal::AttemptFacts;
use crate::report::{Cost, Vcpus};

/// An environment of these types that begins and ends with nothing.
pub(super) fn scaling(market: Market, instance_types: &[&str]) -> Box<Scaling> {
    Box::new(Scaling {
        market,
        strategy: match market {
            Market::OnDemand => AllocationStrategy::BestFitProgressive,
            Market::Spot => AllocationStrategy::SpotPriceCapacityOptimized,
        },
        instance_types: instance_types.iter().map(|one| (*one).into()).collect(),
        min_vcpus: 0,
        desired_vcpus: 0,
        bid_percentage: None,
        scale_down_delay_minutes: None,
        terminate_jobs_on_update: false,
        job_execution_timeout_minutes: 30,
        generation: 0,
    })
}

/// An array of jobs of so many vCPUs and about 20 minutes, that may be tried again.
pub(super) fn retried(at: &[u64], size: u32, vcpus: u64) -> Template {
    let mut array = jobs("array", at);
    array.submission.array_size = Some(size);
    array.submission.overrides = of_vcpus(vcpus);
    array.submission.retry = Some(RetryStrategy { attempts: 10, evaluate_on_exit: Vec::new() });
    array.behaviour.run_time = Distribution::LogNormal { median: 1200.0, sigma: 0.5 };
    array
}

#[test]
fn a_small_run_on_spot_instances() {
    let workload = of([retried(&[0, 1800], 40, 4)]);
    let state = state(Platform::Ec2, Some(128), Some(scaling(Market::Spot, &["m6i", "c6i"])));
    let parameters = Parameters {
        launch_delay: Distribution::Fixed(90.0),
        spot_interruptions_per_hour: 0.5,
        ..Parameters::default()
    };
    let journal = simulate(&workload, state, Vec::new(), parameters, Options::default());
    let report = Report::new("golden".to_owned(), &workload, &journal);
    let Report { jobs, attempts, instances, .. } = &report;
    // 128 vCPUs are 32 jobs at a time; four of 84 attempts are lost with one instance, and each is made good.
    assert_eq!((jobs.succeeded, attempts.total, attempts.retries, attempts.interrupted), (80, 84, 4, 4));
    let [group] = &instances[..] else { panic!("{instances:?}") };
    assert_eq!((group.instance_type.as_str(), group.market), ("c6i.8xlarge", "spot"));
    assert_eq!((group.launched, group.failed, group.interrupted), (5, 0, 1));
    let rounded = |amount: f64| format!("{amount:.2}");
    let money = [report.cost.total, report.cost.spot, report.cost.all_on_demand].map(rounded);
    assert_eq!(money, ["2.42", "2.42", "7.68"]);
    let Vcpus { allocated, available, utilisation, wasted } = report.vcpus;
    let hours = [allocated, available.unwrap(), utilisation.unwrap(), wasted].map(rounded);
    assert_eq!(hours, ["113.70", "176.73", "0.64", "5.19"]);
    assert_eq!(rounded(report.makespan), "5320.61");
}

#[test]
fn what_an_environment_has_at_least_is_there_before_the_first_job_and_stays() {
    let workload = of([jobs("a", &[3600])]);
    let scaling = Scaling { min_vcpus: 16, ..*scaling(Market::OnDemand, &["m6i.2xlarge"]) };
    let state = state(Platform::Ec2, Some(64), Some(Box::new(scaling)));
    let journal = simulate(&workload, state, Vec::new(), Parameters::default(), Options::default());
    let [one, other] = &journal.instances[..] else { panic!("{:?}", journal.instances) };
    assert!(one.ready_at.unwrap() < BEGIN.0 + 120_000);
    assert_eq!((one.end, other.end), (InstanceEnd::Running, InstanceEnd::Running));
    assert_eq!(ends(&journal), [Some(3612)], "two seconds to start, ten to run");
}

/// In milliseconds; the time of a plan is rounded up to it, and a look at idle instances may be as late.
const SECOND: u64 = 1000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_the_cloud_does_every_job_ends_and_every_instance_is_used_paid_for_and_given_back(
        seed in any::<u64>(),
        market in prop_oneof![Just(Market::OnDemand), Just(Market::Spot)],
        (max_vcpus, vcpus) in (16_u32..200, 1_u64..9),
        (interruptions, shortage, failure) in (0.0..1.0, 0.0..0.3, 0.0..0.2),
    ) {
        let parameters = Parameters {
            spot_interruptions_per_hour: interruptions,
            spot_shortage_probability: shortage,
            launch_failure_probability: failure,
            ..Parameters::default()
        };
        let mut workload = of([retried(&[0, 3000], 30, vcpus), retried(&[600], 20, 1)]);
        workload.add(Template { after: vec![After { template: 1, kind: AfterKind::End }], ..jobs("last", &[0]) });
        let state = state(Platform::Ec2, Some(max_vcpus), Some(scaling(market, &["m6i", "c6i"])));
        let options = Options { seed, ..Options::default() };
        let journal = simulate(&workload, state, Vec::new(), parameters, options);
        let report = Report::new(String::new(), &workload, &journal);

        // Jobs: each attempt but the last was lost with its instance.
        let lost = journal.attempts.iter().filter(|attempt| attempt.end == AttemptEnd::Lost).count();
        prop_assert_eq!(report.jobs.unfinished, 0);
        prop_assert_eq!(report.attempts.total, report.jobs.total + report.attempts.retries);
        prop_assert!(lost == report.attempts.interrupted && lost >= report.attempts.retries);
        prop_assert!(lost == 0 || market == Market::Spot);

        // Instances: jobs are there while it is there, no more than fit; it goes when it has been idle for long enough.
        let mut on: BTreeMap<u32, Vec<&AttemptFacts>> = BTreeMap::new();
        for attempt in &journal.attempts {
            on.entry(attempt.instance).or_default().push(attempt);
        }
        for (number, instance) in journal.instances.iter().enumerate() {
            let attempts = on.remove(&u32::try_from(number).unwrap()).unwrap_or_default();
            let Some(ready) = instance.ready_at else {
                prop_assert!(attempts.is_empty());
                continue;
            };
            let gone = instance.ended_at.expect("it is given back at the end");
            let last = attempts.iter().map(|attempt| attempt.ended_at).max().unwrap_or(ready);
            prop_assert!(attempts.iter().all(|attempt| attempt.placed_at >= ready && attempt.ended_at <= gone));
            prop_assert!(most(attempts.iter().map(|one| held(one))) <= instance.milli_vcpus);
            if instance.end == InstanceEnd::Returned {
                prop_assert!((IDLE_DELAY_MS..=IDLE_DELAY_MS + SECOND).contains(&(gone - last)), "{}", gone - last);
            }
        }
        let there = journal.instances.iter().filter(|instance| instance.end != InstanceEnd::Failed);
        let there = there.map(|one| (one.requested_at, one.ended_at.unwrap(), one.milli_vcpus));
        let largest = journal.instances.iter().map(|instance| instance.milli_vcpus).max().unwrap();
        prop_assert!(most(there) < u64::from(max_vcpus) * 1000 + largest);

        // Money: by the second of each instance, and the area of its curve.
        let seconds = |one: &InstanceFacts| (one.ended_at.unwrap() - one.requested_at).div_ceil(1000).max(60);
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let on_demand: f64 = journal
            .instances
            .iter()
            .filter(|instance| instance.end != InstanceEnd::Failed)
            .map(|one| find(&one.kind).unwrap().price.unwrap() as f64 / 1e6 * seconds(one) as f64 / 3600.0)
            .sum();
        let Cost { total, all_on_demand, .. } = report.cost;
        prop_assert!((all_on_demand - on_demand).abs() < 1e-3, "{all_on_demand} is not {on_demand}");
        match market {
            Market::OnDemand => prop_assert!((total - all_on_demand).abs() < 1e-9),
            Market::Spot => prop_assert!(total < all_on_demand * 0.6),
        }
        let area: f64 = report.series.cost_rate.iter().sum::<f64>() * report.series.step / 3600.0;
        prop_assert!((area - total).abs() <= total * 0.01, "{area} is not {total}");
    }
}

/// From when until when an attempt holds how much.
fn held(attempt: &AttemptFacts) -> (u64, u64, u64) {
    (attempt.placed_at, attempt.ended_at, attempt.milli_vcpus.into())
}

/// The most that is held at a time.
fn most(holders: impl Iterator<Item = (u64, u64, u64)>) -> u64 {
    let moves = holders.flat_map(|(from, until, amount)| [(from, 1, amount), (until, 0, amount)]);
    let mut moves: Vec<(u64, u8, u64)> = moves.collect();
    moves.sort_unstable();
    let mut held = 0;
    let sums = moves.into_iter().map(|(_, comes, amount)| {
        held = if comes == 1 { held + amount } else { held - amount };
        held
    });
    sums.max().unwrap_or(0)
}
