//! Jobs of every kind, from registration to description.

use fornada_core::attempt::{AttemptReport, ContainerOutcome, Host, Observation, Outcome};
use fornada_core::id::AttemptId;
use fornada_core::id::TaskId;
use fornada_core::quantity::Resources;
use fornada_core::resource::compute_environment::Platform;
use fornada_core::resource::{compute_environment as ce, job_queue as queue};
use fornada_core::text::Document;
use fornada_core::turn::Turn;
use serde_json::{Value, json};

use super::super::{job_definitions, submit_job};
use super::*;
use crate::limits::Limits;

fn scope() -> Scope {
    Scope { region: "eu-west-1".into(), account: "111111111111".into() }
}

/// A state with a machine, and queue `q` on environment `e`.
struct World {
    state: State,
    now: Timestamp,
}

impl World {
    fn new(platform: Platform) -> World {
        let mut world = World { state: State::default(), now: Timestamp(1000) };
        let eks = json!({ "eksConfiguration": { "eksClusterArn": "arn:cluster", "kubernetesNamespace": "batch" },
            "computeEnvironmentName": "", "computeEnvironmentArn": "" });
        let (environment, q) =
            (scope().resolve("compute-environment", "e"), scope().resolve("job-queue", "q"));
        world.turn(|turn| {
            let given = ce::Specification {
                arn: environment.clone(),
                platform,
                enabled: true,
                max_vcpus: Some(100),
                scaling: None,
                document: Document::new(eks.to_string()),
            };
            turn.create_compute_environment(given, Default::default()).unwrap();
        });
        world.turn(|_| ()); // it settles
        world.turn(|turn| {
            let environments = vec![environment];
            let document = Document::default();
            let given = queue::Specification {
                arn: q,
                enabled: true,
                priority: 1,
                environments,
                scheduling_policy: None,
                service_environment: None,
                time_limits: None,
                document,
            };
            turn.create_job_queue(given, Default::default()).unwrap();
            let capacity = Resources { milli_vcpus: 100_000, memory_mib: 100_000, gpus: 0 };
            let host = Host {
                instance_id: "i-0123456789abcdef0".into(),
                incarnation: TaskId(1),
                capacity,
                architecture: None,
            };
            turn.observe(Observation::Connected(host, Vec::new()));
        });
        world
    }

    fn turn<R>(&mut self, change: impl FnOnce(&mut Turn<'_>) -> R) -> R {
        self.now = self.now.plus_seconds(60);
        let mut turn =
            Turn::begin(&mut self.state, self.now, u128::from(self.now.as_millis().cast_unsigned()));
        let result = change(&mut turn);
        drop(turn.finish());
        self.state.check();
        result
    }

    /// Registers `definition` and submits a job of it.
    fn submit(&mut self, definition: Value, submission: Value) -> JobId {
        let with = |mut base: Value, more: Value| {
            base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            base
        };
        let limits = Limits::default();
        let definition = with(json!({ "jobDefinitionName": "d", "type": "container" }), definition);
        let definition =
            job_definitions::definition(&scope(), serde_json::from_value(definition).unwrap(), &limits)
                .unwrap();
        let submission = with(json!({ "jobName": "j", "jobQueue": "q", "jobDefinition": "d" }), submission);
        let submission =
            submit_job::submission(&scope(), serde_json::from_value(submission).unwrap(), &limits, false)
                .unwrap();
        self.turn(|turn| {
            turn.register_job_definition(&scope(), "d", definition);
            JobId::whole(turn.submit_job(&scope(), submission).unwrap().id)
        })
    }

    fn attempt(&self, id: JobId) -> AttemptId {
        self.state.find(id).unwrap().1.current_attempt(id).unwrap()
    }

    fn started(&mut self, id: JobId) {
        let (attempt, at) = (self.attempt(id), self.now);
        self.turn(|turn| turn.observe(Observation::Started(attempt, at)));
    }

    fn ended(&mut self, id: JobId, outcome: Outcome) {
        let attempt = self.attempt(id);
        let report = AttemptReport { attempt, started_at: Some(self.now), ended: Some((self.now, outcome)) };
        self.turn(|turn| turn.observe(Observation::Exited(report)));
    }

    fn detail(&self, id: JobId) -> Value {
        let detail = View::of(&self.state, &scope(), id).unwrap().detail().unwrap();
        serde_json::to_value(detail).unwrap()
    }
}

/// Exit codes by container; `None` for one that never started.
fn outcome(exit_code: i32, containers: &[(&str, Option<i32>)]) -> Outcome {
    let one = |&(name, exit_code): &(&str, Option<i32>)| ContainerOutcome {
        name: name.into(),
        exit_code,
        reason: None,
        started: exit_code.is_some(),
    };
    let containers = (!containers.is_empty()).then(|| containers.iter().map(one).collect());
    Outcome { exit_code: Some(exit_code), containers, ..Outcome::without_process(None) }
}

fn needs(vcpus: &str) -> Value {
    json!([{ "type": "VCPU", "value": vcpus }, { "type": "MEMORY", "value": "64" }])
}

#[test]
fn a_task_of_two_containers() {
    let mut world = World::new(Platform::Ec2);
    let containers = json!([
        { "name": "side", "image": "s", "essential": false, "resourceRequirements": needs("1") },
        { "name": "main", "image": "m", "command": ["run", "Ref::x"], "resourceRequirements": needs("2"),
            "environment": [{ "name": "A", "value": "1" }], "secrets": [{ "name": "S", "valueFrom": "/s" }] },
    ]);
    let change = json!({ "name": "main", "environment": [{ "name": "A", "value": "2" }],
        "resourceRequirements": [{ "type": "VCPU", "value": "4" }] });
    let id = world.submit(
        json!({ "ecsProperties": { "taskProperties": [{ "containers": containers, "taskRoleArn": "r" }] },
            "retryStrategy": { "attempts": 2 } }),
        json!({ "parameters": { "x": "y" }, "arrayProperties": { "size": 2 },
            "ecsPropertiesOverride": { "taskProperties": [{ "containers": [change] }] } }),
    );
    let id = JobId::child(id.job, 1);
    let starting = world.detail(id);
    let task = &starting["ecsProperties"]["taskProperties"][0];
    let arn = task["taskArn"].as_str().unwrap();
    assert!(arn.starts_with("arn:aws:ecs:eu-west-1:111111111111:task/AWSBatch-e-"), "{arn}");
    let main = &task["containers"][1];
    assert_eq!(main["command"], json!(["run", "y"]));
    assert_eq!(main["environment"], json!([{ "name": "A", "value": "2" }]));
    assert_eq!(main["resourceRequirements"], needs("4").as_array().map(|all| json!(all)).unwrap());
    assert_eq!(main["secrets"], json!([{ "name": "S", "valueFrom": "/s" }]));
    assert_eq!((&main["essential"], &main["networkInterfaces"]), (&json!(true), &json!([])));
    assert_eq!((&main["logStreamName"], &starting["container"]), (&Value::Null, &Value::Null));

    world.started(id);
    let running = world.detail(id);
    let stream = running["ecsProperties"]["taskProperties"][0]["containers"][1]["logStreamName"].clone();
    assert!(stream.as_str().unwrap().starts_with("d/main/"), "{stream}");

    world.ended(id, outcome(1, &[("side", None), ("main", Some(1))]));
    world.started(id);
    world.ended(id, outcome(0, &[("side", Some(143)), ("main", Some(0))]));
    let ended = world.detail(id);
    assert_eq!(ended["status"], "SUCCEEDED");
    let containers = |attempt: usize| &ended["attempts"][attempt]["taskProperties"][0]["containers"];
    let codes = |all: &Value| [0, 1].map(|i| all[i]["exitCode"].as_i64());
    assert_eq!(codes(containers(0)), [None, Some(1)]);
    assert_eq!(containers(0)[0], json!({ "name": "side", "networkInterfaces": [] }), "it never started");
    assert_eq!(containers(0)[1]["logStreamName"], stream);
    assert_eq!(codes(containers(1)), [Some(143), Some(0)]);
    assert_eq!(codes(&ended["ecsProperties"]["taskProperties"][0]["containers"]), [Some(143), Some(0)]);
}

#[test]
fn a_pod() {
    let mut world = World::new(Platform::Eks);
    let limits = json!({ "limits": { "cpu": "1", "memory": "64Mi" } });
    let pod = json!({ "containers": [{ "image": "m", "args": ["Ref::x"], "resources": limits }],
        "initContainers": [{ "name": "setup", "image": "i", "resources": limits }],
        "metadata": { "labels": { "a": "1" } } });
    let change = json!({ "containers": [{ "name": "Default", "image": "n", "command": ["sh"],
            "resources": { "limits": { "memory": "128Mi" } } }],
        "metadata": { "labels": { "b": "2" } } });
    let id = world.submit(
        json!({ "eksProperties": { "podProperties": pod } }),
        json!({ "parameters": { "x": "y" }, "eksPropertiesOverride": { "podProperties": change } }),
    );
    world.started(id);
    let running = world.detail(id);
    let pod = &running["eksProperties"]["podProperties"];
    assert_eq!(pod["metadata"]["labels"], json!({ "a": "1", "b": "2" }));
    let main = &pod["containers"][0];
    assert_eq!((&main["image"], &main["name"]), (&json!("n"), &json!("Default")));
    assert_eq!((&main["command"], &main["args"]), (&json!(["sh"]), &json!(["y"])));
    assert_eq!(main["resources"]["limits"], json!({ "cpu": "1", "memory": "128Mi" }));
    assert_eq!(pod["initContainers"][0]["image"], "i");
    assert!(pod["podName"].as_str().unwrap().starts_with("aws-batch."));

    world.ended(id, outcome(0, &[("setup", Some(0)), ("Default", Some(0))]));
    let ended = world.detail(id);
    let attempt = &ended["eksAttempts"][0];
    assert_eq!(attempt["initContainers"], json!([{ "name": "setup", "exitCode": 0, "reason": "Completed" }]));
    assert_eq!(attempt["containers"], json!([{ "name": "Default", "exitCode": 0, "reason": "Completed" }]));
    assert_eq!(
        (&attempt["podNamespace"], &attempt["eksClusterArn"]),
        (&json!("batch"), &json!("arn:cluster"))
    );
    assert_eq!(attempt["podName"], pod["podName"]);
    assert_eq!((&ended["attempts"], &ended["container"]), (&json!([]), &Value::Null));
}

#[test]
fn nodes_and_their_parent() {
    let mut world = World::new(Platform::Ec2);
    let container = |image: &str| json!({ "image": image, "resourceRequirements": needs("1") });
    let ranges = json!([{ "targetNodes": "0", "container": container("main") },
        { "targetNodes": "1:", "container": container("rest") }]);
    let nodes = json!({ "mainNode": 0, "numNodes": 2, "nodeRangeProperties": ranges });
    let change = json!([{ "targetNodes": "1:", "containerOverrides": { "command": ["x"] } }]);
    let id = world.submit(
        json!({ "type": "multinode", "nodeProperties": nodes }),
        json!({ "nodeOverrides": { "numNodes": 3, "nodePropertyOverrides": change } }),
    );
    let [main, one] = [0, 1].map(|node| JobId::node(id.job, node));
    world.started(main);
    world.started(one);
    let parent = world.detail(id);
    assert_eq!((&parent["status"], &parent["container"]), (&json!("RUNNING"), &Value::Null));
    let properties = &parent["nodeProperties"];
    assert_eq!((&properties["numNodes"], &properties["mainNode"]), (&json!(3), &json!(0)));
    let commands = [0, 1].map(|range| &properties["nodeRangeProperties"][range]["container"]["command"]);
    assert_eq!(commands, [&json!([]), &json!(["x"])]);
    assert_eq!(properties["nodeRangeProperties"][1]["targetNodes"], "1:");

    let node = world.detail(one);
    assert_eq!(node["jobId"], one.to_string());
    assert_eq!(node["nodeDetails"], json!({ "isMainNode": false, "nodeIndex": 1 }));
    assert_eq!((&node["nodeProperties"], &node["container"]["image"]), (&Value::Null, &json!("rest")));
    assert_eq!(node["container"]["command"], json!(["x"]));
    let address = node["container"]["networkInterfaces"][0]["privateIpv4Address"].as_str().unwrap();
    assert!(address.starts_with("127."), "{address}");

    world.ended(main, outcome(3, &[]));
    world.ended(one, outcome(143, &[]));
    let waiting = JobId::node(id.job, 2); // was asked to start, and never did
    world.ended(waiting, outcome(143, &[]));
    let parent = world.detail(id);
    assert_eq!(
        (&parent["status"], &parent["attempts"][0]["container"]["exitCode"]),
        (&json!("FAILED"), &json!(3))
    );
    let mains = world.detail(main);
    assert_eq!(parent["attempts"], mains["attempts"], "the parent mirrors its main node");
    assert_eq!(parent["statusReason"], mains["statusReason"]);
    let address_after = &world.detail(one)["attempts"][0]["container"]["networkInterfaces"];
    assert_eq!(address_after[0]["privateIpv4Address"], address);
    assert_eq!(mains["nodeDetails"], json!({ "isMainNode": true, "nodeIndex": 0 }));
}
