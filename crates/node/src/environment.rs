//! The environment of a container: a few variables of the node's own, what Batch and ECS set, what the job asks for.

use std::collections::BTreeMap;
use std::ffi::{CString, NulError, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use fornada_core::text::Text;

use crate::secrets::Secret;
use crate::user::User;

/// Where a job finds what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoints {
    /// This server's API; empty while no server was ever connected.
    pub(crate) server: String,
    /// The port of the metadata endpoint on 127.0.0.1.
    pub(crate) metadata_port: u16,
}

impl Endpoints {
    /// `version` is `v3` or `v4`.
    fn metadata(&self, version: &str, id: &str) -> String {
        format!("http://127.0.0.1:{}/{version}/{id}", self.metadata_port)
    }
}

/// What every job takes from the node: enough for programs to be found and to know their user, language and time.
pub(crate) fn base() -> Vec<(OsString, OsString)> {
    const NAMES: [&str; 8] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"];
    let wanted = |name: &OsStr| name.to_str().is_some_and(|n| NAMES.contains(&n) || n.starts_with("LC_"));
    let default = ("PATH".into(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    std::iter::once(default).chain(std::env::vars_os().filter(|(name, _)| wanted(name))).collect()
}

/// What the environment of one container is made of.
pub(crate) struct Own<'a> {
    pub(crate) region: &'a str,
    /// See [`crate::metadata::container_id`].
    pub(crate) id: &'a str,
    pub(crate) variables: &'a [(Text, Text)],
    pub(crate) user: Option<&'a User>,
}

/// The variables of one container, in the order in which they are set: a later one replaces an earlier.
pub(crate) fn of(
    own: Own,
    base: &[(OsString, OsString)],
    endpoints: &Endpoints,
) -> Vec<(OsString, OsString)> {
    let Own { region, id, variables, user } = own;
    let mut all = base.to_vec();
    let mut set = |name: &str, value: &str| all.push((name.into(), value.into()));
    if let Some(user) = user {
        set("HOME", &user.home);
        set("USER", &user.name);
        set("LOGNAME", &user.name);
    }
    set("AWS_EXECUTION_ENV", "AWS_ECS_EC2");
    set("AWS_REGION", region);
    set("AWS_DEFAULT_REGION", region);
    if !endpoints.server.is_empty() {
        set("AWS_ENDPOINT_URL_BATCH", &endpoints.server);
        set("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", &endpoints.server);
    }
    for (name, value) in variables {
        set(name, value);
    }
    // Last, because a node that starts anew knows by this what an earlier one left behind.
    set("ECS_CONTAINER_METADATA_URI", &endpoints.metadata("v3", id));
    set("ECS_CONTAINER_METADATA_URI_V4", &endpoints.metadata("v4", id));
    all
}

/// The form that exec takes: `NAME=value`, each name once. A secret gives way to a variable of its name.
pub(crate) fn block(
    secrets: &[(Text, Secret)],
    environment: Vec<(OsString, OsString)>,
) -> Result<Vec<CString>, NulError> {
    let secrets = secrets.iter().map(|(name, secret)| (name.as_str().into(), secret.expose().into()));
    let last: BTreeMap<OsString, OsString> = secrets.chain(environment).collect();
    let join = |(name, value): (OsString, OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())
    };
    last.into_iter().map(join).collect()
}

/// The task of a process whose environment block (`NAME=value`, each ended by a zero byte) this is.
pub(crate) fn task_of(block: &[u8]) -> Option<&str> {
    let mut variables = block.split(|byte| *byte == 0);
    let uri = variables.find_map(|variable| variable.strip_prefix(b"ECS_CONTAINER_METADATA_URI_V4="))?;
    let (_, id) = std::str::from_utf8(uri).ok()?.rsplit_once("/v4/")?;
    Some(id.split_once('-').map_or(id, |(task, _)| task))
}

/// The value that `name` has in the end.
pub(crate) fn value<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    environment.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_os_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_metadata_endpoint() {
        let block = b"A=1\0ECS_CONTAINER_METADATA_URI_V4=http://127.0.0.1:1/v4/00ff\0B=2\0";
        assert_eq!(task_of(block), Some("00ff"));
        assert_eq!(task_of(b"ECS_CONTAINER_METADATA_URI_V4=http://x/v4/00ff-1\0"), Some("00ff"));
        assert_eq!(task_of(b"XECS_CONTAINER_METADATA_URI_V4=http://x/v4/1\0"), None);
        assert_eq!(task_of(b""), None);
    }
}
