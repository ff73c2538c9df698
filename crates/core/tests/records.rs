//! The stored form of each record, byte by byte: what an older release wrote, every newer one must read.
//!
//! `UPDATE_GOLDEN=1` writes `tests/golden/<record>.v1.hex` anew. A changed file of a released version is a broken promise:
//! add a member with a new number instead, and a new golden beside the old one.

mod common;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::path::Path;

use fornada_core::arn::Arn;
use fornada_core::attempt::{ContainerOutcome, Outcome, Usage};
use fornada_core::container::{
    Condition, ContainerDependency, ContainerOverrides, ContainerTemplate, Requirements, Role,
};
use fornada_core::event::Event;
use fornada_core::id::{JobId, Member, TaskId, Uuid};
use fornada_core::instance::{Architecture, Instance, Managed, Market, Phase};
use fornada_core::job::depends_on::Dependency;
use fornada_core::job::nodes::{NodeGroup, Nodes};
use fornada_core::job::retry::{EvaluateOnExit, RetryAction, RetryStrategy};
use fornada_core::job::{ArrayProperties, Attempt, Execution, Fate, Job, JobStatus, Placement, StopCause};
use fornada_core::quantity::Resources;
use fornada_core::resource::Status;
use fornada_core::resource::compute_environment::{ComputeEnvironment, Platform};
use fornada_core::resource::consumable_resource::{ClientToken, Consumable, ConsumableResource};
use fornada_core::resource::job_definition::JobDefinition;
use fornada_core::resource::job_queue::{JobQueue, TimeLimit};
use fornada_core::resource::quota_share::{QuotaShare, Sharing};
use fornada_core::resource::scheduling_policy::{FairShare, Kind, SchedulingPolicy};
use fornada_core::resource::service_environment::ServiceEnvironment;
use fornada_core::scale::{AllocationStrategy, Scaling};
use fornada_core::schedule::Past;
use fornada_core::service_job::capacity::{CapacityLimit, Instances};
use fornada_core::service_job::{
    Preemption, PreemptionKind, PreemptionSummary, ServiceAttempt, ServiceJob, ServiceJobStatus,
    ServicePlacement, TrainingJob,
};
use fornada_core::task::{NodeRange, NodesTemplate, TaskKind, TaskTemplate};
use fornada_core::text::{Document, Text};
use fornada_core::time::Timestamp;
use minicbor::{Decode, Encode};

use common::build::{self, consumable_arn, environment_arn, policy_arn, queue_arn, tags};
use common::scope;

/// Encodes `value`, compares with the golden file, and reads the golden file back.
#[track_caller]
fn check<T>(name: &str, value: &T)
where
    T: Debug + PartialEq + Encode<()> + for<'b> Decode<'b, ()>,
{
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.v1.hex"));
    let encoded = to_hex(&minicbor::to_vec(value).expect("memory takes everything"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &encoded).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let decoded: T = minicbor::decode(&from_hex(&golden)).expect("an older record reads");
    assert_eq!(decoded, *value, "{name}: what was written reads as it was meant");
    assert_eq!(encoded, golden, "{name}: is written as before");
}

/// Lines of 32 bytes, so that a change shows where it is.
fn to_hex(bytes: &[u8]) -> String {
    let line = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    bytes.chunks(32).map(line).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.lines().collect::<String>();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn document(json: &str) -> Document {
    Document::new(json)
}

fn requirements() -> Requirements {
    Requirements { milli_vcpus: Some(2500), memory_mib: Some(4096), gpus: Some(1) }
}

fn retry() -> RetryStrategy {
    let rule = |reason: &str, code: Option<Text>, action| EvaluateOnExit {
        on_status_reason: Some("Host EC2*".into()),
        on_reason: Some(reason.into()),
        on_exit_code: code,
        action,
    };
    let evaluate_on_exit =
        vec![rule("*", None, RetryAction::Retry), rule("Out*", Some("13*".into()), RetryAction::Exit)];
    RetryStrategy { attempts: 3, evaluate_on_exit }
}

fn consumables() -> Vec<Consumable> {
    let consumable = |name, quantity| Consumable { arn: consumable_arn(name), quantity };
    vec![consumable("licence", 2), consumable("token", 1 << 40)]
}

fn execution() -> Execution {
    let outcome = Outcome {
        exit_code: Some(137),
        reason: Some("OutOfMemoryError: Container killed due to memory usage".into()),
        usage: Usage { peak_memory_bytes: 1 << 40, cpu_time_millis: 98_765 },
        containers: None,
    };
    let attempt = |number: u64, outcome| Attempt {
        task_id: TaskId(u128::MAX - u128::from(number)),
        compute_environment: environment_arn("ce"),
        instance_id: "i-0123456789abcdef0".into(),
        started_at: (number > 1).then_some(Timestamp(1_700_000_000_000)),
        stopped_at: Timestamp(1_700_000_000_000 + number),
        status_reason: "Essential container in task exited".into(),
        outcome,
        address: None,
    };
    let nothing = Outcome::without_process(None);
    Execution {
        status: JobStatus::Running,
        status_reason: Some("an earlier reason: über".into()),
        created_at: Timestamp(1_699_999_999_999),
        started_at: Some(Timestamp(1_700_000_000_100)),
        stopped_at: Some(Timestamp(1_700_000_000_200)),
        is_cancelled: true,
        is_terminated: true,
        attempts: [attempt(1, nothing), attempt(2, outcome)].into(),
        placement: Some(Box::new(Placement {
            compute_environment: environment_arn("ce"),
            instance_id: "i-0123456789abcdef0".into(),
            task_id: TaskId(7),
            stopping: Some(StopCause::Terminated("enough".into())),
            address: None,
        })),
    }
}

#[test]
fn compute_environment() {
    let value = ComputeEnvironment {
        arn: environment_arn("ce"),
        uuid: "0f0e0d0c-0b0a-4908-8706-050403020100".into(),
        platform: Platform::Fargate,
        enabled: true,
        status: Status::Updating,
        status_reason: "ComputeEnvironment Healthy".into(),
        max_vcpus: Some(256),
        tags: tags([("team", "oven"), ("empty", "")]),
        document: document(r#"{"type":"MANAGED"}"#),
        version: 300,
        created_at: Timestamp(1_700_000_000_000),
        scaling: None,
    };
    check("compute_environment", &value);
    let scaling = Scaling {
        market: Market::Spot,
        strategy: AllocationStrategy::SpotPriceCapacityOptimized,
        instance_types: vec!["m6i.large".into(), "c7i".into(), "optimal".into()],
        min_vcpus: 2,
        desired_vcpus: 4,
        bid_percentage: Some(60),
        scale_down_delay_minutes: Some(20),
        terminate_jobs_on_update: true,
        job_execution_timeout_minutes: 45,
        generation: 300,
    };
    check("compute_environment_scaling", &ComputeEnvironment { scaling: Some(Box::new(scaling)), ..value });
}

#[test]
fn job_queue() {
    let value = JobQueue {
        arn: queue_arn("q"),
        enabled: true,
        status: Status::Valid,
        status_reason: "JobQueue Healthy".into(),
        priority: -5,
        environments: vec![environment_arn("first"), environment_arn("second")],
        tags: tags([("team", "oven")]),
        document: document(r#"{"schedulingPolicyArn":null}"#),
        version: 2,
        created_at: Timestamp(1_700_000_000_000),
        scheduling_policy: None,
        service_environment: None,
        time_limits: None,
    };
    check("job_queue", &value);
    let limit = |reason: &str, max_seconds| TimeLimit { reason: reason.into(), max_seconds };
    let limits = vec![
        limit("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", 600),
        limit("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", 86_400),
    ];
    check("job_queue_time_limits", &JobQueue { time_limits: Some(limits), ..value.clone() });
    let fair_share = JobQueue { scheduling_policy: Some(policy_arn("p")), ..value.clone() };
    check("job_queue_fair_share", &fair_share);
    let environments = Vec::new();
    let service_environment = Some(scope().resolve("service-environment", "se"));
    check("job_queue_service", &JobQueue { environments, service_environment, ..value });
}

#[test]
fn job_definition() {
    let value = JobDefinition {
        arn: Arn::from(format!("{}:12", scope().resolve("job-definition", "d"))),
        revision: 12,
        active: true,
        container: Some(ContainerTemplate {
            image: "busybox:1".into(),
            command: vec!["echo".into(), "Ref::x".into()],
            environment: vec![("B".into(), "2".into()), ("A".into(), "1".into())],
            requirements: requirements(),
            log_group: Some("/group".into()),
            log_stream_prefix: Some("prefix".into()),
            ..Default::default()
        }),
        parameters: BTreeMap::from([("x".into(), "1".into())]),
        retry: Some(retry()),
        timeout_seconds: Some(3600),
        propagate_tags: Some(true),
        scheduling_priority: Some(9),
        fargate: true,
        legacy_requirements: true,
        tags: tags([("team", "oven")]),
        document: document(r#"{"type":"container"}"#),
        created_at: Timestamp(1_700_000_000_000),
        container_properties: document(r#"{"user":"nobody"}"#),
        task: None,
        nodes: None,
        managed_instances: None,
        consumables: None,
        architecture: None,
    };
    check("job_definition", &value);
    check("job_definition_consumables", &JobDefinition { consumables: Some(consumables()), ..value });
    check("job_definition_task", &JobDefinition { task: Some(Box::new(task())), ..build::definition() });
    let range = NodeRange { target: "0:".into(), first: 0, last: None, task: task(), consumables: None };
    let nodes = NodesTemplate { num_nodes: 4, main_node: 1, ranges: vec![range] };
    let nodes = JobDefinition {
        container: None,
        nodes: Some(Box::new(nodes)),
        managed_instances: Some(true),
        ..build::definition()
    };
    check("job_definition_nodes", &nodes);
}

fn task() -> TaskTemplate {
    let role = Role {
        name: "sidecar".into(),
        essential: false,
        depends_on: vec![ContainerDependency { container: "main".into(), condition: Condition::Success }],
        init: true,
    };
    let sidecar = ContainerTemplate {
        role: Some(Box::new(role)),
        secrets: Some(vec![("TOKEN".into(), "arn:aws:ssm:us-east-1:000000000000:parameter/token".into())]),
        entry_point: Some(vec!["sh".into(), "-c".into()]),
        ..build::container()
    };
    TaskTemplate {
        kind: TaskKind::Eks,
        containers: vec![sidecar],
        properties: document(r#"{"hostNetwork":true}"#),
    }
}

#[test]
fn job() {
    let (id, on) = (Uuid::from_u128(1 << 100), Uuid::from_u128(0xabcd));
    let node = JobId { job: on, member: Member::Node(3) };
    let value = Job {
        id,
        sequence: 1_000_000,
        name: "render".into(),
        queue: queue_arn("q"),
        definition: Arn::from(format!("{}:12", scope().resolve("job-definition", "d"))),
        depends_on: [
            Dependency::Job(JobId::whole(on)),
            Dependency::Job(JobId::child(on, 9999)),
            Dependency::Job(node),
            Dependency::NToN(on),
            Dependency::Sequential,
        ]
        .into(),
        parameters: BTreeMap::from([("x".into(), "1".into())]),
        overrides: Some(Box::new(ContainerOverrides {
            command: Some(vec!["true".into()]),
            environment: vec![("B".into(), "2".into()), ("A".into(), "1".into())],
            requirements: requirements(),
            instance_type: Some("m5.large".into()),
            ..Default::default()
        })),
        resources: Resources { milli_vcpus: 2500, memory_mib: 4096, gpus: 1 },
        retry: Some(Box::new(retry())),
        timeout_seconds: Some(3600),
        propagate_tags: Some(false),
        tags: tags([("team", "oven")]),
        share_identifier: Some("blue".into()),
        scheduling_priority: Some(9),
        array: Some(Box::new(ArrayProperties {
            size: 10_000,
            fate: Some(Box::new(Fate {
                status_reason: "enough".into(),
                at: Timestamp(1_700_000_000_300),
                is_cancelled: true,
                is_terminated: true,
            })),
            ended: None,
        })),
        execution: execution(),
        task_overrides: None,
        nodes: None,
        overrides_document: None,
        consumables: None,
        architecture: None,
    };
    check("job", &value);
    let ended = ArrayProperties { size: 3, fate: None, ended: Some(Box::new([0, 0, 0, 0, 0, 1, 2])) };
    check("job_array_ended", &Job { array: Some(Box::new(ended)), ..value.clone() });
    check("job_consumables", &Job { consumables: Some(consumables().into()), ..value.clone() });
    let given = ContainerOverrides {
        name: Some("sidecar".into()),
        image: Some("busybox:2".into()),
        entry_point: Some(vec!["true".into()]),
        ..Default::default()
    };
    let group = NodeGroup { count: 4, range: 0, resources: value.resources };
    let nodes = Nodes { main_node: 1, groups: vec![group], overrides: vec![(0, vec![given.clone()])] };
    let value = Job {
        depends_on: [Dependency::AfterAny(JobId::whole(on))].into(),
        overrides: None,
        array: None,
        task_overrides: Some([given].into()),
        nodes: Some(Box::new(nodes)),
        overrides_document: Some(Box::new(document("{}"))),
        ..value
    };
    check("job_nodes", &value);
}

#[test]
fn scheduling_policy() {
    let weights = [("blue", 5000), ("red*", 9_999_999)].map(|(share, weight)| (share.into(), weight));
    let fair =
        FairShare { decay_seconds: Some(604_800), compute_reservation: Some(99), weights: weights.into() };
    let value = SchedulingPolicy {
        arn: policy_arn("p"),
        kind: Kind::FairShare(fair),
        tags: tags([("team", "oven")]),
        document: document(r#"{"fairsharePolicy":{}}"#),
        version: 3,
        created_at: Timestamp(1_700_000_000_000),
    };
    check("scheduling_policy", &value);
    check("scheduling_policy_quota_share", &SchedulingPolicy { kind: Kind::QuotaShare, ..value });
}

#[test]
fn consumable_resource() {
    let value = ConsumableResource {
        arn: consumable_arn("licence"),
        replenishable: true,
        total: 1 << 40,
        tags: tags([("team", "oven")]),
        created_at: Timestamp(1_700_000_000_000),
        recent: vec![ClientToken { token: "token-1".into(), at: Timestamp(1_700_000_000_001) }],
        version: 3,
    };
    check("consumable_resource", &value);
}

#[test]
fn share() {
    let mut used = [0u64; 32];
    (used[3], used[31]) = (1 << 40, 7);
    let members = minicbor::to_vec((18_750u64, used, 1_700_000_000_000u64, 250u64)).expect("a small record");
    let value: Past = minicbor::decode(&members).expect("members in order");
    check("share", &value);
}

#[test]
fn child() {
    check("child", &execution());
    let timed_out = Placement { stopping: Some(StopCause::TimedOut), ..*execution().placement.unwrap() };
    let value = Execution { placement: Some(Box::new(timed_out)), ..Execution::new(Timestamp(1)) };
    check("child_timed_out", &value);

    let address = Some(Ipv4Addr::new(127, 64, 0, 1));
    let mut node = execution();
    let placement = node.placement.as_mut().expect("it has one");
    (placement.stopping, placement.address) = (Some(StopCause::MainNodeEnded), address);
    let last = node.attempts.last_mut().expect("it has some");
    last.address = address;
    last.outcome.containers = Some(vec![ContainerOutcome {
        name: "sidecar".into(),
        exit_code: Some(1),
        reason: Some("no".into()),
        started: true,
    }]);
    check("node", &node);
}

#[test]
fn event() {
    let Execution { status_reason, created_at, started_at, stopped_at, attempts, .. } = execution();
    let value = Event {
        number: 1_700_000_000_300 << 20,
        job: JobId::child(Uuid::from_u128(0xabcd), 9999),
        status: JobStatus::Failed,
        at: Timestamp(1_700_000_000_300),
        name: "render".into(),
        queue: queue_arn("q"),
        definition: Arn::from(format!("{}:12", scope().resolve("job-definition", "d"))),
        status_reason,
        created_at,
        started_at,
        stopped_at,
        attempts,
    };
    check("event", &value);
}

#[test]
fn instance() {
    let value = Instance {
        instance_id: "i-0123456789abcdef0".into(),
        incarnation: TaskId(0x0123_4567_89ab_cdef << 64),
        capacity: Resources { milli_vcpus: 64_000, memory_mib: 1 << 20, gpus: 8 },
        architecture: None,
        managed: None,
    };
    check("instance", &value);
    let managed = Managed {
        compute_environment: scope().resolve("compute-environment", "ce"),
        instance_type: "m6i.large".into(),
        market: Market::Spot,
        generation: 3,
        phase: Phase::Draining(Some(Timestamp(1_700_000_000_123))),
        requested_at: Timestamp(1_700_000_000_000),
        ready_at: Some(Timestamp(1_700_000_000_100)),
        max_price: Some(96_000),
    };
    let architecture = Some(Architecture::Arm64);
    check("instance_managed", &Instance { architecture, managed: Some(Box::new(managed)), ..value });
}

fn limits() -> Vec<CapacityLimit> {
    let limit = |unit: &str, max| CapacityLimit { unit: unit.into(), max };
    vec![limit("NUM_INSTANCES", 5), limit("ml.m5.large", 70_000)]
}

#[test]
fn service_environment() {
    let value = ServiceEnvironment {
        arn: scope().resolve("service-environment", "se"),
        enabled: true,
        status: Status::Valid,
        limits: limits(),
        tags: tags([("team", "oven")]),
        created_at: Timestamp(1_700_000_000_000),
    };
    check("service_environment", &value);
}

#[test]
fn quota_share() {
    let value = QuotaShare {
        arn: format!("{}/quota-share/blue", queue_arn("q")).into(),
        queue: queue_arn("q"),
        enabled: false,
        status: Status::Deleting,
        limits: limits(),
        sharing: Sharing::LendAndBorrow(Some(150)),
        in_share_preemption: true,
        tags: tags([("team", "oven")]),
        created_at: Timestamp(1_700_000_000_000),
    };
    check("quota_share", &value);
    check("quota_share_reserve", &QuotaShare { sharing: Sharing::Reserve, ..value.clone() });
    check("quota_share_lend", &QuotaShare { sharing: Sharing::Lend, ..value });
}

#[test]
fn service_job() {
    let attempt = |number: u64| ServiceAttempt {
        task_id: TaskId(u128::MAX - u128::from(number)),
        started_at: (number > 1).then_some(Timestamp(1_700_000_000_000)),
        stopped_at: Timestamp(1_700_000_000_000 + number),
        status_reason: "Received status from SageMaker: Training job completed".into(),
    };
    let value = ServiceJob {
        id: Uuid::from_u128(1 << 99),
        sequence: 1_000_001,
        name: "fit".into(),
        queue: queue_arn("q"),
        payload: r#"{"TrainingJobName":"x"}"#.into(),
        training: TrainingJob {
            image: "host".into(),
            command: vec!["train".into(), "-v".into()],
            environment: vec![("B".into(), "2".into()), ("A".into(), "1".into())],
            instances: Instances::new([("ml.m5.large".into(), 2), ("ml.p3.2xlarge".into(), 70_000)]),
            max_runtime_seconds: Some(3600),
        },
        retry: Some(Box::new(retry())),
        timeout_seconds: Some(600),
        tags: tags([("team", "oven")]),
        client_token: Some("token".into()),
        share_identifier: Some("s".into()),
        quota_share: Some("blue".into()),
        scheduling_priority: Some(9),
        preemption_retries: Some(-1),
        status: ServiceJobStatus::Scheduled,
        status_reason: Some("an earlier reason: über".into()),
        created_at: Timestamp(1_699_999_999_999),
        scheduled_at: Some(Timestamp(1_700_000_000_050)),
        started_at: Some(Timestamp(1_700_000_000_100)),
        stopped_at: Some(Timestamp(1_700_000_000_200)),
        is_terminated: true,
        attempts: vec![attempt(1), attempt(2)],
        placement: Some(Box::new(ServicePlacement {
            environment: scope().resolve("service-environment", "se"),
            instance_id: "i-0123456789abcdef0".into(),
            task_id: TaskId(7),
            stopping: Some(StopCause::Terminated("enough".into())),
            preemption: None,
        })),
        preemptions: None,
        preempts_since: None,
    };
    check("service_job", &value);
    let mut preempted = value;
    preempted.preemptions =
        Some(Box::new(PreemptionSummary { count: 70_000, recent: vec![attempt(3), attempt(1)] }));
    preempted.preempts_since = Some(Timestamp(1_700_000_000_300));
    for (name, kind) in [
        ("service_job_preempted", PreemptionKind::CrossShare),
        ("service_job_preempted_in_share", PreemptionKind::InShare),
    ] {
        let placement = preempted.placement.as_mut().unwrap();
        placement.preemption = Some(Preemption { kind, at: Timestamp(1_700_000_000_200) });
        check(name, &preempted);
    }
}

/// A newer release may add members; an older one that reads its records skips them.
#[test]
fn members_of_a_newer_version_are_skipped() {
    let mut encoded = minicbor::to_vec(Resources { milli_vcpus: 1, memory_mib: 2, gpus: 3 }).unwrap();
    assert_eq!(encoded[0], 0x83, "an array of three members");
    encoded[0] = 0x84;
    encoded.extend(minicbor::to_vec("of a later version").unwrap());
    let decoded: Resources = minicbor::decode(&encoded).unwrap();
    assert_eq!(decoded, Resources { milli_vcpus: 1, memory_mib: 2, gpus: 3 });
}
