//! The user that a job definition names: `name`, `uid`, `name:group` or `uid:gid`, as in a container's `USER`.

use std::fs;

use rustix::process::{Gid, Uid};

/// Whom to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    pub(crate) groups: Vec<Gid>,
    /// Empty when the user has no entry.
    pub(crate) name: String,
    /// `/` when the user has no entry.
    pub(crate) home: String,
}

/// Finds `spec` in the user and group files of this machine; `None` when it is not there.
pub(crate) fn find(spec: &str) -> Option<User> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    find_in(spec, &read("/etc/passwd"), &read("/etc/group"))
}

fn find_in(spec: &str, passwd: &str, group: &str) -> Option<User> {
    let (user, wanted_group) = spec.split_once(':').map_or((spec, None), |(user, group)| (user, Some(group)));
    // name:password:uid:gid:…
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.len() > 3 && (fields[0] == user || (user.parse::<u32>().is_ok() && fields[2] == user))
    });
    let (name, home, uid, own_gid) = match &entry {
        Some(fields) => {
            let home = fields.get(5).copied().unwrap_or("/");
            (fields[0], home, fields[2].parse().ok()?, fields[3].parse().ok()?)
        }
        None => ("", "/", user.parse().ok()?, 0), // an unknown uid belongs to group 0, as in a container
    };
    // name:password:gid:members
    let rows: Vec<Vec<&str>> = group.lines().map(|line| line.split(':').collect()).collect();
    let gid = match wanted_group {
        None => own_gid,
        Some(wanted) => match rows.iter().find(|fields| fields.len() > 2 && fields[0] == wanted) {
            Some(fields) => fields[2].parse().ok()?,
            None => wanted.parse().ok()?,
        },
    };
    let is_member = |fields: &&Vec<&str>| {
        fields.len() > 3 && !name.is_empty() && fields[3].split(',').any(|member| member == name)
    };
    let others = rows.iter().filter(is_member).filter_map(|fields| fields[2].parse().ok());
    let valid = |id: u32| id != u32::MAX;
    if !valid(uid) || !valid(gid) {
        return None; // -1 means "leave as it is" to the kernel
    }
    let mut groups = vec![Gid::from_raw(gid)];
    groups.extend(others.filter(|id| *id != gid && valid(*id)).map(Gid::from_raw));
    Some(User {
        uid: Uid::from_raw(uid),
        gid: Gid::from_raw(gid),
        groups,
        name: name.to_owned(),
        home: home.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1001::/home/ada:/bin/sh\nbroken\n";
        let group = "root:x:0:\nada:x:1001:\nvideo:x:44:bob,ada\n";
        struct Case(&'static str, Option<(u32, u32, &'static [u32])>);
        for Case(spec, want) in [
            Case("ada", Some((1000, 1001, &[1001, 44]))),
            Case("1000", Some((1000, 1001, &[1001, 44]))),
            Case("ada:video", Some((1000, 44, &[44]))),
            Case("ada:7", Some((1000, 7, &[7, 44]))),
            Case("2000", Some((2000, 0, &[0]))),
            Case("2000:3000", Some((2000, 3000, &[3000]))),
            Case("nobody-here", None),
            Case("ada:nogroup-here", None),
            Case("4294967295", None),
            Case("", None),
        ] {
            let got = find_in(spec, passwd, group);
            let ids: Option<(u32, u32, Vec<u32>)> = got.map(|user| {
                assert_eq!(user.home, if user.name == "ada" { "/home/ada" } else { "/" });
                let groups = user.groups.iter().map(|group| group.as_raw()).collect();
                (user.uid.as_raw(), user.gid.as_raw(), groups)
            });
            let want = want.map(|(uid, gid, groups)| (uid, gid, groups.to_vec()));
            assert_eq!(ids, want, "{spec}");
        }
    }
}
