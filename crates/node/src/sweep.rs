//! What an earlier node left behind is killed before a new one takes work.
//!
//! A node that is killed takes the processes it forked along, but not what those forked. Three traces lead to them: the
//! note of each attempt (its processes, told apart from later ones of the same number by their start time), the environment
//! that their descendants inherited, and its cgroups. The note also leads to its working directories.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fornada_core::attempt::Launch;
use fornada_core::id::TaskId;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::cgroup::Cgroups;
use crate::environment::task_of;
use crate::user::User;

/// How long killed processes may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// What attempts leave in the file system: a note each, and working directories.
#[derive(Clone, Debug)]
pub(crate) struct Traces {
    /// Where the notes are, each by the name of its task id.
    pub(crate) notes: PathBuf,
    /// Where working directories are made; absolute, and open to whomever jobs may run as.
    pub(crate) temporary: PathBuf,
}

impl Traces {
    /// Opens the note of an attempt, before anything else of it is made.
    pub(crate) fn note(&self, task: TaskId) -> io::Result<File> {
        File::options().append(true).create(true).open(self.notes.join(task.to_string()))
    }

    /// Makes the directory around those of several containers, who may run as different users.
    pub(crate) fn make_around(&self, task: TaskId) -> io::Result<()> {
        let path = self.directory(&task.to_string());
        make(&path)?;
        fs::set_permissions(path, Permissions::from_mode(0o711))
    }

    /// Makes the working directory of a container that asks for no other: new, empty and its own, as a container's file system
    /// is. Clients rely on it: they unpack code where they start, many jobs at a time.
    pub(crate) fn make_directory(
        &self,
        launch: &Launch,
        index: usize,
        user: Option<&User>,
    ) -> io::Result<PathBuf> {
        let mut path = self.directory(&launch.task_id.to_string());
        if launch.containers.len() > 1 {
            path.push(index.to_string());
        }
        make(&path)?;
        if let Some(user) = user {
            chown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        Ok(path)
    }

    /// Removes the traces of an attempt. The note is the last: while it is there, a new node knows what to remove.
    pub(crate) fn remove(&self, task: &str) {
        let directory = self.directory(task);
        // A directory that was never made is as good as removed.
        if let Err(error) = fs::remove_dir_all(&directory)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %directory.display(), %error, "cannot remove what a job left behind");
        }
        let _ = fs::remove_file(self.notes.join(task));
    }

    fn directory(&self, task: &str) -> PathBuf {
        self.temporary.join(format!("fornada-{task}"))
    }
}

fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(directory)
}

/// Completes the note with a process that was started.
pub(crate) fn complete(mut note: File, pid: Pid) {
    let start = start_time(pid).unwrap_or_default();
    let line = format!("{} {start}\n", pid.as_raw_nonzero()); // in one piece, because containers start side by side
    let _ = note.write_all(line.as_bytes()); // without it the other two traces remain
}

/// Kills what the notes and cgroups lead to, removes the cgroups, and returns the tasks whose traces are to be removed.
pub(crate) fn sweep(traces: &Traces, cgroups: &Cgroups) -> io::Result<HashSet<String>> {
    let mut tasks = HashSet::new();
    for entry in fs::read_dir(&traces.notes)? {
        let entry = entry?;
        if let Ok(text) = fs::read_to_string(entry.path()) {
            text.lines().for_each(kill_noted);
        }
        tasks.insert(entry.file_name().to_string_lossy().into_owned());
    }
    let deadline = Instant::now() + GONE_WITHIN;
    for group in cgroups.existing() {
        while group.kill_and_count() > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    cgroups.remove_empty(|_| false);
    // Repeated, because a process may fork between being found and being killed.
    while !tasks.is_empty() && kill_descendants(&tasks)? > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(tasks)
}

fn kill_noted(line: &str) {
    let mut fields = line.split_whitespace();
    let pid = fields.next().and_then(|field| Pid::from_raw(field.parse().ok()?));
    let start = fields.next().and_then(|field| field.parse::<u64>().ok());
    if let (Some(pid), Some(start)) = (pid, start)
        && start_time(pid) == Some(start)
    {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// Kills all processes whose environment names one of `tasks`, and counts them.
fn kill_descendants(tasks: &HashSet<String>) -> io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?)) else {
            continue;
        };
        // Unreadable: a process that just ended, or one of another user, which is none of ours.
        let Ok(block) = fs::read(entry.path().join("environ")) else { continue };
        if task_of(&block).is_some_and(|task| tasks.contains(task)) {
            let _ = kill_process(pid, Signal::KILL);
            count += 1;
        }
    }
    Ok(count)
}

/// When a process started, in clock ticks since the machine did: with the number, its identity.
fn start_time(pid: Pid) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // `pid (name) state …`: the name may hold anything, so fields are counted from its last parenthesis. This is the 22nd.
    text.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}
