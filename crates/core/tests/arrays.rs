//! Array jobs: children of their own, one verdict for the parent.

mod common;

use fornada_core::job::JobStatus::{Failed, Pending, Runnable, Running, Starting, Succeeded};
use fornada_core::job::array::ARRAY_CHILD_JOB_FAILED;

use common::{World, child, job};

#[test]
fn the_parent_waits_for_every_child_and_takes_the_verdict() {
    for (name, codes, want, want_reason) in [
        ("all succeed", [0, 0, 0], Succeeded, ""),
        ("the first fails", [1, 0, 0], Failed, ARRAY_CHILD_JOB_FAILED),
        ("the last fails", [0, 0, 9], Failed, ARRAY_CHILD_JOB_FAILED),
        ("all fail", [1, 1, 1], Failed, ARRAY_CHILD_JOB_FAILED),
    ] {
        let mut world = World::new(4);
        let array = world.submit(job("a").array(3));
        for (index, code) in (0..).zip(codes) {
            assert_eq!(world.status(array), Pending, "{name}");
            world.exit(child(array, index), code);
        }
        assert_eq!((world.status(array), &*world.reason(array)), (want, want_reason), "{name}");
        let parent = world.find(array);
        assert!(parent.stopped_at.is_some() && parent.attempts.is_empty() && parent.started_at.is_none());
    }
}

#[test]
fn children_start_by_index_as_room_allows() {
    let mut world = World::new(3);
    let array = world.submit(job("a").array(10_000));
    assert_eq!(world.summary(array), (0, 9_997, 3, 0, 0));
    assert_eq!(world.machine.all_live(), [0, 1, 2].map(|i| child(array, i)));
    world.exit(child(array, 1), 0);
    assert_eq!(world.status(child(array, 3)), Starting);
    assert_eq!(world.status(child(array, 4)), Runnable);
    assert_eq!(world.summary(array), (0, 9_996, 3, 1, 0));
    assert!(world.state.status_of(child(array, 10_000)).is_none(), "there is no such child");
}

#[test]
fn an_array_is_one_record_until_its_children_start() {
    let mut world = World::new(1);
    let running = world.submit(job("a"));
    let before = world.store.len();
    let array = world.submit(job("b").array(10_000));
    assert_eq!(world.store.len(), before + 1);
    world.exit(running, 0);
    assert_eq!(world.store.len(), before + 2, "one child started");
    world.cancel(array, "enough");
    assert_eq!(world.store.len(), before + 2, "the others ended together");
    assert_eq!(world.summary(array), (0, 0, 1, 0, 9_999));
}

#[test]
fn each_child_has_its_own_attempts() {
    let mut world = World::new(4);
    let array = world.submit(job("a").array(2).attempts(2));
    let (flaky, broken) = (child(array, 0), child(array, 1));
    world.exit(flaky, 1);
    world.exit(broken, 1);
    world.exit(broken, 1);
    world.exit(flaky, 0);
    assert_eq!((world.status(flaky), world.status(broken)), (Succeeded, Failed));
    assert_eq!((world.find(flaky).attempts.len(), world.find(broken).attempts.len()), (2, 2));
    assert_eq!((world.status(array), &*world.reason(array)), (Failed, ARRAY_CHILD_JOB_FAILED));
}

#[test]
fn a_retried_child_goes_before_its_younger_siblings() {
    let mut world = World::new(1);
    let array = world.submit(job("a").array(3).attempts(2));
    world.exit(child(array, 0), 0);
    world.exit(child(array, 1), 1);
    assert_eq!(world.machine.all_live(), [child(array, 1)]);
    world.crash_and_recover();
    world.exit(child(array, 1), 0);
    assert_eq!(world.machine.all_live(), [child(array, 2)]);
}

#[test]
fn stopping_the_parent_stops_every_child_as_it_stands() {
    // Child 0 has succeeded, 1 runs, 2 is starting, 3 waits for another attempt or its first, the rest for room.
    for (name, terminate, blocked) in
        [("cancel", false, false), ("terminate", true, false), ("while it waits", true, true)]
    {
        let mut world = World::new(3);
        let first = world.submit(job("first").vcpus(3));
        let on = if blocked { vec![first] } else { vec![] };
        let array = world.submit(job("a").array(6).attempts(3).after(on));
        if !blocked {
            world.exit(first, 0);
            world.exit(child(array, 0), 0);
            world.start(child(array, 1));
        }
        world.machine.asked();
        if terminate {
            world.terminate(array, "enough");
        } else {
            world.cancel(array, "enough");
        }
        let asked = world.machine.asked();
        if blocked {
            assert_eq!(world.summary(array), (0, 0, 0, 0, 6), "{name}");
        } else {
            assert_eq!(world.summary(array), (0, 0, 3, 1, 2), "{name}");
            assert_eq!(
                asked.iter().filter(|(what, _)| *what == "stop").count(),
                if terminate { 3 } else { 0 }
            );
            assert_eq!(world.status(array), Pending, "{name}: three children have not ended");
            world.crash_and_recover();
            for index in 1..4 {
                world.exit(child(array, index), 0);
            }
            let want = if terminate { Failed } else { Succeeded };
            assert_eq!(world.status(child(array, 2)), want, "{name}");
        }
        assert_eq!((world.status(array), &*world.reason(array)), (Failed, "enough"), "{name}");
        assert_eq!(
            (world.status(child(array, 5)), &*world.reason(child(array, 5))),
            (Failed, "enough"),
            "{name}"
        );
        let last = world.find(child(array, 5));
        assert_eq!((last.is_cancelled, last.is_terminated), (!terminate, terminate), "{name}");
        assert!(last.stopped_at.is_some() && last.attempts.is_empty(), "{name}");
    }
}

#[test]
fn a_child_is_cancelled_alone() {
    let mut world = World::new(1);
    let array = world.submit(job("a").array(3));
    world.cancel(child(array, 1), "not this one");
    assert_eq!(&*world.reason(child(array, 1)), "not this one");
    assert_eq!(world.summary(array), (0, 1, 1, 0, 1));
    world.exit(child(array, 0), 0);
    world.exit(child(array, 2), 0);
    assert_eq!((world.status(array), &*world.reason(array)), (Failed, ARRAY_CHILD_JOB_FAILED));
}

#[test]
fn a_running_child_is_terminated_alone() {
    let mut world = World::new(2);
    let array = world.submit(job("a").array(2).attempts(3));
    world.start(child(array, 0));
    world.start(child(array, 1));
    world.terminate(child(array, 0), "this one");
    world.exit(child(array, 0), 143);
    assert_eq!((world.status(child(array, 0)), &*world.reason(child(array, 0))), (Failed, "this one"));
    assert_eq!((world.status(child(array, 1)), world.status(array)), (Running, Pending));
    world.exit(child(array, 1), 0);
    assert_eq!((world.status(array), &*world.reason(array)), (Failed, ARRAY_CHILD_JOB_FAILED));
}
