//! Finds out once, by trying, where cgroups can be made and which limits hold.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::hierarchy::{Controllers, Hierarchy, Version, hierarchies};
use super::{Cgroups, Place, read_number, remove, write};

/// The node's own leaf, where v2 forbids processes beside children.
pub(super) const NODE: &str = "node";
const PROBE: &str = "probe";

impl Cgroups {
    /// Prepares `fornada-{instance}` in each hierarchy that lets us. Never fails: see [`Cgroups::missing`].
    pub(crate) fn set_up(instance: &str) -> Cgroups {
        let name = format!("fornada-{instance}");
        let all = own_hierarchies();
        let v1 = all.iter().filter(|h| h.version == Version::V1).filter_map(|h| set_up_v1(h, &name));
        let mut places: Vec<Place> = v1.collect();
        let taken = places.iter().fold(Controllers::default(), |taken, place| Controllers {
            memory: taken.memory || place.controllers.memory,
            cpu: taken.cpu || place.controllers.cpu,
            cpuacct: taken.cpuacct || place.controllers.cpuacct,
            pids: taken.pids || place.controllers.pids,
        });
        // A v2 hierarchy beside v1 is without our controllers as a rule, and joining it is the dear part.
        if !taken.memory {
            places.extend(all.iter().filter(|h| h.version == Version::V2).find_map(|h| set_up_v2(h, &name)));
        }
        Cgroups { places }
    }
}

/// The memory that the cgroups of this process leave to it, in bytes; `None` without a limit.
pub(crate) fn memory_limit_bytes() -> Option<u64> {
    let files = |h: &Hierarchy| -> Vec<PathBuf> {
        let name = if h.version == Version::V2 { "memory.max" } else { "memory.limit_in_bytes" };
        h.upwards().map(|directory| directory.join(name)).collect()
    };
    let limits = own_hierarchies();
    limits.iter().flat_map(files).filter_map(|file| read_number(&file)).min()
}

fn own_hierarchies() -> Vec<Hierarchy> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    hierarchies(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
}

fn set_up_v1(hierarchy: &Hierarchy, name: &str) -> Option<Place> {
    hierarchy.upwards().find_map(|parent| {
        let place =
            Place { directory: parent.join(name), version: Version::V1, controllers: hierarchy.controllers };
        make(&place.directory).ok()?;
        let probed = probe(&place, |directory| {
            // Joins with a thread that ends right away: the node itself stays where it is.
            let tasks = File::options().write(true).open(directory.join("tasks"))?;
            let join = std::thread::spawn(move || io::Write::write_all(&mut &tasks, b"0"));
            join.join().map_err(|_| io::Error::other("the probing thread panicked"))?
        });
        keep(place, probed)
    })
}

fn set_up_v2(hierarchy: &Hierarchy, name: &str) -> Option<Place> {
    hierarchy.upwards().find_map(|parent| {
        let names = fs::read_to_string(parent.join("cgroup.controllers")).ok()?;
        let controllers = Controllers::parse(&names, ' ');
        if !controllers.any() {
            return None;
        }
        let place = Place { directory: parent.join(name), version: Version::V2, controllers };
        make(&place.directory).ok()?;
        let probed = enable(parent, controllers)
            .or_else(|error| leave(parent, &place.directory, controllers).map_err(|_| error))
            .and_then(|()| enable(&place.directory, controllers))
            // To move a process one needs the right to write here, the lowest place above both ends.
            .and_then(|()| File::options().write(true).open(parent.join("cgroup.procs")).map(drop))
            .and_then(|()| probe(&place, |_| Ok(())));
        keep(place, probed)
    })
}

/// Lets the children of `directory` be limited.
pub(super) fn enable(directory: &Path, controllers: Controllers) -> io::Result<()> {
    let wanted = [(controllers.memory, "+memory"), (controllers.cpu, "+cpu"), (controllers.pids, "+pids")];
    let wanted: Vec<_> = wanted.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    write(&directory.join("cgroup.subtree_control"), wanted.join(" "))
}

/// A v2 cgroup may not have processes and limited children at once: the node steps aside into a leaf of its own. That
/// helps if nobody else is in `parent`; otherwise it steps back.
fn leave(parent: &Path, ours: &Path, controllers: Controllers) -> io::Result<()> {
    let leaf = ours.join(NODE);
    let pid = std::process::id().to_string();
    make(&leaf)?;
    write(&leaf.join("cgroup.procs"), &pid)?;
    enable(parent, controllers).inspect_err(|_| {
        let _ = write(&parent.join("cgroup.procs"), &pid);
        let _ = fs::remove_dir(&leaf);
    })
}

/// Makes a cgroup as an attempt would have it, joins it, removes it.
fn probe(place: &Place, join: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let directory = place.directory.join(PROBE);
    make(&directory)?;
    let limit = fornada_core::quantity::Resources { milli_vcpus: 1000, memory_mib: 64, gpus: 0 };
    let joined = place.limit(&directory, &limit).and_then(|()| join(&directory));
    for _ in 0..50 {
        if remove(&directory) {
            break;
        }
        std::thread::sleep(Duration::from_millis(2)); // a thread that ended leaves its cgroup a moment later
    }
    joined
}

fn keep(place: Place, probed: io::Result<()>) -> Option<Place> {
    match probed {
        Ok(()) => Some(place),
        Err(error) => {
            tracing::debug!(directory = %place.directory.display(), %error, "cgroup not usable");
            let _ = fs::remove_dir(&place.directory);
            None
        }
    }
}

fn make(directory: &Path) -> io::Result<()> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
