//! Requests as clients send them, and the promise that a body which passes the check also decodes.

use fornada_model::{Request, Shape, batch, check, decode, logs};
use proptest::collection::{hash_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::Serialize;
use serde_json::{Value, json};

/// Decodes, and encodes again to the same JSON.
fn round_trip<R: Request + Serialize>(body: Value) -> R {
    let request: R = decode(body.clone()).unwrap_or_else(|violations| panic!("{violations}"));
    assert_eq!(serde_json::to_value(&request).ok(), Some(body));
    request
}

#[test]
fn submit_job_with_overrides() {
    let request: batch::SubmitJobRequest = round_trip(json!({
        "jobName": "align",
        "jobQueue": "high",
        "jobDefinition": "bwa:3",
        "arrayProperties": { "size": 100 },
        "dependsOn": [{ "jobId": "0b1f", "type": "N_TO_N" }, { "type": "SEQUENTIAL" }],
        "containerOverrides": {
            "command": ["sh", "-c", "echo $AWS_BATCH_JOB_ARRAY_INDEX"],
            "environment": [{ "name": "REF", "value": "hg38" }],
            "resourceRequirements": [{ "type": "VCPU", "value": "0.5" }, { "type": "MEMORY", "value": "512" }],
        },
        "parameters": { "input": "s3://bucket/key" },
        "retryStrategy": {
            "attempts": 3,
            "evaluateOnExit": [
                { "onStatusReason": "Host EC2*", "action": "retry" },
                { "onReason": "*", "action": "exit" },
            ],
        },
        "timeout": { "attemptDurationSeconds": 3600 },
        "shareIdentifier": "teamA",
        "schedulingPriorityOverride": 9,
        "propagateTags": true,
        "tags": { "team": "genomics" },
    }));
    assert_eq!(request.depends_on.unwrap()[0].r#type, Some(batch::ArrayJobDependency::NToN));
}

#[test]
fn register_multi_node_job_definition() {
    let request: batch::RegisterJobDefinitionRequest = round_trip(json!({
        "jobDefinitionName": "mpi",
        "type": "multinode",
        "nodeProperties": {
            "numNodes": 4,
            "mainNode": 0,
            "nodeRangeProperties": [{
                "targetNodes": "0:",
                "container": {
                    "image": "mpi:1",
                    "command": ["mpirun", "solve"],
                    "linuxParameters": {
                        "sharedMemorySize": 64,
                        "tmpfs": [{ "containerPath": "/scratch", "size": 64 }],
                    },
                    "logConfiguration": { "logDriver": "json-file", "options": {} },
                    "mountPoints": [{ "sourceVolume": "data", "containerPath": "/data", "readOnly": false }],
                    "volumes": [{ "name": "data", "host": { "sourcePath": "/data" } }],
                    "resourceRequirements": [{ "type": "GPU", "value": "1" }],
                    "ulimits": [{ "name": "nofile", "softLimit": 1024, "hardLimit": 4096 }],
                },
            }],
        },
    }));
    assert_eq!(request.r#type, batch::JobDefinitionType::Multinode);
}

#[test]
fn create_compute_environment() {
    let request: batch::CreateComputeEnvironmentRequest = round_trip(json!({
        "computeEnvironmentName": "spot",
        "type": "MANAGED",
        "state": "ENABLED",
        "computeResources": {
            "type": "SPOT",
            "allocationStrategy": "SPOT_PRICE_CAPACITY_OPTIMIZED",
            "minvCpus": 0,
            "maxvCpus": 256,
            "desiredvCpus": 0,
            "instanceTypes": ["optimal"],
            "subnets": ["subnet-1"],
            "securityGroupIds": [],
            "ec2Configuration": [{ "imageType": "ECS_AL2023" }],
        },
    }));
    assert_eq!(request.compute_resources.unwrap().max_vcpus, 256);
}

#[test]
fn retry_action_is_read_in_any_case_and_written_in_lower_case() {
    for given in ["retry", "RETRY", "Retry"] {
        let decoded: batch::EvaluateOnExit = serde_json::from_value(json!({ "action": given })).unwrap();
        assert_eq!(decoded.action, batch::RetryAction::Retry);
        assert_eq!(serde_json::to_value(decoded).unwrap(), json!({ "action": "retry" }));
    }
}

#[test]
fn responses_fill_up_from_their_default() {
    let job =
        batch::JobDetail { job_id: "1".into(), status: batch::JobStatus::Pending, ..Default::default() };
    let want =
        json!({ "jobDefinition": "", "jobId": "1", "jobName": "", "jobQueue": "", "status": "PENDING" });
    assert_eq!(serde_json::to_value(job).unwrap(), want);
    let _ = batch::ContainerDetail { exit_code: Some(1), ..Default::default() };
    let _ = batch::ComputeEnvironmentDetail { uuid: Some(String::new()), ..Default::default() };
}

/// If the check lets `body` through, it decodes. Says whether it did.
fn check_then_decode<R: Request>(mut body: Value) -> bool {
    let passes = check(R::SHAPE, &mut body).is_ok();
    if passes && let Err(error) = serde_json::from_value::<R>(body.clone()) {
        panic!("checked, but {error}: {body}");
    }
    passes
}

/// `Operation(Input)` of every operation, as the match over all of them proves.
macro_rules! operations {
    ($($service:ident: $($operation:ident($input:ident))*;)*) => {$(
        fn $service(operation: $service::Operation, body: Value) -> bool {
            match operation {
                $($service::Operation::$operation => check_then_decode::<$service::$input>(body),)*
            }
        }
    )*};
}

operations! {
    batch:
        CancelJob(CancelJobRequest) CancelJobs(CancelJobsRequest)
        CreateComputeEnvironment(CreateComputeEnvironmentRequest)
        CreateConsumableResource(CreateConsumableResourceRequest)
        CreateJobQueue(CreateJobQueueRequest) CreateQuotaShare(CreateQuotaShareRequest)
        CreateSchedulingPolicy(CreateSchedulingPolicyRequest)
        CreateServiceEnvironment(CreateServiceEnvironmentRequest)
        DeleteComputeEnvironment(DeleteComputeEnvironmentRequest)
        DeleteConsumableResource(DeleteConsumableResourceRequest)
        DeleteJobQueue(DeleteJobQueueRequest) DeleteQuotaShare(DeleteQuotaShareRequest)
        DeleteSchedulingPolicy(DeleteSchedulingPolicyRequest)
        DeleteServiceEnvironment(DeleteServiceEnvironmentRequest)
        DeregisterJobDefinition(DeregisterJobDefinitionRequest)
        DescribeComputeEnvironments(DescribeComputeEnvironmentsRequest)
        DescribeConsumableResource(DescribeConsumableResourceRequest)
        DescribeJobDefinitions(DescribeJobDefinitionsRequest)
        DescribeJobQueues(DescribeJobQueuesRequest) DescribeJobs(DescribeJobsRequest)
        DescribeQuotaShare(DescribeQuotaShareRequest)
        DescribeSchedulingPolicies(DescribeSchedulingPoliciesRequest)
        DescribeServiceEnvironments(DescribeServiceEnvironmentsRequest)
        DescribeServiceJob(DescribeServiceJobRequest)
        GetJobQueueSnapshot(GetJobQueueSnapshotRequest)
        ListConsumableResources(ListConsumableResourcesRequest) ListJobs(ListJobsRequest)
        ListJobsByConsumableResource(ListJobsByConsumableResourceRequest)
        ListQuotaShares(ListQuotaSharesRequest)
        ListSchedulingPolicies(ListSchedulingPoliciesRequest)
        ListServiceJobs(ListServiceJobsRequest) ListTagsForResource(ListTagsForResourceRequest)
        RegisterJobDefinition(RegisterJobDefinitionRequest) SubmitJob(SubmitJobRequest)
        SubmitServiceJob(SubmitServiceJobRequest) TagResource(TagResourceRequest)
        TerminateJob(TerminateJobRequest) TerminateJobs(TerminateJobsRequest)
        TerminateServiceJob(TerminateServiceJobRequest)
        TerminateServiceJobs(TerminateServiceJobsRequest) UntagResource(UntagResourceRequest)
        UpdateComputeEnvironment(UpdateComputeEnvironmentRequest)
        UpdateConsumableResource(UpdateConsumableResourceRequest)
        UpdateJobQueue(UpdateJobQueueRequest) UpdateQuotaShare(UpdateQuotaShareRequest)
        UpdateSchedulingPolicy(UpdateSchedulingPolicyRequest)
        UpdateServiceEnvironment(UpdateServiceEnvironmentRequest)
        UpdateServiceJob(UpdateServiceJobRequest);
    logs:
        CreateLogGroup(CreateLogGroupRequest) CreateLogStream(CreateLogStreamRequest)
        DeleteLogGroup(DeleteLogGroupRequest) DeleteRetentionPolicy(DeleteRetentionPolicyRequest)
        DescribeLogGroups(DescribeLogGroupsRequest) DescribeLogStreams(DescribeLogStreamsRequest)
        FilterLogEvents(FilterLogEventsRequest) GetLogEvents(GetLogEventsRequest)
        PutLogEvents(PutLogEventsRequest) PutRetentionPolicy(PutRetentionPolicyRequest)
        StartLiveTail(StartLiveTailRequest);
}

/// Any JSON, biased to what sits close to a limit of some type.
fn any_json() -> BoxedStrategy<Value> {
    let edges = [
        json!(null),
        json!(3.0),
        json!(-0.0),
        json!(1e300),
        json!(i64::from(i32::MAX) + 1),
        json!(i32::MIN),
        json!(u64::MAX),
        json!(i64::MIN),
        json!("RETRY"),
        json!("retry"),
        json!(""),
    ];
    let leaf = prop_oneof![
        4 => select(edges.to_vec()),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            hash_map("[a-z]{0,3}", inner, 0..3).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
    .boxed()
}

/// JSON that mostly satisfies `shape`, patterns and lengths of strings aside.
fn json_of(shape: &'static Shape) -> BoxedStrategy<Value> {
    match shape {
        Shape::Structure(members) => {
            let members = members.iter().map(|member| {
                let value = json_of(member.shape);
                let value = if member.required {
                    value.prop_map(Some).boxed()
                } else {
                    option::weighted(0.2, value).boxed()
                };
                value.prop_map(|value| (member.name, value))
            });
            let members: Vec<_> = members.collect();
            members
                .prop_map(|members| {
                    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
                })
                .prop_map(Value::Object)
                .boxed()
        }
        Shape::List { member, min, .. } => {
            let min = min.unwrap_or(0);
            vec(json_of(member), min..min + 2).prop_map(Value::from).boxed()
        }
        Shape::Map { value, min, .. } => {
            let min = min.unwrap_or(0);
            let entries = hash_map("[a-z]{4}", json_of(value), min..min + 2);
            entries.prop_map(|map| Value::Object(map.into_iter().collect())).boxed()
        }
        Shape::String { .. } => "[a-z]{1,12}|[0-9]{12}|\\PC{1,4}".prop_map(Value::from).boxed(),
        Shape::Enum { values, .. } => select(*values).prop_map(Value::from).boxed(),
        Shape::Integer { min, max } => {
            (min.unwrap_or(i32::MIN.into())..=max.unwrap_or(i32::MAX.into())).prop_map(Value::from).boxed()
        }
        Shape::Long { min, max } => {
            (min.unwrap_or(i64::MIN)..=max.unwrap_or(i64::MAX)).prop_map(Value::from).boxed()
        }
        Shape::Float => any::<f32>().prop_map(Value::from).boxed(),
        Shape::Double => {
            prop_oneof![any::<f64>().prop_map(Value::from), any::<i64>().prop_map(Value::from)].boxed()
        }
        Shape::Boolean => any::<bool>().prop_map(Value::from).boxed(),
    }
}

/// Puts `graft` in the place of a value somewhere in `body`.
fn mutate(body: &mut Value, path: &[Index], graft: Value) {
    if let [first, rest @ ..] = path {
        let mut inner: Vec<&mut Value> = match body {
            Value::Array(items) => items.iter_mut().collect(),
            Value::Object(map) => map.values_mut().collect(),
            _ => vec![],
        };
        if !inner.is_empty() {
            let chosen = first.index(inner.len());
            return mutate(inner[chosen], rest, graft);
        }
    }
    *body = graft;
}

/// Runs `accepts` on valid and on broken bodies, and requires that a good part of the valid ones passes.
fn bodies(shape: &'static Shape, cases: u32, accepts: impl Fn(Value) -> bool) {
    let mut runner =
        proptest::test_runner::TestRunner::new(ProptestConfig { cases, ..ProptestConfig::default() });
    let passed = std::cell::Cell::new(0);
    let input = (json_of(shape), vec(any::<Index>(), 0..6), any_json());
    let outcome = runner.run(&input, |(body, path, graft)| {
        passed.set(passed.get() + u32::from(accepts(body.clone())));
        let mut broken = body;
        mutate(&mut broken, &path, graft);
        accepts(broken);
        Ok(())
    });
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(passed.get() > cases / 8, "only {} of {cases} valid bodies passed", passed.get());
}

#[test]
fn what_passes_the_check_decodes() {
    for &operation in batch::Operation::ALL {
        bodies(operation.input_shape(), 100, |body| batch(operation, body));
    }
    for &operation in logs::Operation::ALL {
        bodies(operation.input_shape(), 100, |body| logs(operation, body));
    }
}
