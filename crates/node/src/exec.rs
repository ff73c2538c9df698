//! From a prepared plan to a running process: clone, a few system calls, exec.
//!
//! `std::process::Command` copies the page tables of the node for every job and makes all of its threads fault on their
//! pages again. Here the child borrows the node's memory until exec, as in `vfork` and `posix_spawn`, which cannot do what
//! happens in between. That holds only because: everything is made before the clone; the child makes bare system calls
//! and writes to its own stack and to one field that nobody else looks at until it is gone; the thread that cloned sleeps
//! meanwhile; and no signal handler can run in the child.
#![allow(unsafe_code, reason = "there is no safe way to act between clone and exec")]

use std::ffi::{CString, c_char, c_int, c_void};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions};

use crate::user::User;

/// Enough for a few frames of system calls, in units of 16 bytes.
const STACK: usize = 32 << 10 >> 4;

/// A process to be.
pub(crate) struct Plan {
    /// Absolute path of what to execute.
    pub(crate) file: CString,
    pub(crate) arguments: Vec<CString>,
    /// `NAME=value`, each name once.
    pub(crate) environment: Vec<CString>,
    pub(crate) directory: CString,
    pub(crate) limits: Vec<(Resource, Rlimit)>,
    pub(crate) user: Option<User>,
}

/// What it is connected with.
pub(crate) struct Descriptors {
    pub(crate) stdin: File,
    /// stdout and stderr.
    pub(crate) output: OwnedFd,
    /// Cgroups to join: see [`crate::cgroup::Group::doors`].
    pub(crate) doors: Vec<File>,
}

/// What the child could not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Clone(Errno),
    JoinCgroup(Errno),
    SwitchUser(Errno),
    ChangeDirectory(Errno),
    Exec(Errno),
}

struct Child<'a> {
    plan: &'a Plan,
    io: &'a Descriptors,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    node: Pid,
    failure: Option<Failure>,
}

/// Starts it: its process id, and a descriptor that is readable once it ended. It dies with the thread that calls this.
pub(crate) fn spawn(plan: &Plan, io: &Descriptors) -> Result<(Pid, OwnedFd), Failure> {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
    };
    let mut child = Child {
        plan,
        io,
        arguments: pointers(&plan.arguments),
        environment: pointers(&plan.environment),
        node: rustix::process::getpid(),
        failure: None,
    };
    let child: *mut Child = &raw mut child;
    let mut stack = vec![0_u128; STACK];
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: signals are blocked around the clone, so that no handler of the node runs in the child. `stack` grows down
    // from its end, is aligned to 16 bytes, and is used by the child only; it, `pidfd` and `child` outlive the child's use
    // of this memory, because with CLONE_VFORK this call returns after the child's exec or exit.
    let (pid, error) = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let top = stack.as_mut_ptr().add(STACK).cast::<c_void>();
        let pid = libc::clone(enter, top, flags, child.cast(), &raw mut pidfd);
        let error = std::io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
        (pid, error)
    };
    let Some(pid) = (pid > 0).then(|| Pid::from_raw(pid)).flatten() else {
        return Err(Failure::Clone(Errno::from_io_error(&error).unwrap_or(Errno::AGAIN)));
    };
    // SAFETY: clone succeeded, so `pidfd` is a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // SAFETY: `child` lives in this frame, and the process that wrote to it no longer shares this memory.
    match unsafe { (*child).failure } {
        None => Ok((pid, pidfd)),
        Some(failure) => {
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
            Err(failure)
        }
    }
}

/// Where the child begins. Returns only if exec does not happen; the process then exits.
extern "C" fn enter(child: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes a `Child` and sleeps as long as this runs.
    let child = unsafe { &mut *child.cast::<Child>() };
    child.failure = Some(become_job(child));
    127
}

/// Only bare system calls: no allocation, no locks, no panics.
fn become_job(child: &Child) -> Failure {
    let plan = child.plan;
    if let Err(error) = prepare(child.node, plan, child.io) {
        return error;
    }
    // SAFETY: all are strings that end in zero and lists that end in null, and live until exec.
    unsafe {
        if libc::chdir(plan.directory.as_ptr()) < 0 {
            return Failure::ChangeDirectory(last_error());
        }
        libc::execve(plan.file.as_ptr(), child.arguments.as_ptr(), child.environment.as_ptr());
    }
    Failure::Exec(last_error())
}

fn last_error() -> Errno {
    // SAFETY: a pointer to the number of the last error, which belongs to this thread.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

fn prepare(node: Pid, plan: &Plan, io: &Descriptors) -> Result<(), Failure> {
    rustix::process::setsid().map_err(Failure::Exec)?;
    for door in &io.doors {
        rustix::io::write(door.as_fd(), b"0").map_err(Failure::JoinCgroup)?;
    }
    for (resource, limit) in &plan.limits {
        let _ = rustix::process::setrlimit(*resource, *limit); // best effort, as far as the host allows
    }
    if let Some(user) = &plan.user {
        // Of this thread, which is all of this process; the calls of libc would change the node's threads as well.
        rustix::thread::set_thread_groups(&user.groups).map_err(Failure::SwitchUser)?;
        rustix::thread::set_thread_res_gid(user.gid, user.gid, user.gid).map_err(Failure::SwitchUser)?;
        rustix::thread::set_thread_res_uid(user.uid, user.uid, user.uid).map_err(Failure::SwitchUser)?;
    }
    // After the change of user, which would take it back.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(Failure::Exec)?;
    if rustix::process::getppid() != Some(node) {
        return Err(Failure::Exec(Errno::SRCH)); // the node died before the line above
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let descriptors = [io.stdin.as_raw_fd(), io.output.as_raw_fd(), io.output.as_raw_fd()];
    // SAFETY: the child has its own table of descriptors and its own signal dispositions, which is all that changes. What
    // is ignored would stay ignored after exec, so everything gets its default; numbers that cannot be set are refused.
    unsafe {
        for (target, source) in (0..).zip(descriptors) {
            if libc::dup2(source, target) < 0 {
                return Err(Failure::Exec(last_error()));
            }
        }
        // What somebody left open in the node is not for jobs. Before Linux 5.11 it stays open.
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        let default: libc::sigaction = std::mem::zeroed();
        for signal in 1..=64 {
            libc::sigaction(signal, &raw const default, ptr::null_mut());
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
    Ok(())
}
