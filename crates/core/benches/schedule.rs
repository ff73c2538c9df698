//! What a scheduling pass costs, and how that grows: with the jobs that wait, with the shapes they have, and by kind.
//!
//! `cargo bench -p fornada-core --bench schedule`; a pass measured here gives room to every job that waits.
#![allow(missing_docs, reason = "made by criterion's macros")]

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use fornada_core::attempt::{Action, AttemptReport, Observation, Outcome, Usage};
use fornada_core::container::Requirements;
use fornada_core::id::{AttemptId, JobId};
use fornada_core::job::submit::Submission;
use fornada_core::quantity::Resources;
use fornada_core::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};

mod common;
use common::{GANG, SHAPES, Site, connect, fair, fifo, plain, scope, shape, shaped};

/// How long this thread has run: what else the machine does is not counted, though it takes its part of the caches.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("time does not run backwards")
}

/// So many jobs or more are placed a single time, which stands for every sample: to queue them takes too long.
const ONCE: usize = 1_000_000;

/// Measures what `pass` does with a site that waits with `jobs`, each time with a new one.
fn measure(
    criterion: &mut Criterion,
    name: &str,
    jobs: usize,
    queue: impl Fn(&mut Site),
    pass: impl Fn(&mut Site) -> usize,
) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    // A new site takes far longer than the pass: as many as there are samples, and no more.
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(1));
    group.throughput(Throughput::Elements(jobs as u64));
    let mut known = None;
    group.bench_function(BenchmarkId::from_parameter(jobs), |bencher| {
        bencher.iter_custom(|times| {
            let once = || {
                let mut site = Site::new();
                queue(&mut site);
                site.connect_for(jobs);
                let start = cpu_time();
                let placed = black_box(pass(&mut site));
                let time = cpu_time() - start;
                assert_eq!(placed, jobs, "all that waits gets room");
                time
            };
            if jobs >= ONCE {
                let passes = u32::try_from(times).expect("few are asked for");
                return *known.get_or_insert_with(once) * passes;
            }
            (0..times).map(|_| once()).sum()
        });
    });
}

fn passes(criterion: &mut Criterion) {
    for jobs in [1_000, 10_000, 100_000, 1_000_000] {
        measure(criterion, "fifo", jobs, |site| site.submit(fifo(jobs)), Site::assign);
        measure(criterion, "fair-share", jobs, |site| site.submit(fair(jobs)), Site::assign);
        let array = |site: &mut Site| {
            let size = u32::try_from(jobs.min(10_000)).ok();
            site.submit((0..jobs.div_ceil(10_000)).map(|_| Submission { array_size: size, ..plain("fifo") }));
        };
        measure(criterion, "array", jobs, array, Site::assign);
    }
    for jobs in [1_000, 10_000, 100_000] {
        let gangs = |site: &mut Site| {
            site.submit((0..jobs / GANG).map(|_| Submission { definition: "gang".into(), ..plain("fifo") }));
        };
        measure(criterion, "gangs", jobs, gangs, |site| site.assign() * GANG);
        let whole = |site: &mut Site| site.turn(|_| ()).1.actions.len();
        measure(criterion, "turn", jobs, |site| site.submit(fifo(jobs)), whole);
    }
}

fn shapes(criterion: &mut Criterion) {
    for shapes in [1, 10, 100, SHAPES] {
        let mut group = criterion.benchmark_group("shapes");
        let jobs = 100_000;
        group.sample_size(10).sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(jobs as u64));
        group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(1));
        group.bench_function(BenchmarkId::from_parameter(shapes), |bencher| {
            bencher.iter_custom(|times| {
                let once = || {
                    let mut site = Site::new();
                    // Spread over the sizes, so that the average job stays as large.
                    let of = |n: usize| shape((n * 7919 % shapes) * (SHAPES / shapes) + SHAPES / shapes / 2);
                    site.submit((0..jobs).map(|n| shaped("fifo", of(n))));
                    site.connect_for(jobs * 2);
                    let start = cpu_time();
                    let placed = black_box(site.assign());
                    let time = cpu_time() - start;
                    assert_eq!(placed, jobs, "all that waits gets room");
                    time
                };
                (0..times).map(|_| once()).sum()
            });
        });
    }
}

/// A site that is full, with `waiting` jobs in a queue none of which could use the room of a job that runs.
fn full(waiting: usize) -> (Site, VecDeque<AttemptId>) {
    let mut site = Site::new();
    let small = Resources { milli_vcpus: 1000, memory_mib: 32, gpus: 0 };
    let large = Resources { milli_vcpus: 1_000_000, memory_mib: 1_000_000, gpus: 0 };
    let (_, decision) = site.turn(|turn| {
        connect(turn, 0, large);
        let all = Requirements { milli_vcpus: Some(1_000_000), memory_mib: Some(1_000_000), gpus: None };
        turn.submit_job(&scope(), shaped("fifo", all)).expect("the job is sound");
        for number in 1..=1_000 {
            connect(turn, number, small);
            turn.submit_job(&scope(), runner()).expect("the job is sound");
        }
    });
    let attempts = decision.actions.into_iter().filter_map(started).filter(|attempt| {
        site.state.find(attempt.job).is_some_and(|(job, _)| job.resources.memory_mib == 32)
    });
    let attempts = attempts.collect();
    site.submit(fifo(waiting));
    (site, attempts)
}

fn runner() -> Submission {
    shaped("fifo", Requirements { milli_vcpus: Some(1000), memory_mib: Some(32), gpus: None })
}

fn started(action: Action) -> Option<AttemptId> {
    if let Action::Start(launch) = action { Some(launch.attempt) } else { None }
}

/// What a turn costs that has nothing to place.
fn idle(criterion: &mut Criterion) {
    for waiting in [1_000, 10_000, 100_000, 1_000_000] {
        let (mut site, mut running) = full(waiting);
        let mut group = criterion.benchmark_group("idle-submit");
        group.sample_size(10).warm_up_time(Duration::from_millis(20));
        group.measurement_time(Duration::from_millis(100));
        group.bench_function(BenchmarkId::from_parameter(waiting), |bencher| {
            bencher.iter_custom(|times| {
                let once = |_| {
                    let submission = fifo(1).next().expect("there is one");
                    let start = cpu_time();
                    let (job, _) = site.turn(|turn| turn.submit_job(&scope(), submission));
                    let time = cpu_time() - start;
                    let job = job.expect("the job is sound");
                    site.turn(|turn| turn.cancel_job(JobId::whole(job.id), &"bench".into()));
                    time
                };
                (0..times).map(once).sum()
            });
        });
        group.finish();
        let mut group = criterion.benchmark_group("idle-exit");
        group.sample_size(10).warm_up_time(Duration::from_millis(20));
        group.measurement_time(Duration::from_millis(100));
        group.bench_function(BenchmarkId::from_parameter(waiting), |bencher| {
            bencher.iter_custom(|times| {
                let once = |_| {
                    let attempt = running.pop_front().expect("there is always one");
                    let outcome = Outcome {
                        exit_code: Some(0),
                        reason: None,
                        usage: Usage::default(),
                        containers: None,
                    };
                    let ended = Some((Timestamp(1_000_200_000), outcome));
                    let report = AttemptReport { attempt, started_at: Some(Timestamp(1_000_200_000)), ended };
                    let start = cpu_time();
                    site.turn(|turn| turn.observe(Observation::Exited(report)));
                    let time = cpu_time() - start;
                    let (_, decision) = site.turn(|turn| turn.submit_job(&scope(), runner()));
                    running.extend(decision.actions.into_iter().filter_map(started));
                    time
                };
                (0..times).map(once).sum()
            });
        });
    }
}

criterion_group!(benches, passes, shapes, idle);
criterion_main!(benches);
