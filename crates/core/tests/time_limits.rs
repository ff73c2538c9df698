//! Job state time limits: what is stuck at the head of its queue for too long is given up.
//!
//! Source: AWS Batch User Guide, jobs stuck in RUNNABLE; API reference, JobStateTimeLimitAction.

mod common;

use fornada_core::attempt::Observation;
use fornada_core::id::JobId;
use fornada_core::instance::{LaunchFailure, Market, Provision};
use fornada_core::job::JobStatus::{Failed, Pending, Runnable, Starting};
use fornada_core::record::Record;
use fornada_core::resource::Status;
use fornada_core::scale::{AllocationStrategy, Scaling};
use fornada_core::service_job::ServiceJobStatus;
use fornada_core::state::{Settings, State};

use common::build::environment_arn;
use common::service::{QUEUE, service_environment_arn, training};
use common::{Submit, World, child, environment, job, queue};

const TOO_LARGE: &str = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT";
const CEILING_TOO_LOW: &str = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE";
const NO_CAPACITY: &str = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY";

const SECOND: u64 = 1000;

fn given_up(code: &str) -> String {
    format!("Canceled by JobStateTimeLimit action due to reason: {code}")
}

/// A machine of 4 vCPUs behind an environment of 8, and a queue with limits.
fn world(limits: &[(&str, u32)]) -> World {
    let mut world = World::empty(4);
    world.create_environment(environment("ce").max_vcpus(8)).expect("a new name");
    world.create_queue(queue("q").environments(["ce"]).time_limits(limits)).expect("a new name");
    world
}

#[test]
fn each_reason_has_a_limit_of_its_own() {
    let large: fn() -> Submit = || job("large").vcpus(5);
    let larger: fn() -> Submit = || job("larger").vcpus(9);
    for (submit, limits, want) in [
        (large, &[(TOO_LARGE, 600)][..], Some((600, TOO_LARGE))),
        (larger, &[(CEILING_TOO_LOW, 700)], Some((700, CEILING_TOO_LOW))),
        (larger, &[(TOO_LARGE, 600), (CEILING_TOO_LOW, 86_400)], Some((86_400, CEILING_TOO_LOW))),
        (large, &[(CEILING_TOO_LOW, 600), (NO_CAPACITY, 600), ("ACTION_REQUIRED", 600)], None),
        (large, &[], None),
    ] {
        for strict in [false, true] {
            let mut world = if strict { world(limits).strict() } else { world(limits) };
            let id = world.submit(submit());
            match want {
                Some((seconds, code)) => {
                    world.advance(seconds * SECOND - 1);
                    assert_eq!(world.status(id), Runnable, "{limits:?}");
                    assert_eq!(world.state.next_timer().map(|at| at.0), Some(world.now + 1), "it wakes up");
                    world.advance(1);
                    assert_eq!((world.status(id), world.reason(id)), (Failed, given_up(code)), "{limits:?}");
                    assert!(world.find(id).is_cancelled);
                }
                None => {
                    world.advance(1_000_000 * SECOND);
                    assert_eq!(world.status(id), Runnable, "{limits:?}");
                }
            }
            assert_eq!(world.state.next_timer(), None);
        }
    }
}

/// What was set aside does not block the queue: each job counts as a head of its own.
#[test]
fn jobs_that_were_set_aside_count_from_when_they_came() {
    let mut world = world(&[(TOO_LARGE, 600)]);
    let first = world.submit(job("a").vcpus(5));
    world.advance(100 * SECOND);
    let array = world.submit(job("b").vcpus(5).array(3));
    let other = world.submit(job("c").gpus(2));
    let fits = world.submit(job("d").vcpus(4));
    let waits = world.submit(job("e").vcpus(4).array(2));
    world.advance(500 * SECOND);
    let children = [0, 1, 2].map(|index| child(array, index));
    assert_eq!(world.status(first), Failed);
    assert_eq!((world.status(array), world.status(other)), (Pending, Runnable));
    world.terminate(children[1], "no more");
    world.advance(100 * SECOND);
    assert_eq!(children.map(|id| world.status(id)), [Failed; 3]);
    let reasons = [children[0], children[1], children[2], other].map(|id| world.reason(id));
    assert_eq!(reasons, [&*given_up(TOO_LARGE), "no more", &*given_up(TOO_LARGE), &*given_up(TOO_LARGE)]);
    assert_eq!(world.status(array), Failed);
    world.advance(100_000 * SECOND);
    assert_eq!((world.status(fits), world.summary(waits)), (Starting, (0, 2, 0, 0, 0)), "they only wait");
}

#[test]
fn in_strict_order_only_the_first_counts_and_the_next_begins_anew() {
    let mut world = world(&[(TOO_LARGE, 600)]).strict();
    let array = world.submit(job("a").vcpus(5).array(2));
    let second = world.submit(job("b").gpus(2));
    let behind = world.submit(job("c"));
    for want in [[Failed, Runnable, Runnable], [Failed, Failed, Runnable], [Failed; 3]] {
        assert_eq!(world.status(behind), Runnable);
        world.advance(600 * SECOND);
        assert_eq!([child(array, 0), child(array, 1), second].map(|id| world.status(id)), want);
    }
    assert_eq!(world.status(behind), Starting, "in the same turn");
}

#[test]
fn another_reason_and_a_restart_of_the_server_begin_anew_and_what_fits_is_left_alone() {
    let mut world = world(&[(TOO_LARGE, 600), (CEILING_TOO_LOW, 600)]);
    let id = world.submit(job("a").vcpus(8));
    world.advance(599 * SECOND);
    world.update_environment(environment("ce").max_vcpus(7)).unwrap();
    world.advance(599 * SECOND);
    assert_eq!(world.status(id), Runnable);
    world.crash_and_recover();
    world.advance(599 * SECOND);
    assert_eq!(world.status(id), Runnable);
    world.machine.host.capacity.milli_vcpus = 8_000;
    world.update_environment(environment("ce").max_vcpus(8)).unwrap();
    world.connect();
    assert_eq!(world.status(id), Starting);
    world.advance(1_000_000 * SECOND);
    assert_eq!(world.status(id), Starting);
}

/// A limit that comes later counts what was before; one that goes is forgotten.
#[test]
fn limits_can_be_changed() {
    let mut world = world(&[(TOO_LARGE, 86_400)]);
    let (a, b) = (world.submit(job("a").vcpus(5)), world.submit(job("b").vcpus(5)));
    world.advance(1000 * SECOND);
    let limited = |limits| queue("q").environments(["ce"]).time_limits(limits);
    world.update_queue(limited(&[])).unwrap();
    world.advance(100_000 * SECOND);
    assert_eq!(world.status(a), Runnable);
    world.update_queue(limited(&[(TOO_LARGE, 86_400)])).unwrap();
    world.advance(1000 * SECOND);
    assert_eq!(world.status(a), Runnable);
    world.update_queue(limited(&[(TOO_LARGE, 900)])).unwrap();
    assert_eq!([a, b].map(|id| world.status(id)), [Failed; 2]);
}

#[test]
fn when_all_environments_are_invalid_somebody_has_to_act() {
    let mut world = world(&[("ACTION_REQUIRED", 600)]);
    let records = world.store.records().into_iter().map(|record| match record {
        Record::ComputeEnvironment(mut ce) => {
            std::sync::Arc::make_mut(&mut ce).status = Status::Invalid;
            Record::ComputeEnvironment(ce)
        }
        other => other,
    });
    world.state = State::recover(records.collect::<Vec<_>>());
    world.connect();
    let (head, behind) = (world.submit(job("a")), world.submit(job("b").vcpus(2)));
    let invalid = "ACTION_REQUIRED - CE(s) associated with the job queue are invalid.";
    assert_eq!([head, behind].map(|id| world.reason(id)), [invalid, ""]);
    world.advance(100_000 * SECOND);
    assert_eq!(world.status(head), Runnable);
}

// ---- capacity

/// An environment that launches instances of these types, and a queue with a limit for their lack.
fn scaling_world(instance_types: &[&str]) -> World {
    let mut world = World::empty(4);
    world.settings = Settings { scale: true, ..world.settings };
    world.state.configure(world.settings);
    for name in ["first", "second"] {
        let mut given = environment(name).max_vcpus(64);
        given.0.scaling = Some(Box::new(Scaling {
            market: Market::OnDemand,
            strategy: AllocationStrategy::BestFitProgressive,
            instance_types: instance_types.iter().map(|one| (*one).into()).collect(),
            min_vcpus: 0,
            desired_vcpus: 0,
            bid_percentage: None,
            scale_down_delay_minutes: None,
            terminate_jobs_on_update: false,
            job_execution_timeout_minutes: 30,
            generation: 0,
        }));
        world.create_environment(given).expect("a new name");
    }
    let limits = [(NO_CAPACITY, 600)];
    world
        .create_queue(queue("q").environments(["first", "second"]).time_limits(&limits))
        .expect("a new name");
    world.provisions.clear();
    world
}

/// All launches that were asked for fail, in this environment.
fn fail_launches(world: &mut World, environment: &str, failure: &LaunchFailure) -> usize {
    let provisions = std::mem::take(&mut world.provisions);
    let (failing, others): (Vec<_>, Vec<_>) = provisions.into_iter().partition(
        |provision| matches!(provision, Provision::Launch(request) if request.compute_environment == environment_arn(environment)),
    );
    world.provisions = others;
    for provision in &failing {
        if let Provision::Launch(request) = provision {
            let failed = Observation::LaunchFailed(request.instance_id.clone(), failure.clone());
            world.turn(|turn| turn.observe(failed));
        }
    }
    failing.len()
}

/// For so many seconds, every launch in any environment fails as soon as it is asked for.
fn without_capacity(world: &mut World, seconds: u64, failure: &LaunchFailure) {
    for _ in 0..seconds {
        while fail_launches(world, "first", failure) + fail_launches(world, "second", failure) > 0 {}
        world.advance(SECOND);
    }
}

fn reasons(world: &World, ids: &[JobId]) -> Vec<String> {
    ids.iter().map(|id| world.reason(*id)).collect()
}

#[test]
fn the_head_is_given_up_when_there_is_no_capacity_anywhere_for_long_enough() {
    let mut world = scaling_world(&["m6i.large", "m6i.xlarge"]);
    let jobs = [world.submit(job("a").memory_mib(4000)), world.submit(job("b").memory_mib(4000))];
    assert_eq!(reasons(&world, &jobs), ["", ""], "instances are coming");
    // One type of one environment is not there: others are tried.
    assert!(fail_launches(&mut world, "first", &LaunchFailure::InsufficientCapacity) > 0);
    world.advance(2 * SECOND);
    assert_eq!(reasons(&world, &jobs), ["", ""]);
    without_capacity(&mut world, 20, &LaunchFailure::InsufficientCapacity);
    let reason = world.reason(jobs[0]);
    assert!(
        reason.starts_with(&format!(
            "{NO_CAPACITY} - Service cannot fulfill the capacity requested for instance type [m6i."
        )),
        "{reason}"
    );
    assert_eq!(world.reason(jobs[1]), "", "only the head");
    // Types are tried again every few minutes; that does not begin anew.
    without_capacity(&mut world, 500, &LaunchFailure::InsufficientCapacity);
    assert_eq!(world.status(jobs[0]), Runnable);
    without_capacity(&mut world, 300, &LaunchFailure::InsufficientCapacity);
    assert_eq!((world.status(jobs[0]), world.reason(jobs[0])), (Failed, given_up(NO_CAPACITY)));
    assert_eq!(world.status(jobs[1]), Runnable);
    without_capacity(&mut world, 300, &LaunchFailure::InsufficientCapacity);
    assert_eq!(world.status(jobs[1]), Runnable, "the next head begins anew");
    without_capacity(&mut world, 500, &LaunchFailure::InsufficientCapacity);
    assert_eq!(world.status(jobs[1]), Failed);
}

#[test]
fn nothing_is_given_up_while_capacity_may_come() {
    let mut world = scaling_world(&["m6i.large"]);
    let id = world.submit(job("a").memory_mib(4000));
    without_capacity(&mut world, 100, &LaunchFailure::InsufficientCapacity);
    assert_ne!(world.reason(id), "");
    // The next launch is neither refused nor done.
    world.advance(200 * SECOND);
    assert_eq!(world.reason(id), "");
    for _ in 0..10 {
        world.advance(200 * SECOND);
        assert_eq!(world.status(id), Runnable);
    }
    // Then it is refused: it has been stuck for long enough.
    without_capacity(&mut world, 1, &LaunchFailure::InsufficientCapacity);
    assert_eq!(world.status(id), Failed);
}

#[test]
fn other_failures_are_not_a_lack_of_capacity() {
    let mut world = scaling_world(&["m6i.large"]);
    let id = world.submit(job("a").memory_mib(4000));
    without_capacity(&mut world, 1000, &LaunchFailure::Other("no such image".into()));
    assert_eq!((world.status(id), &*world.reason(id)), (Runnable, ""));
}

// ---- service jobs

/// Source: AWS Batch User Guide, blocked service job queues.
#[test]
fn service_jobs_are_terminated() {
    const UNIT: &str = "ml.m5.large";
    let mut world = World::with_service(&[(UNIT, 2)]);
    let mut given = queue(QUEUE).time_limits(&[(NO_CAPACITY, 600)]);
    given.0.service_environment = Some(service_environment_arn());
    world.update_queue(given).unwrap();
    world.disconnect();
    let jobs = [1, 1].map(|count| world.train(training(UNIT, count)));
    world.advance(600 * SECOND - 1);
    assert_eq!(jobs.map(|id| world.service_status(id)), [ServiceJobStatus::Runnable; 2]);
    world.advance(1);
    let want = format!("Terminated by JobStateTimeLimit action due to reason: {NO_CAPACITY}");
    assert_eq!(
        (world.service_status(jobs[0]), world.service_reason(jobs[0])),
        (ServiceJobStatus::Failed, want)
    );
    assert_eq!(world.service_status(jobs[1]), ServiceJobStatus::Runnable, "the next head begins anew");
    world.advance(599 * SECOND);
    world.connect();
    assert_eq!(world.service_status(jobs[1]), ServiceJobStatus::Scheduled);
}
