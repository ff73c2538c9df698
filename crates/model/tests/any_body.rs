//! What holds for any body of any operation: it decodes or is refused in a message of bounded size; what passes the check
//! decodes; what was decoded encodes to a body that decodes to the same; null and unknown members change nothing.
//!
//! Each operation gets a quarter of `PROPTEST_CASES`.

use fornada_model::{Request, Shape, batch, check, decode, logs};
use proptest::collection::{hash_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use serde::Serialize;
use serde_json::{Value, json};

/// Bytes of the longest message there can be: 100 violations, each with a path, the start of a value and a constraint.
const MESSAGE_MAX: usize = 100 * 4096;

/// The body as it reads, encoded again; `None` if it is refused.
fn decodes<R: Request + Serialize>(body: &Value) -> Option<Value> {
    let mut checked = body.clone();
    if let Err(violations) = check(R::SHAPE, &mut checked) {
        let message = violations.to_string();
        assert!(!message.is_empty() && message.len() <= MESSAGE_MAX, "{message}");
        return None;
    }
    let encode = |body: &Value| match decode::<R>(body.clone()) {
        Ok(request) => serde_json::to_value(request).expect("encodes"),
        Err(error) => panic!("checked, but {error}: {body}"),
    };
    let read = encode(&checked);
    assert_eq!(encode(&read), read, "read again, it is the same");
    Some(read)
}

/// `Operation(Input)` of every operation, as the match over all of them proves.
macro_rules! operations {
    ($($service:ident: $($operation:ident($input:ident))*;)*) => {$(
        fn $service(operation: $service::Operation, body: &Value) -> Option<Value> {
            match operation {
                $($service::Operation::$operation => decodes::<$service::$input>(body),)*
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

/// Adds to every structure of `body` a member that it does not know, and null for each that is absent.
fn add_noise(shape: &Shape, body: &mut Value, noise: &Value) {
    match (shape, body) {
        (Shape::Structure(members), Value::Object(object)) => {
            for member in *members {
                let value = object.entry(member.name).or_insert(Value::Null);
                add_noise(member.shape, value, noise);
            }
            object.insert("noSuchMember".into(), noise.clone());
        }
        (Shape::List { member, .. }, Value::Array(items)) => {
            items.iter_mut().for_each(|item| add_noise(member, item, noise));
        }
        (Shape::Map { value: shape, .. }, Value::Object(entries)) => {
            entries.values_mut().for_each(|value| add_noise(shape, value, noise));
        }
        _ => {}
    }
}

/// Runs `read` on valid, on noisy and on broken bodies, and requires that a good part of the valid ones passes.
fn bodies(shape: &'static Shape, read: impl Fn(&Value) -> Option<Value>) {
    let config = ProptestConfig::default();
    let cases = config.cases / 4;
    let config = ProptestConfig { cases, ..config };
    let passed = std::cell::Cell::new(0);
    let mutation = (vec(any::<Index>(), 0..6), any_json());
    let input = (json_of(shape), any_json(), vec(mutation, 1..3));
    let outcome = TestRunner::new(config).run(&input, |(body, noise, mutations)| {
        let mut noisy = body.clone();
        add_noise(shape, &mut noisy, &noise);
        let decoded = read(&body);
        prop_assert_eq!(&read(&noisy), &decoded);
        passed.set(passed.get() + u32::from(decoded.is_some()));
        let mut broken = body;
        for (path, graft) in mutations {
            mutate(&mut broken, &path, graft);
            read(&broken);
        }
        Ok(())
    });
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(passed.get() > cases / 8, "only {} of {cases} valid bodies passed", passed.get());
}

#[test]
fn any_body_of_batch() {
    for &operation in batch::Operation::ALL {
        bodies(operation.input_shape(), |body| batch(operation, body));
    }
}

#[test]
fn any_body_of_logs() {
    for &operation in logs::Operation::ALL {
        bodies(operation.input_shape(), |body| logs(operation, body));
    }
}

/// The worst that can be asked for: long keys, long values, wrong in every way, many times over.
#[test]
fn the_longest_message_is_bounded() {
    let (key, long) = ("é".repeat(10_000), "é".repeat(10_000));
    let requirement = json!({ "type": long, "value": long });
    let body = json!({
        "jobDefinitionName": long, "type": long,
        "containerProperties": {
            "resourceRequirements": vec![requirement; 1000],
            "logConfiguration": { "logDriver": long, "options": { key.clone(): long } },
        },
        "tags": { key: long },
    });
    assert_eq!(batch(batch::Operation::RegisterJobDefinition, &body), None);
}
