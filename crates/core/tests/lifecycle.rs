//! The life of a single job: what is reported, what follows, and what a crash or a lost message may not change.

mod common;

use fornada_core::attempt::{AttemptReport, Observation, Outcome, Usage};
use fornada_core::id::AttemptId;
use fornada_core::job::JobStatus::{Failed, Runnable, Running, Starting, Succeeded};
use fornada_core::job::observe::{EXITED, FAILED_TO_START};
use fornada_core::time::Timestamp;

use common::{Lost, World, child, job};

#[test]
fn a_job_starts_runs_and_ends_without_a_turn_in_between() {
    let mut world = World::new(4);
    let a = world.submit(job("a"));
    let attempt = AttemptId { job: a, number: 1 };
    assert_eq!((world.status(a), world.machine.asked()), (Starting, vec![("start", attempt)]));

    world.now += 500;
    world.start(a);
    let started_at = Some(Timestamp(world.now));
    assert_eq!((world.status(a), world.find(a).started_at), (Running, started_at));

    world.now += 500;
    world.exit(a, 0);
    let ended = world.find(a);
    assert_eq!((ended.status, world.reason(a)), (Succeeded, EXITED.to_owned()));
    assert_eq!((ended.started_at, ended.stopped_at), (started_at, Some(Timestamp(world.now))));
    assert_eq!((ended.attempts.len(), ended.attempts[0].started_at), (1, started_at));
    assert_eq!(ended.attempts[0].outcome.exit_code, Some(0));
    assert_eq!(world.machine.asked(), [("forget", attempt)], "and nothing else happened");
}

#[test]
fn the_launch_carries_what_the_container_needs() {
    let mut world = World::new(4);
    let array = world.submit(job("render").array(3).vcpus(2));
    let launch = world.machine.launched(child(array, 1)).clone();
    let variables: Vec<(&str, &str)> =
        launch.containers[0].environment.iter().map(|(k, v)| (&**k, &**v)).collect();
    let id = child(array, 1).to_string();
    assert_eq!(
        variables,
        [
            ("AWS_BATCH_JOB_ID", &*id),
            ("AWS_BATCH_JOB_ATTEMPT", "1"),
            ("AWS_BATCH_JQ_NAME", "q"),
            ("AWS_BATCH_CE_NAME", "ce"),
            ("AWS_BATCH_JOB_ARRAY_INDEX", "1"),
            ("AWS_BATCH_JOB_ARRAY_SIZE", "3"),
        ]
    );
    assert_eq!((launch.containers[0].image.as_str(), launch.resources.milli_vcpus), ("host", 2000));
    assert_eq!(launch.containers[0].log_stream, *format!("d/default/{}", launch.task_id));
}

#[test]
fn start_and_end_reported_together() {
    for (name, exit_code, want, want_reason) in [
        ("very short job", Some(0), Succeeded, EXITED),
        ("very short failure", Some(3), Failed, EXITED),
        ("image missing", None, Failed, FAILED_TO_START),
    ] {
        let mut world = World::new(4);
        let a = world.submit(job("a"));
        world.exit_with(a, exit_code, None);
        assert_eq!((world.status(a), &*world.reason(a)), (want, want_reason), "{name}");
        assert_eq!(world.find(a).started_at.is_some(), exit_code.is_some(), "{name}");
        assert!(world.find(a).stopped_at.is_some(), "{name}");
    }
}

#[test]
fn late_and_repeated_reports_of_older_attempts_change_nothing() {
    let mut world = World::new(4);
    let a = world.submit(job("a").attempts(3));
    world.start(a);
    world.exit(a, 1);
    assert_eq!(world.status(a), Starting, "the second attempt");
    let first = AttemptId { job: a, number: 1 };
    let at = Timestamp(world.now);
    let outcome = Outcome { exit_code: Some(0), reason: None, usage: Usage::default(), containers: None };
    let report = AttemptReport { attempt: first, started_at: Some(at), ended: Some((at, outcome)) };
    let before = world.find(a);
    for observation in [
        Observation::Started(first, at),
        Observation::Exited(report.clone()),
        Observation::Exited(report),
        Observation::Started(AttemptId { job: a, number: 7 }, at),
        Observation::Started(AttemptId { job: child(a, 0), number: 1 }, at),
    ] {
        world.turn(|turn| turn.observe(observation.clone()));
        assert_eq!(world.find(a), before, "{observation:?}");
    }
    world.exit(a, 0);
    assert_eq!(world.status(a), Succeeded);
}

#[test]
fn running_jobs_are_adopted_after_a_crash() {
    let mut world = World::new(4);
    let (running, starting) = (world.submit(job("a")), world.submit(job("b")));
    world.start(running);
    world.machine.asked();
    world.crash_and_recover();
    assert_eq!(world.machine.asked(), [], "both are there already");
    world.exit(running, 0);
    world.exit(starting, 0);
    assert_eq!((world.status(running), world.status(starting)), (Succeeded, Succeeded));
}

#[test]
fn a_report_made_while_nobody_listened_is_taken_up() {
    let mut world = World::new(4);
    let (a, b) = (world.submit(job("a")), world.submit(job("b")));
    world.disconnect();
    world.start(a);
    world.exit(b, 2);
    assert_eq!((world.status(a), world.status(b)), (Starting, Starting));
    world.connect();
    assert_eq!((world.status(a), world.status(b)), (Running, Failed));
    assert_eq!(world.machine.asked().last(), Some(&("forget", AttemptId { job: b, number: 1 })));
}

#[test]
fn a_start_lost_in_a_crash_is_repeated() {
    let mut world = World::new(4);
    world.crash_during(Lost::Actions, |world| {
        world.submit(job("a"));
    });
    let a = fornada_core::id::JobId::whole(world.jobs[0]);
    assert_eq!((world.status(a), world.machine.live(a)), (Starting, None));
    world.connect();
    world.exit(a, 0);
    assert_eq!((world.status(a), world.find(a).attempts.len()), (Succeeded, 1));
}

#[test]
fn a_restarted_machine_has_lost_what_it_ran() {
    for (name, attempts, want) in [("no retry", 1, Failed), ("retry", 2, Starting)] {
        for (started, crash) in [(true, false), (true, true), (false, false), (false, true)] {
            let mut world = World::new(4);
            let a = world.submit(job("a").attempts(attempts));
            if started {
                world.start(a);
            }
            if crash {
                world.crash_during(Lost::Nothing, |_| ());
            }
            world.restart_machine();
            assert_eq!(world.status(a), want, "{name}, started: {started}, crash: {crash}");
            let lost = &world.find(a).attempts[0];
            assert_eq!(lost.status_reason, "Host EC2 (instance i-00000000000000001) terminated.");
            assert_eq!(lost.outcome.exit_code, None);
        }
    }
}

#[test]
fn what_should_not_run_is_stopped_and_what_has_ended_is_forgotten() {
    let mut world = World::new(4);
    let a = world.submit(job("a"));
    // The store was put back to an older copy: the machine knows more than the server.
    world.store = Default::default();
    world.state = Default::default();
    world.jobs.clear();
    world.machine.asked();
    world.connect();
    let attempt = AttemptId { job: a, number: 1 };
    assert_eq!(world.machine.asked(), [("stop", attempt)]);
    let (host, mut reports) = world.machine.report();
    let outcome = Outcome { exit_code: Some(143), reason: None, usage: Usage::default(), containers: None };
    reports[0].ended = Some((Timestamp(world.now), outcome.clone()));
    world.machine.exited(attempt, Timestamp(world.now), Some(143), None);
    world.turn(|turn| turn.observe(Observation::Connected(host, reports)));
    assert_eq!(world.machine.asked(), [("forget", attempt)]);
    assert!(world.machine.is_idle());
}

#[test]
fn a_clock_that_is_set_back_does_not_turn_history_around() {
    for array in [false, true] {
        let mut world = World::new(4);
        let submitted = world.submit(if array { job("a").array(2) } else { job("a") });
        let a = if array { child(submitted, 0) } else { submitted };
        world.now += 60_000;
        world.start(a);
        let started_at = world.find(a).started_at;
        world.now -= 50_000;
        world.crash_and_recover();
        world.exit(a, 0);
        assert_eq!(world.status(a), Succeeded);
        assert_eq!(world.find(a).stopped_at, started_at, "not before it started");
    }
}

#[test]
fn a_machine_that_comes_back_smaller_keeps_what_it_runs() {
    let mut world = World::new(4);
    let (a, b) = (world.submit(job("a").vcpus(3)), world.submit(job("b").vcpus(2)));
    world.start(a);
    world.machine.host.capacity.milli_vcpus = 2000;
    world.connect();
    assert_eq!((world.status(a), world.machine.live(b)), (Running, None), "nothing more is placed on it");
    world.exit(a, 0);
    assert_eq!((world.status(a), world.status(b)), (Succeeded, Starting));
}

#[test]
fn a_crash_loses_no_record() {
    let mut world = World::new(2);
    let ids = [world.submit(job("a").array(3)), world.submit(job("b")), world.submit(job("c").timeout(60))];
    let records = world.store.len();
    for lost in [Lost::Nothing, Lost::Actions, Lost::Everything] {
        world.crash_during(lost, |world| world.advance(1));
        assert_eq!(world.store.len(), records, "{lost:?}");
    }
    world.connect();
    world.run_everything();
    assert!(ids.iter().all(|&id| world.status(id) == Succeeded));
}

#[test]
fn a_start_that_the_machine_refuses_uses_up_no_attempt() {
    let mut world = World::new(1);
    let id = world.submit(job("a"));
    let attempt = world.state.find(id).unwrap().1.current_attempt(id).unwrap();
    world.machine.forget_all();
    world.disconnect();
    world.turn(|turn| turn.observe(Observation::Refused(attempt)));
    let (_, execution) = world.state.find(id).unwrap();
    assert_eq!((execution.status, execution.attempts.len()), (Runnable, 0));
    world.connect();
    assert_eq!(
        world.state.find(id).unwrap().1.current_attempt(id),
        Some(attempt),
        "placed again as the same attempt"
    );
}

#[test]
fn an_end_in_time_counts_although_the_timeout_was_noticed_first() {
    for (ran_for_seconds, want) in [(50, Succeeded), (60, Failed)] {
        let mut world = World::new(1);
        let id = world.submit(job("a").with(|s| s.timeout_seconds = Some(60)));
        world.start(id);
        let started_at = world.state.find(id).unwrap().1.started_at.unwrap();
        let attempt = world.state.find(id).unwrap().1.current_attempt(id).unwrap();
        world.advance(70_000); // the timer fires; the end is reported only now
        let outcome = Outcome { exit_code: Some(0), reason: None, usage: Usage::default(), containers: None };
        let ended = Some((started_at.plus_seconds(ran_for_seconds), outcome));
        let report = AttemptReport { attempt, started_at: Some(started_at), ended };
        world.machine.forget_all();
        world.turn(|turn| turn.observe(Observation::Exited(report)));
        assert_eq!(world.state.find(id).unwrap().1.status, want, "{ran_for_seconds} s of 60");
    }
}
