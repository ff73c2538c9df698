//! Events of changes of status: complete, in order, and not forgotten before they have arrived.

mod common;

use std::sync::Arc;

use fornada_core::event::{Event, WAITING_MAX};
use fornada_core::id::JobId;
use fornada_core::job::JobStatus::{
    self, Failed, Pending, Runnable, Running, Starting, Submitted, Succeeded,
};
use fornada_core::job::observe::EXITED;
use fornada_core::state::Settings;
use fornada_core::time::Timestamp;
use fornada_core::turn::Turn;

use common::build::multinode;
use common::{Lost, World, child, job, scope};

fn world(vcpus: u32) -> World {
    let mut world = World::new(vcpus);
    world.settings = Settings { events: true, ..world.settings };
    world.state.configure(world.settings);
    world
}

/// What has come since the last look.
fn statuses(world: &mut World) -> Vec<(JobId, JobStatus)> {
    std::mem::take(&mut world.events).iter().map(|event| (event.job, event.status)).collect()
}

fn of(id: JobId, statuses: &[JobStatus]) -> Vec<(JobId, JobStatus)> {
    statuses.iter().map(|&status| (id, status)).collect()
}

fn newest(world: &World) -> Arc<Event> {
    Arc::clone(world.events.last().expect("there is one"))
}

#[test]
fn each_change_of_status_is_told_in_order_with_what_is_known_by_then() {
    let mut world = world(1);
    let a = world.submit(job("a").attempts(2));
    world.now += 500;
    world.start(a);
    let event = newest(&world);
    let record = world.record(a.job).expect("it is there");
    assert_eq!(
        (event.at, event.started_at, event.stopped_at),
        (Timestamp(world.now), Some(Timestamp(world.now)), None)
    );
    assert_eq!(
        (&event.name, &event.queue, &event.definition),
        (&record.name, &record.queue, &record.definition)
    );
    assert_eq!((event.created_at, event.attempts.len()), (record.execution.created_at, 0));
    assert_eq!(*event.job_arn(), *record.arn(a));
    assert_eq!(statuses(&mut world), of(a, &[Submitted, Runnable, Starting, Running]));

    world.exit(a, 7);
    world.start(a);
    world.exit(a, 0);
    let event = newest(&world);
    let codes: Vec<_> = event.attempts.iter().map(|attempt| attempt.outcome.exit_code).collect();
    assert_eq!((codes, event.status_reason.as_deref()), (vec![Some(7), Some(0)], Some(EXITED)));
    assert_eq!(event.stopped_at, Some(Timestamp(world.now)));
    assert!(world.events.is_sorted_by(|one, next| one.number < next.number));
    assert_eq!(statuses(&mut world), of(a, &[Runnable, Starting, Running, Succeeded]));
}

#[test]
fn children_are_told_of_once_they_have_a_record() {
    let mut world = world(1);
    let array = world.submit(job("a").array(2));
    world.exit(child(array, 0), 0);
    world.cancel(array, "enough");
    world.exit(child(array, 1), 1);
    let told = statuses(&mut world);
    let about =
        |id: JobId| told.iter().filter(|(of, _)| *of == id).map(|(_, status)| *status).collect::<Vec<_>>();
    assert_eq!(about(array), [Submitted, Pending, Failed]);
    assert_eq!(about(child(array, 0)), [Starting, Running, Succeeded]);
    assert_eq!(about(child(array, 1)), [Starting, Running, Failed]);
}

#[test]
fn of_nodes_only_the_job_is_told_of() {
    let mut world = world(2);
    world.turn(|turn| turn.register_job_definition(&scope(), "gang", multinode(2, 0)));
    let gang = world.submit(job("a").definition("gang"));
    world.exit(JobId::node(gang.job, 0), 0);
    world.run_everything();
    assert_eq!(statuses(&mut world), of(gang, &[Submitted, Runnable, Starting, Running, Succeeded]));
}

#[test]
fn what_was_not_acknowledged_comes_again_before_anything_new() {
    for lost in [Lost::Nothing, Lost::Actions, Lost::Everything] {
        let mut world = world(1);
        let a = world.submit(job("a"));
        let arrived = world.events[1].number;
        assert_eq!(statuses(&mut world), of(a, &[Submitted, Runnable, Starting]));
        world.turn(|turn| turn.delivered(arrived));
        assert_eq!((world.state.events_waiting(), world.state.events().count()), (1, 1));

        world.crash_during(lost, |world| world.start(a));
        let seen = if lost == Lost::Nothing { of(a, &[Running]) } else { Vec::new() };
        let durable: &[JobStatus] = if lost == Lost::Everything { &[Starting] } else { &[Starting, Running] };
        let want: Vec<_> = seen.into_iter().chain(of(a, durable)).collect();
        assert_eq!(statuses(&mut world), want, "{lost:?}");
        world.connect();
        world.exit(a, 0);
        assert!(statuses(&mut world).ends_with(&of(a, &[Running, Succeeded])[1..]), "{lost:?}");
    }
}

#[test]
fn an_acknowledgement_that_is_lost_does_no_harm() {
    let mut world = world(1);
    let a = world.submit(job("a"));
    let all = newest(&world).number;
    statuses(&mut world);
    world.crash_during(Lost::Everything, |world| world.turn(|turn| turn.delivered(all)));
    assert_eq!(statuses(&mut world), of(a, &[Submitted, Runnable, Starting]));
    world.turn(|turn| turn.delivered(all));
    world.turn(|turn| turn.delivered(all - 1)); // late, from before
    assert_eq!(world.state.events_waiting(), 0);
}

#[test]
fn numbers_go_on_when_all_was_delivered_and_the_clock_was_set_back() {
    let mut world = world(1);
    let a = world.submit(job("a"));
    world.now += 60_000;
    world.start(a); // no record tells of this time but the event's
    let last = newest(&world).number;
    world.turn(|turn| turn.delivered(last));
    assert_eq!((world.state.events_waiting(), world.state.events().count()), (0, 1), "the newest is kept");
    world.now -= 50_000;
    world.crash_and_recover();
    statuses(&mut world);
    world.exit(a, 0);
    assert!(newest(&world).number > last);
}

#[test]
fn without_anybody_to_tell_nothing_is_recorded() {
    let mut world = World::new(1);
    let records = world.store.len();
    let a = world.submit(job("a"));
    world.exit(a, 0);
    assert_eq!((world.store.len(), world.events.len()), (records + 1, 0), "the job, and nothing else");
    assert_eq!((world.state.events().count(), world.state.events_waiting()), (0, 0));
}

#[test]
fn when_nobody_takes_them_the_oldest_are_given_up() {
    let mut world = world(1);
    let mut turn = Turn::begin(&mut world.state, Timestamp(world.now), 99);
    let jobs = WAITING_MAX / 2 + 10;
    for _ in 0..jobs {
        turn.submit_job(&scope(), job("a").0).expect("it is accepted");
    }
    let decision = turn.finish();
    let told = decision.events.len();
    assert_eq!(told, 2 * jobs + 1, "SUBMITTED, RUNNABLE, and the first is STARTING");
    assert_eq!(world.state.events_waiting(), WAITING_MAX);
    assert_eq!(world.state.events_dropped(), (told - WAITING_MAX) as u64);
    let kept = world.state.events().map(|event| event.number);
    assert!(kept.eq(decision.events[told - WAITING_MAX..].iter().map(|event| event.number)));
}
