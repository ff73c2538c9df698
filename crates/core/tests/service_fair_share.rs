//! Fair-share queues of service jobs: shares are compared by the instances that they hold.

mod common;

use fornada_core::id::Uuid;
use fornada_core::refusal::Refusal;
use fornada_core::resource::scheduling_policy::PolicyKind;
use fornada_core::service_job::ServiceJobStatus::Scheduled;
use fornada_core::service_job::capacity::NUM_INSTANCES;
use fornada_core::service_job::refusal::ServiceRefusal;
use fornada_core::service_job::submit::ServiceSubmission;

use common::build::fair_share;
use common::service::{QUEUE, training};
use common::{World, queue_arn};

/// A job of one share of a fair-share queue.
fn of(share: &str, count: u32) -> ServiceSubmission {
    ServiceSubmission { share_identifier: Some(share.into()), ..training("ml.a", count) }
}

fn fair_world(instances: u32, weights: &[(&str, u32)]) -> World {
    World::with_service_policy(&[(NUM_INSTANCES, instances)], fair_share("p", weights))
}

/// Source: AWS Batch User Guide, fair-share scheduling policies.
#[test]
fn the_share_with_the_least_weighted_use_goes_next() {
    // What is submitted first takes all instances while the others come; then the oldest ends, again and again.
    type Weights<'a> = &'a [(&'a str, u32)];
    let cases: [(&str, u32, Weights<'_>, &str); 4] = [
        ("in turns", 4, &[], "a a a a b b a a b b a a b b b b"),
        ("half the weight is twice the share", 4, &[("a", 5_000)], "a a a a b a a a b a b b b b b b"),
        ("a weight for all that begin so", 4, &[("a*", 5_000)], "a a a a b a a a b a b b b b b b"),
        ("one at a time: the older one", 1, &[], "a a a a a a a a b b b b b b b b"),
    ];
    for (case, instances, weights, want) in cases {
        let mut world = fair_world(instances, weights);
        let jobs = [["a"; 8], ["b"; 8]].concat().into_iter().map(|share| (world.train(of(share, 1)), share));
        let mut waiting: Vec<(Uuid, &str)> = jobs.collect();
        let mut started = Vec::new();
        loop {
            let (new, rest) = waiting.into_iter().partition(|&(id, _)| world.service_status(id) == Scheduled);
            waiting = rest;
            started.extend::<Vec<(Uuid, &str)>>(new);
            let oldest = started.iter().find(|(id, _)| world.service_status(*id) == Scheduled);
            let Some(&(oldest, _)) = oldest else { break };
            world.end(oldest, 0);
        }
        let order: Vec<_> = started.iter().map(|&(_, share)| share).collect();
        assert_eq!(order.join(" "), want, "{case}");
    }
}

#[test]
fn the_front_of_a_fair_share_queue_follows_its_weights() {
    let mut world = fair_world(4, &[("a", 2_500)]);
    let running = [world.train(of("a", 3)), world.train(of("b", 1))];
    assert_eq!(world.placed(&running), [true, true]);
    let b = world.train(of("b", 1));
    let [low, high] = [1, 2]
        .map(|priority| world.train(ServiceSubmission { scheduling_priority: Some(priority), ..of("a", 1) }));
    let c = world.train(of("c", 2));
    let snapshot = |world: &World| world.state.service_queue_snapshot(&queue_arn(QUEUE)).unwrap();
    let front = |world: &World| snapshot(world).front.iter().map(|job| job.id).collect::<Vec<_>>();
    // a: 3 × 0.25, b: 1, c: 0. Once c and one of a have gone, a and b are even at 1, and the older head goes.
    assert_eq!(front(&world), [c, high, b, low]);
    let shown = snapshot(&world);
    let used = |count| vec![(NUM_INSTANCES.into(), count)];
    assert_eq!((shown.kind, shown.active_shares), (PolicyKind::FairShare, 3));
    assert_eq!(shown.usage_by_share, [("a".into(), used(3)), ("b".into(), used(1))]);

    world.turn(|turn| turn.update_scheduling_policy(fair_share("p", &[("b", 1_000)]))).unwrap();
    assert_eq!(front(&world), [c, b, high, low], "the queue follows its policy at once");
    world.crash_and_recover();
    assert_eq!(front(&world), [c, b, high, low]);

    world.end(running[1], 0);
    assert_eq!(world.placed(&[c, b, high, low]), [false, true, false, false], "b and c are even, b is older");
    world.end(b, 0);
    assert_eq!(world.placed(&[c, high, low]), [false; 3], "a head that does not fit holds back all shares");
    world.end(running[0], 0);
    assert_eq!(world.placed(&[c, high, low]), [true; 3]);
}

#[test]
fn what_a_job_must_name() {
    let mut world = fair_world(1, &[]);
    let without = world.try_train(training("ml.a", 1));
    assert_eq!(without, Err(Refusal::ShareRequired { arn: queue_arn(QUEUE) }));
    let both = ServiceSubmission { quota_share: Some("s".into()), ..of("s", 1) };
    let refused = ServiceRefusal::QuotaShareNotAllowed { queue: queue_arn(QUEUE) };
    assert_eq!(world.try_train(both), Err(refused.into()));
}

#[test]
fn a_share_is_active_while_it_has_jobs() {
    let mut world = fair_world(1, &[]);
    let jobs: Vec<Uuid> = (0..500).map(|n| world.train(of(&format!("s-{n}"), 1))).collect();
    world.train(of("s-0", 1));
    world.crash_and_recover();
    let refused = Err(Refusal::TooManyShares { arn: queue_arn(QUEUE) });
    assert_eq!(world.try_train(of("one-more", 1)), refused);
    world.terminate_training(jobs[0], "enough");
    world.end(jobs[0], 143);
    assert_eq!(world.try_train(of("one-more", 1)), refused, "s-0 has another job");
    world.terminate_training(jobs[9], "enough");
    world.train(of("one-more", 1));
}
