//! The life of a service job: submit, place, start, end, retry, stop, time out, crash.

mod common;

use fornada_core::attempt::Observation;
use fornada_core::id::{JobId, Uuid};
use fornada_core::job::retry::{EvaluateOnExit, RetryAction, RetryStrategy};
use fornada_core::refusal::Refusal;
use fornada_core::service_job::capacity::NUM_INSTANCES;
use fornada_core::service_job::refusal::ServiceRefusal;
use fornada_core::service_job::submit::ServiceSubmission;
use fornada_core::service_job::{LOG_GROUP, ServiceJob, ServiceJobStatus};
use fornada_core::time::Timestamp;
use proptest::prelude::*;

use common::service::{QUEUE, training};
use common::{Lost, World, job, queue_arn};

use ServiceJobStatus::{Failed, Runnable, Running, Scheduled, Succeeded};

const COMPLETED: &str = "Received status from SageMaker: Training job completed";
const INTERNAL_ERROR: &str = "Received status from SageMaker: InternalServerError: We encountered an internal error. Please try again.";

fn world(instances: u32) -> World {
    World::with_service(&[(NUM_INSTANCES, instances)])
}

fn with_retry(attempts: u32, exit_on: Option<&str>) -> ServiceSubmission {
    let rule = |pattern: &str| EvaluateOnExit {
        on_status_reason: Some(pattern.into()),
        on_reason: None,
        on_exit_code: None,
        action: RetryAction::Exit,
    };
    let retry = RetryStrategy { attempts, evaluate_on_exit: exit_on.map(rule).into_iter().collect() };
    ServiceSubmission { retry: Some(retry), ..training("ml.a", 1) }
}

/// A world with one job in this status.
fn with_job_in(status: ServiceJobStatus) -> (World, Uuid) {
    let mut world = world(1);
    if status == Runnable {
        world.disconnect();
    }
    let id = world.train(training("ml.a", 1));
    if status == Running {
        world.start(JobId::whole(id));
    }
    assert_eq!(world.service_status(id), status);
    (world, id)
}

#[test]
fn a_training_job_runs_to_its_end() {
    let mut world = world(1);
    let mut submission = training("ml.a", 1);
    submission.training.environment =
        vec![("X".into(), "1".into()), ("TRAINING_JOB_NAME".into(), "mine".into())];
    let id = world.train(submission);
    let at = Some(Timestamp(world.now));
    let ServiceJob { status, scheduled_at, started_at, .. } = world.service_job(id).clone();
    assert_eq!((status, scheduled_at, started_at), (Scheduled, at, None));

    let launch = world.machine.launched(JobId::whole(id)).clone();
    let name = format!("AWSBatchfit{}", launch.task_id);
    let arn = format!("arn:aws:sagemaker:us-east-1:000000000000:training-job/{name}");
    let environment: Vec<(&str, &str)> =
        launch.containers[0].environment.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(environment, [("X", "1"), ("TRAINING_JOB_NAME", &name), ("TRAINING_JOB_ARN", &arn)]);
    assert_eq!(
        (&*launch.containers[0].image, &launch.containers[0].command[..]),
        ("host", &["train".into()][..])
    );
    assert_eq!(launch.containers[0].log_group, LOG_GROUP);
    assert_eq!(&*launch.containers[0].log_stream, format!("{name}/algo-1-{}", world.now / 1000));

    world.now += 5;
    world.start(JobId::whole(id));
    assert_eq!(
        (world.service_status(id), world.service_job(id).started_at),
        (Running, Some(Timestamp(world.now)))
    );
    assert_eq!(world.service_job(id).capacity_usage(), [(NUM_INSTANCES.into(), 1)]);
    world.now += 5;
    world.end(id, 0);
    let ended = world.service_job(id);
    assert_eq!((ended.status, ended.status_reason.as_deref()), (Succeeded, Some(COMPLETED)));
    assert_eq!(ended.stopped_at, Some(Timestamp(world.now)));
    assert_eq!(ended.attempts.len(), 1);
    assert_eq!(&*ended.attempts[0].status_reason, COMPLETED);
    assert_eq!(ended.latest_task(), Some(launch.task_id));
    assert!(world.machine.is_idle());
}

/// Source: AWS Batch User Guide, service job retry strategies.
#[test]
fn what_follows_a_failure() {
    let failed = "Received status from SageMaker: AlgorithmError: , exit code: 3";
    let killed = "Received status from SageMaker: AlgorithmError: OutOfMemoryError: x, exit code: 137";
    let no_image = "Received status from SageMaker: ClientError: no such image";
    let cases = [
        (training("ml.a", 1), Some(3), None, Failed, failed),
        (training("ml.a", 1), Some(137), Some("OutOfMemoryError: x"), Failed, killed),
        (training("ml.a", 1), None, Some("no such image"), Failed, no_image),
        (with_retry(2, None), Some(3), None, Scheduled, failed),
        (with_retry(1, None), Some(3), None, Failed, failed),
        (
            with_retry(3, Some("Received status from SageMaker: AlgorithmError: *")),
            Some(3),
            None,
            Failed,
            failed,
        ),
        (
            with_retry(3, Some("Received status from SageMaker: InternalServerError*")),
            Some(3),
            None,
            Scheduled,
            failed,
        ),
        (with_retry(3, Some("AlgorithmError*")), Some(3), None, Scheduled, failed),
        (with_retry(3, Some("*")), Some(0), None, Succeeded, COMPLETED),
    ];
    for (submission, exit_code, reason, status, want) in cases {
        let mut world = world(1);
        let id = world.train(submission);
        world.exit_with(JobId::whole(id), exit_code, reason);
        let job = world.service_job(id);
        assert_eq!((job.status, &*job.attempts[0].status_reason), (status, want));
        assert_eq!(job.status_reason.as_deref(), (status != Scheduled).then_some(want));
    }
}

#[test]
fn a_queue_is_fifo_and_a_job_beyond_the_limit_lets_others_pass() {
    const TOO_LARGE: &str = "MISCONFIGURATION:SERVICE_ENVIRONMENT_MAX_RESOURCE - Service environment(s) associated with the job queue cannot meet the capacity requirement of the job.";
    let mut world = world(3);
    let jobs = [2, 4, 2, 1].map(|count| world.train(training("ml.a", count)));
    assert_eq!(world.placed(&jobs), [true, false, false, false], "the third holds back the fourth");
    assert_eq!([jobs[1], jobs[2]].map(|id| world.service_reason(id)), [TOO_LARGE, ""]);
    let snapshot = world.state.service_queue_snapshot(&queue_arn(QUEUE)).unwrap();
    assert_eq!(snapshot.front.iter().map(|job| job.id).collect::<Vec<_>>(), [jobs[2], jobs[3]]);
    assert_eq!((snapshot.usage, snapshot.usage_by_share), (vec![(NUM_INSTANCES.into(), 2)], vec![]));
    world.end(jobs[0], 0);
    assert_eq!(world.placed(&jobs[1..]), [false, true, true]);
    world.set_limits(&[(NUM_INSTANCES, 7)]);
    assert_eq!(world.placed(&jobs[1..]), [true, true, true]);
    assert_eq!(world.service_reason(jobs[1]), "");
    world.set_limits(&[(NUM_INSTANCES, 1)]);
    assert_eq!(world.placed(&jobs[1..]), [true, true, true], "what runs goes on");
    world.set_limits(&[("ml.b", 1)]);
    let other = world.train(training("ml.a", 1));
    assert_eq!((world.service_status(other), &*world.service_reason(other)), (Runnable, TOO_LARGE));
}

/// Source: AWS Batch API reference, TerminateServiceJob.
#[test]
fn terminate_in_each_status() {
    let (mut world, id) = with_job_in(Runnable);
    world.terminate_training(id, "enough");
    assert_eq!((world.service_status(id), &*world.service_reason(id)), (Failed, "enough"));
    for status in [Scheduled, Running] {
        for exit_code in [Some(0), Some(143), None] {
            let (mut world, id) = with_job_in(status);
            world.terminate_training(id, "enough");
            world.terminate_training(id, "again");
            assert!(world.machine.is_stopping(JobId::whole(id)));
            assert_eq!((world.service_status(id), world.service_job(id).is_terminated), (status, true));
            world.exit_with(JobId::whole(id), exit_code, None);
            assert_eq!((world.service_status(id), &*world.service_reason(id)), (Failed, "enough"));
            world.terminate_training(id, "too late");
            assert_eq!(&*world.service_reason(id), "enough");
        }
    }
    world.terminate_training(Uuid::from_u128(5), "unknown");
}

/// The shorter limit counts; SageMaker's own is a status of SageMaker, which retry rules may look at.
#[test]
fn time_limits() {
    const BATCH: &str = "Job attempt duration exceeded timeout";
    const SAGEMAKER: &str =
        "Received status from SageMaker: Training job runtime exceeded MaxRuntimeInSeconds provided";
    let cases = [
        (Some(60), None, 60, Failed, BATCH),
        (Some(60), Some(90), 60, Failed, BATCH),
        (Some(90), Some(60), 60, Scheduled, SAGEMAKER),
        (None, Some(1), 1, Scheduled, SAGEMAKER),
    ];
    for (timeout_seconds, max_runtime_seconds, after, status, want) in cases {
        let mut world = world(1);
        let mut submission = ServiceSubmission { timeout_seconds, ..with_retry(2, None) };
        submission.training.max_runtime_seconds = max_runtime_seconds;
        let id = world.train(submission);
        world.advance(1_000_000);
        world.start(JobId::whole(id));
        world.advance(after * 1000 - 1);
        assert!(!world.machine.is_stopping(JobId::whole(id)), "time counts from the start");
        world.crash_and_recover();
        world.advance(1);
        assert!(world.machine.is_stopping(JobId::whole(id)));
        world.end(id, 143);
        assert_eq!(
            (world.service_status(id), &*world.service_job(id).attempts[0].status_reason),
            (status, want)
        );
    }
}

#[test]
fn a_crash_of_the_server_loses_no_attempt() {
    for lost in [Lost::Nothing, Lost::Actions, Lost::Everything] {
        // At submission.
        let mut world = world(1);
        let mut id = None;
        world.crash_during(lost, |world| id = Some(world.train(training("ml.a", 1))));
        world.connect();
        let id = id.unwrap();
        if lost == Lost::Everything {
            assert!(world.state.service_job(id).is_none());
            continue;
        }
        assert_eq!(world.service_status(id), Scheduled);
        // At termination, with the attempt running.
        world.start(JobId::whole(id));
        let before = world.service_job(id).clone();
        world.crash_during(lost, |world| world.terminate_training(id, "enough"));
        assert_ne!(*world.service_job(id), before);
        world.connect();
        assert!(world.machine.is_stopping(JobId::whole(id)));
        world.end(id, 143);
        assert_eq!(&*world.service_reason(id), "enough");
    }
}

#[test]
fn a_machine_that_comes_back_empty_has_lost_its_attempts() {
    for status in [Scheduled, Running] {
        let (mut world, id) = with_job_in(status);
        world.restart_machine();
        assert_eq!((world.service_status(id), &*world.service_reason(id)), (Failed, INTERNAL_ERROR));
    }
    // Refused: never started, so no attempt is used up.
    let (mut world, id) = with_job_in(Scheduled);
    let attempt = world.machine.live(JobId::whole(id)).unwrap();
    world.machine.forget_all();
    world.turn(|turn| {
        turn.observe(Observation::Refused(attempt));
        turn.drain();
    });
    let job = world.service_job(id);
    assert_eq!((job.status, job.attempts.len(), job.scheduled_at), (Runnable, 0, None));
    world.connect();
    assert_eq!(world.service_status(id), Scheduled);
}

#[test]
fn submissions_that_are_refused() {
    let mut world = world(1);
    world.create_queue(common::queue("containers")).unwrap();
    let to = |queue: &str| ServiceSubmission { queue: queue.into(), ..training("ml.a", 1) };
    let arn = |name: &str| queue_arn(name);
    let with_token =
        |token: &str| ServiceSubmission { client_token: Some(token.into()), ..training("ml.a", 1) };
    let first = world.train(with_token("t")).as_hyphenated().to_string();
    world.crash_and_recover();
    let cases: [(ServiceSubmission, Refusal); 5] = [
        (to("none"), Refusal::NoSuchResource { arn: arn("none") }),
        (to("containers"), ServiceRefusal::NotAServiceQueue { queue: arn("containers") }.into()),
        (
            ServiceSubmission { share_identifier: Some("s".into()), ..training("ml.a", 1) },
            Refusal::ShareOnFifoQueue,
        ),
        (
            ServiceSubmission { quota_share: Some("s".into()), ..training("ml.a", 1) },
            ServiceRefusal::QuotaShareNotAllowed { queue: arn(QUEUE) }.into(),
        ),
        (with_token("t"), ServiceRefusal::DuplicateRequest { job_id: first.into() }.into()),
    ];
    for (submission, want) in cases {
        assert_eq!(world.try_train(submission).unwrap_err(), want);
    }
    world.train(with_token("another"));
    let refused = world.try_submit(job("a").with(|s| s.queue = QUEUE.into()));
    assert_eq!(refused.unwrap_err(), ServiceRefusal::ServiceQueue { queue: arn(QUEUE) }.into());
}

#[derive(Clone, Debug)]
enum Step {
    Train(u32, u32),
    Start(usize),
    End(usize, i32),
    Terminate(usize),
    Limits(u32),
    Crash(u8),
    RestartMachine,
    Disconnect,
    Connect,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..4_u32, 1..4_u32).prop_map(|(count, attempts)| Step::Train(count, attempts)),
        3 => any::<usize>().prop_map(Step::Start),
        4 => (any::<usize>(), 0..2).prop_map(|(which, code)| Step::End(which, code)),
        1 => any::<usize>().prop_map(Step::Terminate),
        1 => (1..5_u32).prop_map(Step::Limits),
        1 => (0..2_u8).prop_map(Step::Crash),
        1 => Just(Step::RestartMachine),
        1 => Just(Step::Disconnect),
        1 => Just(Step::Connect),
        1 => (0..100_000_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, the indexes agree with the records (checked in every turn), recovery changes no record, and in
    /// the end every job has ended.
    #[test]
    fn whatever_happens_every_job_ends(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = world(3);
        let mut jobs: Vec<Uuid> = Vec::new();
        for step in steps {
            let live = world.machine.all_live();
            let pick = |which: usize| live.get(which % live.len().max(1)).copied();
            match step {
                Step::Train(count, attempts) => {
                    let submission = ServiceSubmission { timeout_seconds: Some(60), ..training("ml.a", count) };
                    let retry = with_retry(attempts, None).retry;
                    jobs.push(world.train(ServiceSubmission { retry, ..submission }));
                }
                Step::Start(which) => {
                    pick(which).into_iter().for_each(|id| world.start(id));
                }
                Step::End(which, code) => {
                    pick(which).into_iter().for_each(|id| world.exit(id, code));
                }
                Step::Terminate(which) => {
                    if !jobs.is_empty() {
                        world.terminate_training(jobs[which % jobs.len()], "enough");
                    }
                }
                Step::Limits(max) => world.set_limits(&[(NUM_INSTANCES, max)]),
                Step::Crash(how) => {
                    let before: Vec<ServiceJob> = jobs.iter().map(|&id| world.service_job(id).clone()).collect();
                    let lost = if how == 0 { Lost::Nothing } else { Lost::Actions };
                    world.crash_during(lost, |_| ());
                    let after: Vec<ServiceJob> = jobs.iter().map(|&id| world.service_job(id).clone()).collect();
                    prop_assert_eq!(before, after);
                }
                Step::RestartMachine => world.restart_machine(),
                Step::Disconnect => world.disconnect(),
                Step::Connect => world.connect(),
                Step::Pass(millis) => world.advance(millis),
            }
        }
        world.connect();
        world.set_limits(&[(NUM_INSTANCES, 4)]);
        world.run_everything();
        for id in jobs {
            prop_assert!(world.service_status(id).is_terminal(), "{id} is {}", world.service_status(id));
        }
        prop_assert_eq!(world.state.running_attempts(), 0);
    }
}
