//! Scheduling policies: what may be made of them, and the order that they give to a queue.

mod common;

use fornada_core::id::JobId;
use fornada_core::job::JobStatus::{Runnable, Starting};
use fornada_core::refusal::{Refusal, Undeletable};
use fornada_core::resource::scheduling_policy::Specification;

use common::build::{Submit, fair_share, policy_arn, quota_share, tags};
use common::service::{QUEUE, service_environment_arn};
use common::{World, child, environment, job, queue, queue_arn};

/// One machine of `vcpus`, and fair-share queue `fair` of policy `p`.
fn fair_world(vcpus: u32, weights: &[(&str, u32)]) -> World {
    let mut world = World::new(vcpus);
    let policy = fair_share("p", weights);
    world.turn(|turn| turn.create_scheduling_policy(policy, tags([]))).expect("a new name");
    world.create_queue(queue("fair").environments(["ce"]).policy("p")).expect("a new name");
    world
}

fn of(share: &str) -> Submit {
    job(share).queue("fair").share(share)
}

/// The name of a job.
fn name(world: &World, id: JobId) -> String {
    world.state.job(id.job).expect("it exists").name.as_str().to_owned()
}

/// The next to go, by name of the job.
fn front(world: &World, limit: usize) -> Vec<String> {
    let front = world.state.front_of_queue(&queue_arn("fair"), limit);
    front.iter().map(|(id, _)| name(world, *id)).collect()
}

/// Lets jobs run one after the other, each submitted beforehand, and tells the order in which they start.
fn order(world: &mut World) -> Vec<String> {
    let mut order = Vec::new();
    while let Some(&id) = world.machine.all_live().first() {
        order.push(name(world, id));
        world.exit(id, 0);
    }
    order
}

#[test]
fn what_the_state_does_not_allow_is_refused() {
    type Ask = fn(&mut World) -> Result<(), Refusal>;
    let missing = Refusal::NoSuchResource { arn: policy_arn("nope") };
    let cases: Vec<(&str, Ask, Refusal)> = vec![
        (
            "create twice",
            |w| w.turn(|t| t.create_scheduling_policy(fair_share("p", &[]), tags([]))),
            Refusal::AlreadyExists { arn: policy_arn("p") },
        ),
        (
            "update a missing one",
            |w| w.turn(|t| t.update_scheduling_policy(fair_share("nope", &[]))),
            missing.clone(),
        ),
        ("delete a missing one", |w| w.turn(|t| t.delete_scheduling_policy(&policy_arn("nope"))), missing),
        (
            "change its kind",
            |w| w.turn(|t| t.update_scheduling_policy(quota_share("p"))),
            Refusal::PolicyKindFixed,
        ),
        (
            "delete one in use",
            |w| w.turn(|t| t.delete_scheduling_policy(&policy_arn("p"))),
            Refusal::CannotDelete(Undeletable::InUse),
        ),
        (
            "queue with a missing policy",
            |w| w.create_queue(queue("x").environments(["ce"]).policy("nope")),
            Refusal::NoSuchPolicy { arn: policy_arn("nope") },
        ),
        (
            "queue with quota shares",
            |w| w.create_queue(queue("x").environments(["ce"]).policy("quota")),
            Refusal::QuotaShareOnContainerQueue,
        ),
        (
            "another policy that is missing",
            |w| w.update_queue(queue("fair").environments(["ce"]).policy("nope")),
            Refusal::NoSuchPolicy { arn: policy_arn("nope") },
        ),
        (
            "policy for a FIFO queue",
            |w| w.update_queue(queue("q").environments(["ce"]).policy("p")),
            Refusal::FifoForGood { arn: queue_arn("q") },
        ),
        ("share on FIFO", |w| w.try_submit(job("a").share("s")).map(drop), Refusal::ShareOnFifoQueue),
        ("priority on FIFO", |w| w.try_submit(job("a").priority(1)).map(drop), Refusal::ShareOnFifoQueue),
        (
            "no share",
            |w| w.try_submit(job("a").queue("fair").priority(1)).map(drop),
            Refusal::ShareRequired { arn: queue_arn("fair") },
        ),
    ];
    for (name, ask, want) in cases {
        let mut world = fair_world(2, &[]);
        world.turn(|turn| turn.create_scheduling_policy(quota_share("quota"), tags([]))).unwrap();
        let before = (world.state.scheduling_policies().clone(), world.state.job_queues().clone());
        assert_eq!(ask(&mut world), Err(want), "{name}");
        assert_eq!(
            (world.state.scheduling_policies(), world.state.job_queues()),
            (&before.0, &before.1),
            "{name}"
        );
        assert!(world.jobs.is_empty(), "{name}");
    }
}

#[test]
fn a_policy_is_replaced_but_stays_until_its_queue_is_gone() {
    let mut world = fair_world(1, &[]);
    let other = fair_share("other", &[]);
    world.turn(|turn| turn.create_scheduling_policy(other, tags([]))).unwrap();
    world.update_queue(queue("fair").environments(["ce"])).unwrap();
    assert_eq!(world.queue("fair").unwrap().scheduling_policy, Some(policy_arn("p")), "it cannot be removed");
    world.update_queue(queue("fair").environments(["ce"]).policy("other").disabled()).unwrap();
    world.turn(|turn| turn.delete_scheduling_policy(&policy_arn("p"))).unwrap();
    world.crash_and_recover();
    assert_eq!(world.queue("fair").unwrap().scheduling_policy, Some(policy_arn("other")));
    world.turn(|turn| turn.delete_job_queue(&queue_arn("fair"))).unwrap();
    world.advance(1);
    world.turn(|turn| turn.delete_scheduling_policy(&policy_arn("other"))).unwrap();
    assert!(world.state.scheduling_policies().is_empty());
}

/// Queues of service jobs take both kinds; whichever it is, it stays.
#[test]
fn policies_of_service_queues() {
    let policies = [fair_share("fair", &[]), quota_share("quota")];
    for (kind, other) in [(0, 1), (1, 0)] {
        let mut world = World::with_service_policy(&[("ml.a", 1)], policies[kind].clone());
        let second = Specification { arn: policy_arn("second"), ..policies[kind].clone() };
        for policy in [second, policies[other].clone()] {
            world.turn(|turn| turn.create_scheduling_policy(policy, tags([]))).unwrap();
        }
        let given = |policy: Option<&str>| {
            let mut given = queue(QUEUE);
            given.0.scheduling_policy = policy.map(policy_arn);
            given.0.service_environment = Some(service_environment_arn());
            given
        };
        let of_queue = |world: &World| world.queue(QUEUE).unwrap().scheduling_policy.clone();
        let name = policies[other].arn.rsplit_once('/').unwrap().1;
        let refused = world.update_queue(given(Some(name)));
        assert_eq!(refused, Err(Refusal::OtherPolicyKind { arn: queue_arn(QUEUE) }));
        world.update_queue(given(Some("second"))).unwrap();
        world.update_queue(given(None)).unwrap();
        assert_eq!(of_queue(&world), Some(policy_arn("second")));
    }
    let mut world = World::with_service(&[("ml.a", 1)]);
    let policy = quota_share("quota");
    world.turn(|turn| turn.create_scheduling_policy(policy, tags([]))).unwrap();
    let mut given = queue(QUEUE).policy("quota");
    given.0.service_environment = Some(service_environment_arn());
    assert_eq!(world.update_queue(given), Err(Refusal::FifoForGood { arn: queue_arn(QUEUE) }));
}

#[test]
fn the_share_with_the_least_weighted_use_goes_next() {
    // Nothing has run before; what is submitted first takes the whole machine while the others come.
    type Weights<'a> = &'a [(&'a str, u32)];
    let cases: [(&str, u32, Weights<'_>, &str); 5] = [
        ("in turns", 4, &[], "a a a a b b a a b b a a b b b b"),
        ("half the weight is twice the share", 4, &[("a", 5_000)], "a a a a b a a a b a b b b b b b"),
        ("a weight for all that begin so", 4, &[("a*", 5_000)], "a a a a b a a a b a b b b b b b"),
        ("a quarter of the weight", 3, &[("b", 2_500)], "a a a b b a b b a b b a b b a a"),
        ("one at a time: the older one", 1, &[], "a a a a a a a a b b b b b b b b"),
    ];
    for (case, vcpus, weights, want) in cases {
        let mut world = fair_world(vcpus, weights);
        for share in [["a"; 8], ["b"; 8]].concat() {
            world.submit(of(share));
        }
        let mut started: Vec<JobId> = Vec::new();
        loop {
            let live = world.machine.all_live();
            let mut new: Vec<_> = live.iter().copied().filter(|id| !started.contains(id)).collect();
            new.sort_by_key(|id| world.state.job(id.job).unwrap().sequence);
            started.extend(new);
            let Some(oldest) = started.iter().copied().find(|id| live.contains(id)) else { break };
            world.exit(oldest, 0);
        }
        let order: Vec<_> = started.iter().map(|&id| name(&world, id)).collect();
        assert_eq!(order.join(" "), want, "{case}");
    }
}

#[test]
fn small_jobs_of_others_do_not_overtake_the_share_whose_turn_it_is() {
    let mut world = fair_world(4, &[]);
    let small: Vec<JobId> = (0..8).map(|_| world.submit(of("a"))).collect();
    let large = world.submit(of("b").vcpus(4));
    for &id in &small[..3] {
        world.exit(id, 0);
        let mut waiting = small[4..].iter().chain([&large]);
        assert!(waiting.all(|&id| world.find(id).status == Runnable), "what is free is kept for b");
    }
}

#[test]
fn within_a_share_by_priority_then_by_submission() {
    let mut world = fair_world(1, &[]);
    let blocker = world.submit(of("a"));
    for (name, priority) in [("low", 1), ("none", 0), ("high", 9999), ("low-too", 1)] {
        world.submit(job(name).queue("fair").share("a").priority(priority));
    }
    assert_eq!(front(&world, 9), ["high", "low", "low-too", "none"]);
    world.crash_and_recover();
    assert_eq!(front(&world, 2), ["high", "low"]);
    world.exit(blocker, 0);
    assert_eq!(order(&mut world), ["high", "low", "low-too", "none"]);
}

#[test]
fn the_front_foresees_what_starting_does_to_the_order() {
    let mut world = fair_world(2, &[("a", 5_000)]);
    let running = world.submit(of("a").vcpus(2));
    let array = world.submit(of("a").array(3));
    let b = world.submit(of("b"));
    world.submit(of("b"));
    assert_eq!(world.status(running), Starting);
    // a: 2 × 0.5; b: 0. After one of b both have 1, and the older head goes.
    let ids = world.state.front_of_queue(&queue_arn("fair"), 9);
    let ids: Vec<_> = ids.into_iter().map(|(id, _)| id).collect();
    assert_eq!(&ids[..4], [b, child(array, 0), ids[2], child(array, 1)]);
    assert_eq!((ids.len(), front(&world, 9).join(" ")), (5, "b a b a a".into()));
    assert_eq!(front(&world, 1), ["b"]);
    assert!(front(&World::new(1), 9).is_empty());
}

#[test]
fn a_job_knows_since_when_it_is_where_it_is() {
    let mut world = World::new(1);
    let since = |world: &World| {
        let front = world.state.front_of_queue(&queue_arn("q"), 9);
        front.iter().map(|(_, at)| at.0).collect::<Vec<_>>()
    };
    let began = world.now;
    let first = world.submit(job("first"));
    world.now += 10;
    let second = world.submit(job("second"));
    world.now += 10;
    world.submit(job("third").after([second]));
    let fourth = world.submit(job("fourth"));
    assert_eq!(since(&world), [began + 10, began + 20]);
    world.now += 10;
    world.exit(first, 0);
    assert_eq!(since(&world), [began + 30], "the second went, the fourth moved up");
    world.now += 10;
    world.exit(second, 0);
    assert_eq!(world.status(fourth), Runnable);
    assert_eq!(since(&world), [began + 40], "the third goes, being older");
}

#[test]
fn a_share_is_active_while_it_has_jobs() {
    let mut world = fair_world(1, &[]);
    world.create_environment(environment("other")).unwrap();
    let a = world.submit(of("s-0").array(2));
    for n in 1..500 {
        world.submit(of(&format!("s-{n}")));
    }
    let refused = Err(Refusal::TooManyShares { arn: queue_arn("fair") });
    assert_eq!(world.try_submit(of("one-more")), refused);
    world.submit(of("s-0"));
    assert_eq!(world.state.share_usage(&queue_arn("fair"))[0].milli_vcpus, 1000);
    world.terminate(a, "enough");
    world.exit(child(a, 0), 143);
    assert_eq!(world.try_submit(of("one-more")), refused, "s-0 has another job");
    let done = world.machine.all_live()[0];
    world.exit(done, 0);
    assert_eq!(world.try_submit(of("one-more")), refused, "what it had is not forgotten yet");
    world.crash_and_recover();
    assert_eq!(world.try_submit(of("one-more")), refused, "nor by a crash");
    world.advance(10 * 60 * 1000);
    world.submit(of("one-more"));
    world.crash_and_recover();
    assert_eq!(world.state.share_usage(&queue_arn("fair")).len(), 500);
}

/// What a share had is a record: a crash changes nothing of it, whatever ran, ended or waited then.
#[test]
fn what_shares_had_survives_a_crash() {
    let mut world = fair_world(4, &[("a", 10_000), ("b", 20_000)]);
    let of = |share: &str, vcpus| of(share).vcpus(vcpus);
    let first = world.submit(of("a", 2));
    world.advance(100_000);
    let second = world.submit(of("b", 1));
    world.start(first);
    world.start(second);
    world.advance(70_000);
    world.submit(of("a", 1));
    world.submit(of("a", 3)); // waits
    world.advance(40_000);
    for end in [None, Some(second), Some(first)] {
        if let Some(id) = end {
            world.exit(id, 0);
        }
        let before = world.state.share_usage(&queue_arn("fair"));
        assert!(before.iter().all(|share| share.recent_milli_vcpus > 0), "{before:?}");
        world.crash_and_recover();
        assert_eq!(world.state.share_usage(&queue_arn("fair")), before);
        world.advance(30_000);
        let (later, turns) = (world.state.share_usage(&queue_arn("fair")), front(&world, 9));
        world.crash_and_recover();
        assert_eq!((world.state.share_usage(&queue_arn("fair")), front(&world, 9)), (later, turns));
    }
}
