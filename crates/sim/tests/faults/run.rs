//! Running seeds, on all cores, and what is said of them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::trace::Trace;
use crate::world::World;

/// Between two reports of progress.
const REPORT: Duration = Duration::from_secs(10);
/// Failures after which no more seeds are run.
const FAILURES_MAX: usize = 20;

pub struct Outcome {
    pub trace: Trace,
    /// Or what was found.
    pub result: Result<(), String>,
}

pub fn outcome(seed: u64) -> Outcome {
    let mut trace = Trace::default();
    let ran = catch_unwind(AssertUnwindSafe(|| World::new(seed, &mut trace).run()));
    let result = ran.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    });
    Outcome { trace, result }
}

/// A number from the environment.
pub fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}; it must be a whole number")))
}

#[derive(Default)]
struct Sum {
    seeds: u64,
    counts: BTreeMap<String, u64>,
    failures: Vec<(u64, String)>,
}

/// Runs `count` seeds from `from` on, and says what was done.
pub fn run_many(from: u64, count: u64) {
    let (next, sum) = (AtomicU64::new(from), Mutex::new(Sum::default()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| work(&next, from + count, &sum, began));
        }
    });
    let mut sum = sum.into_inner().expect("no thread panicked");
    report(&sum, began);
    sum.failures.sort();
    if let Some((seed, failure)) = sum.failures.first() {
        let all: Vec<String> = sum.failures.iter().map(|(seed, failure)| line(*seed, failure)).collect();
        println!("{}", outcome(*seed).trace.last_lines());
        panic!(
            "{failure}\n\n{} of {} seeds failed:\n{}\nreplay: FORNADA_SEED={seed} cargo test -p fornada-sim --test faults replay \
             -- --ignored --nocapture",
            sum.failures.len(),
            sum.seeds,
            all.join("\n"),
        );
    }
}

fn line(seed: u64, failure: &str) -> String {
    format!(
        "  seed {seed}: {}",
        failure.lines().next().unwrap_or_default().chars().take(300).collect::<String>()
    )
}

fn work(next: &AtomicU64, end: u64, sum: &Mutex<Sum>, began: Instant) {
    let mut reported = Instant::now();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end || sum.lock().expect("no thread panicked").failures.len() >= FAILURES_MAX {
            return;
        }
        let outcome = outcome(seed);
        let mut sum = sum.lock().expect("no thread panicked");
        sum.seeds += 1;
        for (what, number) in outcome.trace.counts() {
            *sum.counts.entry(what.clone()).or_default() += number;
        }
        if let Err(failure) = outcome.result {
            println!("{}", line(seed, &failure));
            sum.failures.push((seed, failure));
        }
        if reported.elapsed() > REPORT {
            reported = Instant::now();
            report(&sum, began);
        }
    }
}

fn report(sum: &Sum, began: Instant) {
    let of = |what: &str| sum.counts.get(what).copied().unwrap_or(0);
    println!(
        "{} seeds in {} s: {} simulated days, {} steps, {} calls, {} processes, {} crashes, {} failures",
        sum.seeds,
        began.elapsed().as_secs(),
        of("virtual milliseconds") / 86_400_000,
        of("steps"),
        of("calls"),
        of("processes"),
        of("crashes"),
        sum.failures.len()
    );
    if sum.seeds >= 300 || !sum.failures.is_empty() {
        let all: Vec<String> = sum.counts.iter().map(|(what, number)| format!("{what} {number}")).collect();
        println!("  {}", all.join(", "));
    }
}
