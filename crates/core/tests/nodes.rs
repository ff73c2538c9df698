//! Multi-node parallel jobs: all nodes or none, the main node first and last.

mod common;

use fornada_core::attempt::{AttemptReport, Observation, Outcome};
use fornada_core::container::{ContainerOverrides, ContainerTemplate};
use fornada_core::id::{AttemptId, JobId};
use fornada_core::job::JobStatus::{Failed, Pending, Runnable, Running, Starting, Succeeded};
use fornada_core::job::workload::{NodeOverrides, Overrides, RangeOverrides};
use fornada_core::job::{JobStatus, stop::TIMED_OUT};
use fornada_core::refusal::Refusal;
use fornada_core::resource::consumable_resource::Consumable;
use fornada_core::resource::job_definition::JobDefinition;
use fornada_core::task::{NodeRange, TaskTemplate};
use fornada_core::time::Timestamp;

use common::build::{Submit, consumable_arn, container, multinode, tags};
use common::{Lost, World, environment, job, scope};

const MAIN: u32 = 1;

/// Four nodes of 1 vCPU, led by node 1, on a machine of eight.
fn world() -> World {
    let mut world = World::new(8);
    register(&mut world, "nodes", multinode(4, MAIN));
    world
}

fn register(world: &mut World, name: &str, definition: JobDefinition) {
    world.turn(|turn| turn.register_job_definition(&scope(), name, definition));
}

fn nodes() -> Submit {
    job("gang").definition("nodes")
}

fn node(job: JobId, node: u32) -> JobId {
    JobId::node(job.job, node)
}

/// Statuses of the parent and its nodes.
fn statuses(world: &World, job: JobId) -> (JobStatus, Vec<JobStatus>) {
    (world.status(job), (0..4).map(|n| world.status(node(job, n))).collect())
}

#[test]
fn the_main_node_starts_first_and_its_end_is_the_end() {
    let mut world = world();
    let gang = world.submit(nodes());
    assert_eq!(statuses(&world, gang), (Starting, vec![Runnable, Starting, Runnable, Runnable]));
    assert_eq!(world.machine.all_live(), [node(gang, MAIN)]);
    let main = world.machine.launched(node(gang, MAIN)).clone();
    world.start(node(gang, MAIN));
    assert_eq!(statuses(&world, gang), (Running, vec![Starting, Running, Starting, Starting]));

    let variables = |launch: &fornada_core::attempt::Launch| -> Vec<String> {
        let all = launch.containers[0].environment.iter();
        all.filter(|(name, _)| name.contains("NODE")).map(|(name, value)| format!("{name}={value}")).collect()
    };
    let address = main.address.expect("each node has one");
    let want = ["MAIN_NODE_INDEX=1", "NODE_INDEX=1", "NUM_NODES=4"].map(|v| format!("AWS_BATCH_JOB_{v}"));
    assert_eq!(variables(&main), want, "the main node does not need its own address");
    let other = world.machine.launched(node(gang, 3)).clone();
    assert_eq!(variables(&other)[3], format!("AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS={address}"));
    assert_ne!(other.address, main.address);

    world.exit(node(gang, 0), 0);
    world.exit(node(gang, 2), 3);
    assert_eq!(statuses(&world, gang), (Running, vec![Succeeded, Running, Failed, Starting]), "nobody minds");
    world.start(node(gang, 3));
    world.exit(node(gang, MAIN), 0);
    assert_eq!(statuses(&world, gang), (Running, vec![Succeeded, Succeeded, Failed, Running]));
    assert!(world.machine.is_stopping(node(gang, 3)));
    world.advance(5);
    world.exit(node(gang, 3), 143);
    assert_eq!(statuses(&world, gang), (Succeeded, vec![Succeeded, Succeeded, Failed, Failed]));
    let (parent, main) = (world.find(gang), world.find(node(gang, MAIN)));
    assert_eq!((parent.started_at, parent.stopped_at), (main.started_at, main.stopped_at));
    assert_eq!((&parent.status_reason, &parent.attempts), (&main.status_reason, &main.attempts));
    assert!(world.machine.is_idle());
}

#[test]
fn only_the_main_node_decides_about_another_attempt_and_that_waits_for_all_to_be_gone() {
    let mut world = world();
    let gang = world.submit(nodes().attempts(2));
    world.start(node(gang, MAIN));
    world.exit(node(gang, 0), 1);
    world.start(node(gang, 2));
    world.exit(node(gang, MAIN), 1);
    assert_eq!(world.status(gang), Running, "two nodes are still there");
    world.exit(node(gang, 2), 143);
    world.exit_with(node(gang, 3), None, None);
    assert_eq!(statuses(&world, gang), (Starting, vec![Runnable, Starting, Runnable, Runnable]));
    let number = |world: &World, n| world.find(node(gang, n)).attempt_number();
    assert_eq!(
        (0..4).map(|n| number(&world, n)).collect::<Vec<_>>(),
        [2; 4],
        "each node has as many attempts"
    );
    world.crash_and_recover();
    world.exit(node(gang, MAIN), 1);
    assert_eq!(statuses(&world, gang), (Failed, vec![Failed; 4]));
    assert_eq!((world.find(gang).attempts.len(), world.find(node(gang, 3)).attempts.len()), (2, 2));
}

#[test]
fn all_nodes_or_none() {
    let mut world = world();
    let five = world.submit(job("five").vcpus(5));
    let gang = world.submit(nodes());
    let other = world.submit(nodes());
    assert_eq!(statuses(&world, gang), (Runnable, vec![Runnable; 4]), "three are free");
    world.exit(five, 0);
    assert_eq!((world.status(gang), world.status(other)), (Starting, Starting));
    let launched = |gang| world.machine.launched(node(gang, MAIN)).address;
    assert_ne!(launched(gang), launched(other), "addresses are not shared");
    let large = {
        register(&mut world, "large", multinode(9, 0));
        world.submit(job("large").definition("large"))
    };
    assert!(world.reason(large).starts_with("MISCONFIGURATION:"), "{}", world.reason(large));
}

#[test]
fn stopping_before_during_and_between_attempts() {
    let mut world = world();
    let blocker = world.submit(job("all").vcpus(8));
    let waits = world.submit(nodes().after([blocker]));
    let queued = world.submit(nodes());
    assert_eq!(statuses(&world, waits).1, [Pending; 4]);
    world.terminate(waits, "a");
    world.cancel(queued, "b");
    for (job, reason) in [(waits, "a"), (queued, "b")] {
        assert_eq!(statuses(&world, job), (Failed, vec![Failed; 4]));
        assert_eq!((world.reason(job), world.reason(node(job, 2))), (reason.into(), reason.into()));
    }
    world.exit(blocker, 0);

    let gang = world.submit(nodes().attempts(3));
    world.terminate(node(gang, 2), "a node alone is not stopped");
    world.start(node(gang, MAIN));
    world.cancel(gang, "no effect");
    assert_eq!(world.status(gang), Running);
    world.terminate(gang, "enough");
    for n in 0..4 {
        assert!(world.machine.is_stopping(node(gang, n)), "{n}");
        world.exit(node(gang, n), 143);
    }
    assert_eq!((world.status(gang), world.reason(gang)), (Failed, "enough".into()));

    let starting = world.submit(nodes().attempts(3));
    world.terminate(starting, "early");
    world.exit_with(node(starting, MAIN), None, None);
    assert_eq!(
        (statuses(&world, starting), world.reason(starting)),
        ((Failed, vec![Failed; 4]), "early".into())
    );

    let between = world.submit(nodes().attempts(3));
    world.start(node(between, MAIN));
    world.exit(node(between, MAIN), 1);
    world.terminate(between, "no more");
    for n in [0, 2, 3] {
        world.exit(node(between, n), 143);
    }
    assert_eq!((world.status(between), world.reason(between)), (Failed, "no more".into()));
}

#[test]
fn the_timeout_is_that_of_the_whole_job() {
    let mut world = world();
    let gang = world.submit(nodes().timeout(60).attempts(3));
    world.start(node(gang, MAIN));
    world.advance(30_000);
    (0..4).filter(|n| *n != MAIN).for_each(|n| world.start(node(gang, n)));
    world.advance(30_000);
    (0..4).for_each(|n| assert!(world.machine.is_stopping(node(gang, n)), "{n}"));
    (0..4).for_each(|n| world.exit(node(gang, n), 137));
    assert_eq!((world.status(gang), world.reason(gang)), (Failed, TIMED_OUT.into()));
}

#[test]
fn a_machine_that_is_lost_costs_one_attempt_of_all_nodes() {
    let mut world = world();
    let gang = world.submit(nodes().attempts(2));
    world.start(node(gang, MAIN));
    world.restart_machine();
    assert_eq!(statuses(&world, gang), (Starting, vec![Runnable, Starting, Runnable, Runnable]));
    assert_eq!(
        world.find(gang).attempts[0].status_reason,
        "Host EC2 (instance i-00000000000000001) terminated."
    );

    world.crash_during(Lost::Actions, |world| world.start(node(gang, MAIN)));
    world.connect();
    assert_eq!(statuses(&world, gang), (Running, vec![Starting, Running, Starting, Starting]));
    assert_eq!(world.machine.all_live().len(), 4, "starts that were lost are repeated");
}

#[test]
fn ranges_and_overrides() {
    let mut world = world();
    let task = |command: &str| -> TaskTemplate {
        let container = ContainerTemplate { command: vec![command.into()], ..container() };
        TaskTemplate {
            containers: vec![container],
            ..multinode(1, 0).nodes.expect("it has").ranges[0].task.clone()
        }
    };
    let range = |target: &str, first, last, command| NodeRange {
        target: target.into(),
        first,
        last,
        task: task(command),
        consumables: None,
    };
    let mut template = multinode(6, 0);
    // The narrower range counts, wherever it stands.
    template.nodes.as_mut().expect("it has").ranges = vec![
        range("0:0", 0, Some(0), "main"),
        range("4:5", 4, Some(5), "special"),
        range("1:", 1, None, "rest"),
    ];
    register(&mut world, "nodes", template);
    let overrides = |num_nodes, target: &str| {
        let given = ContainerOverrides {
            environment: vec![("GIVEN".into(), target.into())],
            ..ContainerOverrides::default()
        };
        nodes().with(|s| {
            s.overrides = Overrides::Nodes(NodeOverrides {
                num_nodes,
                ranges: vec![RangeOverrides {
                    target: target.into(),
                    overrides: Overrides::Container(given),
                    consumables: Some(vec![Consumable { arn: consumable_arn("licence"), quantity: 2 }]),
                }],
            });
        })
    };
    world
        .turn(|turn| turn.create_consumable_resource(consumable_arn("licence"), true, 15, tags([])))
        .expect("a new name");
    let gang = world.submit(overrides(Some(7), "1:"));
    let needs = world.state.job(gang.job).expect("it exists").consumables.clone();
    assert_eq!(
        needs,
        Some([Consumable { arn: consumable_arn("licence"), quantity: 8 }].into()),
        "four nodes, two each"
    );
    let waits = world.submit(overrides(Some(7), "1:"));
    assert_eq!(world.status(waits), Runnable, "seven licences are left");
    world.terminate(waits, "no");
    world.start(node(gang, 0));
    let commands: Vec<String> =
        (0..7).map(|n| world.machine.launched(node(gang, n)).containers[0].command[0].to_string()).collect();
    assert_eq!(commands, ["main", "rest", "rest", "rest", "special", "special", "rest"]);
    let given = |n| {
        let launch = world.machine.launched(node(gang, n));
        launch.containers[0].environment.iter().any(|(name, _)| *name == *"GIVEN")
    };
    assert_eq!((0..7).map(given).collect::<Vec<_>>(), [false, true, true, true, false, false, true]);

    let refusals = [
        (overrides(None, "2:3"), Refusal::NodeTargets { target: "2:3".into() }),
        (overrides(Some(4), "1:"), Refusal::BadNumNodes { num_nodes: 4, is_open: true }),
        (nodes().array(2), Refusal::ArrayOfNodes),
        (nodes().vcpus(1), Refusal::WrongOverrides { member: "containerOverrides" }),
        (overrides(None, "1:").definition("d"), Refusal::WrongOverrides { member: "nodeOverrides" }),
    ];
    for (submit, want) in refusals {
        assert_eq!(world.try_submit(submit).expect_err("it is refused"), want);
    }
}

#[test]
fn no_other_node_starts_once_the_job_is_to_end() {
    let mut world = world();
    let gang = world.submit(nodes().attempts(2));
    world.terminate(gang, "enough");
    world.start(node(gang, MAIN));
    assert_eq!(world.machine.all_live(), [node(gang, MAIN)], "its start was under way");
    world.exit(node(gang, MAIN), 143);
    assert_eq!((statuses(&world, gang), world.reason(gang)), ((Failed, vec![Failed; 4]), "enough".into()));
}

#[test]
fn a_node_that_was_never_told_to_start_does_not_end() {
    let mut world = world();
    let gang = world.submit(nodes());
    let attempt = AttemptId { job: node(gang, 2), number: 1 };
    let at = Timestamp(world.now);
    let outcome = Outcome { exit_code: Some(0), ..Outcome::without_process(None) };
    let report = AttemptReport { attempt, started_at: Some(at), ended: Some((at, outcome)) };
    world.turn(|turn| turn.observe(Observation::Exited(report)));
    assert_eq!(world.status(node(gang, 2)), Runnable);
}

#[test]
fn addresses_are_not_used_again_while_somebody_may_know_them() {
    let mut world = world();
    let (first, second) = (world.submit(nodes()), world.submit(job("six").vcpus(6)));
    world.start(node(first, MAIN));
    let known = world.machine.launched(node(first, MAIN)).address;
    world.terminate(second, "room");
    let third = world.submit(nodes());
    world.exit(node(first, MAIN), 0);
    let placed = (0..4).map(|n| world.find(node(third, n)).placement.expect("there is room").address);
    assert!(placed.into_iter().all(|address| address != known));
}

#[test]
fn demands_that_no_number_holds_fit_nowhere() {
    let mut world = world();
    let mut template = multinode(4, 0);
    let range = &mut template.nodes.as_mut().expect("it has").ranges[0];
    range.task.containers[0].requirements.gpus = Some(1 << 31);
    register(&mut world, "gpus", template);
    let gang = world.submit(job("gpus").definition("gpus"));
    assert_eq!(world.status(gang), Runnable);
    assert!(world.reason(gang).starts_with("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"));
}

#[test]
fn nodes_of_different_sizes_find_machines_of_different_sizes() {
    let mut world = World::new(4);
    world.update_environment(environment("ce").max_vcpus(100)).expect("it exists");
    let mut host = world.machine.host.clone();
    (host.instance_id, host.capacity.milli_vcpus) = ("i-00000000000000002".into(), 3000);
    world.turn(|turn| turn.observe(Observation::Connected(host, Vec::new())));
    let mut template = multinode(2, 0);
    let ranges = &mut template.nodes.as_mut().expect("it has").ranges;
    let large = NodeRange { target: "1:".into(), first: 1, ..ranges[0].clone() };
    ranges.push(large);
    for (range, milli_vcpus) in ranges.iter_mut().zip([3000, 4000]) {
        range.task.containers[0].requirements.milli_vcpus = Some(milli_vcpus);
    }
    register(&mut world, "sizes", template);
    let gang = world.submit(job("sizes").definition("sizes"));
    assert_eq!(world.status(gang), Starting, "{}", world.reason(gang));
}
