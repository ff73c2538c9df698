//! The server: its parts put together, from the first look at the data directory to the last answer.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fornada_api::access_keys::{self, AccessKeys};
use fornada_api::app::{App, Auth};
use fornada_api::limits::Limits;
use fornada_api::{defaults, front, server};
use fornada_core::state::Settings;
use fornada_engine::port::clock::{SteadyClock, SystemClock};
use fornada_engine::port::event::EventSink;
use fornada_engine::{Engine, Ports};
use fornada_node::Client;
use fornada_store::log::LogDirectory;
use fornada_store::sqlite::{SqliteIndex, SqliteStore};
use rustix::process::{Resource, getrlimit};
use tokio::net::TcpListener;

use super::backend::{self, NodeBackend};
use super::data_dir::{self, DataDir};
use super::events::EventFile;
use super::expiry;
use super::keeper::Keeper;
use super::shutdown;
use crate::cli::args::{AuthMode, ServerArgs};
use crate::cli::data_dir::ServerFile;

/// Open files that connections must leave: the store's, and those of logs that are being read.
const OWN_FILES: usize = 256;

/// A server that is ready to answer.
pub(super) struct Server {
    data_dir: DataDir,
    listener: TcpListener,
    announcement: ServerFile,
    engine: Engine,
    node: Arc<Client>,
    app: Arc<App>,
}

impl Server {
    /// Takes hold of the data directory, recovers the state and binds the address.
    pub(super) async fn start(args: ServerArgs) -> Result<Server> {
        let ServerArgs { data_dir, config: _, listen, region, account_id, auth, bare, limits, .. } = args;
        let ServerArgs { strict, retention, ended_in_memory, events, .. } = args;
        if auth == AuthMode::None && !listen.ip().is_loopback() {
            bail!("--auth none lets anyone in: use it with a loopback address, or leave it out for {listen}");
        }
        let data_dir = DataDir::hold(&data_dir)?;
        let (store, is_new) = SqliteStore::open(&data_dir.store())?;
        let keys = AccessKeys::load_or_create(&data_dir.path().join(access_keys::FILE_NAME), &account_id)?;
        let logs = data_dir::logs(data_dir.path());
        let logs =
            LogDirectory::open(logs.clone()).with_context(|| format!("cannot open {}", logs.display()))?;
        let events = events.as_deref().map(EventFile::open).transpose()?;
        let listener = TcpListener::bind(listen).await;
        let listener =
            listener.with_context(|| format!("cannot listen on {listen} (choose another with --listen)"))?;
        let endpoint = format!("http://{}", reachable(listener.local_addr()?));

        let (node, this_machine, observations) =
            backend::connect(&data_dir::node(data_dir.path()), &endpoint);
        let engine = Engine::start(Ports {
            store: Box::new(store),
            backend: Box::new(NodeBackend(Arc::clone(&node))),
            provisioner: Box::new(this_machine),
            events: events.as_ref().map(|file| Box::new(file.inlet()) as Box<dyn EventSink>),
            settings: Settings { backfill: !strict, ended_records: ended_in_memory, ..Settings::default() },
            clock: Box::new(SteadyClock::default()),
            entropy: Box::new(entropy),
        })?;
        let app = Arc::new(App {
            engine: engine.handle(),
            jobs: Arc::new(SqliteIndex::new(&data_dir.store())),
            logs: Arc::new(logs),
            keys,
            auth: match auth {
                AuthMode::Sigv4 => Auth::SigV4,
                AuthMode::None => Auth::None,
            },
            region: region.clone(),
            account_id: account_id.clone(),
            clock: Box::new(SystemClock),
            limits: if strict { Limits::default() } else { limits },
            strict,
        });
        if !bare {
            defaults::create(&app, is_new).await.map_err(|error| anyhow::anyhow!(error.message))?;
        }
        observations.deliver_to(engine.handle());
        if let Some(file) = events {
            file.write_for(engine.handle());
        }
        expiry::run(Arc::clone(&app), Duration::from_millis(retention));
        let announcement = ServerFile { endpoint, region, account_id, pid: std::process::id() };
        Ok(Server { data_dir, listener, announcement, engine, node, app })
    }

    pub(super) fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Answers requests until a signal, or until the engine cannot go on.
    pub(super) async fn run(self, keeper: Option<Keeper>) -> Result<ExitCode> {
        let Server { data_dir, listener, announcement, engine, node, app } = self;
        let announced = data_dir.announce(&announcement)?;
        println!("ready {}", announcement.endpoint);

        let handle = engine.handle();
        let logs = Arc::clone(&app.logs);
        let mut signals = shutdown::Signals::listen()?;
        let (mut end, mut running) = (None, 0);
        let until_end = async {
            end = tokio::select! {
                fatal = engine.stopped() => Some(End::Fatal(fatal)),
                signal = signals.next() => Some(End::Signal(signal)),
            };
            // Live Tail sessions would go on for hours.
            logs.stop_watching();
            // Before requests in flight are waited for: a second Ctrl-C must come from somebody who has read this.
            if let (Some(End::Signal(signal)), Some(keeper)) = (&end, &keeper) {
                keeper.release();
                running = shutdown::announce(*signal, &handle).await;
            }
        };
        server::serve(listener, front::router(app), connection_limits(), until_end).await;
        drop(announced);
        match end {
            Some(End::Signal(signal)) => {
                if keeper.is_some() {
                    shutdown::leave(signal, running, &mut signals, &handle, &node).await;
                }
                Ok(ExitCode::SUCCESS)
            }
            Some(End::Fatal(Some(fatal))) => Err(fatal.into()),
            Some(End::Fatal(None)) | None => bail!("the engine has stopped"),
        }
    }
}

/// As many connections as there may be, where this process may have as many open files and some for its own use.
fn connection_limits() -> server::Limits {
    let limits = server::Limits::default();
    let open_files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
    let room = open_files.map_or(usize::MAX, |files| files.saturating_sub(OWN_FILES).max(files / 2));
    server::Limits { connections: limits.connections.min(room), ..limits }
}

enum End {
    Fatal(Option<fornada_engine::Fatal>),
    Signal(shutdown::Signal),
}

/// An address that a client on this machine can connect to.
fn reachable(bound: SocketAddr) -> SocketAddr {
    match bound {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], v6.port()))
        }
        bound => bound,
    }
}

fn entropy() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
    u128::from_ne_bytes(bytes)
}
