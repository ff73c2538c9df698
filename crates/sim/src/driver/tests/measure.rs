//! How long a million jobs take: `cargo test --release -p fornada-sim -- --ignored --nocapture --test-threads 1`.

use std::time::Instant;

use fornada_core::instance::Market;

use super::scaled::{retried, scaling};
use super::*;

/// 100 arrays of 10 000, one each minute.
fn million() -> Workload {
    let mut array = retried(&(0..100).map(|nth| nth * 60).collect::<Vec<_>>(), 10_000, 2);
    array.behaviour.run_time = Distribution::LogNormal { median: 600.0, sigma: 0.5 };
    of([array])
}

fn measured(simulate: impl FnOnce(&Workload) -> Journal) {
    let (workload, began) = (million(), Instant::now());
    let journal = simulate(&workload);
    let (instances, attempts) = (journal.instances.len(), journal.attempts.len());
    println!("{} turns, {attempts} attempts, {instances} instances: {:?}", journal.turns, began.elapsed());
    assert!(journal.units.iter().all(|unit| unit.status == JobStatus::Succeeded));
}

#[test]
#[ignore = "a measurement, for release builds"]
fn a_million_jobs_on_ten_thousand_machines() {
    let machines = (0..10_000).map(|number| {
        let mut machine = machine(16);
        machine.host.instance_id = format!("i-{number:017x}").into();
        machine
    });
    measured(|workload| run(workload, machines.collect(), |_| ()));
}

#[test]
#[ignore = "a measurement, for release builds"]
fn a_million_jobs_on_ten_thousand_instances_that_are_launched() {
    let state = state(Platform::Ec2, Some(160_000), Some(scaling(Market::Spot, &["m6i.4xlarge"])));
    let parameters = Parameters { spot_interruptions_per_hour: 0.05, ..Parameters::default() };
    measured(|workload| simulate(workload, state, Vec::new(), parameters, Options::default()));
}
