//! What a copy and a check of a large store cost, and what a server notices of the copy: `cargo bench -p fornada-store`
//! prints it. `JOBS=10000` makes the store smaller.
#![allow(clippy::unwrap_used, reason = "a measurement may panic")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fornada_core::id::Uuid;
use fornada_core::job::{Job, JobStatus};
use fornada_core::record::{Change, Record};
use fornada_core::time::Timestamp;
use fornada_engine::port::store::Store;
use fornada_store::finding::Findings;
use fornada_store::sqlite::{self, Snapshot, SqliteStore, Use};

/// A job that has ended, as number `sequence`.
fn job(template: &Job, sequence: u64) -> Change {
    let id = Uuid::from_u128((u128::from(sequence) << 64) | 1);
    let mut job = Job { sequence, id, array: None, nodes: None, ..template.clone() };
    job.execution.status = JobStatus::Succeeded;
    job.execution.stopped_at = Some(Timestamp(1_700_000_000_000));
    job.execution.placement = None;
    Change::Put(Record::Job(Arc::new(job)))
}

/// The record with every member set that `fornada-core` keeps as golden.
fn template() -> Job {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden/job.v1.hex");
    let digits = fs::read_to_string(path).unwrap().replace('\n', "");
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let body: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    minicbor::decode(&body).unwrap()
}

/// Commits of one job each, until it is told to stop: how long each took, in order.
fn commits(store: &mut SqliteStore, template: &Job, from: u64, done: &AtomicBool) -> Vec<Duration> {
    let mut times = Vec::new();
    while !done.load(Ordering::Acquire) {
        let change = [job(template, from + times.len() as u64)];
        let start = Instant::now();
        store.commit(&change).unwrap();
        times.push(start.elapsed());
        thread::sleep(Duration::from_millis(1));
    }
    times.sort_unstable();
    times
}

fn say(what: &str, times: &[Duration]) {
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what}: {} commits, p50 {:?}, p99 {:?}, most {:?}", times.len(), at(50), at(99), at(100));
}

/// Runs `work` while jobs are committed; returns their times.
fn beside(store: &mut SqliteStore, template: &Job, from: u64, work: impl FnOnce()) -> Vec<Duration> {
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        let committing = threads.spawn(|| commits(store, template, from, &done));
        work();
        done.store(true, Ordering::Release);
        committing.join().unwrap()
    })
}

fn main() {
    let jobs: u64 = std::env::var("JOBS").map_or(1_000_000, |jobs| jobs.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let (mut store, _) = SqliteStore::open(&path).unwrap();
    let template = template();
    for first in (0..jobs).step_by(10_000) {
        let changes: Vec<_> = (first..jobs.min(first + 10_000)).map(|n| job(&template, n)).collect();
        store.commit(&changes).unwrap();
    }

    let alone = beside(&mut store, &template, jobs, || thread::sleep(Duration::from_secs(5)));
    say("without a backup", &alone);
    let next = jobs + alone.len() as u64;
    let with_backup = beside(&mut store, &template, next, || {
        let start = Instant::now();
        let snapshot = Snapshot::open(&path, Use::Live).unwrap();
        let bytes = snapshot.copy_to(&dir.path().join("copy.db"), &mut |_, _| ()).unwrap();
        println!("copy of {next} jobs, {} MiB: {:?}", bytes >> 20, start.elapsed());
    });
    say("beside the backup", &with_backup);

    let start = Instant::now();
    let mut findings = Findings::default();
    let counts = sqlite::check(&Snapshot::open(&path, Use::Live).unwrap(), &mut findings);
    println!("check of {} jobs: {:?}, {} findings", counts.jobs, start.elapsed(), findings.finish().len());
    let peak = fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", peak.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
}
