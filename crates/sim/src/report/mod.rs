//! What a journal means: makespan, waits, utilisation, interruptions, instances, cost.
//!
//! Every figure is worked out from the facts of the journal alone; one report serves the terminal, JSON and HTML.

mod chart;
pub mod csv;
pub mod html;
mod steps;
mod stuck;
mod waits;

use std::collections::BTreeMap;

use fornada_core::arn::name_of;
use fornada_core::instance::Market;
use fornada_core::job::JobStatus;
use serde::Serialize;

use crate::journal::{AttemptEnd, AttemptFacts, InstanceEnd, InstanceFacts, Journal};
use crate::workload::Workload;
use steps::Level;
pub use steps::Steps;
pub use stuck::Stuck;
pub use waits::Waits;

/// Millionths of a US dollar for one vCPU and hour on Fargate, Linux on x86_64, us-east-1. Source: AWS price list.
const FARGATE_VCPU_HOUR: f64 = 40_480.0;
/// The same for one GiB.
const FARGATE_GIB_HOUR: f64 = 4_445.0;
/// A Fargate task is charged for this many seconds at least.
const FARGATE_SECONDS_MIN: u64 = 60;

/// What a simulation came to. Times in seconds, amounts of money in US dollars.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What it is called.
    pub title: String,
    /// From the first submission to the last end of a job.
    pub makespan: f64,
    /// Jobs that are no arrays, and children of arrays.
    pub jobs: Ends,
    /// What was tried.
    pub attempts: Attempts,
    /// By queue.
    pub queues: Vec<Waits>,
    /// By share of a queue.
    pub shares: Vec<Waits>,
    /// vCPU-hours.
    pub vcpus: Vcpus,
    /// By type and market, the dearest first.
    pub instances: Vec<InstanceGroup>,
    /// All of it.
    pub cost: Cost,
    /// Jobs that never started, by why.
    pub stuck: Vec<Stuck>,
    /// Over time.
    pub series: Series,
}

/// Jobs by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ends {
    /// All.
    pub total: usize,
    /// SUCCEEDED.
    pub succeeded: usize,
    /// FAILED.
    pub failed: usize,
    /// Not ended when the simulation did.
    pub unfinished: usize,
}

/// Attempts, those of nodes included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempts {
    /// All that had a place.
    pub total: usize,
    /// Those beyond the first of a job.
    pub retries: usize,
    /// Lost with their instance.
    pub interrupted: usize,
    /// Killed for their memory.
    pub out_of_memory: usize,
    /// Ended by themselves with another exit code than 0.
    pub failed: usize,
}

/// vCPU-hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Vcpus {
    /// Held by attempts.
    pub allocated: f64,
    /// Of machines that were there; absent where there is no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available: Option<f64>,
    /// The former as a part of the latter, counted where there is a bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilisation: Option<f64>,
    /// Held by attempts that came to nothing.
    pub wasted: f64,
}

/// Instances of one type and market.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceGroup {
    /// For example `m6i.large`.
    pub instance_type: String,
    /// `on demand`, `spot`, or empty for machines that were there.
    pub market: &'static str,
    /// How many there were.
    pub launched: usize,
    /// Launches that failed.
    pub failed: usize,
    /// Taken back.
    pub interrupted: usize,
    /// Instance-hours that were paid for.
    pub hours: f64,
    /// What they cost.
    pub cost: f64,
}

/// US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Instances on demand.
    pub on_demand: f64,
    /// Spot instances.
    pub spot: f64,
    /// Fargate, as if none of it were Fargate Spot.
    pub fargate: f64,
    /// Together.
    pub total: f64,
    /// The same, had every instance been bought on demand.
    pub all_on_demand: f64,
}

/// Means over steps of equal length.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Series {
    /// The steps.
    #[serde(skip)]
    pub steps: Steps,
    /// Seconds of a step.
    pub step: f64,
    /// vCPUs of machines.
    pub available: Vec<f64>,
    /// vCPUs that attempts hold.
    pub allocated: Vec<f64>,
    /// Attempts that have a place.
    pub running: Vec<f64>,
    /// Jobs that wait for capacity, by queue.
    pub waiting: BTreeMap<String, Vec<f64>>,
    /// Instances, on demand or there by themselves.
    pub instances: Vec<f64>,
    /// Spot instances.
    pub spot_instances: Vec<f64>,
    /// US dollars an hour.
    pub cost_rate: Vec<f64>,
    /// The same, had every instance been bought on demand.
    pub cost_rate_on_demand: Vec<f64>,
}

impl Report {
    /// Works everything out.
    pub fn new(title: String, workload: &Workload, journal: &Journal) -> Report {
        let ready = waits::ready(workload, journal);
        let of = waits::templates(workload);
        let (queues, shares) = waits::waits(workload, journal, &ready, &of);
        let first = journal.jobs.iter().filter_map(|job| job.submitted_at).min().unwrap_or(journal.begin);
        let last = journal.units.iter().filter_map(|unit| unit.ended_at).max().unwrap_or(journal.end);
        let ends = ends(journal);
        let until = if ends.unfinished > 0 { journal.end } else { last };
        Report {
            title,
            makespan: seconds(until.saturating_sub(first)),
            jobs: ends,
            attempts: attempts(journal),
            queues,
            shares,
            vcpus: vcpus(journal),
            instances: groups(journal),
            cost: cost(journal),
            stuck: stuck::stuck(workload, journal, &ready, &of),
            series: series(workload, journal, &ready, &of),
        }
    }
}

fn ends(journal: &Journal) -> Ends {
    let mut ends = Ends { total: journal.units.len(), ..Ends::default() };
    for unit in &journal.units {
        match unit.status {
            JobStatus::Succeeded => ends.succeeded += 1,
            JobStatus::Failed => ends.failed += 1,
            JobStatus::Submitted
            | JobStatus::Pending
            | JobStatus::Runnable
            | JobStatus::Starting
            | JobStatus::Running => ends.unfinished += 1,
        }
    }
    ends
}

fn attempts(journal: &Journal) -> Attempts {
    let mut all = Attempts { total: journal.attempts.len(), ..Attempts::default() };
    for attempt in &journal.attempts {
        match attempt.end {
            AttemptEnd::Lost => all.interrupted += 1,
            AttemptEnd::OutOfMemory => all.out_of_memory += 1,
            AttemptEnd::Exit(0) | AttemptEnd::Stopped(_) | AttemptEnd::Unfinished => {}
            AttemptEnd::Exit(_) => all.failed += 1,
        }
    }
    all.retries = journal.units.iter().map(|unit| unit.attempts.saturating_sub(1) as usize).sum();
    all
}

fn vcpus(journal: &Journal) -> Vcpus {
    let bounded = |attempt: &AttemptFacts| journal.instances[attempt.instance as usize].milli_vcpus > 0;
    let held =
        |attempt: &AttemptFacts| u64::from(attempt.milli_vcpus) * (attempt.ended_at - attempt.placed_at);
    let allocated: u64 = journal.attempts.iter().map(held).sum();
    let within: u64 = journal.attempts.iter().filter(|attempt| bounded(attempt)).map(held).sum();
    let came_to_nothing = |attempt: &&AttemptFacts| match attempt.end {
        AttemptEnd::Exit(code) => code != 0,
        AttemptEnd::OutOfMemory | AttemptEnd::Lost => true,
        AttemptEnd::Stopped(_) | AttemptEnd::Unfinished => false,
    };
    let wasted: u64 = journal.attempts.iter().filter(came_to_nothing).map(held).sum();
    let there = journal.instances.iter().filter_map(|instance| {
        let until = instance.ended_at.unwrap_or(journal.end);
        Some(instance.milli_vcpus * until.saturating_sub(instance.ready_at?))
    });
    let available: u64 = there.sum();
    #[expect(clippy::cast_precision_loss, reason = "hours are for the eye")]
    let hours = |milli_vcpu_millis: u64| milli_vcpu_millis as f64 / 1000.0 / 3_600_000.0;
    Vcpus {
        allocated: hours(allocated),
        available: (available > 0).then(|| hours(available)),
        utilisation: (available > 0).then(|| hours(within) / hours(available)),
        wasted: hours(wasted),
    }
}

fn market(instance: &InstanceFacts) -> &'static str {
    match instance.market {
        Some(Market::OnDemand) => "on demand",
        Some(Market::Spot) => "spot",
        None => "",
    }
}

fn groups(journal: &Journal) -> Vec<InstanceGroup> {
    let mut groups: BTreeMap<(&str, &'static str), InstanceGroup> = BTreeMap::new();
    let bounded = |instance: &&InstanceFacts| instance.market.is_some() || instance.milli_vcpus > 0;
    for instance in journal.instances.iter().filter(bounded) {
        let group = groups.entry((&instance.kind, market(instance))).or_insert_with(|| InstanceGroup {
            instance_type: instance.kind.as_str().to_owned(),
            market: market(instance),
            launched: 0,
            failed: 0,
            interrupted: 0,
            hours: 0.0,
            cost: 0.0,
        });
        if instance.end == InstanceEnd::Failed {
            group.failed += 1;
            continue;
        }
        group.launched += 1;
        group.interrupted += usize::from(instance.end == InstanceEnd::Interrupted);
        group.hours += seconds(instance.ended_at.unwrap_or(journal.end) - instance.requested_at) / 3600.0;
        group.cost += dollars(instance.cost);
    }
    let mut all: Vec<InstanceGroup> = groups.into_values().collect();
    all.sort_by(|a, b| b.cost.total_cmp(&a.cost));
    all
}

/// What an attempt costs on Fargate, in millionths of a dollar; nothing elsewhere.
fn fargate_cost(journal: &Journal, attempt: &AttemptFacts) -> f64 {
    let instance = &journal.instances[attempt.instance as usize];
    if instance.market.is_some() || instance.milli_vcpus > 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "no attempt takes 2^52 s")]
    let hours =
        (attempt.ended_at - attempt.placed_at).div_ceil(1000).max(FARGATE_SECONDS_MIN) as f64 / 3600.0;
    let (vcpus, gib) = (f64::from(attempt.milli_vcpus) / 1000.0, f64::from(attempt.memory_mib) / 1024.0);
    hours * (vcpus * FARGATE_VCPU_HOUR + gib * FARGATE_GIB_HOUR)
}

fn cost(journal: &Journal) -> Cost {
    let of = |wanted: Market| {
        let all = journal.instances.iter().filter(move |instance| instance.market == Some(wanted));
        dollars(all.map(|instance| instance.cost).sum())
    };
    let (on_demand, spot) = (of(Market::OnDemand), of(Market::Spot));
    let fargate: f64 = journal.attempts.iter().map(|attempt| fargate_cost(journal, attempt)).sum();
    let fargate = fargate / 1e6;
    let dear: u64 = journal.instances.iter().map(|instance| instance.cost_on_demand).sum();
    Cost {
        on_demand,
        spot,
        fargate,
        total: on_demand + spot + fargate,
        all_on_demand: dollars(dear) + fargate,
    }
}

fn series(workload: &Workload, journal: &Journal, ready: &[Option<u64>], of: &[u32]) -> Series {
    let steps = Steps::new(journal.begin, journal.end);
    let level = || Level::new(steps);
    let (mut available, mut allocated, mut running) = (level(), level(), level());
    let (mut instances, mut spot_instances) = (level(), level());
    let (mut cost_rate, mut on_demand) = (level(), level());
    for instance in &journal.instances {
        let until = instance.ended_at.unwrap_or(journal.end);
        let Some(ready) = instance.ready_at else { continue };
        available.add(ready, until, instance.milli_vcpus);
        let group = if instance.market == Some(Market::Spot) { &mut spot_instances } else { &mut instances };
        group.add(ready, until, u64::from(instance.milli_vcpus > 0));
        let paid = until.saturating_sub(instance.requested_at);
        // Millionths of a dollar an hour, so that the area is the cost.
        for (rate, cost) in [(&mut cost_rate, instance.cost), (&mut on_demand, instance.cost_on_demand)] {
            rate.add(instance.requested_at, until, (cost * 3_600_000).checked_div(paid).unwrap_or(0));
        }
    }
    let mut waiting: BTreeMap<String, Level> = BTreeMap::new();
    let queue = |unit: usize| name_of(&workload.templates()[of[unit] as usize].submission.queue);
    let mut since = ready.to_vec();
    for attempt in &journal.attempts {
        allocated.add(attempt.placed_at, attempt.ended_at, u64::from(attempt.milli_vcpus));
        running.add(attempt.placed_at, attempt.ended_at, 1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "costs are small and positive"
        )]
        let fargate = fargate_cost(journal, attempt) as u64;
        let ran = attempt.ended_at - attempt.placed_at;
        let rate = (fargate * 3_600_000).checked_div(ran).unwrap_or(0);
        cost_rate.add(attempt.placed_at, attempt.ended_at, rate);
        on_demand.add(attempt.placed_at, attempt.ended_at, rate);
        if attempt.leads {
            let unit = attempt.unit as usize;
            if let Some(since) = since[unit].replace(attempt.ended_at) {
                let waiting = waiting.entry(queue(unit).to_owned()).or_insert_with(level);
                waiting.add(since, attempt.placed_at, 1);
            }
        }
    }
    for (unit, since) in since.iter().enumerate() {
        if let Some(since) = since.filter(|_| journal.units[unit].ended_at.is_none()) {
            waiting.entry(queue(unit).to_owned()).or_insert_with(level).add(since, journal.end, 1);
        }
    }
    Series {
        steps,
        step: seconds(steps.length),
        available: available.means(1000.0),
        allocated: allocated.means(1000.0),
        running: running.means(1.0),
        waiting: waiting.into_iter().map(|(queue, level)| (queue, level.means(1.0))).collect(),
        instances: instances.means(1.0),
        spot_instances: spot_instances.means(1.0),
        cost_rate: cost_rate.means(1e6),
        cost_rate_on_demand: on_demand.means(1e6),
    }
}

#[expect(clippy::cast_precision_loss, reason = "no simulation takes 2^52 ms")]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "nobody pays 2^52 millionths of a dollar")]
fn dollars(millionths: u64) -> f64 {
    millionths as f64 / 1e6
}
