//! Who waits for whom, and how far a failure reaches.

mod common;

use fornada_core::id::{JobId, Uuid};
use fornada_core::job::JobStatus::{self, Failed, Pending, Runnable, Starting, Succeeded};
use fornada_core::job::array::ARRAY_CHILD_JOB_FAILED;
use fornada_core::job::depends_on::DEPENDENT_JOB_FAILED;
use fornada_core::refusal::Refusal;

use common::{Submit, World, child, job, scope};

#[track_caller]
fn assert_dependent_failed(world: &World, id: JobId) {
    assert_eq!((world.status(id), &*world.reason(id)), (Failed, DEPENDENT_JOB_FAILED), "{id}");
    assert!(world.find(id).attempts.is_empty(), "{id}: no attempt was used");
}

#[test]
fn plain_dependencies() {
    // What is waited for: a single job, a whole array of two, or its child 1; the exit codes of the array's children.
    type On = fn(JobId) -> JobId;
    let whole: On = |array| array;
    let one: On = |array| child(array, 1);
    for (name, on, codes, want) in [
        ("array succeeds", whole, [0, 0], [Pending, Starting]),
        ("array fails at the end", whole, [1, 0], [Pending, Failed]),
        ("child succeeds, whatever its sibling does", one, [1, 0], [Pending, Starting]),
        ("child fails", one, [0, 1], [Pending, Failed]),
    ] {
        let mut world = World::new(8);
        let array = world.submit(job("on").array(2));
        let single = world.submit(job("single").after([on(array)]));
        let dependents = world.submit(job("array").array(3).after([on(array)]));
        assert_eq!((world.status(single), world.summary(dependents).0), (Pending, 3), "{name}");
        for (index, want) in (0..).zip(want) {
            world.exit(child(array, index), codes[usize::try_from(index).unwrap()]);
            assert_eq!(world.status(single), want, "{name}, after child {index}");
            assert_eq!(world.status(child(dependents, 2)), want, "{name}, after child {index}");
        }
        if want[1] == Failed {
            assert_dependent_failed(&world, single);
            assert_dependent_failed(&world, child(dependents, 0));
            assert_dependent_failed(&world, dependents);
        }
    }
}

#[test]
fn retries_of_a_dependency_do_not_matter_until_the_last() {
    let mut world = World::new(2);
    let a = world.submit(job("a").attempts(2));
    let b = world.submit(job("b").after([a]));
    world.exit(a, 1);
    assert_eq!(world.status(b), Pending);
    world.exit(a, 0);
    assert_eq!(world.status(b), Starting);
}

#[test]
fn dependencies_that_have_ended_before_submission() {
    let mut world = World::new(8);
    let array = world.submit(job("a").array(2));
    let (good, bad) = (world.submit(job("good")), world.submit(job("bad")));
    world.exit(good, 0);
    world.exit(bad, 1);
    world.exit(child(array, 0), 0);
    world.exit(child(array, 1), 1);
    for (name, submit, want) in [
        ("succeeded", job("b").after([good]), Starting),
        ("failed", job("b").after([bad]), Failed),
        ("one of each", job("b").after([good, bad]), Failed),
        ("failed array", job("b").after([array]), Failed),
        ("succeeded child", job("b").after([child(array, 0)]), Starting),
        ("failed child", job("b").after([child(array, 1)]), Failed),
    ] {
        let id = world.submit(submit.clone());
        assert_eq!(world.status(id), want, "{name}");
        let id = world.submit(submit.array(2));
        assert_eq!(world.status(child(id, 1)), want, "{name}, of an array");
        if want == Failed {
            assert_dependent_failed(&world, id);
        }
        let ended: Vec<_> = world.machine.all_live();
        ended.into_iter().for_each(|id| world.exit(id, 0));
    }
    let side_by_side = world.submit(job("n").array(2).n_to_n(array));
    assert_eq!(world.status(child(side_by_side, 0)), Starting);
    assert_dependent_failed(&world, child(side_by_side, 1));
}

#[test]
fn n_to_n_joins_children_of_one_index() {
    let mut world = World::new(8);
    let a = world.submit(job("a").array(3));
    let b = world.submit(job("b").array(3).n_to_n(a));
    let c = world.submit(job("c").array(3).n_to_n(b));
    world.exit(child(a, 1), 0);
    assert_eq!([0, 1, 2].map(|i| world.status(child(b, i))), [Pending, Starting, Pending]);
    world.exit(child(a, 0), 1);
    assert_dependent_failed(&world, child(b, 0));
    assert_dependent_failed(&world, child(c, 0));
    assert_eq!([b, c].map(|id| world.status(id)), [Pending, Pending], "siblings go on");
    world.crash_and_recover();
    world.run_everything();
    for id in [a, b, c] {
        assert_eq!((world.status(id), &*world.reason(id)), (Failed, ARRAY_CHILD_JOB_FAILED));
        assert_eq!(world.summary(id), (0, 0, 0, 2, 1));
    }
}

#[test]
fn n_to_n_follows_an_array_that_ended_unstarted() {
    let mut world = World::new(1);
    world.submit(job("occupies"));
    let a = world.submit(job("a").array(3));
    let b = world.submit(job("b").array(3).n_to_n(a));
    let on_child = world.submit(job("c").after([child(a, 2)]));
    world.cancel(a, "no");
    assert_eq!((world.status(b), world.summary(b).4), (Failed, 3));
    assert_dependent_failed(&world, child(b, 2));
    assert_dependent_failed(&world, on_child);
}

#[test]
fn sequential_children_follow_one_another() {
    let mut world = World::new(8);
    let array = world.submit(job("a").array(4).sequential().attempts(2));
    let statuses = |world: &World| [0, 1, 2, 3].map(|i| world.status(child(array, i)));
    assert_eq!(statuses(&world), [Starting, Pending, Pending, Pending]);
    world.exit(child(array, 0), 1);
    assert_eq!(statuses(&world), [Starting, Pending, Pending, Pending], "its second attempt");
    world.exit(child(array, 0), 0);
    world.crash_and_recover();
    assert_eq!(statuses(&world), [Succeeded, Starting, Pending, Pending]);
    world.exit(child(array, 1), 1);
    world.exit(child(array, 1), 1);
    assert_eq!(statuses(&world), [Succeeded, Failed, Failed, Failed]);
    assert_dependent_failed(&world, child(array, 2));
    assert_eq!((world.status(array), &*world.reason(array)), (Failed, ARRAY_CHILD_JOB_FAILED));
}

#[test]
fn a_sequential_child_that_is_cancelled_takes_only_its_successors_along() {
    let mut world = World::new(8);
    let array = world.submit(job("a").array(5).sequential());
    world.cancel(child(array, 3), "stop there");
    assert_eq!([1, 2].map(|i| world.status(child(array, i))), [Pending, Pending]);
    assert_dependent_failed(&world, child(array, 4));
    world.run_everything();
    assert_eq!(world.summary(array), (0, 0, 0, 3, 2));
    assert_eq!((world.status(array), &*world.reason(array)), (Failed, ARRAY_CHILD_JOB_FAILED));
}

#[test]
fn kinds_of_dependencies_mix() {
    let mut world = World::new(8);
    let (gate, a) = (world.submit(job("gate")), world.submit(job("a").array(2)));
    let mixed = world.submit(job("m").array(2).after([gate]).n_to_n(a).sequential());
    let statuses = |world: &World| [0, 1].map(|i| world.status(child(mixed, i)));
    world.exit(child(a, 0), 0);
    assert_eq!(statuses(&world), [Pending, Pending], "the gate is closed");
    world.exit(gate, 0);
    assert_eq!(statuses(&world), [Starting, Pending]);
    world.exit(child(mixed, 0), 0);
    assert_eq!(statuses(&world), [Succeeded, Pending], "its counterpart has not ended");
    world.exit(child(a, 1), 0);
    assert_eq!(statuses(&world), [Succeeded, Starting]);
}

#[test]
fn failures_and_successes_travel_down_a_chain_of_a_thousand() {
    for (code, want) in [(1, Failed), (0, Succeeded)] {
        let mut world = World::new(1);
        let head = world.submit(job("head"));
        let chain: Vec<Uuid> = world.turn(|turn| {
            let mut last = head;
            let mut next = |n: u32| {
                let submit: Submit = job("next").after([last]);
                let submit = if n.is_multiple_of(100) { submit.array(2) } else { submit };
                let id = turn.submit_job(&scope(), submit.0).unwrap().id;
                last = JobId::whole(id);
                id
            };
            (1..=1000).map(&mut next).collect()
        });
        world.exit(head, code);
        if code == 0 {
            world.run_everything();
        }
        let status = |id: &Uuid| -> JobStatus { world.status(JobId::whole(*id)) };
        assert!(chain.iter().all(|id| status(id) == want), "{want}");
        assert!(world.machine.is_idle());
    }
}

#[test]
fn dependencies_that_cannot_be_are_refused_and_change_nothing() {
    let mut world = World::new(1);
    let (single, array) = (world.submit(job("a")), world.submit(job("b").array(2)));
    let unknown = JobId::whole(Uuid::from_u128(7));
    let missing = |id: JobId| Refusal::NoSuchDependency { job_id: id.to_string().into() };
    let differ = |id: JobId| Refusal::ArraySizesDiffer { job_id: id.to_string().into() };
    let records = world.store.len();
    for (name, submit, want) in [
        ("unknown job", job("x").after([unknown]), missing(unknown)),
        ("no such child", job("x").after([child(array, 2)]), missing(child(array, 2))),
        ("child of a single job", job("x").after([child(single, 0)]), missing(child(single, 0))),
        ("N_TO_N of a single job", job("x").n_to_n(array), Refusal::NotAnArray),
        ("N_TO_N on a single job", job("x").array(2).n_to_n(single), differ(single)),
        ("N_TO_N of another size", job("x").array(3).n_to_n(array), differ(array)),
        ("SEQUENTIAL single job", job("x").sequential(), Refusal::NotAnArray),
    ] {
        assert_eq!(world.try_submit(submit), Err(want), "{name}");
    }
    assert_eq!(world.store.len(), records);
    let stranger = fornada_core::arn::Scope { account: "111111111111".into(), ..scope() };
    let refused = world.turn(|turn| turn.submit_job(&stranger, job("x").after([single]).0)).unwrap_err();
    assert!(matches!(refused, Refusal::NoSuchResource { .. }), "{refused}");
    assert_eq!(world.status(child(array, 0)), Runnable);
}

#[test]
fn after_any_waits_for_the_end_whatever_it_is() {
    let mut world = World::new(8);
    let (fails, array) = (world.submit(job("fails")), world.submit(job("array").array(2)));
    let cancelled = world.submit(job("cancelled").after([array]));
    let next = world.submit(job("next").after_any([fails, cancelled, child(array, 1)]));
    let both = world.submit(job("both").after([fails]).after_any([fails]));
    world.exit(fails, 1);
    world.cancel(cancelled, "enough");
    assert_eq!((world.status(next), world.status(both)), (Pending, Failed), "a child still runs");
    world.crash_and_recover();
    world.exit(child(array, 1), 0);
    assert_eq!(world.status(next), Starting);
    let late = world.submit(job("late").after_any([fails]));
    assert_eq!(world.status(late), Starting, "it had ended before");
}
