//! The data directory and the two files in it that tell a client how to reach the server.
//!
//! The server writes both files; clients only read them.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Written by a server once it serves, removed when it stops.
pub(crate) const SERVER_FILE: &str = "server.json";
/// Written by the first start, mode 0600.
pub(crate) const ACCESS_KEYS_FILE: &str = "access-keys.json";

/// Where a running server answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServerFile {
    /// Such as `http://127.0.0.1:8600`.
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) account_id: String,
    pub(crate) pid: u32,
}

/// The access keys that the server accepts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AccessKeysFile {
    pub(crate) version: u32,
    pub(crate) keys: Vec<AccessKey>,
}

/// One access key and the account it belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccessKey {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) account_id: String,
}

/// The data directory: the option, else `FORNADA_DATA_DIR`, else the user's data folder (XDG).
pub(crate) fn locate(option: Option<&Path>) -> Result<PathBuf> {
    choose(option, |name| std::env::var_os(name).filter(|value| !value.is_empty()))
        .ok_or_else(|| anyhow!("no data directory: give --data-dir or set FORNADA_DATA_DIR or HOME"))
}

fn choose(option: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    option
        .map(Path::to_owned)
        .or_else(|| variable("FORNADA_DATA_DIR").map(PathBuf::from))
        .or_else(|| variable("XDG_DATA_HOME").map(|dir| Path::new(&dir).join("fornada")))
        .or_else(|| variable("HOME").map(|dir| Path::new(&dir).join(".local/share/fornada")))
}

/// Reads one of the files; `None` if it does not exist.
pub(crate) fn read<T: DeserializeOwned>(data_dir: &Path, file: &str) -> Result<Option<T>> {
    let path = data_dir.join(file);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    serde_json::from_slice(&bytes).with_context(|| format!("cannot understand {}", path.display())).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_place_wins() {
        let all = [("FORNADA_DATA_DIR", "/f"), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")];
        let cases = [
            (Some("/o"), 0, Some("/o")),
            (None, 0, Some("/f")),
            (None, 1, Some("/x/fornada")),
            (None, 2, Some("/h/.local/share/fornada")),
            (None, 3, None),
        ];
        for (option, unset, want) in cases {
            let variables = &all[unset..];
            let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into());
            assert_eq!(choose(option.map(Path::new), variable).as_deref(), want.map(Path::new));
        }
    }
}
