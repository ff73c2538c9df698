//! The node's loop: it owns what is known of all attempts, and no one else changes it.
//!
//! Attempts, connections and signals send it messages; it answers them in order and never waits for any of them. An
//! attempt stays known until the server has said `Forget`, so that no end is lost while the server is away.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fornada_core::attempt::{Action, AttemptReport, Host as HostFacts, Launch, Observation, Outcome};
use fornada_core::id::{AttemptId, TaskId};
use fornada_core::text::Text;
use fornada_engine::port::log::LogWriter;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::attempt::{self, Event, Host};
use crate::cgroup::{self, Cgroups};
use crate::connection::{self, Message};
use crate::directory::{Directory, Error, random_128};
use crate::environment::{self, Endpoints};
use crate::host::{self, Claim};
use crate::metadata::Metadata;
use crate::process::Context;
use crate::protocol::Request;
use crate::secrets::Secrets;
use crate::spawner::Spawner;
use crate::sweep::{Traces, sweep};

/// Messages of connections that wait for the loop: enough to keep it busy, few enough to slow a flooding server down.
const MESSAGES_MAX: usize = 64;

/// How long a node that was told to exit waits for the server to take the last ends.
const LINGER: Duration = Duration::from_secs(5);

/// A cgroup that could not be removed is tried again this often.
const SWEEP: Duration = Duration::from_secs(3600);

/// How a node runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's own directory, made with mode 0700 if it is not there.
    pub dir: PathBuf,
    /// What the operator says this machine has.
    pub capacity: Claim,
    /// Between SIGTERM and SIGKILL. Source: AWS Batch User Guide, 30 seconds.
    pub grace: Duration,
    /// How much output of each container is kept, in bytes; the rest is dropped.
    pub log_bytes_max: u64,
    /// Whether to use cgroups if the machine lets us.
    pub cgroups: bool,
    /// Whether jobs may run on this machine's own file system, with the image `host`.
    pub host_image: bool,
    /// Where the values of secrets are.
    pub secrets: Secrets,
}

impl Config {
    /// The defaults, with this directory.
    pub fn new(dir: impl Into<PathBuf>) -> Config {
        Config {
            dir: dir.into(),
            capacity: Claim::default(),
            grace: Duration::from_secs(30),
            log_bytes_max: 1 << 30,
            cgroups: true,
            host_image: true,
            secrets: Secrets::default(),
        }
    }
}

/// Runs a node until it is told to exit. Jobs write to `logs`.
///
/// SIGTERM stops all jobs, then exits; SIGHUP and SIGINT are ignored, for those are meant for the server.
///
/// # Errors
/// When it cannot begin; once it runs, it goes on.
pub async fn run(config: Config, logs: Arc<dyn LogWriter>) -> Result<(), Error> {
    let _ignored = [signal(SignalKind::hangup())?, signal(SignalKind::interrupt())?];
    let terminate = signal(SignalKind::terminate())?;
    let open_files = raise_open_files();

    let directory = Directory::open(&config.dir)?;
    let instance_id = directory.instance_id()?;
    let _name = Directory::claim(&instance_id)?;
    let cgroups = if config.cgroups { Cgroups::set_up(&instance_id) } else { Cgroups::none() };
    let missing = cgroups.missing().join(", ");
    if !missing.is_empty() {
        tracing::warn!("without the cgroups for it, this is not enforced here: {missing}");
    }
    let traces =
        Traces { notes: directory.attempts(), temporary: std::path::absolute(std::env::temp_dir())? };
    let swept = sweep(&traces, &cgroups).map_err(Error::path(&traces.notes))?;
    if !swept.is_empty() {
        let count = swept.len();
        tracing::warn!(
            "an earlier node ended with {count} attempts running; what was left of them is killed"
        );
        let traces = traces.clone();
        // The node need not wait for it.
        tokio::task::spawn_blocking(move || swept.iter().for_each(|task| traces.remove(task)));
    }

    let metadata_listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let metadata_port = metadata_listener.local_addr()?.port();
    let listener = UnixListener::from_std(directory.listen()?)?;
    let context = Arc::new(Context {
        environment: environment::base(),
        cgroups,
        traces,
        endpoints: Mutex::new(Endpoints { server: String::new(), metadata_port }),
        open_files,
        secrets: config.secrets,
        host_image: config.host_image,
    });
    let (output, _output_runs) = output_runtime()?;
    let host = Arc::new(Host {
        spawner: Spawner::new(&context)?,
        context: context.clone(),
        logs,
        metadata: Metadata::default(),
        output,
        log_bytes_max: config.log_bytes_max,
        ended: cgroup::remove_in_background()?,
        grace: config.grace,
    });
    let capacity = host::capacity(config.capacity, cgroup::memory_limit_bytes());
    let mut tasks = JoinSet::new();
    let router = host.metadata.clone().router();
    tasks.spawn(async move { _ = axum::serve(metadata_listener, router).await });
    let (events, attempt_events) = mpsc::unbounded_channel(); // at most two of each attempt that runs
    let supervisor = Supervisor {
        facts: HostFacts {
            instance_id: instance_id.into(),
            incarnation: TaskId(random_128()),
            capacity,
            architecture: host::architecture(),
        },
        host,
        held: HashMap::new(),
        running: 0,
        events,
        tasks,
        server: None,
        exit: Exit::No,
    };
    tracing::info!(instance = %supervisor.facts.instance_id, ?capacity, "node runs");
    supervisor.serve(listener, attempt_events, terminate).await?;
    context.cgroups.tear_down();
    tracing::info!("node ends");
    drop(directory);
    Ok(())
}

/// Takes as many open files as this process may have, and returns what it had: what those that it starts are to have. A node
/// needs some for each attempt, a server one for each connection.
pub fn raise_open_files() -> Rlimit {
    let given = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: given.maximum, maximum: given.maximum });
    given
}

/// A thread for the output of attempts; it ends when the second value is dropped.
fn output_runtime() -> io::Result<(tokio::runtime::Handle, oneshot::Sender<()>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let handle = runtime.handle().clone();
    let (runs, ended) = oneshot::channel::<()>();
    std::thread::Builder::new().name("output".into()).spawn(move || runtime.block_on(ended))?;
    Ok((handle, runs))
}

/// Whether the node is on its way out.
enum Exit {
    No,
    /// All attempts were told to stop. The time is set when none runs any more: later than this nobody waits for ends to
    /// be taken.
    WhenStopped(Option<Instant>),
    Now,
}

/// One attempt.
struct Held {
    report: AttemptReport,
    stop: Arc<Notify>,
}

struct Server {
    connection: u64,
    /// Not bounded by itself: it holds at most a start and an end of each attempt that the server has not forgotten, and a
    /// server that does not read places no more of them.
    outbox: mpsc::UnboundedSender<Observation>,
}

struct Supervisor {
    facts: HostFacts,
    host: Arc<Host>,
    /// Everything that was started here and not yet forgotten: without a server no more than ran when it went.
    held: HashMap<AttemptId, Held>,
    /// How many of `held` have not ended.
    running: usize,
    events: mpsc::UnboundedSender<Event>,
    /// Attempts, connections and the metadata endpoint; they end with the node.
    tasks: JoinSet<()>,
    server: Option<Server>,
    exit: Exit,
}

impl Supervisor {
    async fn serve(
        mut self,
        listener: UnixListener,
        mut events: mpsc::UnboundedReceiver<Event>,
        mut terminate: Signal,
    ) -> Result<(), Error> {
        let (messages, mut received) = mpsc::channel(MESSAGES_MAX);
        let mut connections = JoinSet::new();
        let mut number = 0;
        let mut sweeps = interval(SWEEP);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.may_exit() {
            let patience = match self.exit {
                Exit::WhenStopped(Some(until)) => until,
                _ => Instant::now() + SWEEP,
            };
            tokio::select! {
                Some(event) = events.recv() => self.on_event(event),
                Some((connection, message)) = received.recv() => self.on_message(connection, message),
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        number += 1;
                        connections.spawn(connection::serve(stream, number, messages.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(10)).await; // out of descriptors: do not spin
                    }
                },
                Some(_) = terminate.recv() => self.stop_all(),
                Some(ended) = self.tasks.join_next() => if let Err(error) = ended {
                    tracing::error!(%error, "a part of the node failed");
                },
                Some(_) = connections.join_next() => {}
                _ = sweeps.tick() => {
                    let context = &self.host.context;
                    context.cgroups.remove_empty(|task| context.traces.notes.join(task).exists()); // not those in use
                }
                () = tokio::time::sleep_until(patience) => {}
            }
        }
        self.server = None; // hangs up after the last observation
        let _ = timeout(Duration::from_secs(1), connections.join_next()).await;
        Ok(())
    }

    fn may_exit(&mut self) -> bool {
        match &mut self.exit {
            Exit::No => false,
            Exit::Now => true,
            Exit::WhenStopped(_) if self.running > 0 => false,
            Exit::WhenStopped(until) => {
                let until = *until.get_or_insert_with(|| Instant::now() + LINGER);
                self.held.is_empty() || self.server.is_none() || Instant::now() >= until
            }
        }
    }

    fn on_message(&mut self, connection: u64, message: Message) {
        let is_current = self.server.as_ref().is_some_and(|server| server.connection == connection);
        match message {
            Message::Connected { endpoint_url, outbox } => self.connected(connection, &endpoint_url, outbox),
            Message::Disconnected if is_current => self.server = None,
            Message::Requested(request) if is_current => self.requested(request),
            Message::Disconnected | Message::Requested(_) => {} // of a server that another one replaced
        }
    }

    /// The newest server is the one that counts: the connection of an older one closes as its outbox is dropped.
    fn connected(&mut self, connection: u64, url: &Text, outbox: mpsc::UnboundedSender<Observation>) {
        let endpoints = &self.host.context.endpoints;
        endpoints.lock().unwrap_or_else(PoisonError::into_inner).server = url.to_string();
        let reports = self.held.values().map(|held| held.report.clone()).collect();
        self.server = Some(Server { connection, outbox });
        self.observe(Observation::Connected(self.facts.clone(), reports));
        if !matches!(self.exit, Exit::No) {
            self.close_to_new();
        }
    }

    fn requested(&mut self, request: Request) {
        match request {
            Request::Hello { .. } => tracing::warn!("a server said Hello twice"),
            Request::Perform(actions) => actions.into_iter().for_each(|action| self.perform(action)),
            Request::Shutdown { stop_jobs: true } => self.stop_all(),
            Request::Shutdown { stop_jobs: false } if self.held.is_empty() => self.exit = Exit::Now,
            Request::Shutdown { stop_jobs: false } => {}
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Start(launch) => self.start(*launch),
            Action::Stop(attempt) => self.stop(attempt),
            Action::Forget(attempt) => {
                if self.held.get(&attempt).is_some_and(|held| held.report.ended.is_some()) {
                    self.held.remove(&attempt);
                }
            }
        }
    }

    fn start(&mut self, launch: Launch) {
        let attempt = launch.attempt;
        if self.held.contains_key(&attempt) {
            return; // told twice
        }
        if !matches!(self.exit, Exit::No) || launch.incarnation != self.facts.incarnation {
            return self.observe(Observation::Refused(attempt));
        }
        let stop = Arc::new(Notify::new());
        let report = AttemptReport { attempt, started_at: None, ended: None };
        self.held.insert(attempt, Held { report, stop: stop.clone() });
        self.running += 1;
        self.tasks.spawn(attempt::run(self.host.clone(), Arc::new(launch), stop, self.events.clone()));
    }

    fn stop(&mut self, attempt: AttemptId) {
        if let Some(held) = self.held.get(&attempt) {
            return held.stop.notify_one(); // kept until the attempt looks, so that none is lost
        }
        // Never started here. The end is kept as well, so that a Start which arrives late does nothing.
        let ended = Some((crate::now(), Outcome::without_process(None)));
        let report = AttemptReport { attempt, started_at: None, ended };
        self.held.insert(attempt, Held { report: report.clone(), stop: Arc::new(Notify::new()) });
        self.observe(Observation::Exited(report));
    }

    /// The server places nothing more here, but hears what becomes of what there is.
    fn close_to_new(&self) {
        self.observe(Observation::Disconnected(self.facts.instance_id.clone()));
    }

    fn stop_all(&mut self) {
        self.exit = Exit::WhenStopped(None);
        self.close_to_new();
        self.held.values().for_each(|held| held.stop.notify_one());
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Started(attempt, at) => {
                if let Some(held) = self.held.get_mut(&attempt) {
                    held.report.started_at = Some(at);
                }
                self.observe(Observation::Started(attempt, at));
            }
            Event::Exited(report) => {
                self.running -= 1;
                if let Some(held) = self.held.get_mut(&report.attempt) {
                    held.report = report.clone();
                }
                self.observe(Observation::Exited(report));
            }
        }
    }

    /// Without a server nothing is said: the next one is told all with `Connected`.
    fn observe(&self, observation: Observation) {
        if let Some(server) = &self.server {
            let _ = server.outbox.send(observation);
        }
    }
}
