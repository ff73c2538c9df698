//! Tasks of several containers, secrets, addresses: a real node and real processes. Each test waits for what it wants to
//! see, with a deadline.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test program has no users, and may panic")]

#[allow(dead_code, reason = "the harness has more than one test program needs")]
mod harness;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use fornada_core::attempt::{Action, ContainerOutcome, Launch, LaunchContainer, Observation, Outcome};
use fornada_core::container::{Condition, ContainerDependency};
use fornada_core::task::TaskKind;
use fornada_core::text::{Document, Text};
use fornada_node::Claim;
use harness::{Node, launch, sh, start};

/// An attempt of containers with these names and scripts, all essential.
fn task(kind: TaskKind, containers: &[(&str, &str)]) -> Launch {
    let mut task = launch();
    task.kind = kind;
    let template = task.containers.remove(0);
    task.containers = Vec::from_iter(containers.iter().map(|(name, script)| LaunchContainer {
        name: (*name).into(),
        command: ["sh", "-c", script].map(Into::into).to_vec(),
        log_stream: format!("test/{name}/{}", task.task_id).into(),
        ..template.clone()
    }));
    task.resources.milli_vcpus = 1000 * containers.len() as u64;
    task.resources.memory_mib = 128 * containers.len() as u64;
    task
}

fn after(container: &str, condition: Condition) -> Vec<ContainerDependency> {
    vec![ContainerDependency { container: container.into(), condition }]
}

/// Name, exit code and whether it started, of each container.
fn ends(outcome: &Outcome) -> Vec<(&str, Option<i32>, bool)> {
    let containers = outcome.containers.as_ref().unwrap();
    containers
        .iter()
        .map(|ContainerOutcome { name, exit_code, started, .. }| (&**name, *exit_code, *started))
        .collect()
}

async fn outcome_of(node: &mut Node, launch: Launch) -> Outcome {
    node.run(launch).await.ended.unwrap().1
}

#[tokio::test]
async fn an_essential_end_stops_the_others_and_decides() {
    let mut node = Node::start().await;
    let mut job = task(
        TaskKind::Ecs,
        &[
            ("setup", "echo setup; exit 0"),
            ("helper", "exit 5"),
            ("app", "echo app; until [ -e $DIR/polite ] && [ -e $DIR/deaf ]; do sleep 0.01; done; exit 3"),
            (
                "polite",
                "exec 2>/dev/null; trap 'exit 0' TERM; touch $DIR/polite; while :; do sleep 0.01; done",
            ),
            (
                "deaf",
                "exec 2>/dev/null; trap '' TERM; sleep 1000 & touch $DIR/deaf; while :; do sleep 1; done",
            ),
            ("late", "echo never"),
        ],
    );
    let dir: Text = node.dir().to_str().unwrap().into();
    job.containers.iter_mut().for_each(|container| container.environment = vec![("DIR".into(), dir.clone())]);
    (job.containers[0].essential, job.containers[1].essential) = (false, false);
    job.containers[2].depends_on = after("setup", Condition::Success);
    job.containers[3].depends_on = after("helper", Condition::Complete);
    job.containers[5].depends_on = after("deaf", Condition::Complete);
    let report = node.run(job).await;
    let (ended_at, outcome) = report.ended.unwrap();
    assert!(report.started_at.unwrap() <= ended_at);
    assert_eq!((outcome.exit_code, outcome.reason.as_deref()), (Some(3), None));
    let want = [
        ("setup", Some(0), true),
        ("helper", Some(5), true),
        ("app", Some(3), true),
        ("polite", Some(0), true),
        ("deaf", Some(137), true),
        ("late", None, false),
    ];
    assert_eq!(ends(&outcome), want);
    assert_eq!(node.lines(), ["setup", "app"]);
}

#[tokio::test]
async fn a_pod_runs_its_init_containers_first_and_all_others_to_their_end() {
    let mut node = Node::start().await;
    let mut pod =
        task(TaskKind::Eks, &[("first", "echo 1"), ("second", "echo 2"), ("a", "echo a"), ("b", "")]);
    (pod.containers[0].init, pod.containers[1].init) = (true, true);
    pod.containers[2].depends_on = after("b", Condition::Success);
    let b = &mut pod.containers[3];
    b.environment =
        [("A", "one"), ("B", "$(A)-two"), ("C", "$$(A)")].map(|(n, v)| (n.into(), v.into())).to_vec();
    b.entry_point = ["sh", "-c"].map(Into::into).to_vec();
    b.command = ["echo \"$0 $1 $B $C\"", "$(B)", "$(NONE)$$(A)"].map(Into::into).to_vec();
    let outcome = outcome_of(&mut node, pod).await;
    assert_eq!((outcome.exit_code, outcome.reason.as_deref()), (Some(0), None));
    assert_eq!(node.lines(), ["1", "2", "one-two $(NONE)$(A) one-two $(A)", "a"]);

    let mut broken = task(TaskKind::Eks, &[("i", "exit 4"), ("j", "echo never"), ("a", "echo never")]);
    (broken.containers[0].init, broken.containers[1].init) = (true, true);
    let outcome = outcome_of(&mut node, broken).await;
    assert_eq!(outcome.exit_code, Some(4));
    assert_eq!(ends(&outcome), [("i", Some(4), true), ("j", None, false), ("a", None, false)]);
    assert_eq!(node.lines(), [""; 0]);
}

#[tokio::test]
async fn what_cannot_start_says_why_and_stops_the_rest() {
    let mut node = Node::start().await;
    let mut job = task(TaskKind::Ecs, &[("a", "exec sleep 1000"), ("b", "")]);
    job.containers[1].command = vec!["no-such-program".into()];
    job.containers[1].depends_on = after("a", Condition::Start);
    let outcome = outcome_of(&mut node, job).await;
    let reason = "CannotStartContainerError: exec: \"no-such-program\": executable file not found in $PATH";
    assert_eq!((outcome.exit_code, outcome.reason.as_deref()), (None, Some(reason)));
    assert_eq!(ends(&outcome), [("a", Some(143), true), ("b", None, false)]);

    let mut job = task(TaskKind::Ecs, &[("setup", "exit 9"), ("app", "echo never")]);
    job.containers[0].essential = false;
    job.containers[1].depends_on = after("setup", Condition::Success);
    let outcome = outcome_of(&mut node, job).await;
    assert!(outcome.reason.as_ref().unwrap().contains("[setup] for target [app]"), "{outcome:?}");
    assert_eq!(ends(&outcome), [("setup", Some(9), true), ("app", None, false)]);

    let mut circle = task(TaskKind::Ecs, &[("a", "echo never"), ("b", "echo never")]);
    circle.containers[0].depends_on = after("b", Condition::Start);
    circle.containers[1].depends_on = after("a", Condition::Start);
    let report = node.run(circle).await;
    assert_eq!((report.started_at, report.ended.unwrap().1.exit_code), (None, None));
    assert_eq!(node.lines(), [""; 0]);

    let empty = Launch { containers: Vec::new(), ..launch() };
    assert_eq!(outcome_of(&mut node, empty).await, Outcome::without_process(None));
}

#[tokio::test]
async fn a_stop_reaches_every_container_in_any_phase() {
    let mut node = Node::start().await;
    let job = task(
        TaskKind::Ecs,
        &[
            ("a", "exec 2>/dev/null; trap 'exit 7' TERM; echo a; while :; do sleep 0.01; done"),
            ("b", "echo b; exec sleep 1000"),
        ],
    );
    let attempt = job.attempt;
    node.client.perform(vec![node.start_of(job)]);
    let mut lines = [node.next_line().await, node.next_line().await];
    lines.sort();
    assert_eq!(lines, ["a", "b"]);
    node.client.perform(vec![Action::Stop(attempt), Action::Stop(attempt)]);
    let outcome = node.exited(attempt).await;
    assert_eq!(ends(&outcome), [("a", Some(7), true), ("b", Some(143), true)]);
    assert!([Some(7), Some(143)].contains(&outcome.exit_code), "{outcome:?}");

    let mut pod = task(TaskKind::Eks, &[("i", "echo i; exec sleep 1000"), ("a", "echo never")]);
    pod.containers[0].init = true;
    let attempt = pod.attempt;
    node.client.perform(vec![node.start_of(pod)]);
    assert_eq!(node.next_line().await, "i");
    node.client.perform(vec![Action::Stop(attempt)]);
    let outcome = node.exited(attempt).await;
    assert_eq!((outcome.exit_code, ends(&outcome)[1]), (Some(143), ("a", None, false)));

    // Right behind its start, whatever it finds.
    let early = task(TaskKind::Ecs, &[("a", "exec sleep 1000"), ("b", "exec sleep 1000")]);
    let attempt = early.attempt;
    node.client.perform(vec![node.start_of(early), Action::Stop(attempt)]);
    assert!(matches!(node.exited(attempt).await.exit_code, None | Some(143)));
    assert_eq!(node.lines(), [""; 0]);
}

#[tokio::test]
async fn each_container_has_its_own_limit_and_the_task_one_of_all() {
    let mut node = Node::start().await;
    if !node.has_cgroups() {
        return println!("skipped: no memory cgroup can be made here");
    }
    let own = "sed -n 's/.*:memory:\\|^0:://p' /proc/self/cgroup";
    let hungry = "head -c 500m /dev/zero | tail -c 400m";
    let mut job = task(TaskKind::Ecs, &[("hungry", hungry), ("where", own), ("last", "exit 0")]);
    (job.containers[0].essential, job.containers[1].essential) = (false, false);
    job.containers[0].resources.memory_mib = 32;
    job.containers[1].depends_on = after("hungry", Condition::Complete);
    job.containers[2].depends_on = after("where", Condition::Success);
    let id = job.task_id;
    let outcome = outcome_of(&mut node, job).await;
    assert_eq!(
        ends(&outcome),
        [("hungry", Some(137), true), ("where", Some(0), true), ("last", Some(0), true)]
    );
    let reason = "OutOfMemoryError: Container killed due to memory usage";
    assert_eq!(outcome.containers.unwrap()[0].reason.as_deref(), Some(reason));
    assert!(outcome.usage.peak_memory_bytes > 16 << 20 && outcome.usage.peak_memory_bytes < 100 << 20);
    let lines = node.lines();
    assert!(lines.iter().any(|line| line.ends_with(&format!("/{id}/1"))), "{lines:?}");
    harness::eventually(Duration::from_secs(10), || node.cgroups_of(id).is_empty().then_some(())).await;
}

#[tokio::test]
async fn the_users_and_limits_of_each_container_are_its_own() {
    let mut node = Node::start().await;
    let mut job = task(TaskKind::Ecs, &[("a", "echo a $(ulimit -n)"), ("b", "echo b $(ulimit -n)")]);
    job.containers[0].essential = false;
    job.containers[1].depends_on = after("a", Condition::Success);
    job.properties = Document::new(
        r#"{"containers":[{"name":"b","ulimits":[{"name":"nofile","softLimit":202,"hardLimit":300}]},
            {"name":"a","ulimits":[{"name":"nofile","softLimit":201,"hardLimit":300}]}]}"#,
    );
    assert_eq!(outcome_of(&mut node, job).await.exit_code, Some(0));
    assert_eq!(node.lines(), ["a 201", "b 202"]);

    let mut pod = task(TaskKind::Eks, &[("default", "echo $(id -u):$(id -g)")]);
    pod.properties = Document::new(
        r#"{"containers":[{"image":"host","securityContext":{"runAsUser":64321,"runAsGroup":64322}}]}"#,
    );
    let outcome = outcome_of(&mut node, pod).await;
    if std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0 {
        assert_eq!((outcome.exit_code, node.lines()), (Some(0), vec!["64321:64322".to_owned()]));
    } else {
        println!("skipped in part: only root can become somebody else");
        assert!(outcome.reason.unwrap().ends_with("the node does not run as root."));
    }
}

#[tokio::test]
async fn the_metadata_endpoint_shows_each_container_itself_and_the_task_all() {
    let mut node = Node::start().await;
    let get =
        "curl -s $ECS_CONTAINER_METADATA_URI_V4; echo; curl -s $ECS_CONTAINER_METADATA_URI_V4/task; echo";
    let mut job = task(TaskKind::Ecs, &[("a", "exit 6"), ("b", get), ("c", "echo never")]);
    job.containers[0].essential = false;
    job.containers[1].depends_on = after("a", Condition::Complete);
    job.containers[2].depends_on = after("b", Condition::Complete);
    job.containers[0].secrets = vec![];
    job.address = Some([127, 64, 0, 9].into());
    let (task, stream) = (job.task_id, job.containers[1].log_stream.clone());
    assert_eq!(outcome_of(&mut node, job).await.exit_code, Some(0));
    let lines = node.lines();
    let of = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let (own, all) = (of(&lines[0]), of(&lines[1]));
    assert_eq!((&own["Name"], &own["DockerId"]), (&"b".into(), &format!("{task}-1").into()));
    assert_eq!(own["LogOptions"]["awslogs-stream"], *stream);
    assert_eq!(own["Networks"][0]["IPv4Addresses"], serde_json::json!(["127.64.0.9"]));
    assert_eq!(own["Limits"]["Memory"], 128);
    assert_eq!((&all["Limits"]["Memory"], &all["Containers"][1]), (&384.into(), &own));
    let states = all["Containers"].as_array().unwrap().iter().map(|c| (&c["KnownStatus"], &c["ExitCode"]));
    let null = serde_json::Value::Null;
    assert_eq!(
        Vec::from_iter(states),
        [(&"STOPPED".into(), &6.into()), (&"RUNNING".into(), &null), (&"PULLED".into(), &null)]
    );
}

#[tokio::test]
async fn secrets_reach_the_process_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode| {
        std::fs::write(dir.path().join(name), text).unwrap();
        std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    write("db", r#"{"password":"hunter2"}"#, 0o600);
    write("open", "hunter3", 0o644);
    let secrets = fornada_node::secrets::Secrets::at(dir.path());
    let mut node = Node::start_with(|config| config.secrets = secrets).await;
    let arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf:password::";
    let mut job = sh("echo $#$PASSWORD $AWS_BATCH_JOB_ID; curl -s $ECS_CONTAINER_METADATA_URI_V4/task");
    job.containers[0].environment = vec![("AWS_BATCH_JOB_ID".into(), "id".into())];
    job.containers[0].secrets =
        vec![("PASSWORD".into(), arn.into()), ("AWS_BATCH_JOB_ID".into(), arn.into())];
    assert_eq!(outcome_of(&mut node, job).await.exit_code, Some(0));
    let lines = node.lines();
    assert_eq!(lines[0], "0hunter2 id");
    assert!(lines[1].contains("TaskARN") && !lines[1].contains("hunter2"));

    for (value_from, why) in [
        ("open", "open: its file can be read by other users (chmod 600 is needed)"),
        ("/prod/absent", "/prod/absent: there is no such secret here"),
        ("../db", "../db: valueFrom is not an ARN of a secret or parameter, nor the name of a parameter"),
    ] {
        // Also when another container could have started.
        let mut job = task(TaskKind::Ecs, &[("a", "echo never"), ("b", "echo never")]);
        job.containers[1].secrets = vec![("PASSWORD".into(), value_from.into())];
        let report = node.run(job).await;
        let (_, outcome) = report.ended.unwrap();
        let reason = format!("ResourceInitializationError: unable to pull secrets or registry auth: {why}");
        assert_eq!(
            (report.started_at, outcome.exit_code, outcome.reason.as_deref()),
            (None, None, Some(&*reason))
        );
        assert_eq!(ends(&outcome), [("a", None, false), ("b", None, false)]);
    }
    assert_eq!(node.lines(), [""; 0]);
    // They are removed after the end has been reported.
    let attempts = node.dir().join("attempts");
    let emptied = async {
        while std::fs::read_dir(&attempts).unwrap().count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let deadline = std::time::Duration::from_secs(20);
    tokio::time::timeout(deadline, emptied).await.expect("nothing is left of any of them");
}

#[tokio::test]
async fn a_node_of_a_multi_node_job_listens_on_its_address_and_another_reaches_it() {
    let mut node = Node::start().await;
    let address: std::net::Ipv4Addr = [127, 64, 3, 7].into();
    let mut main = sh("exec python3 -c '
import json, os, socket, urllib.request
own = json.load(urllib.request.urlopen(os.environ[\"ECS_CONTAINER_METADATA_URI_V4\"]))
address = own[\"Networks\"][0][\"IPv4Addresses\"][0]
server = socket.create_server((address, 0))
print(server.getsockname()[1], flush=True)
client, _ = server.accept()
print(client.recv(100).decode(), flush=True)
'");
    main.address = Some(address);
    let attempt = main.attempt;
    node.client.perform(vec![node.start_of(main)]);
    let port = node.next_line().await;
    let mut other = sh("exec python3 -c '
import os, socket, sys
main = os.environ[\"AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS\"]
socket.create_connection((main, int(sys.argv[1]))).sendall(b\"hello\")
' $PORT");
    other.address = Some([127, 64, 3, 8].into());
    other.containers[0].environment = vec![
        ("AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS".into(), address.to_string().into()),
        ("PORT".into(), (&*port).into()),
    ];
    assert_eq!(outcome_of(&mut node, other).await.exit_code, Some(0));
    assert_eq!(node.next_line().await, "hello");
    assert_eq!(node.exited(attempt).await.exit_code, Some(0));
}

#[tokio::test]
async fn the_next_node_sweeps_every_process_of_a_task() {
    let dir = tempfile::tempdir().unwrap();
    harness::spawn_node_process(dir.path());
    let (client, mut observations) = harness::connect(dir.path());
    let Some(Observation::Connected(before, _)) = observations.recv().await else { panic!("not connected") };
    // The shells die with the node, their children do not.
    let script =
        "setsid sleep 1000 & echo $! >> $PIDS; sleep 1000 & echo $! >> $PIDS; echo $$ >> $PIDS; wait";
    let mut job = task(TaskKind::Ecs, &[("a", script), ("b", script)]);
    let pids = dir.path().join("pids");
    for container in &mut job.containers {
        container.environment.push(("PIDS".into(), pids.to_str().unwrap().into()));
    }
    let id = job.task_id;
    client.perform(vec![start(&before, job)]);
    let pids = harness::eventually(Duration::from_secs(10), || {
        let text = std::fs::read_to_string(&pids).unwrap_or_default();
        (text.lines().count() == 6)
            .then(|| text.lines().map(|line| line.parse().unwrap()).collect::<Vec<i32>>())
    })
    .await;
    harness::kill_node(dir.path()).await;
    let node = Node::start_in(dir, Claim::default()).await;
    for pid in pids {
        harness::wait_gone(pid).await;
    }
    assert_eq!(node.cgroups_of(id), "");
}

/// Not a test: the node that [`harness::spawn_node_process`] runs.
#[test]
#[ignore = "the body of a process that another test starts"]
fn node_process() {
    harness::node_process();
}
