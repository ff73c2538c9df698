//! Quota shares: what each may use, what it lends and borrows, and how it ends.

mod common;

use fornada_core::id::Uuid;
use fornada_core::refusal::{Refusal, Undeletable};
use fornada_core::resource::quota_share::{QuotaShareUpdate, Sharing};
use fornada_core::resource::scheduling_policy::PolicyKind;
use fornada_core::service_job::ServiceJobStatus::{Failed, Runnable, Scheduled};
use fornada_core::service_job::refusal::ServiceRefusal;
use fornada_core::service_job::submit::ServiceSubmission;

use common::build::{fair_share, policy_arn, quota_share};
use common::service::{QUEUE, service_environment_arn, share_arn, training};
use common::{World, queue_arn, scope};

const A: &str = "ml.a";

fn from(share: &str, count: u32) -> ServiceSubmission {
    ServiceSubmission { quota_share: Some(share.into()), ..training(A, count) }
}

/// Shares `blue` and `red` of 2 and 3 instances in an environment of 5.
fn world(blue: Sharing, red: Sharing) -> World {
    let mut world = World::with_service_policy(&[(A, 5)], quota_share("p"));
    world.create_share("blue", blue, &[(A, 2)]);
    world.create_share("red", red, &[(A, 3)]);
    world
}

/// Source: AWS Batch User Guide, quota management: sharing strategies.
#[test]
fn the_largest_job_of_each_strategy() {
    const OWN: &str = "MISCONFIGURATION:QUOTA_MANAGEMENT_LIMIT_EXCEEDED - Job requirements exceed quota share capacity limits.";
    const BORROW: &str = "MISCONFIGURATION:QUOTA_MANAGEMENT_LIMIT_EXCEEDED - Job requirements exceed quota share capacity limits and borrow limits.";
    const LENT: &str = "MISCONFIGURATION:QUOTA_MANAGEMENT_LIMIT_EXCEEDED - Job requires borrowing that exceeds all configured borrowable capacity.";
    let borrow = |percent| Sharing::LendAndBorrow(percent);
    let cases = [
        (Sharing::Reserve, Sharing::Lend, 2, None),
        (Sharing::Reserve, Sharing::Lend, 3, Some(OWN)),
        (Sharing::Lend, Sharing::Lend, 3, Some(OWN)),
        (borrow(None), Sharing::Lend, 5, None),
        (borrow(None), borrow(Some(0)), 5, None),
        (borrow(None), Sharing::Reserve, 3, Some(LENT)),
        (borrow(Some(50)), Sharing::Lend, 3, None),
        (borrow(Some(50)), Sharing::Lend, 4, Some(BORROW)),
        (borrow(Some(0)), Sharing::Lend, 3, Some(BORROW)),
    ];
    for (blue, red, count, want) in cases {
        let mut world = world(blue, red);
        let id = world.train(from("blue", count));
        let status = if want.is_some() { Runnable } else { Scheduled };
        assert_eq!(
            (world.service_status(id), world.service_reason(id)),
            (status, want.unwrap_or_default().to_owned()),
            "{blue:?} {red:?} {count}"
        );
    }
    let mut world = World::with_service_policy(&[(A, 9)], quota_share("p"));
    world.create_share("blue", Sharing::Reserve, &[(A, 2)]);
    let other = world.train(ServiceSubmission { quota_share: Some("blue".into()), ..training("ml.b", 1) });
    assert!(world.service_reason(other).starts_with("MISCONFIGURATION:SERVICE_ENVIRONMENT_MAX_RESOURCE"));
}

#[test]
fn idle_capacity_is_lent_by_order_of_submission() {
    let mut world = world(Sharing::LendAndBorrow(None), Sharing::LendAndBorrow(None));
    let blue: Vec<Uuid> = (0..4).map(|_| world.train(from("blue", 1))).collect();
    assert_eq!(world.placed(&blue), [true; 4], "two of its own and two of the other's");
    let more = world.train(from("blue", 2));
    let red = [world.train(from("red", 1)), world.train(from("red", 4)), world.train(from("red", 1))];
    assert_eq!(world.placed(&red), [true, false, false], "the head of a share holds back those behind it");
    assert_eq!(world.placed(&[more]), [false], "nothing idle is left");
    world.end(red[0], 0);
    assert_eq!((world.placed(&red[1..]), world.placed(&[more])), (vec![false, false], vec![false]));
    world.end(blue[0], 0);
    assert_eq!((world.placed(&red[1..]), world.placed(&[more])), (vec![false, false], vec![true]));
    world.terminate_training(red[1], "enough");
    world.end(more, 143);
    assert_eq!(
        (world.placed(&red[2..]), world.placed(&[more])),
        (vec![true], vec![false]),
        "it was red's own"
    );

    let snapshot = world.state.service_queue_snapshot(&queue_arn(QUEUE)).unwrap();
    assert_eq!(snapshot.kind, PolicyKind::QuotaShare);
    assert_eq!(snapshot.usage, [(A.into(), 4)]);
    assert_eq!(
        snapshot.usage_by_share,
        [("blue".into(), vec![(A.into(), 3)]), ("red".into(), vec![(A.into(), 1)])]
    );
    assert_eq!(snapshot.front_of_shares.unwrap().into_keys().collect::<Vec<_>>(), ["blue", "red"]);
}

#[test]
fn reserved_capacity_stays_idle() {
    let mut world = world(Sharing::LendAndBorrow(None), Sharing::Reserve);
    let blue: Vec<Uuid> = (0..3).map(|_| world.train(from("blue", 1))).collect();
    assert_eq!(world.placed(&blue), [true, true, false]);
    let red = world.train(from("red", 3));
    assert_eq!(world.placed(&[red]), [true]);
}

/// Source: AWS Batch API reference, UpdateServiceJob.
#[test]
fn priority_orders_the_jobs_of_a_share() {
    let mut world = world(Sharing::Reserve, Sharing::Reserve);
    let first = world.train(from("blue", 2));
    let [second, third] = [5, 7].map(|priority| {
        world.train(ServiceSubmission { scheduling_priority: Some(priority), ..from("blue", 2) })
    });
    let fourth = world.train(from("blue", 2));
    world.crash_and_recover();
    world.turn(|turn| turn.update_service_job(&scope(), fourth, 6)).unwrap();
    for (ends, starts) in [(first, third), (third, fourth), (fourth, second)] {
        world.end(ends, 0);
        assert_eq!(world.service_status(starts), Scheduled);
    }
    let refused = world.turn(|turn| turn.update_service_job(&scope(), first, 1)).unwrap_err();
    assert!(matches!(refused, Refusal::Service(ServiceRefusal::JobEnded { .. })));
    let refused = world.turn(|turn| turn.update_service_job(&scope(), Uuid::from_u128(9), 1)).unwrap_err();
    assert!(matches!(refused, Refusal::Service(ServiceRefusal::NoSuchJob { .. })));
}

#[test]
fn what_a_job_must_name() {
    let mut world = world(Sharing::Reserve, Sharing::Reserve);
    let without = world.try_train(training(A, 1)).unwrap_err();
    assert_eq!(without, ServiceRefusal::QuotaShareRequired { queue: queue_arn(QUEUE) }.into());
    let unknown = world.try_train(from("green", 1)).unwrap_err();
    assert_eq!(unknown, Refusal::NoSuchResource { arn: share_arn("green") });
    let update = QuotaShareUpdate { enabled: Some(false), ..QuotaShareUpdate::default() };
    world.turn(|turn| turn.update_quota_share(&share_arn("blue"), update)).unwrap();
    let disabled = world.try_train(from("blue", 1)).unwrap_err();
    assert_eq!(disabled, ServiceRefusal::QuotaShareDisabled { share: share_arn("blue") }.into());
    let identifier = ServiceSubmission { share_identifier: Some("s".into()), ..from("red", 1) };
    assert_eq!(world.try_train(identifier).unwrap_err(), Refusal::ShareOnFifoQueue);
}

/// Source: AWS Batch API reference, CreateQuotaShare: the queue's policy is one of quota shares.
#[test]
fn only_a_queue_with_a_quota_share_policy_has_quota_shares() {
    let worlds =
        [World::with_service(&[(A, 1)]), World::with_service_policy(&[(A, 1)], fair_share("p", &[]))];
    for mut world in worlds {
        let refused = world.try_create_share("blue", Sharing::Reserve, &[(A, 1)]).unwrap_err();
        assert_eq!(refused, ServiceRefusal::NoQuotaSharePolicy { queue: queue_arn(QUEUE) }.into());
        let job = ServiceSubmission { share_identifier: Some("s".into()), ..from("blue", 1) };
        assert!(world.try_train(job).is_err());
        assert!(world.state.quota_shares().is_empty());
    }
}

/// Source: AWS Batch API reference, DeleteQuotaShare, DeleteJobQueue, DeleteServiceEnvironment.
#[test]
fn a_share_ends_with_its_jobs_and_a_queue_with_its_shares() {
    let mut world = world(Sharing::Reserve, Sharing::Reserve);
    let jobs = [world.train(from("blue", 2)), world.train(from("blue", 1))];
    let other = world.train(from("red", 1));
    let refused = world.turn(|turn| turn.delete_quota_share(&share_arn("blue"))).unwrap_err();
    assert_eq!(refused, Refusal::CannotDelete(Undeletable::NotDisabled));
    let update = QuotaShareUpdate { enabled: Some(false), ..QuotaShareUpdate::default() };
    world.turn(|turn| turn.update_quota_share(&share_arn("blue"), update)).unwrap();
    world.advance(1);
    world.turn(|turn| turn.delete_quota_share(&share_arn("blue"))).unwrap();
    world.advance(1);
    assert_eq!(jobs.map(|id| world.service_status(id)), [Scheduled, Failed]);
    assert!(world.state.quota_shares().contains_key(&share_arn("blue")), "DELETING while a job runs");
    world.crash_and_recover();
    world.end(jobs[0], 143);
    world.advance(1);
    assert!(!world.state.quota_shares().contains_key(&share_arn("blue")));
    assert_eq!(jobs.map(|id| world.service_reason(id)), ["Quota share was deleted"; 2]);

    let environment = service_environment_arn();
    world.turn(|turn| turn.update_service_environment(&environment, Some(false), None)).unwrap();
    world.advance(1);
    let refused = world.turn(|turn| turn.delete_service_environment(&environment)).unwrap_err();
    assert_eq!(refused, Refusal::CannotDelete(Undeletable::InUse));
    let mut given = common::queue(QUEUE);
    given.0.service_environment = Some(environment.clone());
    given.0.enabled = false;
    world.update_queue(given).unwrap();
    world.turn(|turn| turn.delete_job_queue(&queue_arn(QUEUE))).unwrap();
    world.advance(1);
    assert!(world.queue(QUEUE).is_some());
    world.end(other, 143);
    world.advance(1);
    assert_eq!(&*world.service_reason(other), "Job queue was deleted");
    assert!(world.queue(QUEUE).is_none() && world.state.quota_shares().is_empty());
    world.turn(|turn| turn.delete_scheduling_policy(&policy_arn("p"))).unwrap();
    world.turn(|turn| turn.delete_service_environment(&environment)).unwrap();
    world.advance(1);
    assert!(world.state.service_environments().is_empty());
}

/// Source: AWS Batch User Guide, service quotas: one queue per quota-managed service environment, 20 shares per queue.
#[test]
fn limits_on_queues_and_shares() {
    let mut world = world(Sharing::Reserve, Sharing::Reserve);
    let mut second = common::queue("second");
    second.0.service_environment = Some(service_environment_arn());
    let taken = ServiceRefusal::EnvironmentTaken { environment: service_environment_arn() };
    assert_eq!(world.create_queue(second.clone()).unwrap_err(), taken.into());
    second.0.service_environment = Some(scope().resolve("service-environment", "none"));
    assert_eq!(world.create_queue(second).unwrap_err(), ServiceRefusal::EnvironmentNotValid.into());
    (2..20).for_each(|number| world.create_share(&format!("s{number}"), Sharing::Lend, &[(A, 1)]));
    let mut share = (**world.state.quota_shares().values().next().unwrap()).clone();
    let refused = world.turn(|turn| turn.create_quota_share(share.clone())).unwrap_err();
    assert_eq!(refused, Refusal::AlreadyExists { arn: share.arn.clone() });
    share.arn = share_arn("one-more");
    let refused = world.turn(|turn| turn.create_quota_share(share)).unwrap_err();
    assert_eq!(refused, ServiceRefusal::TooManyQuotaShares { queue: queue_arn(QUEUE) }.into());
}
