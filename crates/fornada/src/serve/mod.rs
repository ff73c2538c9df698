//! The long-running commands: `up`, `server` and `node`.
//!
//! Here everything is wired: store, engine, node and HTTP know each other only through the engine's ports.

mod backend;
pub(crate) mod data_dir;
mod event_json;
mod events;
mod expiry;
mod keeper;
mod server;
mod shutdown;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use fornada_node::secrets::Secrets;
use fornada_node::{Claim, Config, Rlimit, raise_open_files};
use fornada_store::log::LogDirectory;
use tracing_subscriber::EnvFilter;

use crate::cli::args::{MachineArgs, NodeArgs, ServerArgs, UpArgs};
use keeper::Keeper;
use server::Server;

/// Threads of the server for work that blocks: reads of the disk, of which the API has a bound of its own, and Live Tail
/// sessions, each of which looks at its logs once a second.
const SERVER_BLOCKING_THREADS_MAX: usize = 64;

/// Threads of the node that remove what attempts leave behind; more would not be any faster.
const NODE_BLOCKING_THREADS_MAX: usize = 8;

/// Server and node in the foreground.
pub(crate) fn up(args: UpArgs) -> Result<ExitCode> {
    let UpArgs { server, machine } = args;
    serve(server, |data_dir, open_files| Ok(Some(Keeper::start(data_dir, &machine, open_files)?)))
}

/// The server without a node of its own; it uses one that somebody started for the same data directory.
pub(crate) fn server(args: ServerArgs) -> Result<ExitCode> {
    serve(args, |_, _| Ok(None))
}

fn serve(
    args: ServerArgs,
    keep_node: impl FnOnce(&std::path::Path, Rlimit) -> Result<Option<Keeper>>,
) -> Result<ExitCode> {
    log_to_stderr();
    let open_files = raise_open_files();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.max_blocking_threads(SERVER_BLOCKING_THREADS_MAX).enable_all().build()?;
    runtime.block_on(async {
        let server = Server::start(args).await?;
        let keeper = keep_node(server.data_dir(), open_files)?;
        server.run(keeper).await
    })
}

/// The node: the supervisor process that owns the running attempts of this machine.
pub(crate) fn node(args: NodeArgs) -> Result<ExitCode> {
    let NodeArgs { data_dir, machine: MachineArgs { capacity, no_host_image, secrets, job_log_max } } = args;
    log_to_stderr();
    data_dir::create(&data_dir)?;
    let path = data_dir::logs(&data_dir);
    let logs = LogDirectory::open(path.clone()).with_context(|| format!("cannot open {}", path.display()))?;
    let claim =
        Claim { milli_vcpus: capacity.milli_vcpus, memory_mib: capacity.memory_mib, gpus: capacity.gpus };
    let secrets = match secrets {
        None => Secrets::in_data_dir(&data_dir),
        Some(path) if path.exists() => Secrets::at(std::path::absolute(path)?),
        Some(path) => bail!("there is nothing at {} (--secrets)", path.display()),
    };
    let config = Config {
        capacity: claim,
        host_image: !no_host_image,
        secrets,
        log_bytes_max: job_log_max.saturating_mul(1 << 20),
        ..Config::new(data_dir::node(&data_dir))
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(NODE_BLOCKING_THREADS_MAX).enable_all().build()?;
    runtime.block_on(fornada_node::run(config, Arc::new(logs)))?;
    Ok(ExitCode::SUCCESS)
}

/// What happens goes to stderr; `FORNADA_LOG` chooses how much (for example `debug`, or `fornada_engine=trace`).
fn log_to_stderr() {
    let filter =
        EnvFilter::try_from_env("FORNADA_LOG").unwrap_or_else(|_| EnvFilter::new("warn,fornada=info"));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal).init();
}
