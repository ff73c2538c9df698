//! Who starts first, where, and who has to wait.

mod common;

use fornada_core::arn::name_of;
use fornada_core::id::JobId;
use fornada_core::job::JobStatus::{Failed, Pending, Runnable, Starting, Succeeded};

use common::{Lost, Submit, World, child, environment, job, queue};

const TOO_LARGE: &str = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that can be met by the CE(s) attached to the job queue.";
const CEILING_TOO_LOW: &str = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet the CPU requirement of the job.";

/// Names of the environments that the jobs were placed in; empty for those that wait.
fn placed(world: &World, jobs: &[JobId]) -> Vec<String> {
    let name = |id: &JobId| {
        let placement = world.find(*id).placement;
        placement.map(|placement| name_of(&placement.compute_environment).to_owned()).unwrap_or_default()
    };
    jobs.iter().map(name).collect()
}

/// The order in which everything starts when it runs one job at a time.
fn order_of_starts(world: &mut World) -> Vec<String> {
    let mut order = Vec::new();
    while let [id] = world.machine.all_live()[..] {
        order.push(world.machine.launched(id).job_name.to_string());
        world.exit(id, 0);
    }
    order
}

#[test]
fn jobs_of_a_queue_start_in_order_of_submission() {
    let mut world = World::new(1);
    for name in ["a", "b", "c"] {
        world.submit(job(name));
    }
    world.crash_and_recover();
    world.submit(job("d"));
    assert_eq!(order_of_starts(&mut world), ["a", "b", "c", "d"]);
}

#[test]
fn queues_of_higher_priority_go_first_and_equal_ones_by_age() {
    let mut world = World::new(1);
    for (name, priority) in [("low", 1), ("high", 9), ("also-high", 9)] {
        world.create_queue(queue(name).priority(priority).environments(["ce"])).unwrap();
    }
    for (name, queue) in
        [("0", "low"), ("l", "low"), ("h1", "also-high"), ("h2", "high"), ("h3", "also-high")]
    {
        world.submit(job(name).queue(queue));
    }
    // Of h2 and h3 the older head goes first, though its queue did not have the last turn.
    assert_eq!(order_of_starts(&mut world), ["0", "h1", "h2", "h3", "l"]);
}

#[test]
fn a_head_that_does_not_fit_now_blocks_its_queue_but_no_other() {
    let mut world = World::new(4);
    world.create_queue(queue("low").priority(0).environments(["ce"])).unwrap();
    let running = world.submit(job("running").vcpus(2));
    let head = world.submit(job("head").vcpus(3));
    let behind = world.submit(job("behind"));
    let other = world.submit(job("other").queue("low"));
    assert_eq!(world.reason(head), "", "it has only to wait");
    assert_eq!(
        [running, head, behind, other].map(|id| world.status(id)),
        [Starting, Runnable, Runnable, Starting]
    );
    world.exit(running, 0);
    assert_eq!([head, behind].map(|id| world.status(id)), [Starting, Runnable]);
    world.exit(other, 0);
    assert_eq!(world.status(behind), Starting);
}

#[test]
fn every_amount_limits() {
    type Needs = fn(Submit) -> Submit;
    let cases: [(&str, Needs); 3] =
        [("vCPUs", |job| job.vcpus(2)), ("memory", |job| job.memory_mib(6_000)), ("GPUs", |job| job.gpus(1))];
    for (name, needs) in cases {
        let mut world = World::new(3);
        let (a, b) = (world.submit(needs(job("a"))), world.submit(needs(job("b"))));
        assert_eq!([a, b].map(|id| world.status(id)), [Starting, Runnable], "{name}");
        world.exit(a, 1);
        assert_eq!([a, b].map(|id| world.status(id)), [Failed, Starting], "{name}");
    }
}

#[test]
fn environments_are_tried_in_order_up_to_their_ceilings() {
    let mut world = World::empty(10);
    world.create_environment(environment("first").max_vcpus(3)).unwrap();
    world.create_environment(environment("second").max_vcpus(2)).unwrap();
    world.create_environment(environment("unused")).unwrap();
    world.create_queue(queue("q").environments(["first", "second"])).unwrap();
    let jobs = [2, 2, 1, 1].map(|vcpus| world.submit(job("a").vcpus(vcpus)));
    assert_eq!(placed(&world, &jobs), ["first", "second", "first", ""]);
    world.exit(jobs[1], 0);
    assert_eq!(placed(&world, &jobs[3..]), ["second"]);
    world.exit(jobs[0], 0);
    let next = world.submit(job("b"));
    assert_eq!(placed(&world, &[next]), ["first"]);
}

#[test]
fn a_disabled_environment_takes_nothing_and_keeps_what_runs() {
    let mut world = World::empty(4);
    world.create_environment(environment("first").max_vcpus(4)).unwrap();
    world.create_environment(environment("second").max_vcpus(1)).unwrap();
    world.create_queue(queue("q").environments(["first", "second"])).unwrap();
    let running = world.submit(job("running"));
    world.update_environment(environment("first").max_vcpus(4).disabled()).unwrap();
    let jobs = [1, 1].map(|vcpus| world.submit(job("a").vcpus(vcpus)));
    assert_eq!(placed(&world, &[running, jobs[0], jobs[1]]), ["first", "second", ""]);
    world.exit(running, 0);
    assert_eq!(placed(&world, &jobs), ["second", ""]);
    world.update_environment(environment("first").max_vcpus(4)).unwrap();
    assert_eq!(placed(&world, &jobs), ["second", "first"]);
}

#[test]
fn a_disabled_queue_takes_no_jobs_and_runs_those_it_has() {
    let mut world = World::new(1);
    let (a, b) = (world.submit(job("a")), world.submit(job("b")));
    world.update_queue(queue("q").environments(["ce"]).disabled()).unwrap();
    assert!(world.try_submit(job("c")).is_err());
    world.exit(a, 0);
    world.exit(b, 0);
    assert_eq!([a, b].map(|id| world.status(id)), [Succeeded, Succeeded]);
}

#[test]
fn a_job_that_can_never_fit_says_so_and_lets_others_pass() {
    struct Case {
        name: &'static str,
        submit: fn() -> Submit,
        want: &'static str,
        grow: fn(&mut World),
    }
    let more_vcpus: fn(&mut World) = |world| world.machine.host.capacity.milli_vcpus = 64_000;
    let cases = [
        Case { name: "machine's vCPUs", submit: || job("x").vcpus(16), want: TOO_LARGE, grow: more_vcpus },
        Case {
            name: "machine's memory",
            submit: || job("x").memory_mib(20_000),
            want: TOO_LARGE,
            grow: |world| world.machine.host.capacity.memory_mib = 20_000,
        },
        Case {
            name: "machine's GPUs",
            submit: || job("x").gpus(2),
            want: TOO_LARGE,
            grow: |world| world.machine.host.capacity.gpus = 2,
        },
        Case {
            name: "environment's ceiling",
            submit: || job("x").vcpus(33),
            want: CEILING_TOO_LOW,
            grow: |world| {
                world.machine.host.capacity.milli_vcpus = 64_000;
                world.update_environment(environment("ce").max_vcpus(64)).unwrap();
            },
        },
    ];
    for Case { name, submit, want, grow } in cases {
        for array in [false, true] {
            for crash in [false, true] {
                let mut world = World::empty(8);
                world.create_environment(environment("ce").max_vcpus(32)).unwrap();
                world.create_queue(queue("q").environments(["ce"])).unwrap();
                let stuck = world.submit(if array { submit().array(2) } else { submit() });
                let one = if array { child(stuck, 0) } else { stuck };
                let behind = world.submit(job("behind"));
                assert_eq!((world.status(one), &*world.reason(stuck)), (Runnable, want), "{name}");
                assert_eq!(world.status(behind), Starting, "{name}");
                world.exit(behind, 0);

                if crash {
                    world.crash_during(Lost::Nothing, |_| ());
                }
                grow(&mut world);
                world.connect();
                assert_eq!(world.status(one), Starting, "{name}, array: {array}, crash: {crash}");
                assert_eq!(world.reason(stuck), "", "{name}, array: {array}, crash: {crash}");
                world.run_everything();
                assert_eq!(world.status(stuck), Succeeded, "{name}");
            }
        }
    }
}

#[test]
fn a_job_that_can_never_fit_can_be_cancelled() {
    let mut world = World::new(2);
    let (single, array) = (world.submit(job("x").gpus(2)), world.submit(job("y").gpus(2).array(2)));
    world.terminate(single, "give up");
    world.cancel(child(array, 0), "give up");
    assert_eq!((world.status(array), &*world.reason(array)), (Pending, TOO_LARGE));
    world.cancel(array, "give up");
    for id in [single, array] {
        assert_eq!((world.status(id), &*world.reason(id)), (Failed, "give up"));
    }
    world.connect(); // what had been set aside is looked at again
}

#[test]
fn without_a_machine_jobs_wait_and_are_not_blamed() {
    let mut world = World::new(2);
    world.disconnect();
    let a = world.submit(job("a").vcpus(2));
    assert_eq!((world.status(a), &*world.reason(a)), (Runnable, ""));
    world.connect();
    assert_eq!(world.status(a), Starting);
}
