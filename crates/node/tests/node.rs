//! A real node, real processes, a real socket. Each test waits for what it wants to see, with a deadline.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test program has no users, and may panic")]

#[allow(dead_code, reason = "the harness has more than one test program needs")]
mod harness;

use std::time::Duration;

use fornada_core::attempt::{Action, AttemptReport, Observation, Outcome};
use fornada_core::container::{Condition, ContainerDependency};
use fornada_node::Claim;
use fornada_node::protocol::{self, Request, Response};
use harness::{Node, launch, sh, start};
use tokio::net::UnixStream;

#[tokio::test]
async fn ends_are_reported_in_the_words_of_a_container_runtime() {
    let mut node = Node::start().await;
    struct Case(&'static [&'static str], Option<i32>, Option<&'static str>);
    let cases = [
        Case(&["true"], Some(0), None),
        Case(&["sh", "-c", "exit 3"], Some(3), None),
        Case(&["sh", "-c", "kill -USR1 $$"], Some(128 + 10), None),
        Case(&["sh", "-c", "no-such-program"], Some(127), None),
        Case(&["sh", "-c", "/etc/passwd"], Some(126), None),
        Case(
            &["no-such-program"],
            None,
            Some("CannotStartContainerError: exec: \"no-such-program\": executable file not found in $PATH"),
        ),
        Case(
            &["/no/such"],
            None,
            Some("CannotStartContainerError: exec: \"/no/such\": stat /no/such: no such file or directory"),
        ),
        Case(
            &["/etc/passwd"],
            None,
            Some("CannotStartContainerError: exec: \"/etc/passwd\": permission denied"),
        ),
        Case(
            &[],
            None,
            Some(
                "CannotStartContainerError: no command was given, and the image 'host' has none of its own.",
            ),
        ),
    ];
    for Case(command, exit_code, reason) in cases {
        let mut launch = launch();
        launch.containers[0].command = command.iter().map(|part| (*part).into()).collect();
        let report = node.run(launch).await;
        let (_, outcome) = report.ended.unwrap();
        assert_eq!(outcome.exit_code, exit_code, "{command:?}: {outcome:?}");
        assert_eq!(outcome.reason.as_deref(), reason, "{command:?}");
        assert_eq!(report.started_at.is_some(), exit_code.is_some(), "{command:?}");
    }
    let mut other = launch();
    other.containers[0].image = "busybox:1".into();
    let (_, outcome) = node.run(other).await.ended.unwrap();
    assert_eq!(
        outcome.reason.unwrap(),
        "CannotPullContainerError: image 'busybox:1' cannot be run here: only the image 'host' (this machine's own file \
         system) is available."
    );
    let mut elsewhere = sh("pwd");
    elsewhere.containers[0].environment = vec![("FORNADA_WORKDIR".into(), "relative".into())];
    let (_, outcome) = node.run(elsewhere).await.ended.unwrap();
    assert!(outcome.reason.unwrap().contains("FORNADA_WORKDIR 'relative' is not an absolute path"));

    let taken = sh("true");
    let directory = harness::working_directory(taken.task_id);
    std::fs::create_dir(&directory).unwrap();
    let (_, outcome) = node.run(taken).await.ended.unwrap();
    let reason = outcome.reason.unwrap();
    assert!(
        reason.starts_with("CannotCreateContainerError: cannot make a working directory in /"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_job_finds_the_world_it_expects() {
    let mut node = Node::start().await;
    let mut job = sh("env; echo cwd=$PWD umask=$(umask) pid=$$ pgid=$(ps -o pgid= $$ | tr -d ' '); \
         echo fds=$(ls /proc/self/fd | wc -l) ign=$(grep SigIgn /proc/self/status); \
         echo limit=$(ulimit -n) core=$(ulimit -c); cat; echo err >&2; echo out");
    job.containers[0].environment = vec![
        ("FORNADA_WORKDIR".into(), "/tmp".into()),
        ("AWS_REGION".into(), "eu-west-1".into()),
        ("AWS_BATCH_JOB_ATTEMPT".into(), "1".into()),
    ];
    job.properties = fornada_core::text::Document::new(
        r#"{"image":"host","ulimits":[{"name":"nofile","softLimit":200,"hardLimit":300}]}"#,
    );
    let task = job.task_id;
    assert_eq!(node.run(job).await.ended.unwrap().1.exit_code, Some(0));
    let lines = node.lines();
    let has = |line: &str| assert!(lines.iter().any(|l| l == line), "no line {line:?} in {lines:#?}");
    has("AWS_EXECUTION_ENV=AWS_ECS_EC2");
    has("AWS_REGION=eu-west-1");
    has("AWS_DEFAULT_REGION=us-east-1");
    has("AWS_BATCH_JOB_ATTEMPT=1");
    has("AWS_ENDPOINT_URL_BATCH=http://127.0.0.1:8600");
    has("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=http://127.0.0.1:8600");
    let state = lines.iter().find_map(|line| line.strip_prefix("fds=")).unwrap();
    // 0, 1, 2 and the directory that ls reads; the C library keeps the 32nd signal to itself.
    assert!(
        state.starts_with("4 ") && (state.ends_with("00000000") || state.ends_with("80000000")),
        "{state}"
    );
    let uri = |line: &&String| line.starts_with("ECS_CONTAINER_METADATA_URI_V4=http://127.0.0.1:");
    assert!(lines.iter().find(uri).unwrap().ends_with(&format!("/v4/{task}")));
    assert!(!lines.iter().any(|line| line.starts_with("CARGO")), "the node's own environment stays with it");
    assert!(lines.iter().any(|line| line.starts_with("cwd=/tmp umask=0022 ")));
    assert!(lines.iter().any(|line| line.starts_with("limit=200 ")));
    let process = lines.iter().find_map(|line| line.split_once("pid=")).unwrap().1;
    let (pid, pgid) = process.split_once(" pgid=").unwrap();
    assert_eq!(pid, pgid, "a process group of its own");
    assert_eq!(lines[lines.len() - 2..], ["err", "out"], "both in the order in which they were written");
}

#[tokio::test]
async fn each_container_works_in_a_directory_of_its_own_that_goes_with_its_attempt() {
    let mut node = Node::start().await;
    for script in ["", "; mkdir -p d/e && touch .h d/e/f"] {
        let job = sh(&format!("pwd; stat -c %a .; ls -A{script}"));
        let directory = harness::working_directory(job.task_id);
        assert_eq!(node.run(job).await.ended.unwrap().1.exit_code, Some(0));
        assert_eq!(node.lines(), [directory.to_str().unwrap(), "700"]);
        harness::eventually(Duration::from_secs(10), || (!directory.exists()).then_some(())).await;
    }
    let mut job = sh("pwd; ls -A; touch mine");
    job.containers.push(job.containers[0].clone());
    job.containers[0].essential = false;
    job.containers[1].name = "second".into();
    job.containers[1].depends_on =
        vec![ContainerDependency { container: "default".into(), condition: Condition::Success }];
    let directory = harness::working_directory(job.task_id);
    assert_eq!(node.run(job).await.ended.unwrap().1.exit_code, Some(0));
    assert_eq!(node.lines(), ["0", "1"].map(|index| directory.join(index).display().to_string()));
    harness::eventually(Duration::from_secs(10), || (!directory.exists()).then_some(())).await;
}

#[tokio::test]
async fn a_job_runs_as_the_user_it_names() {
    let mut node = Node::start().await;
    let as_user = |user: &str| {
        let mut job = sh("echo $(id -u):$(id -g) $HOME");
        job.properties = fornada_core::text::Document::new(format!(r#"{{"user":"{user}"}}"#));
        job
    };
    let report = node.run(as_user("64321:64322")).await;
    let (_, outcome) = report.ended.unwrap();
    let own = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
    if own == 0 {
        assert_eq!((outcome.exit_code, node.lines()), (Some(0), vec!["64321:64322 /".to_owned()]));
    } else {
        println!("skipped in part: only root can become somebody else");
        assert!(outcome.reason.unwrap().ends_with("the node does not run as root."));
    }
    let (_, outcome) = node.run(as_user("no-such-user")).await.ended.unwrap();
    assert_eq!(
        outcome.reason.unwrap(),
        "CannotStartContainerError: unable to find user no-such-user: no matching entries in passwd file"
    );
}

#[tokio::test]
async fn output_is_readable_while_the_job_runs_and_whole_when_it_ended() {
    let mut node = Node::start().await;
    let job = sh(
        "echo first; read line < $FIFO; printf 'a\\n\\nb'; head -c 300000 /dev/zero | tr '\\0' x; printf y",
    );
    let fifo = node.fifo();
    let mut job = job;
    job.containers[0].environment.push(("FIFO".into(), fifo.to_str().unwrap().into()));
    let attempt = job.attempt;
    node.client.perform(vec![node.start_of(job)]);
    node.started(attempt).await;
    assert_eq!(node.next_line().await, "first");
    tokio::task::spawn_blocking(move || std::fs::write(fifo, "go\n")).await.unwrap().unwrap();
    node.exited(attempt).await;
    let lines = node.lines();
    assert_eq!(lines[0], "a");
    assert_eq!(lines[1..].iter().map(String::len).collect::<Vec<_>>(), [262_118, 300_002 - 262_118]);
    assert!(lines[1].starts_with("bx") && lines[2].ends_with("xy"));
}

#[tokio::test]
async fn stop_is_a_request_first_and_then_force() {
    let mut node = Node::start().await;
    let polite = sh("trap 'echo bye; exit 7' TERM; sleep 1000 & echo ready; wait");
    let attempt = polite.attempt;
    node.client.perform(vec![node.start_of(polite)]);
    assert_eq!(node.next_line().await, "ready");
    node.client.perform(vec![Action::Stop(attempt), Action::Stop(attempt)]);
    assert_eq!(node.exited(attempt).await.exit_code, Some(7));
    assert_eq!(node.next_line().await, "bye");

    let deaf = sh("trap '' TERM; echo ready; while :; do sleep 1; done");
    let attempt = deaf.attempt;
    node.client.perform(vec![node.start_of(deaf)]);
    assert_eq!(node.next_line().await, "ready");
    node.client.perform(vec![Action::Stop(attempt)]);
    assert_eq!(node.exited(attempt).await.exit_code, Some(137));

    // Right behind its start: never lost, whether it finds a process or not.
    let early = sh("exec sleep 1000");
    let attempt = early.attempt;
    node.client.perform(vec![node.start_of(early), Action::Stop(attempt)]);
    assert!(matches!(node.exited(attempt).await.exit_code, None | Some(143)));

    let unknown = launch();
    let attempt = unknown.attempt;
    node.client.perform(vec![Action::Stop(attempt), node.start_of(unknown)]);
    assert_eq!(
        node.exited(attempt).await,
        Outcome { exit_code: None, reason: None, usage: Default::default(), containers: None },
        "and the start that came late does nothing"
    );
}

#[tokio::test]
async fn what_a_job_leaves_behind_ends_with_it() {
    let mut node = Node::start().await;
    let report =
        node.run(sh("sleep 1000 & echo $!; trap '' HUP; (trap '' TERM; sleep 1000) & echo $!")).await;
    assert_eq!(report.ended.unwrap().1.exit_code, Some(0));
    for line in node.lines() {
        harness::wait_gone(line.parse().unwrap()).await;
    }
    // A daemon leaves the process group. Only a cgroup finds it; without one it cannot hold up the end of the job for long.
    let file = node.dir().join("daemon");
    let mut job =
        sh("setsid -f sh -c 'echo $$ > $FILE; exec sleep 1000'; until [ -s $FILE ]; do sleep 0.01; done");
    job.containers[0].environment.push(("FILE".into(), file.to_str().unwrap().into()));
    node.run(job).await;
    if node.has_cgroups() {
        harness::wait_gone(std::fs::read_to_string(file).unwrap().trim().parse().unwrap()).await;
    } else {
        println!("skipped: no cgroups here, daemons live on");
    }
}

#[tokio::test]
async fn memory_is_a_hard_limit() {
    let mut node = Node::start().await;
    if !node.has_cgroups() {
        return println!("skipped: no memory cgroup can be made here");
    }
    let mut hungry = sh("head -c 500m /dev/zero | tail -c 400m");
    hungry.resources.memory_mib = 32;
    let (_, outcome) = node.run(hungry).await.ended.unwrap();
    assert_eq!(outcome.exit_code, Some(137), "{outcome:?}");
    assert_eq!(outcome.reason.unwrap(), "OutOfMemoryError: Container killed due to memory usage");
    assert!(outcome.usage.peak_memory_bytes > 16 << 20 && outcome.usage.peak_memory_bytes <= 32 << 20);

    let (_, outcome) = node.run(sh("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")).await.ended.unwrap();
    assert!(outcome.usage.cpu_time_millis > 5, "{outcome:?}");
}

#[tokio::test]
async fn an_attempt_starts_once_and_its_end_is_kept_until_forgotten() {
    let mut node = Node::start().await;
    let (one, two) = (sh("echo one"), sh("echo two; exec sleep 1000"));
    let (first, second) = (one.attempt, two.attempt);
    let start_both = vec![node.start_of(one), node.start_of(two)];
    node.client.perform(start_both.clone());
    node.client.perform(start_both);
    node.exited(first).await;
    node.started(second).await;
    let mut lines = [node.next_line().await, node.next_line().await];
    lines.sort();
    assert_eq!(lines, ["one", "two"]);

    let reports = node.reconnect().await;
    assert_eq!(reports.len(), 2);
    let of = |attempt| reports.iter().find(|report| report.attempt == attempt).unwrap();
    assert_eq!(of(first).ended.as_ref().unwrap().1.exit_code, Some(0));
    assert!(of(second).started_at.is_some() && of(second).ended.is_none());

    node.client.perform(vec![Action::Forget(first), Action::Forget(second), Action::Stop(second)]);
    assert_eq!(node.exited(second).await.exit_code, Some(143), "one that runs is not forgotten");
    let reports: Vec<AttemptReport> = node.reconnect().await;
    assert_eq!(reports.iter().map(|report| report.attempt).collect::<Vec<_>>(), [second]);
    assert_eq!(node.lines(), [""; 0], "neither ran twice");

    node.client.perform(vec![Action::Forget(second)]);
    node.client.shutdown(false).await;
    node.wait_ended().await;
}

#[tokio::test]
async fn a_node_with_jobs_stays_unless_told_to_stop_them() {
    let mut node = Node::start().await;
    let job = sh("exec sleep 1000");
    let attempt = job.attempt;
    node.client.perform(vec![node.start_of(job)]);
    node.started(attempt).await;
    node.client.shutdown(false).await;
    assert_eq!(node.reconnect().await.len(), 1, "it is still there");
    let client = node.client.clone();
    let stopping = tokio::spawn(async move { client.shutdown(true).await });
    assert_eq!(node.exited(attempt).await.exit_code, Some(143));
    node.client.perform(vec![Action::Forget(attempt)]);
    node.wait_ended().await;
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_server_of_another_version_is_refused_and_harms_nobody() {
    let mut node = Node::start().await;
    for version in [protocol::VERSION_MIN - 1, protocol::VERSION + 1] {
        let mut other = UnixStream::connect(node.dir().join("node.sock")).await.unwrap();
        let hello = Request::Hello { version, endpoint_url: "http://other".into() };
        protocol::write(&mut other, &hello).await.unwrap();
        assert_eq!(
            protocol::read(&mut other).await.unwrap(),
            Some(Response::Refused { version: protocol::VERSION })
        );
        assert_eq!(protocol::read::<Response, _>(&mut other).await.unwrap(), None);
    }
    assert_eq!(node.run(launch()).await.ended.unwrap().1.exit_code, Some(0));
}

#[tokio::test]
async fn every_version_that_is_still_spoken_is_answered() {
    let node = Node::start().await;
    for version in protocol::VERSION_MIN..=protocol::VERSION {
        let mut server = UnixStream::connect(node.dir().join("node.sock")).await.unwrap();
        let hello = Request::Hello { version, endpoint_url: "http://server".into() };
        protocol::write(&mut server, &hello).await.unwrap();
        match protocol::read(&mut server).await.unwrap() {
            Some(Response::Observed(first)) => assert!(matches!(first[0], Observation::Connected(..))),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_node_that_cannot_begin_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["-c", "echo the disk is upside down >&2; exit 4"];
    let error =
        fornada_node::spawn_detached("/bin/sh".as_ref(), &args, dir.path(), fornada_node::raise_open_files())
            .unwrap_err();
    assert_eq!(error.to_string(), "the node ended (exit status: 4):\nthe disk is upside down");
}

#[tokio::test]
async fn the_metadata_endpoint_names_the_log_stream() {
    let mut node = Node::start().await;
    let get = "curl -s $ECS_CONTAINER_METADATA_URI_V4; echo; curl -s $ECS_CONTAINER_METADATA_URI_V4/task; echo; \
        curl -s -o /dev/null -w '%{http_code}\\n' ${ECS_CONTAINER_METADATA_URI_V4%????}0000";
    let job = sh(get);
    let (task, stream) = (job.task_id, job.containers[0].log_stream.clone());
    assert_eq!(node.run(job).await.ended.unwrap().1.exit_code, Some(0));
    let lines = node.lines();
    let container: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(container["LogOptions"]["awslogs-stream"], *stream);
    assert_eq!(container["DockerId"], task.to_string());
    let arn = format!("arn:aws:ecs:us-east-1:000000000000:task/AWSBatch-local/{task}");
    assert_eq!(container["Labels"]["com.amazonaws.ecs.task-arn"], arn);
    let of_task: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!((&of_task["TaskARN"], &of_task["Containers"][0]), (&arn.into(), &container));
    assert_eq!(lines[2], "404");
}

#[tokio::test]
async fn a_node_that_is_killed_takes_its_jobs_along_and_the_next_one_sweeps() {
    let dir = tempfile::tempdir().unwrap();
    harness::spawn_node_process(dir.path());
    let (client, mut observations) = harness::connect(dir.path());
    let Some(Observation::Connected(before, _)) = observations.recv().await else { panic!("not connected") };
    // The shell dies with the node. Its children do not, and one of them left the process group.
    let mut job = sh("sleep 1000 & echo $! > $PIDS; setsid sleep 1000 & echo $! >> $PIDS; touch left; \
         echo $$ >> $PIDS; wait");
    let directory = harness::working_directory(job.task_id);
    let pids = dir.path().join("pids");
    job.containers[0].environment.push(("PIDS".into(), pids.to_str().unwrap().into()));
    client.perform(vec![start(&before, job)]);
    let pids = harness::eventually(Duration::from_secs(10), || {
        let text = std::fs::read_to_string(&pids).unwrap_or_default();
        (text.lines().count() == 3)
            .then(|| text.lines().map(|line| line.parse().unwrap()).collect::<Vec<i32>>())
    })
    .await;
    harness::kill_node(dir.path()).await;
    harness::wait_gone(pids[2]).await;
    assert!(directory.join("left").exists());

    let node = Node::start_in(dir, Claim { milli_vcpus: Some(7000), ..Claim::default() }).await;
    assert_eq!(node.host.instance_id, before.instance_id);
    assert_ne!(node.host.incarnation, before.incarnation);
    assert_eq!(node.host.capacity.milli_vcpus, 7000);
    for pid in pids {
        harness::wait_gone(pid).await;
    }
    harness::eventually(Duration::from_secs(10), || (!directory.exists()).then_some(())).await;
}

/// Not a test: the node that [`harness::spawn_node_process`] runs.
#[test]
#[ignore = "the body of a process that another test starts"]
fn node_process() {
    harness::node_process();
}
