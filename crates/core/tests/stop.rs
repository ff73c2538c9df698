//! CancelJob and TerminateJob, in every status. Arrays: see `arrays.rs`.

mod common;

use fornada_core::attempt::Observation;
use fornada_core::id::{AttemptId, JobId, Uuid};
use fornada_core::job::JobStatus::{self, Failed, Pending, Runnable, Running, Starting, Succeeded};

use common::{Lost, World, environment, job, queue};

/// A world with a job in `status`, and what the machine has been asked so far looked at.
fn with_job_in(status: JobStatus) -> (World, JobId) {
    let mut world = World::new(2);
    let before = world.submit(job("before").vcpus(2));
    let a = match status {
        Pending => world.submit(job("a").after([before]).attempts(3)),
        _ => world.submit(job("a").attempts(3)),
    };
    if matches!(status, Starting | Running | Succeeded | Failed) {
        world.exit(before, 0);
    }
    match status {
        Running => world.start(a),
        Succeeded => world.exit(a, 0),
        Failed => (0..3).for_each(|_| world.exit(a, 1)),
        JobStatus::Submitted | Pending | Runnable | Starting => {}
    }
    assert_eq!(world.status(a), status);
    world.machine.asked();
    (world, a)
}

#[test]
fn jobs_that_wait_fail_at_once_with_the_callers_reason() {
    for status in [Pending, Runnable] {
        for terminate in [false, true] {
            let (mut world, a) = with_job_in(status);
            let dependent = world.submit(job("dependent").after([a]));
            if terminate {
                world.terminate(a, "why not")
            } else {
                world.cancel(a, "why not")
            }
            let ended = world.find(a);
            assert_eq!((ended.status, &*world.reason(a)), (Failed, "why not"), "{status}");
            assert_eq!((ended.is_cancelled, ended.is_terminated), (!terminate, terminate), "{status}");
            assert!(ended.attempts.is_empty() && ended.stopped_at.is_some(), "{status}");
            assert_eq!(world.status(dependent), Failed, "{status}");
            assert_eq!(world.machine.asked(), [], "{status}");
        }
    }
}

#[test]
fn a_running_job_is_stopped_once_and_fails_whatever_its_exit_code() {
    for status in [Starting, Running] {
        for exit_code in [Some(0), Some(1), Some(143), None] {
            let (mut world, a) = with_job_in(status);
            world.terminate(a, "enough");
            world.terminate(a, "again");
            let attempt = world.machine.live(a).unwrap();
            assert_eq!(world.machine.asked(), [("stop", attempt)], "{status}");
            assert_eq!((world.status(a), world.find(a).is_terminated), (status, true), "until it has ended");
            world.exit_with(a, exit_code, None);
            assert_eq!((world.status(a), &*world.reason(a)), (Failed, "enough"), "{status} {exit_code:?}");
            assert_eq!(world.machine.asked(), [("forget", attempt)], "no other attempt");
        }
    }
}

#[test]
fn cancel_leaves_a_running_job_alone() {
    for status in [Starting, Running] {
        let (mut world, a) = with_job_in(status);
        world.cancel(a, "no effect");
        assert_eq!((world.status(a), world.find(a).is_cancelled), (status, true));
        world.terminate(a, "but this has");
        assert!(world.machine.is_stopping(a));
        world.exit(a, 143);
        assert_eq!(&*world.reason(a), "but this has");
    }
}

#[test]
fn finished_and_unknown_jobs_are_left_alone() {
    for status in [Succeeded, Failed] {
        let (mut world, a) = with_job_in(status);
        let before = world.find(a);
        let records = world.store.records().len();
        for id in [a, JobId::child(a.job, 0), JobId::whole(Uuid::from_u128(9))] {
            world.cancel(id, "too late");
            world.terminate(id, "too late");
        }
        assert_eq!((world.find(a), world.store.records().len()), (before, records));
        assert_eq!(world.machine.asked(), []);
    }
}

#[test]
fn a_stop_that_did_not_arrive_is_repeated() {
    for crash in [false, true] {
        let (mut world, a) = with_job_in(Running);
        if crash {
            world.crash_during(Lost::Actions, |world| world.terminate(a, "enough"));
        } else {
            world.disconnect();
            world.terminate(a, "enough");
        }
        assert_eq!(world.machine.asked(), []);
        world.connect();
        let attempt = world.machine.live(a).unwrap();
        assert_eq!(world.machine.asked(), [("stop", attempt)]);
        world.exit(a, 0);
        assert_eq!((world.status(a), &*world.reason(a)), (Failed, "enough"));
    }
}

#[test]
fn a_job_that_is_terminated_before_its_start_arrived_never_starts() {
    let mut world = World::new(2);
    world.crash_during(Lost::Actions, |world| {
        world.submit(job("a").attempts(3));
    });
    let a = JobId::whole(world.jobs[0]);
    world.terminate(a, "enough");
    assert_eq!(world.status(a), Starting, "nobody knows yet whether it runs");
    world.connect();
    assert_eq!((world.status(a), &*world.reason(a)), (Failed, "enough"));
    // Its start may be on the way: it has ended when the machine says so.
    let attempt = AttemptId { job: a, number: 1 };
    assert_eq!(world.machine.asked(), [("stop", attempt), ("forget", attempt)]);
}

#[test]
fn a_terminated_job_whose_machine_is_lost_has_ended() {
    let (mut world, a) = with_job_in(Running);
    world.terminate(a, "enough");
    world.restart_machine();
    assert_eq!((world.status(a), &*world.reason(a)), (Failed, "enough"));
}

#[test]
fn a_job_that_is_cancelled_lets_those_behind_it_pass() {
    let mut world = World::new(2);
    let running = world.submit(job("running"));
    let (large, small) = (world.submit(job("large").vcpus(2)), world.submit(job("small")));
    assert_eq!([running, large, small].map(|id| world.status(id)), [Starting, Runnable, Runnable]);
    world.cancel(large, "in the way");
    assert_eq!(world.status(small), Starting);

    let array = world.submit(job("array").vcpus(2).array(3));
    world.exit(small, 0);
    let small = world.submit(job("small"));
    assert_eq!(world.status(small), Runnable);
    world.terminate(array, "in the way");
    assert_eq!(world.status(small), Starting);
}

#[test]
fn a_refused_start_ends_what_was_to_end() {
    let mut world = World::new(8);
    world.create_environment(environment("other").max_vcpus(8)).expect("a new name");
    let refuse = |world: &mut World, job| {
        world.disconnect();
        world.turn(|turn| turn.observe(Observation::Refused(AttemptId { job, number: 1 })));
    };
    let cancelled = world.submit(job("cancelled"));
    world.cancel(cancelled, "no more");
    refuse(&mut world, cancelled);
    assert_eq!(world.status(cancelled), Failed, "it does not wait for another start");

    world.connect();
    let waits = world.submit(job("waits"));
    world.update_queue(queue("q").environments(["other"])).expect("it exists");
    world.update_environment(environment("ce").max_vcpus(8).disabled()).expect("it exists");
    let arn = world.environment("ce").expect("it exists").arn.clone();
    world.turn(|turn| turn.delete_compute_environment(&arn)).expect("nobody uses it");
    world.advance(1000);
    refuse(&mut world, waits);
    world.advance(1000);
    assert_eq!((world.status(waits), world.environment("ce")), (Runnable, None));
}
