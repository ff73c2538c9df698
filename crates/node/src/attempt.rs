//! The life of one attempt: start, stop, end, and what the end leaves behind.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use fornada_core::attempt::{AttemptReport, Launch, Outcome, Usage};
use fornada_core::id::AttemptId;
use fornada_core::time::Timestamp;
use fornada_engine::port::log::{LogWriter, StreamName};
use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::cgroup::Group;
use crate::metadata::Metadata;
use crate::output;
use crate::process::{Context, Process, Spawner};

/// How long the output may stay open after everything we know of was killed: somebody outside holds it.
const DRAIN: Duration = Duration::from_secs(2);

/// How long the rest of a cgroup may take to be gone.
const KILL: Duration = Duration::from_secs(2);

/// What attempts of one node share.
pub(crate) struct Host {
    pub(crate) context: Arc<Context>,
    pub(crate) spawner: Spawner,
    pub(crate) logs: Arc<dyn LogWriter>,
    pub(crate) metadata: Metadata,
    /// Where output is read and written, apart from the loop: a slow disk delays only other output.
    pub(crate) output: tokio::runtime::Handle,
    /// Ended cgroups, to be removed.
    pub(crate) ended: std::sync::mpsc::Sender<Group>,
    /// Between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
}

/// What an attempt tells its node.
pub(crate) enum Event {
    Started(AttemptId, Timestamp),
    Exited(AttemptReport),
}

/// Runs one attempt to its end. `stop` is notified to stop it, at any time, any number of times.
pub(crate) async fn run(
    host: Arc<Host>,
    launch: Arc<Launch>,
    stop: Arc<Notify>,
    events: mpsc::UnboundedSender<Event>,
) {
    let attempt = launch.attempt;
    let report = |started_at, ended_at, outcome| {
        let _ = events.send(Event::Exited(AttemptReport {
            attempt,
            started_at,
            ended: Some((ended_at, outcome)),
        }));
    };
    let permit = tokio::select! {
        permit = host.spawner.permits.acquire() => permit,
        () = stop.notified() => return report(None, crate::now(), Outcome::without_process(None)),
    };
    let spawned = host.spawner.spawn(launch.clone()).await;
    drop(permit);
    let process = match spawned {
        Ok(process) => process,
        Err(refusal) => return report(None, crate::now(), Outcome::without_process(Some(refusal.0.into()))),
    };
    let started_at = process.started_at;
    host.metadata.insert(launch.clone(), started_at);
    let _ = events.send(Event::Started(attempt, started_at));
    let (ended_at, outcome) = live(&host, &launch, process, &stop).await;
    host.metadata.remove(launch.task_id);
    report(Some(started_at), ended_at.max(started_at), outcome);
}

async fn live(host: &Host, launch: &Launch, process: Process, stop: &Notify) -> (Timestamp, Outcome) {
    let Process { pid, pidfd, output, group, started_at: _ } = process;
    let container = launch.containers.first();
    let name = StreamName {
        scope: launch.scope.clone(),
        group: container.map(|container| container.log_group.clone()).unwrap_or_default(),
        stream: container.map(|container| container.log_stream.clone()).unwrap_or_default(),
    };
    let (cut, is_cut) = oneshot::channel();
    let mut copy = host.output.spawn(output::copy(output, host.logs.open(name), is_cut));

    wait(pid, pidfd, group.as_ref(), stop, host.grace).await;
    let ended_at = crate::now();
    // Before the process is reaped, so that the number of its group is still ours.
    let _ = kill_process_group(pid, Signal::KILL);
    let (status, used) = reap(pid);
    let mut usage = used;
    let mut out_of_memory = false;
    if let Some(group) = group {
        let deadline = Instant::now() + KILL;
        while group.kill_and_count() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        out_of_memory = status == 128 + Signal::KILL.as_raw() && group.out_of_memory();
        usage.peak_memory_bytes = group.peak_memory_bytes().unwrap_or(used.peak_memory_bytes);
        usage.cpu_time_millis = group.cpu_time_millis().unwrap_or(used.cpu_time_millis);
        let _ = host.ended.send(group);
    }
    if timeout(DRAIN, &mut copy).await.is_err() {
        drop(cut);
        let _ = copy.await;
    }
    let _ = std::fs::remove_file(host.context.notes.join(launch.task_id.to_string()));
    let reason = out_of_memory.then(|| "OutOfMemoryError: Container killed due to memory usage".into());
    (ended_at, Outcome { exit_code: Some(status), reason, usage, containers: None })
}

/// Waits for the end of the process, and stops it when asked to.
#[allow(unsafe_code, reason = "tokio registers descriptors unsafely only")]
async fn wait(pid: Pid, pidfd: OwnedFd, group: Option<&Group>, stop: &Notify, grace: Duration) {
    // SAFETY: an OwnedFd names the same open descriptor until it is dropped, which the AsyncFd does after deregistration.
    let pidfd = match unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) } {
        Ok(pidfd) => pidfd,
        Err(error) => {
            // Nobody would see the end of a process that nobody watches.
            tracing::error!(%error, "cannot watch an attempt; it is killed");
            return signal(pid, group, Signal::KILL);
        }
    };
    tokio::select! {
        _ = pidfd.readable() => return,
        () = stop.notified() => signal(pid, group, Signal::TERM),
    }
    tokio::select! {
        _ = pidfd.readable() => return,
        () = sleep_until(Instant::now() + grace) => signal(pid, group, Signal::KILL),
    }
    let _ = pidfd.readable().await;
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
