//! Consumable resources: what may be made of them, who waits for them, and what comes back.

mod common;

use fornada_core::attempt::Observation;
use fornada_core::id::JobId;
use fornada_core::job::JobStatus::{Runnable, Starting};
use fornada_core::refusal::Refusal;
use fornada_core::resource::consumable_resource::{Change, TOTAL_MAX};

use common::build::{consumable_arn, multinode, queue_arn, tags};
use common::{Lost, World, child, definition, job, queue, scope};

impl World {
    fn create(&mut self, name: &str, replenishable: bool, total: u64) {
        let arn = consumable_arn(name);
        self.turn(|turn| turn.create_consumable_resource(arn, replenishable, total, tags([])))
            .expect("a new name");
    }

    fn change(&mut self, name: &str, change: Change, token: Option<&str>) -> Result<u64, Refusal> {
        let token = token.map(Into::into);
        self.turn(|turn| turn.update_consumable_resource(&consumable_arn(name), change, token.as_ref()))
    }

    /// Total, held, left.
    fn amounts(&self, name: &str) -> (u64, u64, u64) {
        let resource = &self.state.consumable_resources()[&consumable_arn(name)];
        (resource.total, self.state.consumables_in_use(resource), self.state.consumables_left(resource))
    }
}

#[test]
fn totals_change_once_for_each_token() {
    use Change::{Add, Remove, Set};
    let mut world = World::new(1);
    world.create("r", true, 5);
    let refused = |total| Err(Refusal::QuantityOutOfRange { arn: consumable_arn("r"), total });
    let cases = [
        (Set(7), Some("a"), Ok(7)),
        (Set(9), Some("a"), Ok(7)),
        (Add(3), None, Ok(10)),
        (Add(3), None, Ok(13)),
        (Remove(14), Some("b"), refused(13)),
        (Remove(13), Some("b"), Ok(0)),
        (Add(TOTAL_MAX), Some("c"), Ok(TOTAL_MAX)),
        (Add(1), Some("d"), refused(TOTAL_MAX)),
        (Add(u64::MAX), Some("d"), refused(TOTAL_MAX)),
        (Set(4), Some("d"), Ok(4)),
    ];
    for (change, token, want) in cases {
        assert_eq!(world.change("r", change, token), want, "{change:?} {token:?}");
    }
    world.crash_and_recover();
    assert_eq!(world.change("r", Set(1), Some("d")), Ok(4), "known after a restart");
    world.advance(8 * 60 * 60 * 1000);
    assert_eq!(world.change("r", Set(1), Some("d")), Ok(1), "forgotten after eight hours");
    for n in 0..200 {
        world.change("r", Add(1), Some(&n.to_string())).unwrap();
    }
    assert_eq!(world.state.consumable_resources()[&consumable_arn("r")].recent.len(), 100);
    let missing = Refusal::NoSuchResource { arn: consumable_arn("nope") };
    assert_eq!(world.change("nope", Set(1), None), Err(missing.clone()));
    assert_eq!(world.turn(|turn| turn.delete_consumable_resource(&consumable_arn("nope"))), Err(missing));
    let again = world.turn(|turn| turn.create_consumable_resource(consumable_arn("r"), true, 0, tags([])));
    assert_eq!(again, Err(Refusal::AlreadyExists { arn: consumable_arn("r") }));
}

#[test]
fn a_job_that_lacks_a_resource_lets_those_pass_that_do_not_need_it() {
    let mut world = World::new(4);
    world.create("licence", true, 1);
    let [a, b, c] = ["a", "b", "c"].map(|name| job(name).needs("licence", 1));
    let [a, b, c] = [a, b, c.vcpus(2)].map(|job| world.submit(job));
    let [d, e] = [job("d"), job("e").vcpus(2)].map(|job| world.submit(job));
    assert_eq!(
        [a, b, c, d, e].map(|id| world.status(id)),
        [Starting, Runnable, Runnable, Starting, Starting]
    );
    world.exit(a, 0);
    assert_eq!([b, c].map(|id| world.status(id)), [Starting, Runnable], "it is still the first");
}

#[test]
fn in_strict_order_a_job_waits_for_what_it_needs_and_those_behind_it_wait_too() {
    let mut world = World::new(4).strict();
    world.create_queue(queue("low").priority(0).environments(["ce"])).unwrap();
    world.create("licence", true, 2);
    let a = world.submit(job("a").needs("licence", 2).attempts(2));
    let b = world.submit(job("b").needs("licence", 1));
    let c = world.submit(job("c"));
    let elsewhere = world.submit(job("d").queue("low"));
    assert_eq!([a, b, c, elsewhere].map(|id| world.status(id)), [Starting, Runnable, Runnable, Starting]);
    assert_eq!(world.amounts("licence"), (2, 2, 0));

    world.change("licence", Change::Set(1), None).unwrap();
    assert_eq!(world.amounts("licence"), (1, 2, 0), "those that run keep theirs");
    world.change("licence", Change::Set(2), None).unwrap();
    for lost in [Lost::Nothing, Lost::Actions] {
        world.crash_during(lost, |_| ());
        world.connect();
        assert_eq!(world.amounts("licence"), (2, 2, 0));
    }
    world.exit(a, 1);
    assert_eq!(world.status(a), Starting, "its next attempt is before the others");
    assert_eq!(world.status(b), Runnable);
    world.exit(a, 1);
    assert_eq!([b, c].map(|id| world.status(id)), [Starting, Starting]);
    assert_eq!(world.amounts("licence"), (2, 1, 1));
    world.exit(b, 0);
    assert_eq!(world.amounts("licence"), (2, 0, 2));
}

#[test]
fn whatever_ends_an_attempt_gives_back_what_it_held() {
    type End = fn(&mut World, fornada_core::id::JobId);
    let ends: [(&str, End); 5] = [
        ("success", |w, id| w.exit(id, 0)),
        ("failure", |w, id| w.exit(id, 3)),
        ("it never starts", |w, id| w.exit_with(id, None, Some("CannotPullContainerError: no"))),
        ("termination", |w, id| {
            w.terminate(id, "enough");
            w.exit(id, 143);
        }),
        ("loss of the machine", |w, _| w.restart_machine()),
    ];
    for (name, end) in ends {
        for replenishable in [true, false] {
            let mut world = World::new(1);
            world.create("r", replenishable, 5);
            let id = world.submit(job("a").needs("r", 3));
            assert_eq!(world.amounts("r"), if replenishable { (5, 3, 2) } else { (2, 0, 2) }, "{name}");
            end(&mut world, id);
            assert!(world.machine.is_idle(), "{name}");
            assert_eq!(world.amounts("r"), if replenishable { (5, 0, 5) } else { (2, 0, 2) }, "{name}");
        }
    }
}

#[test]
fn a_start_that_was_refused_uses_nothing_up() {
    for (replenishable, is_gang) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut world = World::new(4);
        world.turn(|turn| turn.register_job_definition(&scope(), "nodes", multinode(4, 1)));
        world.create("r", replenishable, 7);
        let submission = if is_gang { job("gang").definition("nodes") } else { job("single") };
        let id = world.submit(submission.needs("r", 3));
        let held = world.amounts("r");
        assert_eq!(held, if replenishable { (7, 3, 4) } else { (4, 0, 4) });
        let starting = if is_gang { JobId::node(id.job, 1) } else { id };
        let attempt = world.machine.live(starting).expect("it was started");
        world.machine.forget_all();
        world.turn(|turn| {
            turn.observe(Observation::Refused(attempt));
            turn.drain();
        });
        assert_eq!((world.status(id), world.amounts("r")), (Runnable, (7, 0, 7)), "{is_gang}");
        world.crash_and_recover();
        world.connect();
        assert_eq!((world.status(id), world.amounts("r")), (Starting, held), "{is_gang}");
    }
}

#[test]
fn each_child_needs_its_own_and_each_attempt_uses_up_anew() {
    let mut world = World::new(4);
    world.create("coupon", false, 3);
    let array = world.submit(job("a").array(3).attempts(2).needs("coupon", 1));
    assert_eq!((world.summary(array), world.amounts("coupon")), ((0, 0, 3, 0, 0), (0, 0, 0)));
    world.exit(child(array, 1), 1);
    assert_eq!(world.status(child(array, 1)), Runnable, "there is none left for another attempt");
    world.change("coupon", Change::Add(1), None).unwrap();
    assert_eq!(world.status(child(array, 1)), Starting);
    world.crash_and_recover();
    assert_eq!(world.amounts("coupon"), (0, 0, 0), "used up once");
}

#[test]
fn what_is_needed_must_exist_and_may_vanish_later() {
    let mut world = World::new(2);
    let missing = |name| Err(Refusal::NoSuchResource { arn: consumable_arn(name) });
    assert_eq!(world.try_submit(job("a").needs("r", 1)), missing("r"));
    world.create("r", true, 1);
    let running = world.submit(job("a").needs("r", 1));
    world.turn(|turn| turn.delete_consumable_resource(&consumable_arn("r"))).unwrap();
    world.crash_and_recover();
    assert_eq!(world.try_submit(job("a").needs("r", 1)), missing("r"));
    world.create("r", true, 2);
    assert_eq!(world.amounts("r"), (2, 1, 1), "it is held whoever made it");
    let waiting = world.submit(job("b").needs("r", 2));
    world.turn(|turn| turn.delete_consumable_resource(&consumable_arn("r"))).unwrap();
    world.exit(running, 0);
    assert_eq!(world.status(waiting), Runnable, "there is nothing of a resource that is gone");
    world.create("r", false, 2);
    assert_eq!((world.status(waiting), world.amounts("r")), (Starting, (0, 0, 0)));
}

#[test]
fn needs_of_the_submission_replace_those_of_the_definition() {
    let mut world = World::new(4);
    world.create("one", true, 9);
    world.create("two", true, 9);
    let needs = job("x").needs("one", 4).0.consumables;
    let needy = fornada_core::resource::job_definition::JobDefinition { consumables: needs, ..definition() };
    world.turn(|turn| turn.register_job_definition(&scope(), "needy", needy));
    let of = |name: &str| job(name).with(|s| s.definition = "needy".into());
    world.submit(of("plain"));
    assert_eq!((world.amounts("one").1, world.amounts("two").1), (4, 0));
    world.submit(of("replaced").needs("two", 1));
    world.submit(of("none").with(|s| s.consumables = Some(Vec::new())));
    assert_eq!((world.amounts("one").1, world.amounts("two").1), (4, 1));
    assert_eq!(world.state.queue_usage(&queue_arn("q")), 3000);
}
