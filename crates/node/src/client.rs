//! The server's side: stays connected to the node, hands it actions and passes on what it sees.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fornada_core::attempt::{Action, Observation};
use fornada_core::text::Text;
use rustix::process::{Resource, Rlimit, setrlimit, setsid};
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::directory;
use crate::protocol::{self, Request, Response, VERSION, VERSION_MIN};

/// Batches of actions that wait to be written. When there are more the node hangs; then the connection is made anew, and
/// the engine compares what should run with what does.
const BATCHES_MAX: usize = 4096;

/// Between two attempts to connect.
const RETRY_MIN: Duration = Duration::from_millis(5);
const RETRY_MAX: Duration = Duration::from_millis(200);

/// How long a node may take to begin.
const BEGIN: Duration = Duration::from_secs(20);

/// Lines of its output that are shown of a node that has just started, or did not.
const TAIL_LINES: usize = 10;

/// A connection to the node that is made anew whenever it breaks. Ends when dropped.
#[derive(Debug)]
pub struct Client {
    orders: mpsc::Sender<Order>,
    overflow: Arc<Notify>,
    task: AbortHandle,
}

#[derive(Debug)]
enum Order {
    Perform(Vec<Action>),
    Shutdown { stop_jobs: bool, done: oneshot::Sender<()> },
}

impl Client {
    /// Connects to the node in `dir` as soon as there is one. Jobs are told to reach this server at `endpoint_url`.
    ///
    /// What the node sees goes to `observations`, in order; while there is no room, nothing is read from the node. Each
    /// connection begins with [`Observation::Connected`] and ends with [`Observation::Disconnected`]. Called within a tokio
    /// runtime.
    pub fn connect(
        dir: &Path,
        endpoint_url: impl Into<Text>,
        observations: mpsc::Sender<Observation>,
    ) -> Client {
        let (orders, receiver) = mpsc::channel(BATCHES_MAX);
        let overflow = Arc::new(Notify::new());
        let link = Link {
            dir: dir.to_owned(),
            endpoint_url: endpoint_url.into(),
            orders: receiver,
            overflow: overflow.clone(),
            observations,
            is_leaving: false,
            version_max: VERSION,
            version: VERSION,
        };
        let task = tokio::spawn(link.stay_connected()).abort_handle();
        Client { orders, overflow, task }
    }

    /// Hands actions to the node, in order, without waiting. While there is no connection they are dropped: the answer to
    /// the next [`Observation::Connected`] makes up for them.
    pub fn perform(&self, actions: Vec<Action>) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.orders.try_send(Order::Perform(actions)) {
            self.overflow.notify_one();
        }
    }

    /// Asks the node to exit.
    ///
    /// With `stop_jobs` it stops all attempts first; this returns when the node has hung up, for which it waits a few
    /// seconds until all ends were taken with `Forget`. Otherwise it exits only if it has nothing to look after; this
    /// returns when the request is written. Returns at once when there is no connection.
    pub async fn shutdown(&self, stop_jobs: bool) {
        let (done, is_done) = oneshot::channel();
        if self.orders.send(Order::Shutdown { stop_jobs, done }).await.is_ok() {
            let _ = is_done.await;
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Link {
    dir: PathBuf,
    endpoint_url: Text,
    orders: mpsc::Receiver<Order>,
    overflow: Arc<Notify>,
    observations: mpsc::Sender<Observation>,
    /// The node was told to exit, so its end is no surprise.
    is_leaving: bool,
    /// The newest version that this server speaks.
    version_max: u32,
    /// The one to ask the node for.
    version: u32,
}

/// How a connection ended.
enum End {
    Closed,
    Refused { version: u32 },
}

impl Link {
    async fn stay_connected(mut self) {
        let mut wait = RETRY_MIN;
        let mut refused_by = None;
        loop {
            let end = self.connect_once(&mut wait).await;
            let asked = std::mem::replace(&mut self.version, self.version_max); // the next node may be newer
            match end {
                Ok(End::Refused { version }) if version < asked && version >= VERSION_MIN => {
                    self.version = version;
                    tracing::info!("the node in {} is of an earlier release", self.dir.display());
                    continue;
                }
                Ok(End::Refused { version }) if refused_by != Some(version) => {
                    refused_by = Some(version); // said once
                    tracing::error!(
                        "the node in {} speaks version {version} of the node protocol and this server {VERSION_MIN} to \
                         {VERSION}: let the node's jobs finish, or stop it with SIGTERM, then start the server again",
                        self.dir.display()
                    );
                }
                Ok(End::Closed) if !self.is_leaving => tracing::warn!("the node closed the connection"),
                Ok(End::Closed | End::Refused { .. }) => {}
                Err(error) => tracing::debug!(%error, "no connection to the node"),
            }
            let retry = tokio::time::sleep(wait);
            tokio::pin!(retry);
            loop {
                tokio::select! {
                    () = &mut retry => break,
                    Some(_) = self.orders.recv() => {} // dropped; a waiting `shutdown` returns
                }
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    async fn connect_once(&mut self, wait: &mut Duration) -> io::Result<End> {
        let stream = directory::connect(&self.dir)?;
        stream.set_nonblocking(true)?;
        let (reader, mut writer) = UnixStream::from_std(stream)?.into_split();
        let mut reader = BufReader::new(reader);
        let hello = Request::Hello { version: self.version, endpoint_url: self.endpoint_url.clone() };
        protocol::write(&mut writer, &hello).await?;
        let first = match protocol::read(&mut reader).await? {
            None => return Ok(End::Closed),
            Some(Response::Refused { version }) => return Ok(End::Refused { version }),
            Some(Response::Observed(observations)) => observations,
        };
        *wait = RETRY_MIN;
        while self.orders.try_recv().is_ok() {} // decided before this connection was known
        let instance_id = first.iter().find_map(|observation| match observation {
            Observation::Connected(host, _) => Some(host.instance_id.clone()),
            _ => None,
        });
        pass_on(&self.observations, first).await;
        let end = self.converse(reader, writer).await;
        pass_on(&self.observations, instance_id.map(Observation::Disconnected)).await;
        end
    }

    /// Passes orders and observations on until the connection ends.
    async fn converse(
        &mut self,
        mut reader: BufReader<OwnedReadHalf>,
        mut writer: OwnedWriteHalf,
    ) -> io::Result<End> {
        let Link { orders, overflow, observations: to, is_leaving, .. } = self;
        let write = async {
            let mut waiting = Vec::new(); // for the end of this connection
            while let Some(order) = orders.recv().await {
                match order {
                    Order::Perform(actions) => {
                        for batch in protocol::batches(actions) {
                            protocol::write(&mut writer, &Request::Perform(batch)).await?;
                        }
                    }
                    Order::Shutdown { stop_jobs, done } => {
                        *is_leaving = true;
                        protocol::write(&mut writer, &Request::Shutdown { stop_jobs }).await?;
                        waiting.extend(stop_jobs.then_some(done));
                    }
                }
            }
            Ok(End::Closed)
        };
        let read = async {
            while let Some(response) = protocol::read(&mut reader).await? {
                match response {
                    Response::Observed(observations) => pass_on(to, observations).await,
                    Response::Refused { version } => return Ok(End::Refused { version }),
                }
            }
            Ok(End::Closed)
        };
        tokio::select! {
            end = read => end,
            end = write => end,
            () = overflow.notified() => Err(io::Error::other("the node does not take actions fast enough")),
        }
    }
}

/// Waits while there is no room. When nobody receives any more, nobody misses them.
async fn pass_on(to: &mpsc::Sender<Observation>, observations: impl IntoIterator<Item = Observation>) {
    for observation in observations {
        drop(to.send(observation).await);
    }
}

/// Starts `exe args…` (a node that uses `dir`) so that it outlives this process, and waits until it accepts connections.
/// Its output goes to `dir/node.log`; what it said until then is returned. It and its jobs get `open_files`, whatever this
/// process has taken for itself. Does nothing, and returns `None`, when a node already runs there. Blocks, for some
/// milliseconds as a rule.
///
/// # Errors
/// The process cannot be started, or ended, or accepts nothing within 20 seconds; then the text is the last lines of its
/// output.
pub fn spawn_detached(
    exe: &Path,
    args: &[impl AsRef<std::ffi::OsStr>],
    dir: &Path,
    open_files: Rlimit,
) -> io::Result<Option<String>> {
    if directory::connect(dir).is_ok() {
        return Ok(None);
    }
    std::fs::DirBuilder::new().recursive(true).create(dir)?;
    let path = dir.join("node.log");
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
    let offset = log.metadata()?.len();
    let mut command = Command::new(exe);
    command.args(args).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    own_session(&mut command, open_files);
    let mut node = command.spawn()?;
    let deadline = Instant::now() + BEGIN;
    loop {
        if directory::connect(dir).is_ok() {
            // Somebody has to take notice of its end, or it stays a zombie as long as this process lives.
            std::thread::Builder::new().name("node-wait".into()).spawn(move || node.wait())?;
            return directory::tail(&path, offset, TAIL_LINES).map(Some);
        }
        let what = match node.try_wait()? {
            Some(status) => format!("the node ended ({status})"),
            None if Instant::now() > deadline => {
                let _ = node.kill();
                let _ = node.wait();
                format!("the node accepted no connection within {} s", BEGIN.as_secs())
            }
            None => {
                std::thread::sleep(RETRY_MIN);
                continue;
            }
        };
        let said = directory::tail(&path, offset, TAIL_LINES).unwrap_or_default();
        return Err(io::Error::other(if said.is_empty() { what } else { format!("{what}:\n{said}") }));
    }
}

/// Takes the process out of reach of the terminal's signals.
#[allow(unsafe_code, reason = "std offers no safe way to act between fork and exec")]
fn own_session(command: &mut Command, open_files: Rlimit) {
    let prepare = move || {
        setsid()?;
        Ok(setrlimit(Resource::Nofile, open_files)?)
    };
    // SAFETY: setsid and setrlimit are async-signal-safe and touch no memory.
    unsafe { command.pre_exec(prepare) };
}

#[cfg(test)]
mod tests;
