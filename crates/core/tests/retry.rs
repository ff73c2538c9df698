//! Which failures are followed by another attempt.

mod common;

use fornada_core::job::JobStatus::{Failed, Runnable, Running, Starting, Succeeded};
use fornada_core::job::observe::{EXITED, FAILED_TO_START};
use fornada_core::job::retry::RetryStrategy;
use fornada_core::job::stop::TIMED_OUT;

use common::{World, definition, job, scope};

#[test]
fn attempts_end_with_success_or_when_they_are_used_up() {
    // Exit codes of the attempts that are made; `None`: the container never started.
    let cases: &[(&str, u32, &[Option<i32>], _, &str)] = &[
        ("the default is one", 1, &[Some(1)], Failed, EXITED),
        ("fails every time", 3, &[Some(1), Some(2), Some(3)], Failed, EXITED),
        ("succeeds at last", 3, &[Some(1), None, Some(0)], Succeeded, EXITED),
        ("start failures count too", 2, &[None, None], Failed, FAILED_TO_START),
        ("an exit code that is not worth it", 3, &[Some(1), Some(13)], Failed, EXITED),
    ];
    for &(name, attempts, codes, want, want_reason) in cases {
        let mut world = World::new(2);
        let a = world.submit(job("a").attempts(attempts).exit_on("13"));
        for (made, &code) in codes.iter().enumerate() {
            assert_eq!((world.status(a), world.find(a).attempts.len()), (Starting, made), "{name}");
            let launch = world.machine.launched(a);
            let number = ("AWS_BATCH_JOB_ATTEMPT".into(), (made + 1).to_string().into());
            assert!(
                launch.containers[0].environment.contains(&number),
                "{name}: {:?}",
                launch.containers[0].environment
            );
            world.exit_with(a, code, None);
        }
        assert_eq!((world.status(a), &*world.reason(a)), (want, want_reason), "{name}");
        let ended = world.find(a).attempts;
        assert_eq!(ended.iter().map(|a| a.outcome.exit_code).collect::<Vec<_>>(), codes, "{name}");
        assert!(ended.windows(2).all(|w| w[0].task_id != w[1].task_id), "{name}: each has a task of its own");
    }
}

#[test]
fn the_submission_replaces_the_strategy_of_the_definition() {
    let mut world = World::new(2);
    let retry = Some(RetryStrategy { attempts: 2, evaluate_on_exit: Vec::new() });
    let patient = fornada_core::resource::job_definition::JobDefinition { retry, ..definition() };
    world.turn(|turn| turn.register_job_definition(&scope(), "patient", patient));
    for (name, submit, want) in
        [("definition's", job("a"), Starting), ("submission's", job("a").attempts(1), Failed)]
    {
        let a = world.submit(submit.with(|s| s.definition = "patient".into()));
        world.exit(a, 1);
        assert_eq!(world.status(a), want, "{name}");
    }
}

#[test]
fn a_retried_job_keeps_its_place_in_the_queue() {
    let mut world = World::new(1);
    let (a, b) = (world.submit(job("a").attempts(2)), world.submit(job("b")));
    world.start(a);
    world.exit(a, 1);
    assert_eq!((world.status(a), world.status(b)), (Starting, Runnable));
    assert_eq!(world.find(a).started_at, None, "cleared until it starts again");
    world.exit(a, 0);
    assert_eq!(world.status(b), Starting);
}

#[test]
fn a_job_that_was_cancelled_while_it_ran_is_not_retried() {
    for (code, want) in [(1, Failed), (0, Succeeded)] {
        let mut world = World::new(2);
        let a = world.submit(job("a").attempts(5));
        world.start(a);
        world.cancel(a, "no more");
        assert_eq!((world.status(a), world.find(a).is_cancelled), (Running, true), "goes on");
        world.exit(a, code);
        assert_eq!((world.status(a), &*world.reason(a)), (want, EXITED));
    }
}

#[test]
fn an_attempt_that_runs_too_long_is_stopped_and_not_retried() {
    for crash in [false, true] {
        let mut world = World::new(2);
        let a = world.submit(job("a").attempts(5).timeout(60));
        world.advance(600_000); // the time before it starts does not count
        world.start(a);
        world.machine.asked();
        assert_eq!(world.state.next_timer().map(|at| at.0), Some(world.now + 60_000));
        world.advance(59_999);
        assert_eq!(world.machine.asked(), []);
        if crash {
            world.crash_and_recover();
        }
        world.advance(1);
        let attempt = world.machine.live(a).unwrap();
        assert_eq!(world.machine.asked(), [("stop", attempt)]);
        world.terminate(a, "too late: the first cause stays");
        assert_eq!((world.status(a), world.machine.asked()), (Running, vec![]));
        world.exit(a, 137);
        assert_eq!((world.status(a), &*world.reason(a)), (Failed, TIMED_OUT));
        assert_eq!(world.state.next_timer(), None);
    }
}

#[test]
fn each_attempt_has_the_whole_time() {
    let mut world = World::new(2);
    let a = world.submit(job("a").attempts(2).timeout(60));
    world.start(a);
    world.advance(59_000);
    world.exit(a, 1);
    assert_eq!(world.state.next_timer(), None, "the timer ended with its attempt");
    world.start(a);
    world.advance(59_000);
    assert!(!world.machine.is_stopping(a));
    world.advance(1_000);
    assert!(world.machine.is_stopping(a));
}
