//! Random days in the life of a small system: whatever clients, machine and crashes do, the rules hold, and when the
//! faults stop every job ends.
//!
//! The rules are checked with every turn by the world itself (`common`): indexes agree with records, ceilings and
//! capacity hold, one live attempt a job, nothing starts before its dependencies, recovery restores what was.

mod common;

use std::collections::BTreeMap;

use fornada_core::attempt::Observation;
use fornada_core::explain::{Detail, Waits};
use fornada_core::id::{AttemptId, JobId};
use fornada_core::job::{Execution, JobStatus};
use fornada_core::refusal::Refusal;
use fornada_core::resource::consumable_resource::Change;
use fornada_core::time::Timestamp;
use proptest::prelude::*;

use common::build::{consumable_arn, fair_share, multinode, tags};
use common::{Lost, Submit, World, environment, job, queue, scope};

/// A job or child among those that exist, as a number that is reduced to what there is.
type Pick = (u16, u16);

/// As many as the neediest job needs.
const LICENCES: u64 = 3;

#[derive(Clone, Debug)]
enum Step {
    Submit {
        shape: Shape,
        on: Vec<(Kind, Pick)>,
    },
    Cancel(Pick),
    Terminate(Pick),
    Start(u16),
    Exit(u16, i32),
    FailToStart(u16),
    Advance(u32),
    SetClockBack(u32),
    /// There are so many licences now.
    Licences(u64),
    /// Share `a` has this weight now.
    Weigh(u32),
    Disconnect,
    Connect,
    RestartMachine,
    /// The machine does not start what it was asked to start.
    Refuse(u16),
    /// The start of an attempt that is over is reported again.
    Repeat(u16),
}

#[derive(Clone, Debug)]
struct Shape {
    size: Option<u32>,
    /// A multi-node job of this many nodes, led by the second.
    nodes: Option<u32>,
    vcpus: u32,
    attempts: u32,
    timeout: Option<u32>,
    /// In the lower queue, for this share.
    low: Option<bool>,
    priority: u32,
    needs: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Whole,
    Child,
    NToN,
    Sequential,
    AfterAny,
}

fn step() -> impl Strategy<Value = Step> {
    let pick = || any::<Pick>();
    let kinds = [Kind::Whole, Kind::Child, Kind::NToN, Kind::Sequential, Kind::AfterAny];
    let kind = prop::sample::select(kinds.to_vec());
    let shape = (
        prop_oneof![
            2 => Just((None, None)),
            2 => (2u32..5).prop_map(|size| (Some(size), None)),
            1 => (2u32..5).prop_map(|nodes| (None, Some(nodes))),
        ],
        1u32..5,
        1u32..4,
        prop::option::of(60u32..180),
        any::<Option<bool>>(),
        0u32..3,
        prop_oneof![3 => Just(0), 1 => 1..=LICENCES],
    )
        .prop_map(|((size, nodes), vcpus, attempts, timeout, low, priority, needs)| Shape {
            size,
            nodes,
            vcpus,
            attempts,
            timeout,
            low,
            priority,
            needs,
        });
    let code = prop_oneof![3 => Just(0), 1 => Just(1), 1 => Just(13)];
    prop_oneof![
        8 => (shape, prop::collection::vec((kind, pick()), 0..3)).prop_map(|(shape, on)| Step::Submit { shape, on }),
        2 => pick().prop_map(Step::Cancel),
        2 => pick().prop_map(Step::Terminate),
        6 => any::<u16>().prop_map(Step::Start),
        10 => (any::<u16>(), code).prop_map(|(live, code)| Step::Exit(live, code)),
        1 => any::<u16>().prop_map(Step::FailToStart),
        3 => (0u32..100_000).prop_map(Step::Advance),
        1 => (0u32..100_000).prop_map(Step::SetClockBack),
        1 => (0..=LICENCES).prop_map(Step::Licences),
        1 => (1u32..100_000).prop_map(Step::Weigh),
        1 => Just(Step::Disconnect),
        3 => Just(Step::Connect),
        1 => Just(Step::RestartMachine),
        1 => any::<u16>().prop_map(Step::Refuse),
        1 => any::<u16>().prop_map(Step::Repeat),
    ]
}

/// A step, and whether the server crashes with it.
fn steps() -> impl Strategy<Value = Vec<(Step, Option<Lost>)>> {
    let crash = prop_oneof![
        20 => Just(None),
        1 => Just(Some(Lost::Nothing)),
        1 => Just(Some(Lost::Actions)),
        1 => Just(Some(Lost::Everything)),
    ];
    prop::collection::vec((step(), crash), 20..120)
}

/// A FIFO queue and a fair-share queue over two environments, the smaller first; together they could take more than the machine has.
fn world(ended_records: usize) -> Result<World, Refusal> {
    let mut world = World::empty(5);
    world.settings.ended_records = ended_records;
    world.state.configure(world.settings);
    world.create_environment(environment("small").max_vcpus(3))?;
    world.create_environment(environment("large").max_vcpus(4))?;
    world.create_queue(queue("q").priority(10).environments(["small", "large"]))?;
    world.turn(|turn| turn.create_scheduling_policy(fair_share("p", &[("a", 5_000)]), tags([])))?;
    world.create_queue(queue("low").priority(1).environments(["large", "small"]).policy("p"))?;
    let licence = consumable_arn("licence");
    world.turn(|turn| turn.create_consumable_resource(licence, true, LICENCES, tags([])))?;
    for nodes in 2..5 {
        let name = format!("{nodes}-nodes");
        world.turn(|turn| turn.register_job_definition(&scope(), &name, multinode(nodes, 1)));
    }
    Ok(world)
}

fn pick(world: &World, (n, m): Pick) -> Option<JobId> {
    let id = *world.jobs.get(usize::from(n) % world.jobs.len().max(1))?;
    world.record(id)?; // it may have been lost in a crash
    let members = world.members(id);
    let member = members.get(usize::from(m) % (members.len() + 1));
    Some(member.copied().unwrap_or(JobId::whole(id)))
}

fn pick_live(world: &World, n: u16) -> Option<JobId> {
    let live = world.machine.all_live();
    live.get(usize::from(n) % live.len().max(1)).copied()
}

fn submission(
    world: &World,
    Shape { size, nodes, vcpus, attempts, timeout, low, priority, needs }: Shape,
    on: &[(Kind, Pick)],
) -> Submit {
    let submit = job("j").attempts(attempts).exit_on("13");
    let mut submit = match nodes {
        Some(nodes) => submit.definition(&format!("{nodes}-nodes")),
        None => submit.vcpus(vcpus),
    };
    submit = match low {
        Some(share) => submit.queue("low").share(if share { "a" } else { "b" }).priority(priority),
        None => submit,
    };
    submit = if needs > 0 { submit.needs("licence", needs) } else { submit };
    submit = size.map_or(submit.clone(), |size| submit.clone().array(size));
    submit = timeout.map_or(submit.clone(), |seconds| submit.clone().timeout(seconds));
    for &(kind, on) in on {
        submit = match (kind, pick(world, on)) {
            (Kind::Sequential, _) => submit.sequential(),
            (_, None) => submit,
            (Kind::Whole, Some(id)) => submit.after([JobId::whole(id.job)]),
            (Kind::Child, Some(id)) => submit.after([id]),
            (Kind::NToN, Some(id)) => submit.n_to_n(id),
            (Kind::AfterAny, Some(id)) => submit.after_any([id]),
        };
    }
    submit
}

fn apply(world: &mut World, step: Step) {
    match step {
        Step::Submit { shape, on } => {
            let submit = submission(world, shape, &on);
            let _ = world.try_submit(submit); // arrays of unequal size and the like are refused
        }
        Step::Cancel(id) => {
            if let Some(id) = pick(world, id) {
                world.cancel(id, "cancelled");
            }
        }
        Step::Terminate(id) => {
            if let Some(id) = pick(world, id) {
                world.terminate(id, "terminated");
            }
        }
        Step::Start(live) => {
            if let Some(id) = pick_live(world, live) {
                world.start(id);
            }
        }
        Step::Exit(live, code) => {
            if let Some(id) = pick_live(world, live) {
                world.exit(id, code);
            }
        }
        Step::FailToStart(live) => {
            if let Some(id) = pick_live(world, live).filter(|&id| world.find(id).started_at.is_none()) {
                world.exit_with(id, None, Some("CannotPullContainerError: no"));
            }
        }
        Step::Advance(millis) => world.advance(millis.into()),
        Step::SetClockBack(millis) => world.now -= u64::from(millis),
        Step::Licences(total) => set_licences(world, total),
        Step::Weigh(weight) => {
            let policy = fair_share("p", &[("a", weight)]);
            world.turn(|turn| turn.update_scheduling_policy(policy)).expect("it exists");
        }
        Step::Disconnect => world.disconnect(),
        Step::Connect => world.connect(),
        Step::RestartMachine => world.restart_machine(),
        Step::Refuse(live) => {
            if let Some(id) = pick_live(world, live).filter(|&id| world.find(id).started_at.is_none()) {
                world.refuse(id);
            }
        }
        Step::Repeat(n) => repeat(world, n),
    }
}

fn set_licences(world: &mut World, total: u64) {
    let licence = consumable_arn("licence");
    let set = world.turn(|turn| turn.update_consumable_resource(&licence, Change::Set(total), None));
    assert_eq!(set, Ok(total));
}

/// Nothing may come of it.
fn repeat(world: &mut World, n: u16) {
    let Some(id) = pick(world, (n, n)).filter(|&id| !world.find(id).attempts.is_empty()) else { return };
    let before = world.find(id);
    let attempt = AttemptId { job: id, number: 1 };
    let at = Timestamp(world.now);
    world.turn(|turn| turn.observe(Observation::Started(attempt, at)));
    assert_eq!(world.find(id), before, "{attempt} is over");
}

/// Every job, child and node explains itself in words, and whoever has not started has a reason.
fn check_explanations(world: &World) {
    for (record, members) in world.seen() {
        if !world.state.knows(record.id) {
            continue;
        }
        let members = members.into_iter().map(|(id, _)| id);
        for id in members.chain([JobId::whole(record.id)]) {
            let status = world.status(id);
            let explanation = world.state.explain(id, Timestamp(world.now)).expect("it exists");
            assert!(!explanation.summary.is_empty(), "{id} ({status}): {explanation:?}");
            assert_eq!(explanation.status, status.as_str());
            let waits = matches!(status, JobStatus::Submitted | JobStatus::Pending | JobStatus::Runnable);
            let reason = world.state.waiting_reason(id);
            assert_eq!(reason.is_some_and(|reason| !reason.is_empty()), waits, "{id} ({status})");
            if let Detail::Runnable(runnable) = &explanation.detail {
                assert!(
                    runnable.waits != Waits::Pass,
                    "{id}: the pass has just looked, and left it: {runnable:?}"
                );
                assert!(runnable.starts_by.is_none_or(|at| at.0 >= world.now), "{id}: {runnable:?}");
            }
        }
    }
}

/// All that has ended for good, and how. A node's end is that of its attempt until its job has ended.
fn ended(world: &World) -> BTreeMap<JobId, Execution> {
    let mut all = BTreeMap::new();
    for (record, children) in world.seen() {
        let id = JobId::whole(record.id);
        let lasts = record.nodes.is_none() || record.execution.status.is_terminal();
        let members = children.into_iter().filter(|_| lasts);
        let whole = [(id, record.execution)];
        all.extend(members.chain(whole).filter(|(_, execution)| execution.status.is_terminal()));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_hold_and_every_job_ends(
        steps in steps(),
        ended_records in prop_oneof![Just(0), 0usize..10, Just(20_000)],
    ) {
        let mut world = world(ended_records).unwrap();
        let mut before = ended(&world);
        for (step, crash) in steps {
            match crash {
                None => apply(&mut world, step),
                Some(lost) => world.crash_during(lost, |world| apply(world, step)),
            }
            let now = ended(&world);
            for (id, execution) in &before {
                prop_assert_eq!(now.get(id), Some(execution), "{} had ended", id);
            }
            before = now;
            check_explanations(&world);
        }

        set_licences(&mut world, LICENCES);
        world.connect();
        world.run_everything();
        for (record, children) in world.seen() {
            prop_assert!(record.execution.status.is_terminal(), "never ends: {:?}", record);
            prop_assert!(children.iter().all(|(_, child)| child.status.is_terminal()), "{:?}", children);
        }
        world.check_failed_dependencies();
        prop_assert!(world.machine.is_idle(), "the end of every attempt is acknowledged");
        prop_assert_eq!(world.state.running_attempts(), 0);
        prop_assert!(world.jobs.iter().all(|&id| world.state.job(id).is_none_or(|j| j.execution.placement.is_none())));
    }
}
