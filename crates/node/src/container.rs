//! The life of one container: start, stop, end, and what the end leaves behind. Today each is one process on this machine.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use fornada_core::attempt::{Launch, Usage};
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_engine::port::log::StreamName;
use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::attempt::Host;
use crate::cgroup::Group;
use crate::output;
use crate::process::{self, Prepared, Process, Refusal};

/// How long the output may stay open after everything we know of was killed: somebody outside holds it.
const DRAIN: Duration = Duration::from_secs(2);

/// How long the rest of a cgroup may take to be gone.
const KILL: Duration = Duration::from_secs(2);

/// One container of an attempt.
#[derive(Clone)]
pub(crate) struct Container {
    pub(crate) host: Arc<Host>,
    pub(crate) launch: Arc<Launch>,
    pub(crate) prepared: Arc<Prepared>,
    /// Which of the launch's containers.
    pub(crate) index: usize,
    /// Becomes `true` when it is to stop.
    pub(crate) stop: watch::Receiver<bool>,
}

/// How a container ended that had a process.
pub(crate) struct End {
    pub(crate) at: Timestamp,
    pub(crate) exit_code: i32,
    pub(crate) reason: Option<Text>,
    pub(crate) usage: Usage,
    /// Before it was told to stop.
    pub(crate) by_itself: bool,
}

impl Container {
    /// Starts its process; `None` when it was told to stop before.
    pub(crate) async fn start(self) -> Option<Result<Process, Refusal>> {
        let Container { host, launch, prepared, index, mut stop } = self;
        let spawn = move |context: &_| process::spawn(context, &launch, &prepared, index);
        host.spawner.run(stopped(&mut stop), spawn).await
    }

    /// Looks after its process to the end.
    pub(crate) async fn live(mut self, process: Process) -> End {
        let Process { pid, pidfd, output, group, started_at } = process;
        let host = self.host;
        let container = &self.launch.containers[self.index];
        let name = StreamName {
            scope: self.launch.scope.clone(),
            group: container.log_group.clone(),
            stream: container.log_stream.clone(),
        };
        let (cut, is_cut) = oneshot::channel();
        let copy = output::copy(output, host.logs.open(name), host.log_bytes_max, is_cut);
        let mut copy = host.output.spawn(copy);

        let by_itself = wait(pid, pidfd, group.as_ref(), &mut self.stop, host.grace).await;
        let at = crate::now().max(started_at);
        // Before the process is reaped, so that the number of its group is still ours.
        let _ = kill_process_group(pid, Signal::KILL);
        let (exit_code, used) = reap(pid);
        let mut usage = used;
        let mut out_of_memory = false;
        if let Some(group) = group {
            let deadline = Instant::now() + KILL;
            while group.kill_and_count() > 0 && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            out_of_memory = exit_code == 128 + Signal::KILL.as_raw() && group.out_of_memory();
            usage.peak_memory_bytes = group.peak_memory_bytes().unwrap_or(used.peak_memory_bytes);
            usage.cpu_time_millis = group.cpu_time_millis().unwrap_or(used.cpu_time_millis);
            let _ = host.ended.send(group);
        }
        if timeout(DRAIN, &mut copy).await.is_err() {
            drop(cut);
            let _ = copy.await;
        }
        let reason = out_of_memory.then(|| "OutOfMemoryError: Container killed due to memory usage".into());
        End { at, exit_code, reason, usage, by_itself }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Waits for the end of the process, and stops it when asked to; whether it ended before that.
#[allow(unsafe_code, reason = "tokio registers descriptors unsafely only")]
async fn wait(
    pid: Pid,
    pidfd: OwnedFd,
    group: Option<&Group>,
    stop: &mut watch::Receiver<bool>,
    grace: Duration,
) -> bool {
    // SAFETY: an OwnedFd names the same open descriptor until it is dropped, which the AsyncFd does after deregistration.
    let pidfd = match unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) } {
        Ok(pidfd) => pidfd,
        Err(error) => {
            // Nobody would see the end of a process that nobody watches.
            tracing::error!(%error, "cannot watch an attempt; it is killed");
            signal(pid, group, Signal::KILL);
            return true;
        }
    };
    tokio::select! {
        biased;
        _ = pidfd.readable() => return true,
        () = stopped(stop) => signal(pid, group, Signal::TERM),
    }
    tokio::select! {
        _ = pidfd.readable() => return false,
        () = sleep_until(Instant::now() + grace) => signal(pid, group, Signal::KILL),
    }
    let _ = pidfd.readable().await;
    false
}

/// Signals the process group, and what left the group but not the cgroup.
fn signal(pid: Pid, group: Option<&Group>, signal: Signal) {
    let _ = kill_process_group(pid, signal);
    for other in group.map(Group::processes).unwrap_or_default() {
        if getpgid(Some(other)).is_ok_and(|of| of != pid) {
            let _ = kill_process(other, signal);
        }
    }
}

/// Exit status as a shell gives it (128 + n after signal n), and what the process and its waited-for children used.
#[allow(unsafe_code, reason = "no safe wrapper of wait4 gives the resource usage")]
fn reap(pid: Pid) -> (i32, Usage) {
    let mut status = 0;
    // SAFETY: rusage is plain numbers, for which zeros are valid.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    let pid = pid.as_raw_nonzero().get();
    loop {
        // SAFETY: both pointers are to live values of the right types.
        let result = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut used) };
        if result == pid {
            break;
        }
        assert_eq!(
            std::io::Error::last_os_error().raw_os_error(),
            Some(libc::EINTR),
            "only we wait for our children"
        );
    }
    let code =
        if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) };
    let millis = |time: libc::timeval| time.tv_sec * 1000 + time.tv_usec / 1000;
    let cpu = millis(used.ru_utime) + millis(used.ru_stime);
    let usage = Usage {
        peak_memory_bytes: u64::try_from(used.ru_maxrss).unwrap_or(0) << 10,
        cpu_time_millis: u64::try_from(cpu).unwrap_or(0),
    };
    (code, usage)
}
