//! Where this process stands in the cgroup hierarchies: pure reading of `/proc/self/cgroup` and `/proc/self/mountinfo`.
//!
//! Three shapes exist: v1 (a hierarchy for each controller or pair), v2 (one for all), and hybrid (v1 for controllers,
//! v2 beside it for the rest). Source: cgroups(7), proc_pid_mountinfo(5).

use std::path::{Path, PathBuf};

/// The controllers that attempts are limited and measured with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Controllers {
    pub(super) memory: bool,
    pub(super) cpu: bool,
    pub(super) cpuacct: bool,
    pub(super) pids: bool,
}

impl Controllers {
    /// Reads names that `separator` divides; others are passed over.
    pub(super) fn parse(names: &str, separator: char) -> Controllers {
        let has = |name| names.split(separator).any(|part| part.trim() == name);
        Controllers { memory: has("memory"), cpu: has("cpu"), cpuacct: has("cpuacct"), pids: has("pids") }
    }

    pub(super) fn any(self) -> bool {
        self != Controllers::default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// One hierarchy, and the place of this process in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) version: Version,
    /// v1: what it controls. v2 says so only in its files, so that nothing is known here.
    pub(super) controllers: Controllers,
    /// Where it is mounted.
    pub(super) mount: PathBuf,
    /// The directory of this process's own cgroup: the mount or below it.
    pub(super) own: PathBuf,
}

impl Hierarchy {
    /// The own cgroup and what is above it, up to the mount.
    pub(super) fn upwards(&self) -> impl Iterator<Item = &Path> {
        self.own.ancestors().take_while(|path| path.starts_with(&self.mount))
    }
}

/// Hierarchies with a controller of ours, and v2.
pub(super) fn hierarchies(cgroup: &str, mountinfo: &str) -> Vec<Hierarchy> {
    cgroup.lines().filter_map(|line| hierarchy(line, mountinfo)).collect()
}

/// `line` is `id:controllers:path`; v2 is `0::path`.
fn hierarchy(line: &str, mountinfo: &str) -> Option<Hierarchy> {
    let (id, rest) = line.split_once(':')?;
    let (names, path) = rest.split_once(':')?;
    let version = if id == "0" && names.is_empty() { Version::V2 } else { Version::V1 };
    let controllers = Controllers::parse(names, ',');
    if version == Version::V1 && !controllers.any() {
        return None;
    }
    mountinfo.lines().find_map(|line| {
        let (root, mount, kind, options) = mount(line)?;
        let matches = match version {
            Version::V2 => kind == "cgroup2",
            Version::V1 => {
                kind == "cgroup" && names.split(',').all(|name| options.split(',').any(|o| o == name))
            }
        };
        // Inside a container the mount may show only the part below `root`.
        let below = Path::new(path).strip_prefix(&root).ok().filter(|_| matches)?;
        if below.components().any(|part| part == std::path::Component::ParentDir) {
            return None; // the own cgroup is outside of the cgroup namespace
        }
        let own = if below.as_os_str().is_empty() { mount.clone() } else { mount.join(below) };
        Some(Hierarchy { version, controllers, mount, own })
    })
}

/// Root, mount point, file system type and super options of a mountinfo line.
fn mount(line: &str) -> Option<(PathBuf, PathBuf, &str, &str)> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, point) = (left.next()?, left.next()?);
    let mut right = right.split(' ');
    let (kind, options) = (right.next()?, right.nth(1)?);
    Some((unescape(root), unescape(point), kind, options))
}

/// Blanks and backslashes are written as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let text = text.replace(r"\040", " ").replace(r"\011", "\t").replace(r"\012", "\n");
    text.replace(r"\134", "\\").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
36 31 0:33 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";

    #[test]
    fn finds_its_place_on_v1_v2_and_hybrid_hosts() {
        let v2_mounts = "24 1 0:22 / /sys rw - sysfs sysfs rw\n\
            30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        let container_mounts =
            "50 40 0:33 /docker/ab\\040c /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
        struct Case(&'static str, &'static str, &'static str, Vec<&'static str>);
        let cases = [
            Case(
                "hybrid",
                "9:name=systemd:/\n4:memory:/a/b\n2:cpu,cpuacct:/\n8:pids:/x\n5:devices:/\n0::/u",
                HYBRID_MOUNTS,
                vec![
                    "V1 memory /sys/fs/cgroup/memory/a/b",
                    "V1 cpu cpuacct /sys/fs/cgroup/cpu,cpuacct",
                    "V1 pids /sys/fs/cgroup/pids/x",
                    "V2 /sys/fs/cgroup/unified/u",
                ],
            ),
            Case("v2", "0::/user.slice/me.scope", v2_mounts, vec!["V2 /sys/fs/cgroup/user.slice/me.scope"]),
            Case(
                "v1 container",
                "4:memory:/docker/ab c/job",
                container_mounts,
                vec!["V1 memory /sys/fs/cgroup/memory/job"],
            ),
            Case("not under the mount's root", "4:memory:/elsewhere", container_mounts, vec![]),
            Case("outside of the namespace", "0::/../other", v2_mounts, vec![]),
            Case("not mounted", "4:memory:/a\n0::/", "", vec![]),
            Case("nonsense", "memory\n::\n:", HYBRID_MOUNTS, vec![]),
        ];
        for Case(name, cgroup, mountinfo, want) in cases {
            let got: Vec<String> = hierarchies(cgroup, mountinfo)
                .iter()
                .map(|h| {
                    let Controllers { memory, cpu, cpuacct, pids } = h.controllers;
                    let names = [(memory, "memory "), (cpu, "cpu "), (cpuacct, "cpuacct "), (pids, "pids ")];
                    let names: String = names.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
                    format!("{:?} {names}{}", h.version, h.own.display())
                })
                .collect();
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn goes_up_to_the_mount_and_no_further() {
        let all = hierarchies("4:memory:/a/b", HYBRID_MOUNTS);
        let up: Vec<_> = all[0].upwards().map(|path| path.display().to_string()).collect();
        assert_eq!(up, ["/sys/fs/cgroup/memory/a/b", "/sys/fs/cgroup/memory/a", "/sys/fs/cgroup/memory"]);
    }
}
