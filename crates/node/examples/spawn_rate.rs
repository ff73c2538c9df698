//! How many attempts of `true` a node starts and ends in a second: `spawn_rate [COUNT] [IN-FLIGHT] [nocgroups]`.

use std::sync::Arc;
use std::time::Instant;

use fornada_core::arn::Scope;
use fornada_core::attempt::{Action, Launch, LaunchContainer, Observation};
use fornada_core::id::{AttemptId, JobId, TaskId, Uuid};
use fornada_core::quantity::Resources;
use fornada_core::task::TaskKind;
use fornada_core::text::Document;
use fornada_engine::port::log::{Error, LogWriter, StreamName, StreamWriter};
use fornada_node::{Client, Config, run};
use tokio::sync::mpsc;

struct NoLogs;

impl LogWriter for NoLogs {
    fn open(&self, _: StreamName) -> Box<dyn StreamWriter> {
        Box::new(NoLogs)
    }
}

impl StreamWriter for NoLogs {
    fn append(&mut self, _: &[(i64, &[u8])]) -> Result<(), Error> {
        Ok(())
    }
}

fn launch(number: u32, incarnation: TaskId) -> Launch {
    let resources = Resources { milli_vcpus: 1000, memory_mib: 64, gpus: 0 };
    Launch {
        attempt: AttemptId { job: JobId::child(Uuid::from_u128(1), number), number: 1 },
        task_id: TaskId(u128::from(number) << 64 | u128::from(std::process::id())),
        scope: Scope { region: "us-east-1".into(), account: "000000000000".into() },
        job_name: "rate".into(),
        kind: TaskKind::Container,
        containers: vec![LaunchContainer {
            name: "default".into(),
            image: "host".into(),
            entry_point: Vec::new(),
            command: vec!["true".into()],
            environment: vec![("AWS_BATCH_JOB_ATTEMPT".into(), "1".into())],
            secrets: Vec::new(),
            resources,
            log_group: "/aws/batch/job".into(),
            log_stream: "rate/default/0".into(),
            essential: true,
            depends_on: Vec::new(),
            init: false,
        }],
        resources,
        properties: Document::default(),
        cluster: "rate".into(),
        incarnation,
        address: None,
        instance_id: "i-00000000000000001".into(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse().ok());
    let (count, in_flight) = (numbers.next().unwrap_or(5_000), numbers.next().unwrap_or(16));
    let directory = std::env::temp_dir().join(format!("fornada-spawn-rate-{}", std::process::id()));
    let mut config = Config::new(&directory);
    config.cgroups = std::env::args().all(|argument| argument != "nocgroups");

    let node = tokio::spawn(async move { run(config, Arc::new(NoLogs)).await });
    let (seen, mut observations) = mpsc::channel(1024);
    let client = Client::connect(&directory, "", seen);
    let Some(Observation::Connected(host, _)) = observations.recv().await else {
        panic!("a connection begins with Connected")
    };

    let begin = Instant::now();
    let start = |number| client.perform(vec![Action::Start(Box::new(launch(number, host.incarnation)))]);
    (0..in_flight.min(count)).for_each(start);
    let (mut started, mut ended) = (in_flight.min(count), 0);
    while ended < count {
        if let Some(Observation::Exited(report)) = observations.recv().await {
            let exit = report.ended.and_then(|(_, outcome)| outcome.exit_code);
            assert_eq!(exit, Some(0), "true succeeds");
            client.perform(vec![Action::Forget(report.attempt)]);
            ended += 1;
            if started < count {
                start(started);
                started += 1;
            }
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{count} attempts, {in_flight} in flight: {:.0} a second", f64::from(count) / seconds);
    client.shutdown(false).await;
    if !matches!(node.await, Ok(Ok(()))) {
        eprintln!("the node failed");
    }
    let _ = std::fs::remove_dir_all(directory);
}
