//! The words for what is wrong with a request.

use fornada_model::{Request, Shape, batch, decode, logs};
use serde_json::{Value, json};

fn message<R: Request + std::fmt::Debug>(body: Value) -> String {
    decode::<R>(body)
        .map_or_else(|violations| violations.to_string(), |request| panic!("accepted: {request:?}"))
}

#[test]
fn violations_read_as_the_service_words_them() {
    let submit = message::<batch::SubmitJobRequest>;
    let create = message::<batch::CreateComputeEnvironmentRequest>;
    let groups = message::<logs::DescribeLogGroupsRequest>;
    let cases = [
        (
            submit(json!({ "jobQueue": "q", "jobDefinition": "d", "jobName": null })),
            "1 validation error detected: Value null at 'jobName' failed to satisfy constraint: \
             Member must not be null",
        ),
        (
            submit(json!({ "jobName": "n", "dependsOn": [{}, { "type": "BOTH" }], "jobDefinition": "d" })),
            "2 validation errors detected: Value 'BOTH' at 'dependsOn.2.member.type' failed to satisfy constraint: \
             Member must satisfy enum value set: [N_TO_N, SEQUENTIAL, AFTER_ANY]; Value null at 'jobQueue' failed to satisfy \
             constraint: Member must not be null",
        ),
        (
            create(
                json!({ "computeEnvironmentName": "c", "type": "MANAGED", "computeResources": { "type": "spot" } }),
            ),
            "2 validation errors detected: Value null at 'computeResources.maxvCpus' failed to satisfy constraint: \
             Member must not be null; Value 'spot' at 'computeResources.type' failed to satisfy constraint: Member \
             must satisfy enum value set: [EC2, SPOT, FARGATE, FARGATE_SPOT, ECS_MANAGED_INSTANCES]",
        ),
        (
            groups(json!({ "limit": 51, "logGroupNamePrefix": "a b" })),
            "2 validation errors detected: Value '51' at 'limit' failed to satisfy constraint: Member must have \
             value less than or equal to 50; Value 'a b' at 'logGroupNamePrefix' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+",
        ),
        (
            groups(json!({ "limit": 0, "nextToken": "" })),
            "2 validation errors detected: Value '0' at 'limit' failed to satisfy constraint: Member must have \
             value greater than or equal to 1; Value '' at 'nextToken' failed to satisfy constraint: Member must \
             have length greater than or equal to 1",
        ),
        (
            message::<batch::UntagResourceRequest>(json!({ "resourceArn": "a", "tagKeys": ["k", ""] })),
            "1 validation error detected: Value '[k, ]' at 'tagKeys' failed to satisfy constraint: Member must \
             satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater \
             than or equal to 1]",
        ),
        (
            message::<batch::TagResourceRequest>(json!({ "resourceArn": "a", "tags": { "": "v" } })),
            "1 validation error detected: Value '{=v}' at 'tags' failed to satisfy constraint: Map keys must \
             satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater \
             than or equal to 1]",
        ),
    ];
    for (got, want) in cases {
        assert_eq!(got, want);
    }
}

#[test]
fn a_wrong_json_type_is_the_whole_message() {
    let submit = |member: &str, value: Value| message::<batch::SubmitJobRequest>(json!({ member: value }));
    let cases = [
        (
            submit("retryStrategy", json!({ "attempts": "3" })),
            "Value at 'retryStrategy.attempts' must be an integer, got a string.",
        ),
        (
            submit("retryStrategy", json!({ "attempts": 3.0 })),
            "Value at 'retryStrategy.attempts' must be an integer, got the number 3.0.",
        ),
        (
            submit("timeout", json!({ "attemptDurationSeconds": 3_000_000_000_i64 })),
            "Value at 'timeout.attemptDurationSeconds' must be an integer of 32 bits, got the number 3000000000.",
        ),
        (submit("tags", json!({ "a": 1 })), "Value at 'tags.a.member' must be a string, got the number 1."),
        (submit("dependsOn", json!({})), "Value at 'dependsOn' must be a list, got an object."),
        (submit("propagateTags", json!("yes")), "Value at 'propagateTags' must be a boolean, got a string."),
        (message::<batch::SubmitJobRequest>(json!([])), "The request body must be an object, got a list."),
        (message::<batch::SubmitJobRequest>(Value::Null), "The request body must be an object, got null."),
    ];
    for (got, want) in cases {
        assert_eq!(got, want);
    }
}

#[test]
fn null_is_absent_and_unknown_members_are_ignored() {
    let body = json!({ "jobs": ["a"], "later": { "deep": [1] } });
    let request: batch::DescribeJobsRequest = decode(body).unwrap();
    assert_eq!(request.jobs, ["a"]);
    let request: batch::DescribeJobQueuesRequest = decode(json!({ "maxResults": null })).unwrap();
    assert_eq!(request.max_results, None);
    assert!(
        message::<batch::DescribeJobsRequest>(json!({ "jobs": [null] })).contains("null at 'jobs.1.member'")
    );
}

#[test]
fn a_hostile_body_gets_a_short_answer() {
    let body = json!({ "jobs": vec![Value::Null; 100_000] });
    assert!(message::<batch::DescribeJobsRequest>(body).len() < 20_000);
    let long = "é".repeat(1_000_000);
    let body = json!({ "computeEnvironmentName": "c", "type": long, "tags": { long.clone(): null } });
    assert!(message::<batch::CreateComputeEnvironmentRequest>(body).len() < 4_000);
}

/// A pattern that does not compile matches nothing, so each must match one of these examples.
#[test]
fn every_pattern_compiles() {
    fn visit(shape: &Shape, visited: &mut usize) {
        match shape {
            Shape::Structure(members) => members.iter().for_each(|member| visit(member.shape, visited)),
            Shape::List { member, .. } => visit(member, visited),
            Shape::Map { key, value, .. } => [key, value].into_iter().for_each(|shape| visit(shape, visited)),
            Shape::String { pattern: Some(pattern), .. } => {
                let examples = ["123456789012", "/aws/batch/job", ""];
                assert!(examples.iter().any(|example| pattern.is_match(example)), "{pattern:?}");
                assert!(!pattern.is_match("*\n*"), "{pattern:?}");
                *visited += 1;
            }
            _ => {}
        }
    }
    let mut visited = 0;
    let shapes = batch::Operation::ALL.iter().map(|operation| operation.input_shape());
    for shape in shapes.chain(logs::Operation::ALL.iter().map(|operation| operation.input_shape())) {
        visit(shape, &mut visited);
    }
    assert!(visited > 0);
}
