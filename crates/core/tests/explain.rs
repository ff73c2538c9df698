//! Why a job is where it is, case by case: the sentence, and the facts behind it.

mod common;

use fornada_core::explain::{Decision, Detail, Explanation, HeldBack, Runnable, Verdict, Waits};
use fornada_core::id::{JobId, Uuid};
use fornada_core::quantity::Resources;
use fornada_core::resource::consumable_resource::Change;
use fornada_core::resource::quota_share::Sharing;
use fornada_core::time::Timestamp;

use common::build::{consumable_arn, fair_share, multinode, quota_share, tags};
use common::service::training;
use common::{World, child, environment, job, queue, scope};

fn explain(world: &World, id: JobId) -> Explanation {
    let explanation = world.state.explain(id, Timestamp(world.now)).expect("the job exists");
    assert_eq!(explanation.id, id);
    explanation
}

fn summary(world: &World, id: JobId) -> String {
    explain(world, id).summary.to_string()
}

fn runnable(world: &World, id: JobId) -> Runnable {
    match explain(world, id).detail {
        Detail::Runnable(runnable) => *runnable,
        detail => panic!("{id} is not RUNNABLE: {detail:?}"),
    }
}

fn short(id: JobId) -> String {
    id.to_string().replace(&id.to_string()[8..36], "")
}

#[test]
fn unmet_dependencies_are_named_and_counted() {
    let mut world = World::new(4);
    let (a, b) = (world.submit(job("a")), world.submit(job("b")));
    let array = world.submit(job("parts").array(3));
    let one = world.submit(job("one").after([a]));
    let any = world.submit(job("any").after_any([a]));
    let both = world.submit(job("both").after([a, b]));
    let of_array = world.submit(job("of-array").after([array]));
    let n_to_n = world.submit(job("n-to-n").array(3).n_to_n(array));
    let sequential = world.submit(job("sequential").array(3).sequential().after([a]));
    world.start(a);
    world.exit(child(array, 1), 0);
    let (a8, b8, array8) = (short(a), short(b), short(array));
    let cases = [
        (one, format!("Waiting for job \"a\" ({a8}, RUNNING)")),
        (any, format!("Waiting for the end of job \"a\" ({a8}, RUNNING)")),
        (both, format!("Waiting for 2 of 2 dependencies, first job \"a\" ({a8}, RUNNING)")),
        (
            of_array,
            format!("Waiting for array job \"parts\" ({array8}, PENDING): 1 of 3 children have ended"),
        ),
        (child(n_to_n, 0), format!("Waiting for job \"parts\" ({array8}:0, STARTING)")),
        (sequential, format!("Waiting for job \"a\" ({a8}, RUNNING)")),
        (array, "Waiting for its children: 1 of 3 ended, 2 running".to_owned()),
    ];
    for (id, want) in cases {
        assert_eq!(summary(&world, id), want);
        assert_eq!(world.state.waiting_reason(id).as_deref(), Some(&*want));
    }
    world.exit(a, 0);
    assert_eq!(summary(&world, both), format!("Waiting for job \"b\" ({b8}, STARTING)"));
    let Detail::Pending { awaits, next } = explain(&world, both).detail else { panic!("it is PENDING") };
    assert_eq!((awaits.len(), awaits[0].id, next), (1, b, None));
}

#[test]
fn an_array_none_of_whose_children_runs_says_what_the_next_one_waits_for() {
    let mut world = World::new(2);
    world.submit(job("large").vcpus(2));
    let array = world.submit(job("parts").array(3));
    let want =
        "Waiting for capacity: needs 1 vCPU, compute environment \"ce\" uses 2 of its 2 vCPUs (maxvCpus)";
    assert_eq!(summary(&world, array), want);
    let Detail::Pending { next: Some((next, _)), .. } = explain(&world, array).detail else {
        panic!("a child is next");
    };
    assert_eq!(next, child(array, 0));
    assert_eq!(summary(&world, child(array, 1)), want);
}

#[test]
fn environments_say_why_they_do_not_take_a_job() {
    let room = |milli_vcpus, memory_mib| Resources { milli_vcpus, memory_mib, gpus: 0 };
    type Setup = fn(&mut World) -> JobId;
    let cases: [(&str, Setup, Verdict, &str); 6] = [
        (
            "DISABLED",
            |world| {
                world.update_environment(environment("ce").disabled()).unwrap();
                world.submit(job("j"))
            },
            Verdict::Disabled,
            "Compute environment \"ce\" is DISABLED",
        ),
        (
            "at maxvCpus",
            |world| {
                world.update_environment(environment("ce").max_vcpus(3)).unwrap();
                world.submit(job("other").vcpus(2));
                world.submit(job("j").vcpus(2))
            },
            Verdict::AtCeiling { used: 2000, max: 3000 },
            "Waiting for capacity: needs 2 vCPUs, compute environment \"ce\" uses 2 of its 3 vCPUs (maxvCpus)",
        ),
        (
            "short of vCPUs and memory",
            |world| {
                world.update_environment(environment("ce").max_vcpus(8)).unwrap();
                world.submit(job("other").vcpus(3).memory_mib(9_000));
                world.submit(job("j").vcpus(2).memory_mib(2_000))
            },
            Verdict::NoRoom { need: room(2000, 2_000), free: Resources { gpus: 1, ..room(1000, 1_000) } },
            "Waiting for capacity: needs 2 vCPUs and 2000 MiB, compute environment \"ce\" has 1 and 1000 free",
        ),
        (
            "no instance",
            |world| {
                world.disconnect();
                world.submit(job("j"))
            },
            Verdict::NoInstance,
            "Waiting for capacity: compute environment \"ce\" has no instance connected",
        ),
        (
            "larger than any machine",
            |world| {
                world.update_environment(environment("ce").max_vcpus(8)).unwrap();
                world.submit(job("j").vcpus(5))
            },
            Verdict::TooLarge { need: room(5000, 1), largest: Resources { gpus: 1, ..room(4000, 10_000) } },
            "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than \
             that can be met by the CE(s) attached to the job queue.",
        ),
        (
            "larger than maxvCpus",
            |world| world.submit(job("j").vcpus(5)),
            Verdict::AboveCeiling(4000),
            "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet the CPU \
             requirement of the job.",
        ),
    ];
    for (name, setup, verdict, want) in cases {
        let mut world = World::new(4);
        let id = setup(&mut world);
        let runnable = runnable(&world, id);
        assert_eq!(runnable.environments[0].1, verdict, "{name}");
        assert_eq!(summary(&world, id), want, "{name}");
        assert_eq!(matches!(runnable.waits, Waits::Never(_)), want.starts_with("MISCONFIGURATION"), "{name}");
    }
}

#[test]
fn jobs_behind_the_first_know_their_position_and_what_the_first_waits_for() {
    let mut world = World::new(4);
    world.submit(job("running").vcpus(3));
    let first = world.submit(job("first").vcpus(2));
    let array = world.submit(job("parts").array(10));
    let last = world.submit(job("last"));
    assert_eq!(summary(&world, last), format!("Waiting behind job \"first\" ({})", short(first)));
    let Runnable { waits, first_waits, position, starts_by, .. } = runnable(&world, last);
    assert_eq!(waits, Waits::Ahead { job: first, name: "first".into(), because: HeldBack::StrictOrder });
    assert_eq!(first_waits, Some(summary(&world, first).into()));
    let position = position.expect("it has a place");
    assert_eq!((position.ahead, position.milli_vcpus_ahead, position.is_exact), (11, 12_000, true));
    assert_eq!(starts_by, None, "what runs may run for ever");
    assert_eq!(runnable(&world, child(array, 4)).position.map(|position| position.ahead), Some(5));
}

#[test]
fn a_start_is_foretold_where_all_run_times_are_bounded() {
    let mut world = World::new(2);
    let running = world.submit(job("running").vcpus(2).timeout(100));
    world.start(running);
    world.now += 40_000;
    let first = world.submit(job("first").vcpus(2).timeout(60));
    let second = world.submit(job("second").timeout(60));
    let third = world.submit(job("third"));
    let after = |id| runnable(&world, id).starts_by.map(|at| at.0 - world.now);
    assert_eq!([first, second, third].map(after), [Some(60_000), Some(120_000), Some(120_000)]);

    world.create_queue(queue("rival").environments(["ce"])).unwrap();
    world.submit(job("rival").queue("rival"));
    assert_eq!(runnable(&world, first).starts_by, None, "another queue may go first");
}

#[test]
fn the_turn_of_a_share_shows_what_both_use() {
    let mut world = World::empty(4);
    world.create_environment(environment("ce").max_vcpus(4)).unwrap();
    let policy = fair_share("p", &[("red", 20_000)]);
    world.turn(|turn| turn.create_scheduling_policy(policy, tags([]))).unwrap();
    world.create_queue(queue("q").environments(["ce"]).policy("p")).unwrap();
    for share in ["red", "red", "blue"] {
        world.submit(job("running").share(share));
    }
    let red = world.submit(job("red").share("red").vcpus(2));
    world.submit(job("blue").share("blue").vcpus(2));
    assert_eq!(summary(&world, red), "Waiting for the turn of share \"blue\"");
    let Waits::Turn { own, first } = runnable(&world, red).waits else { panic!("it is the other's turn") };
    let seen = [own, first].map(|share| (share.identifier.to_string(), share.milli_vcpus, share.weight));
    assert_eq!(seen, [("red".to_owned(), 2000, 20_000), ("blue".to_owned(), 1000, 10_000)]);
}

#[test]
fn a_consumable_resource_that_is_short_is_counted() {
    let mut world = World::new(4);
    let licence = consumable_arn("licence");
    world.turn(|turn| turn.create_consumable_resource(licence.clone(), true, 3, tags([]))).unwrap();
    world.submit(job("running").needs("licence", 2));
    let id = world.submit(job("j").needs("licence", 2));
    assert_eq!(
        summary(&world, id),
        "Waiting for consumable resource \"licence\": needs 2, 1 left, 2 held by others"
    );
    world.turn(|turn| turn.update_consumable_resource(&licence, Change::Add(1), None)).unwrap();
    assert!(matches!(explain(&world, id).detail, Detail::Running(_)));
}

#[test]
fn nodes_wait_for_room_for_all_of_them_and_then_for_the_main_node() {
    let mut world = World::new(4);
    world.turn(|turn| turn.register_job_definition(&scope(), "three", multinode(3, 1)));
    let running = world.submit(job("running").vcpus(2));
    let nodes = world.submit(job("nodes").definition("three"));
    let want = "Waiting for capacity for all 3 nodes at once: needs 3 vCPUs, compute environment \"ce\" uses 2 of its 4 \
                vCPUs (maxvCpus)";
    assert_eq!(summary(&world, nodes), want);
    assert_eq!(summary(&world, JobId::node(nodes.job, 2)), want);
    assert_eq!(runnable(&world, nodes).waits, Waits::AllNodes(3));
    world.exit(running, 0);
    assert_eq!(summary(&world, JobId::node(nodes.job, 0)), "Waiting for the main node");
    let instance = &world.machine.host.instance_id;
    assert_eq!(
        summary(&world, nodes),
        format!("Starting on instance {instance} of compute environment \"ce\"")
    );
    assert_eq!(explain(&world, nodes).members.map(|counts| counts[2..4].to_vec()), Some(vec![2, 1]));
}

#[test]
fn what_runs_says_where_and_until_when() {
    let mut world = World::new(4);
    let id = world.submit(job("j").attempts(3).timeout(100));
    world.exit(id, 1);
    world.start(id);
    let at = "on instance i-00000000000000001 of compute environment \"ce\", attempt 2 of 3";
    assert_eq!(summary(&world, id), format!("Running {at}"));
    let explanation = explain(&world, id);
    assert_eq!(explanation.attempts[0].decision, Some(Decision::Retried(None)));
    let Detail::Running(running) = explanation.detail else { panic!("it runs") };
    assert_eq!(running.timeout_at, Some(Timestamp(world.now + 100_000)));
    world.terminate(id, "enough");
    assert_eq!(summary(&world, id), format!("Being stopped (terminated: enough) {at}"));
}

#[test]
fn what_ended_says_how_and_why_it_was_not_tried_again() {
    type Life = fn(&mut World) -> JobId;
    let cases: [(&str, Life, &str, Option<Decision>); 10] = [
        (
            "succeeded",
            |world| ends(world, job("j").attempts(2), &[1, 0]),
            "Succeeded at attempt 2",
            Some(Decision::Succeeded),
        ),
        (
            "one attempt",
            |world| ends(world, job("j"), &[3]),
            "Failed: exit code 3",
            Some(Decision::UsedUp(1)),
        ),
        (
            "attempts used up",
            |world| ends(world, job("j").attempts(2), &[1, 3]),
            "Attempt 2 of 2 failed (exit code 3); that was the last",
            Some(Decision::UsedUp(2)),
        ),
        (
            "a rule",
            |world| ends(world, job("j").attempts(5).exit_on("1").exit_on("13"), &[13]),
            "Attempt 1 failed (exit code 13); rule 2 of evaluateOnExit says EXIT",
            Some(Decision::Exit(1)),
        ),
        (
            "never started",
            |world| {
                let id = world.submit(job("j"));
                world.exit_with(id, None, Some("CannotPullContainerError: no"));
                id
            },
            "Failed: CannotPullContainerError: no",
            Some(Decision::UsedUp(1)),
        ),
        (
            "timeout",
            |world| {
                let id = world.submit(job("j").timeout(60).attempts(3));
                world.start(id);
                world.advance(61_000);
                world.exit(id, 143);
                id
            },
            "Stopped: attempt 1 ran longer than its timeout of 60 s",
            Some(Decision::TimedOut),
        ),
        (
            "terminated",
            |world| {
                let id = world.submit(job("j").attempts(3));
                world.start(id);
                world.terminate(id, "enough");
                world.exit(id, 143);
                id
            },
            "Terminated while it ran: enough",
            Some(Decision::Terminated),
        ),
        (
            "cancelled while it ran",
            |world| {
                let id = world.submit(job("j").attempts(3));
                world.start(id);
                world.cancel(id, "no more");
                world.exit(id, 1);
                id
            },
            "Attempt 1 failed (exit code 1); cancelled, so not tried again",
            Some(Decision::Cancelled),
        ),
        (
            "cancelled before",
            |world| {
                let id = world.submit(job("j").vcpus(99));
                world.cancel(id, "no need");
                id
            },
            "Cancelled before it started: no need",
            None,
        ),
        (
            "an array",
            |world| {
                let id = world.submit(job("j").array(2));
                world.exit(child(id, 0), 0);
                world.exit(child(id, 1), 0);
                id
            },
            "All 2 children succeeded",
            None,
        ),
    ];
    for (name, life, want, decision) in cases {
        let mut world = World::new(4);
        let id = life(&mut world);
        assert_eq!(summary(&world, id), want, "{name}");
        let last = explain(&world, id).attempts.last().and_then(|last| last.decision);
        assert_eq!(last, decision, "{name}");
        assert_eq!(world.state.waiting_reason(id), None, "{name}");
    }
}

fn ends(world: &mut World, submit: common::Submit, exit_codes: &[i32]) -> JobId {
    let id = world.submit(submit);
    exit_codes.iter().for_each(|&code| world.exit(id, code));
    id
}

#[test]
fn a_failed_dependency_is_followed_to_its_root() {
    let mut world = World::new(4);
    let root = world.submit(job("root").array(3));
    let middle = world.submit(job("middle").after([root]));
    let last = world.submit(job("last").array(2).sequential().after([middle]));
    (0..3).for_each(|index| world.exit(child(root, index), i32::from(index == 1) * 7));
    let failed = format!("job \"root\" ({}) failed: exit code 7", short(child(root, 1)));
    assert_eq!(summary(&world, root), format!("1 of 3 children failed, the first: {failed}"));
    for id in [middle, last, child(last, 1)] {
        assert_eq!(summary(&world, id), format!("Never ran: {failed}"));
        let Detail::Ended { causes } = explain(&world, id).detail else { panic!("it has ended") };
        assert_eq!(causes.last().map(|cause| cause.id), Some(child(root, 1)));
    }
}

#[test]
fn the_rest_of_a_sequential_array_failed_with_the_first_that_did() {
    let mut world = World::new(4);
    let array = world.submit(job("steps").array(500).sequential());
    world.exit(child(array, 0), 0);
    world.exit(child(array, 1), 9);
    let Detail::Ended { causes } = explain(&world, child(array, 499)).detail else { panic!("it has ended") };
    assert_eq!(causes.iter().map(|cause| cause.id).collect::<Vec<_>>(), [child(array, 1)]);
}

#[test]
fn service_jobs_say_which_limit_they_wait_for() {
    let service = |world: &World, id: Uuid| {
        let explanation = explain(world, JobId::whole(id));
        let Detail::Service { limits, .. } = explanation.detail else { panic!("it is a service job") };
        let limits = limits.iter().map(|limit| (limit.used, limit.max, limit.needed)).collect::<Vec<_>>();
        (explanation.status, explanation.summary.to_string(), limits)
    };
    let mut world = World::with_service(&[("NUM_INSTANCES", 3)]);
    let [running, first, behind] = [2, 2, 1].map(|n| world.train(training("ml.a", n)));
    assert_eq!(service(&world, running).1, "Starting its training job, attempt 1");
    let want = "Waiting for capacity: needs 2 NUM_INSTANCES, service environment \"se\" uses 2 of 3";
    assert_eq!(service(&world, first), ("RUNNABLE", want.to_owned(), vec![(2, 3, 2)]));
    let first8 = short(JobId::whole(first));
    assert_eq!(service(&world, behind).1, format!("Waiting behind job \"fit\" ({first8})"));
    world.end(running, 0);
    assert_eq!(service(&world, running).1, "Succeeded");

    let mut world = World::with_service_policy(&[("ml.a", 4)], quota_share("p"));
    world.create_share("team", Sharing::Reserve, &[("ml.a", 1)]);
    let in_share = || {
        let mut submission = training("ml.a", 1);
        submission.quota_share = Some("team".into());
        submission
    };
    let [_, waits] = [0, 1].map(|_| world.train(in_share()));
    let want = "Waiting for capacity: needs 1 ml.a, quota share \"team\" uses 1 of 1";
    assert_eq!(service(&world, waits), ("RUNNABLE", want.to_owned(), vec![(1, 4, 1), (1, 1, 1)]));
}
