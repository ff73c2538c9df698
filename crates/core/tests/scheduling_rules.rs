//! Rules of placing jobs on several machines, one by one.

mod common;

use fornada_core::id::JobId;
use fornada_core::instance::Architecture;
use fornada_core::quantity::Resources;
use fornada_core::state::Settings;

use common::build::{definition, multinode};
use common::cluster::{Cluster, size};
use common::{Submit, environment, job, queue, scope};

const MINUTE: u64 = 60_000;

/// These machines, and queue `q` over all of them.
fn cluster(backfill: bool, machines: &[Resources]) -> Cluster {
    let mut cluster = Cluster::new(Settings { backfill, ..Settings::default() }, machines.iter().copied());
    cluster.create_environment(environment("ce"));
    cluster.create_queue(queue("q").environments(["ce"]));
    cluster
}

fn machines_of(cluster: &Cluster, jobs: &[JobId]) -> Vec<Option<usize>> {
    jobs.iter().map(|id| cluster.machine_of(*id)).collect()
}

/// Source: Lifka, The ANL/IBM SP scheduling system (EASY backfill).
#[test]
fn who_may_go_past_a_job_that_has_to_wait() {
    let short: fn() -> Submit = || job("short").timeout(600);
    let long: fn() -> Submit = || job("long").timeout(601);
    let unbounded: fn() -> Submit = || job("unbounded");
    // A machine of 4 vCPUs, 3 of them taken for at most ten minutes; the head needs `head`.
    for (backfill, head, behind, passes) in [
        (true, 4, short, true),
        (true, 4, long, false),
        (true, 4, unbounded, false),
        (true, 3, long, true), // the head leaves one vCPU
        (true, 3, unbounded, true),
        (false, 4, short, false),
        (false, 3, unbounded, false),
    ] {
        let mut cluster = cluster(backfill, &[size(4, 100, 0)]);
        cluster.submit(job("running").vcpus(3).timeout(600), 600);
        let head = cluster.submit(job("head").vcpus(head), 60);
        let behind = cluster.submit(behind(), 10_000);
        let name = cluster.state.job(behind.job).expect("it exists").name.clone();
        assert_eq!(cluster.start_of(behind).is_some(), passes, "{name}, backfill: {backfill}");
        let came = cluster.now;
        cluster.advance(10 * MINUTE);
        assert!(
            cluster.start_of(head).is_some_and(|at| at <= came + 10 * MINUTE),
            "{name} does not delay it"
        );
    }
}

/// Source: AWS Batch API reference, RuntimePlatform; compute resources of one architecture run only its images.
#[test]
fn jobs_go_to_machines_of_their_architecture() {
    let mut cluster = Cluster::new(Settings::default(), []);
    let architectures = [Some(Architecture::X86_64), Some(Architecture::Arm64), None];
    architectures.iter().for_each(|&of| cluster.add_machine(size(2, 100, 0), of));
    cluster.create_environment(environment("ce"));
    cluster.create_queue(queue("q").environments(["ce"]));
    for (name, of) in [("x86", Architecture::X86_64), ("arm", Architecture::Arm64)] {
        let mut given = definition();
        given.architecture = Some(of);
        cluster.turn(|turn| turn.register_job_definition(&scope(), name, given));
    }
    let arm = [0; 3].map(|_| cluster.submit(job("a").definition("arm").vcpus(2), 60));
    let x86 = cluster.submit(job("x").definition("x86").vcpus(2), 60);
    assert_eq!(machines_of(&cluster, &arm), [Some(1), Some(2), None], "what says nothing takes all");
    assert_eq!(cluster.machine_of(x86), Some(0));
}

/// Source: AWS Batch User Guide, GPU jobs; packing: Grandl et al., Multi-resource packing for cluster schedulers.
#[test]
fn each_job_goes_where_it_leaves_the_least() {
    let machines = [size(8, 1000, 2), size(8, 1000, 0), size(4, 2000, 0)];
    for (submit, want, why) in [
        (job("gpu").gpus(1), 0, "GPUs are there only"),
        (job("cpu").vcpus(4), 2, "the fewest vCPUs that suffice"),
        (job("wide").vcpus(5), 1, "GPUs are left to those who need them"),
        (job("memory").memory_mib(900), 1, "the least memory that suffices"),
        (job("much memory").memory_mib(1500), 2, "memory is there only"),
    ] {
        let mut cluster = cluster(true, &machines);
        let id = cluster.submit(submit, 60);
        assert_eq!(cluster.machine_of(id), Some(want), "{why}");
    }
    let mut cluster = cluster(true, &[size(1, 100, 1), size(1, 100, 0)]);
    let jobs = [0; 3].map(|_| cluster.submit(job("plain"), 60));
    assert_eq!(machines_of(&cluster, &jobs), [Some(1), Some(0), None], "nothing is left idle for GPU jobs");
}

/// Source: AWS Batch User Guide, multi-node parallel jobs.
#[test]
fn gangs_start_whole_or_not_at_all_and_one_after_the_other() {
    let mut cluster = cluster(true, &[size(2, 100, 0), size(2, 100, 0)]);
    cluster.turn(|turn| turn.register_job_definition(&scope(), "gang", multinode(3, 0)));
    let gangs = [0; 2].map(|_| cluster.submit(job("gang").definition("gang"), 60));
    let nodes = |cluster: &Cluster, gang: JobId| {
        cluster.started.iter().filter(|(_, id, _)| id.job == gang.job).count()
    };
    cluster.advance(1);
    assert_eq!(gangs.map(|gang| nodes(&cluster, gang)), [3, 0]);
    cluster.advance(2 * MINUTE);
    assert_eq!(gangs.map(|gang| nodes(&cluster, gang)), [3, 3]);
}
