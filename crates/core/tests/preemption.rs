//! Preemption between and in quota shares: who gives way to whom, and what becomes of them.
//!
//! Source: AWS Batch User Guide, quota management: preemption.

mod common;

use fornada_core::id::{JobId, Uuid};
use fornada_core::resource::quota_share::{QuotaShareUpdate, Sharing};
use fornada_core::service_job::ServiceJobStatus::{self, Failed, Runnable, Running, Scheduled, Succeeded};
use fornada_core::service_job::submit::ServiceSubmission;

use Sharing::{Lend, LendAndBorrow, Reserve};
use common::build::quota_share;
use common::service::{QUEUE, limits, service_environment_arn, share_arn, training};
use common::{Lost, World, queue_arn, scope};

const A: &str = "ml.a";
const B: &str = "ml.b";
const BORROW: Sharing = LendAndBorrow(None);
const CROSS_SHARE: &str = "Cross-share preemption triggered to reclaim borrowed capacity";
const IN_SHARE: &str = "In-share preemption triggered to run a job of higher priority";

/// A job of a share with a priority.
fn of(share: &str, count: u32, priority: u32) -> ServiceSubmission {
    ServiceSubmission {
        quota_share: Some(share.into()),
        scheduling_priority: Some(priority),
        ..training(A, count)
    }
}

/// Shares of so many instances in an environment of all of them.
fn world(shares: &[(&str, Sharing, u32)]) -> World {
    let mut world =
        World::with_service_policy(&[(A, shares.iter().map(|(_, _, own)| own).sum())], quota_share("p"));
    shares.iter().for_each(|&(name, sharing, own)| world.create_share(name, sharing, &[(A, own)]));
    world
}

fn in_share(world: &mut World, share: &str) {
    let update = QuotaShareUpdate { in_share_preemption: Some(true), ..QuotaShareUpdate::default() };
    world.update_share(share, update);
}

/// Submits jobs of one share at different times, and starts those that were placed.
fn train_all(world: &mut World, share: &str, jobs: &[(u32, u32)]) -> Vec<Uuid> {
    let mut train = |&(count, priority): &(u32, u32)| {
        world.now += 1000;
        let id = world.train(of(share, count, priority));
        if world.service_status(id) == Scheduled {
            world.start(JobId::whole(id));
        }
        id
    };
    jobs.iter().map(&mut train).collect()
}

fn stopping(world: &World, jobs: &[Uuid]) -> Vec<bool> {
    jobs.iter().map(|&id| world.machine.is_stopping(JobId::whole(id))).collect()
}

#[test]
fn a_lender_takes_back_what_is_its_own() {
    let mut world = world(&[("blue", BORROW, 2), ("red", Lend, 3)]);
    let blue = train_all(&mut world, "blue", &[(1, 0); 5]);
    let started_at = world.service_job(blue[4]).started_at;
    let red = world.train(of("red", 2, 0));
    assert_eq!(
        stopping(&world, &blue),
        [false, false, false, true, true],
        "the last ones, no more than needed"
    );
    let victim = world.service_job(blue[4]);
    assert_eq!(victim.status, Running);
    assert_eq!(victim.status_reason.as_deref(), Some(&*format!("PREEMPTION_IN_PROGRESS: {CROSS_SHARE}")));
    let task = victim.latest_task();

    world.now += 1000;
    world.end(blue[4], 143);
    assert_eq!(world.service_status(red), Runnable);
    assert_eq!(world.service_status(blue[4]), Runnable, "what has come back waits for the lender");
    let victim = world.service_job(blue[4]);
    assert_eq!((victim.status_reason.as_deref(), victim.attempts.len()), (None, 0));
    assert_eq!((victim.started_at, victim.scheduled_at, victim.latest_task()), (None, None, task));
    let summary = victim.preemptions.as_ref().unwrap();
    let attempt = &summary.recent[0];
    assert_eq!((summary.count, summary.recent.len()), (1, 1));
    assert_eq!((attempt.started_at, attempt.stopped_at.0), (started_at, world.now));
    assert_eq!(&*attempt.status_reason, CROSS_SHARE);

    world.end(blue[3], 0);
    assert_eq!(world.service_status(blue[3]), Runnable, "whatever its process said");
    assert_eq!(world.service_status(red), Scheduled);
    world.end(red, 0);
    assert_eq!(world.placed(&blue), [true; 5], "what is idle again is lent again");
    world.end(blue[4], 0);
    let again = world.service_job(blue[4]);
    assert_eq!((again.status, again.attempts.len()), (Succeeded, 1));
    assert_ne!(again.latest_task(), task);
}

/// Who gives way: borrowers, of lower priority first, the last to start first, no more than needed.
#[test]
fn who_gives_way() {
    type Jobs<'a> = &'a [(u32, u32)];
    // Count and priority of blue's jobs, with two instances of its own; what red wants of its four; who is stopped.
    let cases: [(&str, Jobs<'_>, u32, &[bool]); 6] = [
        ("nobody when it fits", &[(1, 0), (1, 0)], 4, &[false, false]),
        ("nobody when the own ones suffice", &[(1, 0), (1, 0), (1, 0)], 3, &[false; 3]),
        ("the last", &[(2, 0), (2, 0), (2, 0)], 2, &[false, false, true]),
        ("the least priority", &[(2, 5), (2, 1), (2, 3)], 2, &[false, true, false]),
        ("first by priority, then by age", &[(2, 1), (2, 1), (2, 5)], 4, &[true, true, false]),
        (
            "not the small one that a large one makes needless",
            &[(4, 5), (1, 1), (1, 0)],
            4,
            &[true, false, false],
        ),
    ];
    for (case, blue, want, expected) in cases {
        let mut world = world(&[("blue", BORROW, 2), ("red", Lend, 4)]);
        let blue = train_all(&mut world, "blue", blue);
        let red = world.train(of("red", want, 0));
        assert_eq!(stopping(&world, &blue), expected, "{case}");
        world.crash_and_recover();
        assert_eq!(stopping(&world, &blue), expected, "{case}: nobody else after a crash");
        for (id, _) in blue.iter().zip(expected).filter(|(_, stops)| **stops) {
            world.end(*id, 143);
        }
        assert_eq!(world.service_status(red), Scheduled, "{case}");
    }
}

#[test]
fn nobody_gives_way_in_vain() {
    let shares = [("blue", BORROW, 2), ("red", BORROW, 2), ("green", Reserve, 1)];
    let full = |more: &[(&str, u32)]| {
        let mut world = world(&shares);
        let blue = train_all(&mut world, "blue", &[(1, 0); 4]);
        let others: Vec<Uuid> = more.iter().map(|&(share, count)| world.train(of(share, count, 9))).collect();
        (world, blue, others)
    };
    // Who needs to borrow has nothing to reclaim.
    let (world, blue, others) = full(&[("red", 3)]);
    assert_eq!((stopping(&world, &blue), world.placed(&others)), (vec![false; 4], vec![false]));
    // Nor who has priority, but in a share without in-share preemption.
    let (world, blue, _) = full(&[("blue", 1)]);
    assert_eq!(stopping(&world, &blue), [false; 4]);
    // What is on its way back is not asked for twice, and does for as many as it does for.
    let (mut world, blue, _) = full(&[("red", 1)]);
    assert_eq!(stopping(&world, &blue), [false, false, false, true]);
    world.advance(1000);
    let second = world.train(of("red", 1, 0));
    assert_eq!(stopping(&world, &blue), [false, false, true, true]);
    world.terminate_training(second, "enough");
    let third = world.train(of("red", 1, 0));
    assert_eq!(stopping(&world, &blue), [false, false, true, true]);
    world.end(blue[2], 143);
    world.end(blue[3], 143);
    assert_eq!(world.placed(&[third]), [true]);
    // Nothing starts in a place that is closed, so nobody has to go for it.
    let (mut world, blue, _) = full(&[]);
    world
        .turn(|turn| turn.update_service_environment(&service_environment_arn(), Some(false), None))
        .unwrap();
    world.advance(1);
    world.train(of("red", 1, 0));
    assert_eq!(stopping(&world, &blue), [false; 4]);
    world.turn(|turn| turn.update_service_environment(&service_environment_arn(), Some(true), None)).unwrap();
    world.advance(1);
    assert_eq!(stopping(&world, &blue), [false, false, false, true]);
    let (mut world, blue, _) = full(&[]);
    world.update_share("red", QuotaShareUpdate { enabled: Some(true), ..QuotaShareUpdate::default() });
    let waits = world.try_train(of("red", 1, 0)).unwrap();
    world.update_share("red", QuotaShareUpdate { enabled: Some(false), ..QuotaShareUpdate::default() });
    assert_eq!(stopping(&world, &blue), [false, false, false, true], "asked for while the share took jobs");
    world.end(blue[3], 143);
    assert_eq!(world.placed(&[waits, blue[3]]), [false, true], "a disabled share starts nothing, and lends");
}

/// Capacity of other types and of shares within their limits is left alone.
#[test]
fn only_what_is_wanted_comes_back() {
    let mut world = World::with_service_policy(&[(A, 4), (B, 4)], quota_share("p"));
    for (name, sharing) in [("blue", BORROW), ("red", BORROW)] {
        world.create_share(name, sharing, &[(A, 2), (B, 2)]);
    }
    let typed = |count, unit| ServiceSubmission { quota_share: Some("blue".into()), ..training(unit, count) };
    let blue = [(3, B), (2, A), (2, A), (1, B)].map(|(count, unit)| world.train(typed(count, unit)));
    world.train(of("red", 1, 0));
    assert_eq!(stopping(&world, &blue), [false, false, true, false]);
}

/// Lowering `capacityLimits` lets jobs give way, whatever the strategy, once somebody wants what is left.
#[test]
fn a_share_that_was_made_smaller() {
    for strategy in [Reserve, Lend, BORROW] {
        let mut world = world(&[("blue", strategy, 3), ("red", Reserve, 1)]);
        let blue = train_all(&mut world, "blue", &[(1, 0); 3]);
        let lower =
            |max| QuotaShareUpdate { limits: Some(limits(&[(A, max)])), ..QuotaShareUpdate::default() };
        world.update_share("blue", lower(1));
        world.update_share("red", lower(3));
        assert_eq!(stopping(&world, &blue), [false; 3], "{strategy:?}: nobody wants it");
        world.train(of("red", 2, 0));
        assert_eq!(stopping(&world, &blue), [false, false, true], "{strategy:?}");
    }
}

#[test]
fn higher_priority_in_the_same_share() {
    // Priorities of what runs, of what arrives; who is stopped for it.
    let cases: [(&[u32], u32, &[bool]); 4] = [
        (&[1, 2, 3], 4, &[true, false, false]),
        (&[2, 1, 1], 2, &[false, false, true]),
        (&[1, 1, 1], 1, &[false; 3]),
        (&[2, 2, 2], 1, &[false; 3]),
    ];
    for (running, arrives, expected) in cases {
        let mut world = world(&[("blue", Reserve, 3)]);
        in_share(&mut world, "blue");
        let jobs: Vec<(u32, u32)> = running.iter().map(|&priority| (1, priority)).collect();
        let blue = train_all(&mut world, "blue", &jobs);
        let new = world.train(of("blue", 1, arrives));
        assert_eq!(stopping(&world, &blue), expected, "{running:?} {arrives}");
        for (id, _) in blue.iter().zip(expected).filter(|(_, stops)| **stops) {
            assert_eq!(world.service_reason(*id), format!("PREEMPTION_IN_PROGRESS: {IN_SHARE}"));
            world.end(*id, 143);
            assert_eq!((world.service_status(*id), world.service_status(new)), (Runnable, Scheduled));
        }
    }
    // Source: AWS Batch API reference, UpdateServiceJob: the priority of a running job counts too.
    let mut world = world(&[("blue", Reserve, 1)]);
    in_share(&mut world, "blue");
    let [running, waits] = [5, 4].map(|priority| world.train(of("blue", 1, priority)));
    world.turn(|turn| turn.update_service_job(&scope(), running, 3)).unwrap();
    assert_eq!(stopping(&world, &[running]), [true]);
    world.end(running, 143);
    assert_eq!(world.placed(&[waits, running]), [true, false]);
}

/// A large job may need both: what its share has lent, and what jobs of lower priority have of its own.
#[test]
fn both_kinds_for_one_job() {
    let mut world = world(&[("blue", BORROW, 1), ("red", Lend, 3)]);
    in_share(&mut world, "red");
    let red = world.train(of("red", 1, 1));
    let blue = train_all(&mut world, "blue", &[(1, 0); 3]);
    let large = world.train(of("red", 3, 2));
    assert_eq!(stopping(&world, &[red, blue[0], blue[1], blue[2]]), [true, false, true, true]);
    for id in [red, blue[1], blue[2]] {
        assert_eq!(world.service_status(large), Runnable);
        world.end(id, 143);
    }
    assert_eq!(world.service_status(large), Scheduled);
}

/// What is on its way to a job of higher priority is not lent to those who have waited longer to borrow.
#[test]
fn who_let_others_stop_goes_first() {
    let mut world = world(&[("blue", BORROW, 1), ("red", BORROW, 1), ("green", Lend, 1)]);
    in_share(&mut world, "blue");
    let blue = train_all(&mut world, "blue", &[(1, 0); 2]);
    let red = train_all(&mut world, "red", &[(1, 0); 2]);
    assert_eq!(world.placed(&red), [true, false]);
    let high = world.train(of("blue", 2, 9));
    assert_eq!(stopping(&world, &blue), [true, true]);
    world.crash_and_recover();
    world.end(blue[0], 143);
    world.end(blue[1], 143);
    assert_eq!(world.placed(&[high, red[1]]), [true, false]);
}

/// `preemptionRetriesBeforeTermination`: how often it may happen; retry attempts are not used up.
#[test]
fn how_often_a_job_may_be_preempted() {
    for (retries, survives) in [(None, 12), (Some(-1), 12), (Some(0), 0), (Some(2), 2)] {
        let mut world = world(&[("blue", BORROW, 1), ("red", Lend, 1)]);
        let own = world.train(of("blue", 1, 9));
        let job = world.train(ServiceSubmission { preemption_retries: retries, ..of("blue", 1, 0) });
        for time in 1..=survives + 1 {
            let red = world.train(of("red", 1, 0));
            world.end(job, 143);
            let summary = world.service_job(job).preemptions.clone().unwrap();
            assert_eq!((summary.count, summary.recent.len()), (time, time.min(10) as usize));
            world.crash_and_recover();
            let status = if retries.is_some_and(|n| n >= 0) && time > survives { Failed } else { Runnable };
            assert_eq!(
                (world.service_status(job), world.service_status(red)),
                (status, Scheduled),
                "{retries:?}"
            );
            world.end(red, 0);
        }
        let ended = world.service_job(job);
        assert_eq!(ended.attempts.len(), 0);
        match ended.status {
            Failed => assert_eq!(world.service_reason(job), CROSS_SHARE),
            _ => assert_eq!(ended.status, Scheduled),
        }
        assert_eq!(world.service_status(own), Scheduled);
    }
}

/// Each status that holds capacity, and what else may happen to a job that is to give way.
#[test]
fn what_may_come_between() {
    type Step = fn(&mut World, Uuid);
    let preempted = |status: ServiceJobStatus| (status, 1);
    let cases: [(&str, Step, (ServiceJobStatus, u32), &str); 6] = [
        ("it ends", |world, id| world.end(id, 0), preempted(Runnable), ""),
        ("its start is refused", |world, id| world.refuse(JobId::whole(id)), preempted(Runnable), ""),
        (
            "its machine is lost, and the other job too",
            |world, _| world.restart_machine(),
            preempted(Scheduled),
            "",
        ),
        (
            "it is terminated",
            |world, id| {
                world.terminate_training(id, "enough");
                world.end(id, 143);
            },
            (Failed, 0),
            "enough",
        ),
        (
            "it starts after all",
            |world, id| {
                world.start(JobId::whole(id));
                assert_eq!(world.service_reason(id), format!("PREEMPTION_IN_PROGRESS: {CROSS_SHARE}"));
                world.end(id, 143);
            },
            preempted(Runnable),
            "",
        ),
        (
            "it had ended before",
            |world, id| {
                world.now -= 500;
                let attempt = world.machine.live(JobId::whole(id)).unwrap();
                let ended =
                    world.machine.exited(attempt, fornada_core::time::Timestamp(world.now), Some(0), None);
                world.now += 500;
                world.turn(|turn| turn.observe(fornada_core::attempt::Observation::Exited(ended)));
            },
            (Succeeded, 0),
            "Received status from SageMaker: Training job completed",
        ),
    ];
    for (case, step, (status, count), reason) in cases {
        let mut world = world(&[("blue", BORROW, 1), ("red", Reserve, 1), ("green", Lend, 1)]);
        let blue = train_all(&mut world, "blue", &[(1, 9)]);
        let victim = world.train(of("blue", 1, 0));
        world.advance(1000);
        world.train(of("green", 1, 0));
        assert_eq!(stopping(&world, &[blue[0], victim]), [false, true], "{case}");
        step(&mut world, victim);
        let seen = world.service_job(victim);
        let preemptions = seen.preemptions.as_ref().map_or(0, |preemptions| preemptions.count);
        assert_eq!((seen.status, preemptions), (status, count), "{case}");
        assert_eq!(world.service_reason(victim), reason, "{case}");
    }
}

#[test]
fn a_stop_that_did_not_arrive_is_repeated() {
    for lost in [Lost::Nothing, Lost::Actions] {
        let mut world = world(&[("blue", BORROW, 1), ("red", Lend, 1)]);
        let blue = train_all(&mut world, "blue", &[(1, 0); 2]);
        world.crash_during(lost, |world| {
            world.train(of("red", 1, 0));
        });
        world.connect();
        assert_eq!(stopping(&world, &blue), [false, true]);
    }
}

/// Source: AWS Batch User Guide, blocked service job queues; API reference, JobStateTimeLimitAction.
#[test]
fn why_a_queue_is_blocked_and_what_a_time_limit_does() {
    const CAPACITY: &str =
        "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Unable to provision requested compute resources";
    let mut world = world(&[("blue", Reserve, 1), ("red", Lend, 1)]);
    let blocked = |world: &World| {
        let head = world.state.blocked_service_head(&queue_arn(QUEUE));
        head.map(|(id, code)| (id, code.to_owned()))
    };
    let runs = world.train(of("blue", 1, 0));
    let waits = world.train(of("blue", 1, 0));
    assert_eq!(
        (blocked(&world), world.service_reason(waits)),
        (None, String::new()),
        "others have to end first"
    );
    world.disconnect();
    let red = [world.train(of("red", 1, 0)), world.train(of("red", 1, 0))];
    assert_eq!(red.map(|id| world.service_reason(id)), [CAPACITY, ""]);
    assert_eq!(blocked(&world), Some((red[0], "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY".into())));
    let large = world.train(of("blue", 2, 9));
    world.terminate_training(red[0], "enough");
    world.terminate_training(red[1], "enough");
    let code = "MISCONFIGURATION:QUOTA_MANAGEMENT_LIMIT_EXCEEDED";
    assert_eq!(blocked(&world), Some((large, code.into())));
    world.crash_and_recover();
    assert_eq!(blocked(&world), Some((large, code.into())));
    for id in [large, runs] {
        world.turn(|turn| turn.terminate_service_job_for_time_limit(id, code));
    }
    assert_eq!(blocked(&world), None);
    assert_eq!([large, runs].map(|id| world.service_status(id)), [Failed, Scheduled], "only what waits");
    let reason = "Terminated by JobStateTimeLimit action due to reason: MISCONFIGURATION:QUOTA_MANAGEMENT_LIMIT_EXCEEDED";
    assert_eq!(
        (world.service_reason(large).as_str(), world.service_job(large).is_terminated),
        (reason, true)
    );
    assert!(world.state.quota_shares().contains_key(&share_arn("blue")));

    // A queue without shares: its first job, until there is a machine again.
    let mut world = World::with_service(&[(A, 1)]);
    world.disconnect();
    let jobs = [1, 1].map(|count| world.train(training(A, count)));
    assert_eq!(jobs.map(|id| world.service_reason(id)), [CAPACITY, ""]);
    world.connect();
    assert_eq!(
        jobs.map(|id| (world.service_status(id), world.service_reason(id))),
        [(Scheduled, String::new()), (Runnable, String::new())]
    );
    assert_eq!(blocked(&world), None);
}
