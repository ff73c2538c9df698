//! Keeps a node running beside the server: starts it, takes up one that runs already, and starts another when it dies.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fornada_node::{Rlimit, spawn_detached};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::data_dir;
use crate::cli::args::MachineArgs;

/// Between two starts of a node, but for the first.
const RETRY: Duration = Duration::from_secs(1);

/// A node that is kept running until [`Keeper::release`].
pub(super) struct Keeper {
    released: Arc<AtomicBool>,
}

impl Keeper {
    /// Starts a node unless one runs, and watches it. It gets `open_files`.
    pub(super) fn start(data_dir: &Path, machine: &MachineArgs, open_files: Rlimit) -> Result<Keeper> {
        let command = NodeCommand::new(data_dir, machine, open_files)?;
        command.start().context("cannot start the node")?;
        let released = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&released);
        std::thread::Builder::new().name("node-keeper".into()).spawn(move || {
            let mut earliest = Instant::now();
            loop {
                wait_for_end(&command.dir);
                // A node that ends as soon as it has started is not started as fast as the machine can.
                std::thread::sleep(earliest.saturating_duration_since(Instant::now()));
                if watched.load(Ordering::Relaxed) {
                    return;
                }
                tracing::warn!("the node has ended; starting another");
                if let Err(error) = command.start() {
                    tracing::error!(%error, "cannot start the node");
                }
                earliest = Instant::now() + RETRY;
            }
        })?;
        Ok(Keeper { released })
    }

    /// From now on the node may end.
    pub(super) fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
    }
}

struct NodeCommand {
    exe: PathBuf,
    args: Vec<OsString>,
    dir: PathBuf,
    /// What the node is to have, not what this server has taken for itself.
    open_files: Rlimit,
}

impl NodeCommand {
    fn new(data_dir: &Path, machine: &MachineArgs, open_files: Rlimit) -> Result<NodeCommand> {
        let mut args: Vec<OsString> = vec!["--data-dir".into(), data_dir.into(), "node".into()];
        let capacity = machine.capacity.to_string();
        if !capacity.is_empty() {
            args.extend(["--capacity".into(), capacity.into()]);
        }
        args.extend(["--job-log-max".into(), format!("{}m", machine.job_log_max).into()]);
        if machine.no_host_image {
            args.push("--no-host-image".into());
        }
        if let Some(secrets) = &machine.secrets {
            args.extend(["--secrets".into(), std::path::absolute(secrets)?.into()]);
        }
        Ok(NodeCommand { exe: std::env::current_exe()?, args, dir: data_dir::node(data_dir), open_files })
    }

    /// Passes on what the node says of the machine: capacity, and what is not enforced there.
    fn start(&self) -> std::io::Result<()> {
        match spawn_detached(&self.exe, &self.args, &self.dir, self.open_files)? {
            Some(said) => said.lines().for_each(|line| eprintln!("{line}")),
            None => eprintln!(
                "taking up the node that runs here, with the capacity and switches it was started with"
            ),
        }
        Ok(())
    }
}

/// Returns when the node of `dir` is no more.
fn wait_for_end(dir: &Path) {
    let pid = fs::read_to_string(dir.join("node.pid")).ok().and_then(|text| text.trim().parse().ok());
    let Some(node) = pid.and_then(Pid::from_raw).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
    else {
        return;
    };
    // A pidfd becomes readable when its process ends; an interrupted wait only looks again.
    while poll(&mut [PollFd::new(&node, PollFlags::IN)], None).is_err() {}
}
