//! What an earlier node left behind is killed before a new one takes work.
//!
//! A node that is killed takes the processes it forked along, but not what those forked. Three traces lead to them: the
//! note of each attempt (its processes, told apart from later ones of the same number by their start time), the environment
//! that their descendants inherited, and its cgroups.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use fornada_core::id::TaskId;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::cgroup::Cgroups;
use crate::environment::task_of;

/// How long killed processes may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Opens the note of an attempt, whose name is the task id, before a process of it starts.
pub(crate) fn note(notes: &Path, task: TaskId) -> io::Result<File> {
    File::options().append(true).create(true).open(notes.join(task.to_string()))
}

/// Completes the note with a process that was started.
pub(crate) fn complete(mut note: File, pid: Pid) {
    let start = start_time(pid).unwrap_or_default();
    let line = format!("{} {start}\n", pid.as_raw_nonzero()); // in one piece, because containers start side by side
    let _ = note.write_all(line.as_bytes()); // without it the other two traces remain
}

/// Kills what the notes and cgroups lead to, removes both, and returns how many attempts there were.
pub(crate) fn sweep(notes: &Path, cgroups: &Cgroups) -> io::Result<usize> {
    let mut tasks = HashSet::new();
    for entry in fs::read_dir(notes)? {
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
    for task in &tasks {
        fs::remove_file(notes.join(task))?;
    }
    Ok(tasks.len())
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
