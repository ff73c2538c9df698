//! A node in this process or in one of its own, with logs that a test can read.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fornada_core::arn::Scope;
use fornada_core::attempt::{Action, AttemptReport, Host, Launch, LaunchContainer, Observation, Outcome};
use fornada_core::id::{AttemptId, JobId, TaskId, Uuid};
use fornada_core::quantity::Resources;
use fornada_core::task::TaskKind;
use fornada_core::text::Document;
use fornada_engine::port::log::{Error, LogWriter, StreamName, StreamWriter};
use fornada_node::{Claim, Client, Config};
use tempfile::TempDir;
use tokio::sync::mpsc::{self, Receiver, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Nothing here takes as long on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// Everything that all jobs wrote, in order.
#[derive(Clone)]
struct Logs {
    lines: Arc<Mutex<Vec<String>>>,
    seen: UnboundedSender<()>,
}

impl LogWriter for Logs {
    fn open(&self, _: StreamName) -> Box<dyn StreamWriter> {
        Box::new(self.clone())
    }
}

impl StreamWriter for Logs {
    fn append(&mut self, events: &[(i64, &[u8])]) -> Result<(), Error> {
        let lines = events.iter().map(|(_, line)| String::from_utf8_lossy(line).into_owned());
        self.lines.lock().unwrap().extend(lines);
        let _ = self.seen.send(());
        Ok(())
    }
}

pub struct Node {
    pub client: Arc<Client>,
    pub host: Host,
    dir: TempDir,
    observations: Receiver<Observation>,
    /// What was received and not asked for yet.
    backlog: Vec<Observation>,
    lines: Arc<Mutex<Vec<String>>>,
    /// How many of `lines` were given out.
    read: usize,
    written: UnboundedReceiver<()>,
    task: JoinHandle<Result<(), fornada_node::Error>>,
}

impl Node {
    pub async fn start() -> Node {
        Node::start_in(tempfile::tempdir().unwrap(), Claim::default()).await
    }

    pub async fn start_in(dir: TempDir, capacity: Claim) -> Node {
        Node::start_so(dir, |config| config.capacity = capacity).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Node {
        Node::start_so(tempfile::tempdir().unwrap(), change).await
    }

    async fn start_so(dir: TempDir, change: impl FnOnce(&mut Config)) -> Node {
        let lines = Arc::default();
        let (seen, written) = mpsc::unbounded_channel();
        let logs = Logs { lines: Arc::clone(&lines), seen };
        let mut config = Config::new(dir.path());
        config.grace = Duration::from_millis(300);
        change(&mut config);
        let task = tokio::spawn(fornada_node::run(config, Arc::new(logs)));
        let (client, mut observations) = connect(dir.path());
        match timeout(DEADLINE, observations.recv()).await.expect("a node within the deadline") {
            Some(Observation::Connected(host, reports)) => {
                assert_eq!(reports, []);
                Node {
                    client: Arc::new(client),
                    host,
                    dir,
                    observations,
                    backlog: Vec::new(),
                    lines,
                    read: 0,
                    written,
                    task,
                }
            }
            other => panic!("a connection begins with Connected, not {other:?}"),
        }
    }

    /// A new connection, while the old one is still there; what it is told first.
    pub async fn reconnect(&mut self) -> Vec<AttemptReport> {
        let (client, observations) = connect(self.dir.path());
        self.observations = observations;
        let old = std::mem::replace(&mut self.client, Arc::new(client));
        let first = self.observation().await;
        drop(old);
        match first {
            Observation::Connected(host, reports) => {
                assert_eq!(host, self.host);
                reports
            }
            other => panic!("a connection begins with Connected, not {other:?}"),
        }
    }

    async fn observation(&mut self) -> Observation {
        timeout(DEADLINE, self.observations.recv())
            .await
            .expect("an observation within the deadline")
            .unwrap()
    }

    pub async fn run(&mut self, launch: Launch) -> AttemptReport {
        let attempt = launch.attempt;
        self.client.perform(vec![self.start_of(launch)]);
        self.report(attempt).await
    }

    /// The order to start it, for this node and no other.
    pub fn start_of(&self, launch: Launch) -> Action {
        start(&self.host, launch)
    }

    pub async fn started(&mut self, attempt: AttemptId) {
        self.find(|observation| matches!(observation, Observation::Started(of, _) if *of == attempt)).await;
    }

    pub async fn exited(&mut self, attempt: AttemptId) -> Outcome {
        self.report(attempt).await.ended.unwrap().1
    }

    async fn report(&mut self, attempt: AttemptId) -> AttemptReport {
        let is_it = |observation: &Observation| matches!(observation, Observation::Exited(report) if report.attempt == attempt);
        match self.find(is_it).await {
            Observation::Exited(report) => report,
            other => unreachable!("{other:?}"),
        }
    }

    /// The first observation, received or to come, that is wanted.
    async fn find(&mut self, wanted: impl Fn(&Observation) -> bool) -> Observation {
        if let Some(at) = self.backlog.iter().position(&wanted) {
            return self.backlog.remove(at);
        }
        loop {
            let observation = self.observation().await;
            if wanted(&observation) {
                return observation;
            }
            self.backlog.push(observation);
        }
    }

    pub async fn wait_ended(mut self) {
        timeout(DEADLINE, &mut self.task).await.expect("the node ends within the deadline").unwrap().unwrap();
    }

    /// The lines not yet given out. Complete when the end of their attempt was seen.
    pub fn lines(&mut self) -> Vec<String> {
        let lines = self.lines.lock().unwrap()[self.read..].to_vec();
        self.read += lines.len();
        lines
    }

    pub async fn next_line(&mut self) -> String {
        loop {
            if let Some(line) = self.lines.lock().unwrap().get(self.read) {
                self.read += 1;
                return line.clone();
            }
            timeout(DEADLINE, self.written.recv()).await.expect("a line within the deadline").unwrap();
        }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn fifo(&self) -> PathBuf {
        let path = self.dir.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }

    /// Whether this node found a place for cgroups with a memory limit.
    pub fn has_cgroups(&self) -> bool {
        let found = self.find_cgroups(&[]);
        found.lines().any(|path| path.contains("/memory/") || Path::new(path).join("memory.max").exists())
    }

    /// The cgroups of a task and its containers that exist, a line each.
    pub fn cgroups_of(&self, task: TaskId) -> String {
        let mut find = std::process::Command::new("find");
        find.args(["/sys/fs/cgroup", "-depth", "-type", "d", "-path", &format!("*/{task}*")]);
        String::from_utf8_lossy(&find.output().unwrap().stdout).into_owned()
    }

    fn find_cgroups(&self, then: &[&str]) -> String {
        let name = format!("fornada-{}", self.host.instance_id);
        let mut find = std::process::Command::new("find");
        find.args(["/sys/fs/cgroup", "-depth", "-type", "d", "-name", &name]).args(then);
        String::from_utf8_lossy(&find.output().unwrap().stdout).into_owned()
    }
}

impl Drop for Node {
    /// A node that ends with its test has no time to do this itself.
    fn drop(&mut self) {
        self.find_cgroups(&["-exec", "rmdir", "{}", "+"]);
    }
}

pub fn connect(dir: &Path) -> (Client, Receiver<Observation>) {
    let (seen, observations) = mpsc::channel(1024);
    (Client::connect(dir, "http://127.0.0.1:8600", seen), observations)
}

/// An attempt that does nothing, each time another.
pub fn launch() -> Launch {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let task_id = TaskId(u128::from(std::process::id()) << 64 | u128::from(number));
    Launch {
        attempt: AttemptId { job: JobId::whole(Uuid::from_u128(number.into())), number: 1 },
        task_id,
        scope: Scope { region: "us-east-1".into(), account: "000000000000".into() },
        job_name: "test".into(),
        kind: TaskKind::Container,
        containers: vec![LaunchContainer {
            name: "default".into(),
            image: "host".into(),
            entry_point: Vec::new(),
            command: vec!["true".into()],
            environment: Vec::new(),
            secrets: Vec::new(),
            resources: RESOURCES,
            log_group: "/aws/batch/job".into(),
            log_stream: format!("test/default/{task_id}").into(),
            essential: true,
            depends_on: Vec::new(),
            init: false,
        }],
        resources: RESOURCES,
        properties: Document::default(),
        cluster: "AWSBatch-local".into(),
        incarnation: TaskId(0),
        address: None,
        instance_id: "i-00000000000000001".into(),
    }
}

const RESOURCES: Resources = Resources { milli_vcpus: 1000, memory_mib: 128, gpus: 0 };

/// The order to start it, for this incarnation of `host`.
pub fn start(host: &Host, launch: Launch) -> Action {
    Action::Start(Box::new(Launch { incarnation: host.incarnation, ..launch }))
}

pub fn sh(script: &str) -> Launch {
    let mut launch = launch();
    launch.containers[0].command = ["sh", "-c", script].map(Into::into).to_vec();
    launch
}

/// Where a task works that does not say where.
pub fn working_directory(task: TaskId) -> PathBuf {
    std::env::temp_dir().join(format!("fornada-{task}"))
}

/// Waits for a state that nothing announces.
pub async fn eventually<T>(deadline: Duration, look: impl Fn() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < deadline, "not within {deadline:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until a process ended, be it reaped or not.
pub async fn wait_gone(pid: i32) {
    let is_gone = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map_or("X", |(_, rest)| &rest[..1]);
        ["X", "Z"].contains(&state).then_some(())
    };
    eventually(DEADLINE, is_gone).await;
}

const DIR: &str = "FORNADA_TEST_NODE_DIR";

/// Starts this test program once more, as a node.
pub fn spawn_node_process(dir: &Path) {
    let exe = std::env::current_exe().unwrap();
    let variable = format!("{DIR}={}", dir.display());
    let args = [&*variable, exe.to_str().unwrap(), "node_process", "--exact", "--ignored"];
    fornada_node::spawn_detached(Path::new("/usr/bin/env"), &args, dir, fornada_node::raise_open_files())
        .unwrap();
}

pub fn node_process() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let logs = Logs { lines: Arc::default(), seen: mpsc::unbounded_channel().0 };
    runtime.block_on(fornada_node::run(Config::new(dir), Arc::new(logs))).unwrap();
}

/// Kills the node as a crash would, and waits until the last of its threads let go of the directory.
pub async fn kill_node(dir: &Path) {
    let pid = std::fs::read_to_string(dir.join("node.pid")).unwrap();
    let kill = std::process::Command::new("kill").args(["-9", pid.trim()]).status().unwrap();
    assert!(kill.success());
    let lock = std::fs::File::open(dir.join("node.lock")).unwrap();
    eventually(DEADLINE, || lock.try_lock().ok()).await;
}
