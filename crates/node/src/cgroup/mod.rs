//! One cgroup an attempt: its limits, its measurements, and the only way to find all of its processes.
//!
//! Files are written by hand, because v1, v2 and hybrid hosts are all common and differ in file names only. An attempt's
//! cgroup is `fornada-{instance}/{task id}` below the node's own cgroup, in each hierarchy that has something to say. An
//! attempt of several containers has a cgroup for each of them in its own, `{task id}/{index}`, and no process beside them.
//! Source: Linux, Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.

mod hierarchy;
mod setup;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use fornada_core::id::TaskId;
use fornada_core::quantity::Resources;
use rustix::process::{Pid, Signal, kill_process};

use hierarchy::{Controllers, Version};
pub(crate) use setup::memory_limit_bytes;

/// Processes and threads of one attempt: far above what programs need, far below what hurts the machine.
const PIDS_MAX: u64 = 32_768;

/// Where the cgroups of attempts are made.
pub(crate) struct Cgroups {
    places: Vec<Place>,
}

/// Our directory in one hierarchy.
#[derive(Clone, Debug)]
struct Place {
    directory: PathBuf,
    version: Version,
    controllers: Controllers,
}

impl Cgroups {
    /// No cgroups at all.
    pub(crate) fn none() -> Cgroups {
        Cgroups { places: Vec::new() }
    }

    /// What is not enforced for want of rights or controllers, for a line in the log.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let has = |test: fn(&Place) -> bool| self.places.iter().any(test);
        let mut missing = Vec::new();
        for (present, name) in [
            (has(|p| p.controllers.memory), "memory limits"),
            (has(|p| p.controllers.cpu), "CPU shares"),
            (has(|p| p.controllers.pids), "limits on the number of processes"),
            (!self.places.is_empty(), "the end of processes that leave their process group"),
        ] {
            if !present {
                missing.push(name);
            }
        }
        missing
    }

    /// Makes the cgroup of one attempt; `None` when there are no cgroups on this machine.
    pub(crate) fn create(&self, task: TaskId, resources: &Resources) -> io::Result<Option<Group>> {
        let group = make(&self.places, &task.to_string(), resources)?;
        Ok(Some(group).filter(|group| !group.parts.is_empty()))
    }

    /// Removes the cgroups that have no process and whose task is not to be kept.
    pub(crate) fn remove_empty(&self, keep: impl Fn(&str) -> bool) {
        for (task, group) in self.found() {
            if !keep(&task) {
                group.remove();
            }
        }
    }

    /// Removes everything of ours, at the end of a node. Blocks for a moment if a process has just ended.
    pub(crate) fn tear_down(&self) {
        for _ in 0..100 {
            self.remove_empty(|_| false);
            if self.places.iter().filter(|place| !remove(&place.directory)).count() == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The cgroups of attempts and containers that exist, with or without processes: leftovers, if the node is new.
    pub(crate) fn existing(&self) -> Vec<Group> {
        self.found().into_iter().map(|(_, group)| group).collect()
    }

    /// Each with the name of its task; those of containers before the one that they are in.
    fn found(&self) -> Vec<(String, Group)> {
        let mut found = Vec::new();
        for place in &self.places {
            for task in place.children().filter(|part| !part.directory.ends_with(setup::NODE)) {
                let name = task.directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let parts = task.children().chain([task.clone()]);
                found.extend(parts.map(|part| (name.clone(), Group { parts: vec![part] })));
            }
        }
        found
    }
}

/// Makes the cgroup `name` in each of `places`, or none.
fn make(places: &[Place], name: &str, resources: &Resources) -> io::Result<Group> {
    let mut group = Group { parts: Vec::with_capacity(places.len()) };
    for place in places {
        let directory = place.directory.join(name);
        let made = fs::create_dir(&directory).and_then(|()| {
            group.parts.push(Place { directory: directory.clone(), ..*place });
            place.limit(&directory, resources)
        });
        if let Err(error) = made {
            group.parts.iter().for_each(|part| _ = fs::remove_dir(&part.directory));
            return Err(error);
        }
    }
    Ok(group)
}

impl Place {
    /// The cgroups in this one.
    fn children(&self) -> impl Iterator<Item = Place> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        directories.map(|entry| Place { directory: entry.path(), ..*self })
    }

    fn limit(&self, directory: &Path, resources: &Resources) -> io::Result<()> {
        let Controllers { memory, cpu, pids, cpuacct: _ } = self.controllers;
        let shares = (resources.milli_vcpus * 1024 / 1000).clamp(2, 262_144);
        let bytes = resources.memory_mib << 20;
        let set = |name: &str, value: u64| write(&directory.join(name), value.to_string());
        let set_if_there = |name, value| match set(name, value) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        if memory && bytes > 0 {
            if self.version == Version::V1 {
                set("memory.limit_in_bytes", bytes)?;
                set_if_there("memory.memsw.limit_in_bytes", bytes)?; // memory and swap together: no swap
            } else {
                set("memory.max", bytes)?;
                set_if_there("memory.swap.max", 0)?;
                set_if_there("memory.oom.group", 1)?; // half a job is of no use to anybody
            }
        }
        if cpu && self.version == Version::V1 {
            set("cpu.shares", shares)?;
        } else if cpu {
            set("cpu.weight", weight(shares))?;
        }
        if pids {
            set("pids.max", PIDS_MAX)?;
        }
        Ok(())
    }
}

/// The v2 weight (1 to 10,000) of v1 shares (2 to 262,144), as Kubernetes and runc convert.
fn weight(shares: u64) -> u64 {
    1 + (shares - 2) * 9999 / 262_142
}

/// The cgroup of one attempt, or of one of its containers.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    parts: Vec<Place>,
}

impl Group {
    /// Lets the cgroups of containers be made in this one, which takes no processes from now on.
    pub(crate) fn divide(&self) -> io::Result<()> {
        let mut v2 = self.parts.iter().filter(|part| part.version == Version::V2);
        v2.try_for_each(|part| setup::enable(&part.directory, part.controllers))
    }

    /// Makes the cgroup of one container, by its index, in that of its task.
    pub(crate) fn create(&self, container: usize, resources: &Resources) -> io::Result<Group> {
        make(&self.parts, &container.to_string(), resources)
    }

    /// Files to which a process writes `0` to join.
    ///
    /// v1 has `tasks`, which moves the calling thread only. That is all of a process that was just forked, and spares it
    /// the lock over all threads of the machine that `cgroup.procs` takes: milliseconds on a busy one.
    pub(crate) fn doors(&self) -> io::Result<Vec<File>> {
        let open = |part: &Place| {
            let name = if part.version == Version::V1 { "tasks" } else { "cgroup.procs" };
            File::options().write(true).open(part.directory.join(name))
        };
        self.parts.iter().map(open).collect()
    }

    /// The processes in it.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        let first = self.parts.first().map(|part| part.directory.join("cgroup.procs"));
        let text = first.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect()
    }

    /// SIGKILL to everything in it; how many processes that were. Repeated until it is 0, it leaves nothing.
    pub(crate) fn kill_and_count(&self) -> usize {
        let processes = self.processes();
        if processes.is_empty() {
            return 0;
        }
        for part in &self.parts {
            if part.version == Version::V2 && write(&part.directory.join("cgroup.kill"), "1").is_ok() {
                return processes.len();
            }
            if part.controllers.pids {
                let _ = write(&part.directory.join("pids.max"), "0"); // nothing outruns us by forking
            }
        }
        for pid in &processes {
            let _ = kill_process(*pid, Signal::KILL);
        }
        processes.len()
    }

    /// Whether the kernel killed a process in it for want of memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        self.parts.iter().filter(|part| part.controllers.memory).any(|part| {
            let name = if part.version == Version::V1 { "memory.oom_control" } else { "memory.events" };
            let text = fs::read_to_string(part.directory.join(name)).unwrap_or_default();
            field(&text, "oom_kill").is_some_and(|kills| kills > 0)
        })
    }

    /// Highest memory in bytes.
    pub(crate) fn peak_memory_bytes(&self) -> Option<u64> {
        let part = self.parts.iter().find(|part| part.controllers.memory)?;
        let name = if part.version == Version::V1 { "memory.max_usage_in_bytes" } else { "memory.peak" };
        read_number(&part.directory.join(name))
    }

    /// User and system CPU time in milliseconds.
    pub(crate) fn cpu_time_millis(&self) -> Option<u64> {
        self.parts.iter().find_map(|part| match part.version {
            Version::V1 if part.controllers.cpuacct => {
                read_number(&part.directory.join("cpuacct.usage")).map(|nanos| nanos / 1_000_000)
            }
            Version::V1 => None,
            Version::V2 => {
                let text = fs::read_to_string(part.directory.join("cpu.stat")).ok()?;
                field(&text, "usage_usec").map(|micros| micros / 1000)
            }
        })
    }

    /// `false` while a process, or the shadow of one that just ended, is in the way.
    pub(crate) fn remove(&self) -> bool {
        // No short-circuit: each part goes as soon as it can.
        self.parts.iter().filter(|part| !remove(&part.directory)).count() == 0
    }
}

/// Removes cgroups of ended attempts, away from the path of their ends. Lives until the sender is gone.
pub(crate) fn remove_in_background() -> io::Result<mpsc::Sender<Group>> {
    const AGAIN: Duration = Duration::from_millis(5);
    const GIVE_UP: Duration = Duration::from_secs(10); // a later sweep finds it
    let (sender, receiver) = mpsc::channel::<Group>();
    let work = move || {
        let mut busy: VecDeque<(Group, Instant)> = VecDeque::new();
        loop {
            let wait = if busy.is_empty() { Duration::from_secs(3600) } else { AGAIN };
            match receiver.recv_timeout(wait) {
                Ok(group) if !group.remove() => busy.push_back((group, Instant::now())),
                Ok(_) => continue, // first those that go at once
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if busy.is_empty() => return,
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(AGAIN),
            }
            busy.retain(|(group, since)| !group.remove() && since.elapsed() < GIVE_UP);
        }
    };
    std::thread::Builder::new().name("cgroup-remove".into()).spawn(work)?;
    Ok(sender)
}

/// Whether the cgroup is gone.
fn remove(directory: &Path) -> bool {
    !matches!(fs::remove_dir(directory), Err(error) if error.kind() != io::ErrorKind::NotFound)
}

/// The number after `name` in lines of `name number`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

fn read_number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Kernel files want one write, to what exists.
fn write(file: &Path, value: impl AsRef<[u8]>) -> io::Result<()> {
    io::Write::write_all(&mut File::options().write(true).open(file)?, value.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_converted_and_found() {
        for (shares, want) in [(2, 1), (1024, 39), (262_144, 10_000)] {
            assert_eq!(weight(shares), want, "{shares}");
        }
        let control = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(field(control, "oom_kill"), Some(3));
        assert_eq!(field("max 1\noom_group_kill 1\n", "oom_kill"), None);
    }

    #[test]
    fn an_attempt_gets_its_cgroup_or_the_log_says_what_is_missing() {
        let cgroups = Cgroups::set_up("i-00000000000000001");
        let missing = cgroups.missing();
        let Some(group) =
            cgroups.create(TaskId(7), &Resources { milli_vcpus: 500, memory_mib: 64, gpus: 0 }).unwrap()
        else {
            println!("skipped: cgroups cannot be used here");
            assert_eq!(missing.len(), 4);
            return;
        };
        println!("not enforced: {missing:?}");
        assert_eq!(group.processes(), []);
        assert!(!group.out_of_memory());
        assert_eq!(cgroups.existing().len(), group.parts.len());
        assert!(group.remove());
        assert_eq!(cgroups.existing().len(), 0);
        let directories: Vec<_> = cgroups.places.iter().map(|place| place.directory.clone()).collect();
        cgroups.tear_down();
        assert!(directories.iter().all(|directory| !directory.exists()));
    }
}
