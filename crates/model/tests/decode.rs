//! Requests as clients send them.

use fornada_model::{Request, batch, decode};
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
