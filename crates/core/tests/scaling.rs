//! What environments that scale launch, keep, replace and give back.
//!
//! Source: AWS Batch User Guide, compute environment parameters, allocation strategies, updating compute environments; AWS
//! Batch API reference, ComputeResource, UpdatePolicy, ComputeScalingPolicy; behind each test what it rests on.

mod common;

use fornada_core::instance::Architecture;
use fornada_core::job::JobStatus;
use fornada_core::resource::Status;
use fornada_core::resource::consumable_resource::Change;
use fornada_core::scale::AllocationStrategy::{self, *};
use fornada_core::text::Text;

use common::build::{consumable_arn, environment_arn, fair_share, tags};
use common::cloud::{Cloud, MINUTE, fleet};
use common::service::{self, limits, service_environment_arn};
use common::{Lost, Submit, job, queue, scope};

const LONG: u64 = 24 * 60 * MINUTE;

fn cloud(max_vcpus: u32, strategy: AllocationStrategy, types: &[&str]) -> Cloud {
    Cloud::with([fleet("ce", max_vcpus, strategy, types)])
}

/// Submits a job that runs for so long.
fn lasting(cloud: &mut Cloud, job: Submit, millis: u64) -> fornada_core::id::JobId {
    let id = cloud.submit(job);
    cloud.lasts.insert(id.job, millis);
    id
}

/// Source: AWS Batch User Guide, compute environments: instances are launched for what waits, and terminated when idle.
#[test]
fn the_whole_demand_is_launched_in_one_step() {
    let all: [(&str, &[Submit], &[&str]); 6] = [
        ("one", &[job("a")], &["m6i.large"]),
        ("alike", &[job("a").array(9)], &["m6i.2xlarge", "m6i.large"]),
        ("of two shapes", &[job("a").vcpus(16), job("b").vcpus(2)], &["m6i.4xlarge", "m6i.large"]),
        ("memory decides", &[job("a").memory_mib(30_000)], &["m6i.2xlarge"]),
        // Source: AWS Batch User Guide, memory management: no instance has all of its memory for jobs.
        ("nominal memory does not fit", &[job("a").memory_mib(8192)], &["m6i.xlarge"]),
        ("many", &[job("a").vcpus(4).array(40)], &["m6i.32xlarge", "m6i.8xlarge"]),
    ];
    for (what, jobs, want) in all {
        let mut cloud = cloud(1000, BestFitProgressive, &["m6i"]);
        cloud.submit_all(jobs);
        cloud.pass(1000);
        assert_eq!(cloud.types("ce"), want, "{what}");
        cloud.settle();
        assert!(cloud.all_ended(), "{what}");
        assert_eq!(cloud.asked.len(), want.len(), "{what}: nothing else was launched");
        assert_eq!(cloud.vcpus("ce"), 0, "{what}");
    }
}

/// Source: AWS Batch User Guide, compute environments: instances are terminated when idle.
#[test]
fn what_was_kept_for_a_job_that_is_cancelled_goes() {
    let mut cloud = cloud(16, BestFit, &["c6i.2xlarge"]);
    cloud.define_gang(2, 8, 0);
    lasting(&mut cloud, job("long").vcpus(8), LONG);
    lasting(&mut cloud, job("short").vcpus(8), MINUTE);
    cloud.pass(5 * MINUTE);
    let gang = cloud.submit(job("gang").definition("2x8"));
    cloud.pass(20 * MINUTE);
    assert_eq!(cloud.vcpus("ce"), 16, "the idle one is kept: the job needs it and the busy one");
    cloud.turn(|turn| turn.cancel_job(gang, &"no".into()));
    cloud.pass(20 * MINUTE);
    assert_eq!(cloud.vcpus("ce"), 8, "and nobody needs it any more");
}

/// Source: AWS Batch User Guide, compute environment parameters (maxvCpus): exceeded by one instance at most, and never
/// with BEST_FIT on demand.
#[test]
fn the_ceiling_and_who_may_exceed_it() {
    for (strategy, types, vcpus) in [
        (BestFit, ["m6i.xlarge"], 8),
        (BestFitProgressive, ["m6i.xlarge"], 12),
        (SpotCapacityOptimized, ["m6i.xlarge"], 12),
    ] {
        let mut cloud = cloud(10, strategy, &types);
        cloud.submit(job("a").vcpus(4).array(20));
        cloud.pass(10 * MINUTE);
        assert_eq!(cloud.vcpus("ce"), vcpus, "{strategy:?}");
        cloud.settle();
        assert!(cloud.all_ended());
    }
}

/// Source: AWS Batch API reference, ComputeResource (minvCpus: also of a DISABLED environment; desiredvCpus).
#[test]
fn floor_and_wish() {
    let mut cloud = Cloud::new();
    let given = || fleet("ce", 64, BestFitProgressive, &["m6i.large"]).min_vcpus(4);
    cloud.create(given().scaling(|scaling| scaling.desired_vcpus = 8));
    cloud.create_queue(queue("q").environments(["ce"]));
    cloud.pass(MINUTE);
    assert_eq!(cloud.vcpus("ce"), 8, "what is desired is launched");
    cloud.settle();
    assert_eq!((cloud.vcpus("ce"), cloud.asked.len()), (4, 4), "once, and goes when it is idle");

    cloud.submit(job("a").array(10));
    cloud.pass(3 * MINUTE);
    assert_eq!(cloud.vcpus("ce"), 10);
    cloud.update(given().disabled());
    cloud.settle();
    assert_eq!(cloud.vcpus("ce"), 4, "a disabled one keeps its floor");
    cloud.submit(job("b").array(100));
    cloud.settle();
    assert_eq!(cloud.vcpus("ce"), 4, "and launches nothing for what waits");

    let lost = cloud.ids()[0].clone();
    cloud.lose(&lost);
    cloud.settle();
    assert_eq!(cloud.vcpus("ce"), 4, "what is lost of the floor is replaced");
    cloud.update(given().min_vcpus(0));
    cloud.settle();
    assert!(cloud.all_ended());
    assert_eq!(cloud.vcpus("ce"), 0);
}

/// With a floor and no demand the fleet is at rest: what is desired from a time long ago is not launched again and again.
#[test]
fn an_idle_fleet_is_at_rest() {
    let mut cloud = Cloud::with([
        fleet("ce", 64, BestFitProgressive, &["m6i.large"]).scaling(|scaling| scaling.desired_vcpus = 6)
    ]);
    cloud.settle();
    assert_eq!((cloud.asked.len(), cloud.vcpus("ce")), (3, 0));
    cloud.crash(Lost::Nothing, |_| ());
    cloud.settle();
    assert_eq!(cloud.asked.len(), 3);
}

/// Source: AWS Batch User Guide, instance type allocation strategies.
#[test]
fn best_fit_waits_for_its_type_and_the_others_fall_through() {
    for (strategy, types, want) in [
        (BestFit, ["m6i.large", "m6i.xlarge"], &[][..]),
        (BestFitProgressive, ["m6i.large", "m6i.xlarge"], &["m6i.xlarge"]),
        (BestFitProgressiveOrdered, ["m6i.large", "m6i.2xlarge"], &["m6i.2xlarge"]),
        (SpotCapacityOptimized, ["m6i.large", "m6i.xlarge"], &["m6i.xlarge"]),
    ] {
        let mut cloud = cloud(16, strategy, &types);
        cloud.short.insert("m6i.large");
        let waits = lasting(&mut cloud, job("a"), LONG);
        cloud.pass(10 * MINUTE);
        assert_eq!(cloud.types("ce"), want, "{strategy:?}");
        if want.is_empty() {
            let tries = cloud.asked.len();
            assert!((2..=5).contains(&tries), "it is tried again every three minutes: {tries}");
            assert_eq!(cloud.status(waits), JobStatus::Runnable);
        }
        cloud.short.clear();
        cloud.settle();
        assert_eq!(cloud.status(waits), JobStatus::Succeeded, "{strategy:?}");
    }
}

/// Source: AWS Batch User Guide, jobs stuck in RUNNABLE (insufficient instance capacity).
#[test]
fn a_job_says_that_there_is_no_more_of_what_it_needs() {
    let mut cloud = cloud(16, BestFitProgressive, &["m6i.large", "m6i.xlarge"]);
    let runs = lasting(&mut cloud, job("a").vcpus(2), LONG);
    cloud.pass(3 * MINUTE);
    cloud.short.extend(["m6i.large", "m6i.xlarge"]);
    cloud.submit(job("b").vcpus(4));
    cloud.pass(MINUTE / 2);
    let (_, why) = &cloud.waiting()[1];
    let want = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for instance type [m6i.xlarge]";
    assert!(why.ends_with(want), "{why}");
    assert_eq!(cloud.asked.len(), 2, "what is short is left alone for a while");
    cloud.short.clear();
    cloud.pass(6 * MINUTE);
    assert_eq!((cloud.status(runs), cloud.waiting().len()), (JobStatus::Running, 1));
}

/// Source: AWS Batch User Guide, compute environment order: the next one is tried when the first is full or out of capacity.
#[test]
fn what_the_first_environment_cannot_serve_the_next_one_does() {
    let first = |max| fleet("first", max, BestFit, &["m6i.large", "m6i.2xlarge"]);
    let second = || fleet("second", 64, BestFitProgressive, &["c6i"]);
    for (what, max, short, size, vcpus, want) in [
        ("room for all", 64, None, 8, 1, (8, 0)),
        ("at its ceiling", 4, None, 8, 1, (4, 4)),
        ("out of capacity", 64, Some("m6i.large"), 8, 1, (0, 8)),
        ("too little room left for one", 10, None, 2, 8, (8, 8)),
        ("too small for the job", 4, None, 2, 8, (0, 16)),
    ] {
        let mut cloud = Cloud::with([first(max), second()]);
        cloud.short.extend(short);
        let array = lasting(&mut cloud, job("a").vcpus(vcpus).array(size), LONG);
        cloud.pass(20 * MINUTE);
        assert_eq!((cloud.vcpus("first"), cloud.vcpus("second")), want, "{what}");
        assert_eq!(
            cloud.state.status_summary(array.job).unwrap()[JobStatus::Running as usize],
            size,
            "{what}"
        );
        cloud.short.clear();
        cloud.settle();
        assert!(cloud.all_ended(), "{what}");
    }
}

/// Source: AWS Batch API reference, ComputeScalingPolicy: the delay counts from the end of an instance's last job.
#[test]
fn idle_instances_go_after_their_delay() {
    for (delay, minutes) in [(None, 5), (Some(20), 20)] {
        let given = fleet("ce", 64, BestFitProgressive, &["m6i.large"]);
        let mut cloud = Cloud::with([given.scaling(|scaling| scaling.scale_down_delay_minutes = delay)]);
        cloud.submit(job("a").vcpus(2));
        cloud.pass(3 * MINUTE + 10); // 2 to launch, 1 to run
        assert!(cloud.all_ended());
        cloud.pass((minutes - 1) * MINUTE);
        assert_eq!(cloud.vcpus("ce"), 2, "{delay:?}: kept for the next job");
        cloud.crash(Lost::Nothing, |_| ());
        cloud.pass(MINUTE + 1000);
        if delay.is_none() {
            cloud.pass(5 * MINUTE); // how long it was idle before the crash is not known
        } else {
            cloud.pass(20 * MINUTE);
        }
        assert_eq!(cloud.vcpus("ce"), 0, "{delay:?}");
        cloud.settle();
        assert!(cloud.instances.is_empty());
    }
}

/// Source: Amazon EC2 User Guide, Spot Instance interruptions; AWS Batch User Guide, automated job retries.
#[test]
fn an_interrupted_instance_takes_nothing_new_and_is_replaced() {
    for (attempts, end) in [(1, JobStatus::Failed), (2, JobStatus::Succeeded)] {
        let mut cloud = cloud(64, SpotCapacityOptimized, &["m6i.xlarge"]);
        let runs = lasting(&mut cloud, job("a").attempts(attempts), 10 * MINUTE);
        cloud.pass(3 * MINUTE);
        let id = cloud.host_of(runs);
        cloud.reclaim(&id);
        let next = cloud.submit(job("b"));
        cloud.pass(MINUTE);
        assert_eq!(cloud.status(next), JobStatus::Runnable, "there is room, but it will be taken back");
        assert_eq!(cloud.status(runs), JobStatus::Running);
        assert_eq!(cloud.types("ce"), ["m6i.xlarge", "m6i.xlarge"], "a replacement is launched");
        cloud.pass(MINUTE);
        let ended = cloud.find(runs);
        let reason = format!("Host EC2 (instance {id}) terminated.");
        assert_eq!(ended.attempts[0].status_reason, Text::from(reason.clone()));
        assert_eq!(ended.attempts[0].outcome.exit_code, None);
        cloud.settle();
        assert_eq!(cloud.status(runs), end);
        if end == JobStatus::Failed {
            assert_eq!(cloud.find(runs).status_reason, Some(reason.into()));
        }
        assert_eq!(cloud.status(next), JobStatus::Succeeded);
        assert!(cloud.instances.is_empty());
    }
}

/// Source: AWS Batch User Guide, updating compute environments; AWS Batch API reference, UpdatePolicy.
#[test]
fn an_infrastructure_update_replaces_instances() {
    let given = || fleet("ce", 64, BestFitProgressive, &["m6i.large"]);
    for (terminate, lasts, end) in
        [(false, 10, JobStatus::Succeeded), (false, 50, JobStatus::Failed), (true, 10, JobStatus::Failed)]
    {
        for crashes in [false, true] {
            let mut cloud = Cloud::with([given()]);
            let old = lasting(&mut cloud, job("old").vcpus(2), lasts * MINUTE);
            cloud.pass(3 * MINUTE);
            let id = cloud.host_of(old);
            let updated = fleet("ce", 64, BestFitProgressive, &["c6i.large"]).scaling(|scaling| {
                scaling.generation = 1;
                scaling.terminate_jobs_on_update = terminate;
                scaling.job_execution_timeout_minutes = 30;
            });
            cloud.update(updated);
            let new = cloud.submit(job("new"));
            assert_eq!(cloud.health("ce"), Some(Status::Updating));
            cloud.pass(1500);
            if crashes {
                cloud.crash(Lost::Nothing, |_| ());
            }
            if !terminate {
                cloud.pass(4 * MINUTE);
                assert_eq!(cloud.types("ce"), ["c6i.large", "m6i.large"], "side by side");
                assert_ne!(cloud.status(new), JobStatus::Runnable);
                assert_eq!(cloud.health("ce"), Some(Status::Updating));
            }
            cloud.settle();
            assert_eq!(cloud.health("ce"), Some(Status::Valid));
            assert_eq!(cloud.status(new), JobStatus::Succeeded);
            let ended = cloud.find(old);
            assert_eq!(ended.status, end, "terminateJobsOnUpdate {terminate}, {lasts} minutes");
            if end == JobStatus::Failed {
                let reason = format!("Host EC2 (instance {id}) terminated.");
                assert_eq!(ended.status_reason, Some(reason.into()));
                let ran = (ended.stopped_at.unwrap().0 - ended.started_at.unwrap().0) / MINUTE;
                assert_eq!(ran, if terminate { 1 } else { 31 });
            }
        }
    }
}

/// Source: AWS Batch API reference, DeleteComputeEnvironment; what runs there ends first, whatever the update policy says.
#[test]
fn deleting_waits_for_the_instances() {
    for terminate in [false, true] {
        let given = || {
            fleet("ce", 64, BestFitProgressive, &["m6i.large"])
                .min_vcpus(4)
                .scaling(|scaling| scaling.terminate_jobs_on_update = terminate)
        };
        let mut cloud = Cloud::with([given()]);
        let runs = lasting(&mut cloud, job("a"), 60 * MINUTE);
        cloud.pass(3 * MINUTE);
        cloud.update(given().disabled());
        let version = cloud.state.job_queues()[&common::queue_arn("q")].version;
        cloud.turn(|turn| turn.update_job_queue(queue("q").disabled().0, version)).unwrap();
        cloud.pass(1);
        cloud.turn(|turn| turn.delete_compute_environment(&environment_arn("ce"))).unwrap();
        cloud.pass(10 * MINUTE);
        assert_eq!(cloud.health("ce"), Some(Status::Deleting));
        assert_eq!(cloud.types("ce"), ["m6i.large"], "idle ones have gone, below the floor as well");
        cloud.crash(Lost::Nothing, |_| ());
        cloud.settle();
        assert_eq!(cloud.status(runs), JobStatus::Succeeded);
        assert_eq!(cloud.health("ce"), None);
        assert!(cloud.instances.is_empty());
    }
}

/// Source: AWS Batch API reference, UpdateComputeEnvironment (maxvCpus); instances that run jobs are not terminated for it.
#[test]
fn a_lowered_ceiling_is_reached_though_work_goes_on_waiting() {
    let given = |max| fleet("ce", max, BestFitProgressive, &["m6i.xlarge"]);
    let mut cloud = Cloud::with([given(40)]);
    cloud.submit(job("a").vcpus(2).array(400));
    cloud.pass(5 * MINUTE);
    assert_eq!(cloud.vcpus("ce"), 40);
    cloud.update(given(10));
    cloud.pass(15 * MINUTE);
    assert!(!cloud.all_ended());
    assert_eq!(cloud.vcpus("ce"), 12, "by less than one instance");
    cloud.update(given(0));
    cloud.pass(15 * MINUTE);
    assert_eq!(cloud.vcpus("ce"), 0);
    assert!(!cloud.all_ended());
    cloud.update(given(40));
    cloud.settle();
    assert!(cloud.all_ended());
}

/// Source: AWS Batch User Guide, multi-node parallel jobs.
#[test]
fn a_gang_starts_when_all_its_instances_are_there() {
    let mut cloud = cloud(64, BestFitProgressive, &["m6i.large"]);
    cloud.define_gang(4, 2, 0);
    let id = cloud.submit(job("a").definition("4x2"));
    cloud.pass(MINUTE);
    assert_eq!(cloud.vcpus("ce"), 8);
    // They come one by one, and one is lost before the last has come.
    let ids = cloud.ids();
    cloud.launch_delay = 10 * MINUTE;
    cloud.lose(&ids[0]);
    cloud.pass(2 * MINUTE);
    assert_eq!(cloud.vcpus("ce"), 8, "one is launched for the one that is gone");
    assert_eq!(cloud.status(id), JobStatus::Runnable);
    cloud.pass(7 * MINUTE);
    assert_eq!(cloud.vcpus("ce"), 8, "idle ones that it waits with do not go");
    cloud.crash(Lost::Nothing, |_| ());
    cloud.settle();
    assert_eq!(cloud.status(id), JobStatus::Succeeded);
    assert_eq!(cloud.asked.len(), 5);
    assert!(cloud.instances.is_empty());
}

/// An instance under two nodes is gone: all of the gang ends, and what it had elsewhere is given back.
#[test]
fn a_gang_ends_with_an_instance_of_its_own() {
    for main in [true, false] {
        let mut cloud = cloud(64, BestFitProgressive, &["m6i.xlarge"]);
        cloud.define_gang(4, 2, 0);
        let id = lasting(&mut cloud, job("a").definition("4x2"), 10 * MINUTE);
        cloud.pass(4 * MINUTE);
        assert_eq!(cloud.types("ce").len(), 2);
        let node = fornada_core::id::JobId::node(id.job, if main { 0 } else { 3 });
        let host = cloud.host_of(node);
        cloud.lose(&host);
        cloud.settle();
        assert_eq!(cloud.status(id), if main { JobStatus::Failed } else { JobStatus::Succeeded });
        let reason = cloud.find(node).attempts[0].status_reason.clone();
        assert_eq!(reason, Text::from(format!("Host EC2 (instance {host}) terminated.")));
        assert!(cloud.instances.is_empty());
    }
}

/// A service environment and its queue, for training jobs of up to four instances.
fn add_service_queue(cloud: &mut Cloud) {
    let arn = service_environment_arn();
    let limits = limits(&[("NUM_INSTANCES", 4)]);
    cloud
        .turn(|turn| turn.create_service_environment(arn.clone(), true, limits, tags([])))
        .expect("a new name");
    cloud.pass(1);
    let mut training_queue = queue(service::QUEUE);
    training_queue.0.service_environment = Some(arn);
    cloud.create_queue(training_queue);
}

/// An instance on which a training job was the last to run is idle, as any other.
#[test]
fn an_instance_goes_after_its_last_service_job() {
    let mut cloud = cloud(64, BestFitProgressive, &["m6i.large"]);
    lasting(&mut cloud, job("a"), 5 * MINUTE);
    cloud.pass(3 * MINUTE);
    add_service_queue(&mut cloud);
    cloud.runs = 20 * MINUTE;
    let submission = service::training("ml.m5.large", 1);
    cloud.turn(|turn| turn.submit_service_job(&scope(), submission)).unwrap();
    cloud.settle();
    assert!(cloud.instances.is_empty());
}

/// Its training jobs end with an instance that is lost, and nothing of them stays behind.
#[test]
fn service_jobs_end_with_their_instance() {
    let mut cloud = cloud(64, BestFitProgressive, &["m6i.large"]);
    lasting(&mut cloud, job("a"), LONG);
    cloud.pass(3 * MINUTE);
    add_service_queue(&mut cloud);
    cloud.runs = LONG;
    let submission = service::training("ml.m5.large", 1);
    let id = cloud.turn(|turn| turn.submit_service_job(&scope(), submission)).unwrap().id;
    cloud.pass(MINUTE);
    assert!(cloud.state.service_job(id).unwrap().status.is_placed());
    let host = cloud.ids()[0].clone();
    cloud.lose(&host);
    assert_eq!(cloud.state.running_attempts(), 0);
    assert!(!cloud.state.service_job(id).unwrap().status.is_placed());
    cloud.settle();
    assert!(cloud.instances.is_empty());
}

/// A gang is of one environment: what the first could take waits for it. Source: AWS Batch User Guide, multi-node parallel
/// jobs, compute environment order.
#[test]
fn a_gang_is_not_launched_in_two_environments() {
    for (max, want) in [(16, ["m6i.large"; 4].to_vec()), (4, vec![])] {
        let mut cloud = Cloud::with([
            fleet("first", max, BestFitProgressive, &["m6i.large"]),
            fleet("second", 64, BestFitProgressive, &["c6i.large"]),
        ]);
        cloud.define_gang(4, 2, 0);
        let id = cloud.submit(job("a").definition("4x2"));
        cloud.pass(2 * MINUTE);
        assert_eq!(cloud.types("first"), want);
        assert_eq!(cloud.types("second"), ["c6i.large"; 4][want.len()..].to_vec());
        cloud.settle();
        assert_eq!(cloud.status(id), JobStatus::Succeeded);
    }
}

/// Source: AWS Batch User Guide, GPU workloads; runtime platforms.
#[test]
fn gpus_and_architectures() {
    let mut cloud = cloud(256, BestFitProgressive, &["m6i", "g4dn", "m6g"]);
    let mut arm = common::definition();
    arm.architecture = Some(Architecture::Arm64);
    let mut x86 = common::definition();
    x86.architecture = Some(Architecture::X86_64);
    cloud.turn(|turn| turn.register_job_definition(&scope(), "arm", arm));
    cloud.turn(|turn| turn.register_job_definition(&scope(), "x86", x86));
    let jobs = [
        cloud.submit(job("a").definition("arm").vcpus(2)),
        cloud.submit(job("b").gpus(1)),
        cloud.submit(job("c").definition("x86").vcpus(4)), // too many for what the former leaves
    ];
    cloud.pass(1500);
    assert_eq!(cloud.types("ce"), ["g4dn.xlarge", "m6g.large", "m6i.xlarge"]);
    cloud.settle();
    for id in jobs {
        assert_eq!(cloud.status(id), JobStatus::Succeeded);
    }
    assert_eq!(cloud.asked.len(), 3);
}

/// Instances of the wrong kind, which the floor keeps, are no place for what waits.
#[test]
fn idle_instances_in_the_way_make_room() {
    for strategy in [BestFit, BestFitProgressive] {
        let mut cloud = Cloud::with([fleet("ce", 8, strategy, &["m6i.large", "m6i.2xlarge"]).min_vcpus(8)]);
        cloud.submit(job("a").array(4));
        cloud.pass(4 * MINUTE);
        let large = lasting(&mut cloud, job("large").vcpus(8), MINUTE);
        cloud.pass(30 * MINUTE);
        assert_eq!(cloud.status(large), JobStatus::Succeeded, "{strategy:?}");
        cloud.settle();
        assert_eq!(cloud.vcpus("ce"), 8);
    }
}

/// Source: AWS Batch User Guide, consumable resources: jobs wait in RUNNABLE until they are there.
#[test]
fn nothing_is_launched_for_jobs_that_lack_consumable_resources() {
    let mut cloud = cloud(64, BestFitProgressive, &["m6i.large"]);
    let licence = consumable_arn("licence");
    cloud.turn(|turn| turn.create_consumable_resource(licence.clone(), true, 1, tags([]))).unwrap();
    for vcpus in [1, 2] {
        cloud.submit(job("a").vcpus(vcpus).needs("licence", 1).array(10));
    }
    cloud.pass(2 * MINUTE);
    assert_eq!(cloud.vcpus("ce"), 2, "one licence, one job at a time, whatever its shape");
    cloud.turn(|turn| turn.update_consumable_resource(&licence, Change::Set(4), None)).unwrap();
    cloud.pass(2 * MINUTE);
    assert!(cloud.vcpus("ce") > 2);
    cloud.settle();
    assert!(cloud.all_ended());
}

/// Source: AWS Batch User Guide, job queue priority.
#[test]
fn queues_share_an_environment() {
    let mut cloud = cloud(4, BestFitProgressive, &["m6i.large"]);
    cloud.create_queue(queue("high").priority(9).environments(["ce"]));
    let low = cloud.submit(job("low").vcpus(2).array(2));
    let high = cloud.submit(job("high").vcpus(2).array(2).queue("high"));
    cloud.pass(MINUTE);
    assert_eq!(cloud.vcpus("ce"), 4);
    cloud.pass(2 * MINUTE);
    assert_eq!((cloud.status(high), cloud.status(low)), (JobStatus::Succeeded, JobStatus::Pending));
    cloud.settle();
    assert!(cloud.all_ended());
    assert_eq!(cloud.asked.len(), 2);
}

/// Source: AWS Batch API reference, FairsharePolicy (computeReservation): 50 of one active share leaves it half of maxvCpus.
#[test]
fn what_is_reserved_for_other_shares_is_not_launched_for_the_one_that_is_there() {
    let mut cloud = Cloud::with([fleet("ce", 16, BestFitProgressive, &["m6i.large"])]);
    let mut policy = fair_share("p", &[]);
    if let fornada_core::resource::scheduling_policy::Kind::FairShare(fair) = &mut policy.kind {
        fair.compute_reservation = Some(50);
    }
    cloud.turn(|turn| turn.create_scheduling_policy(policy, tags([]))).unwrap();
    cloud.create_queue(queue("fair").environments(["ce"]).policy("p"));
    let a = lasting(&mut cloud, job("a").queue("fair").share("a").array(40), 60 * MINUTE);
    cloud.pass(50 * MINUTE);
    assert_eq!((cloud.vcpus("ce"), cloud.asked.len(), cloud.given_back), (8, 4, 0));
    assert_eq!(cloud.state.status_summary(a.job).unwrap()[JobStatus::Running as usize], 8);
    lasting(&mut cloud, job("b").queue("fair").share("b").array(4), MINUTE);
    cloud.pass(5 * MINUTE);
    assert_eq!(cloud.vcpus("ce"), 12, "two active shares have three quarters");
    cloud.settle();
    assert!(cloud.all_ended());
    assert!(cloud.asked.len() < 12, "{}", cloud.asked.len());
}

/// The server may crash with any turn: nothing leaks, nothing is launched twice.
#[test]
fn a_crash_at_any_turn_neither_leaks_nor_doubles_instances() {
    for lost in [Lost::Nothing, Lost::Actions, Lost::Everything] {
        for crash_at in 0..60 {
            let mut cloud = Cloud::with([
                fleet("first", 4, SpotCapacityOptimized, &["m6i.large"]).min_vcpus(2),
                fleet("second", 64, BestFitProgressive, &["c6i.large"]),
            ]);
            cloud.define_gang(2, 2, 0);
            cloud.submit(job("a").array(5).attempts(3));
            cloud.submit(job("b").definition("2x2").attempts(3));
            for _ in 0..crash_at {
                cloud.step();
            }
            cloud.crash(lost, Cloud::step);
            cloud.settle();
            assert!(cloud.all_ended(), "{lost:?} at {crash_at}");
            assert_eq!((cloud.vcpus("first"), cloud.vcpus("second")), (2, 0), "{lost:?} at {crash_at}");
            assert_eq!(cloud.instances.len(), 1, "{lost:?} at {crash_at}");
            assert!(cloud.asked.len() <= 7, "{lost:?} at {crash_at}: {:?}", cloud.asked);
        }
    }
}
