//! The access keys that may sign requests, kept in `access-keys.json` in the data directory.
//!
//! The first start creates the file with one key. What must hold: the file is readable by its owner alone, a crash
//! leaves either no file or a whole one, and no secret reaches a log or an error.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

/// Name of the file within the data directory.
pub const FILE_NAME: &str = "access-keys.json";

/// The only version of the file's format so far.
const VERSION: u32 = 1;

/// A secret. Its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `secret`.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for signing and for showing it to its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// One access key, which acts for one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessKey {
    /// `AKIA` and 16 more capital letters and digits.
    pub access_key_id: String,
    /// 40 characters of base64.
    pub secret_access_key: Secret,
    /// Account that the key acts for: 12 digits.
    pub account_id: String,
    /// For temporary keys, the token that must come with each request. Never in the file.
    #[serde(skip)]
    pub session_token: Option<Secret>,
}

impl AccessKey {
    /// A new long-lived key for `account_id`, with 80 random bits in its ID and 240 in its secret.
    ///
    /// # Errors
    /// The operating system gave no random bytes.
    pub fn generate(account_id: &str) -> Result<Self, Error> {
        // The alphabet of base32: 32 letters, so five bits of a byte choose one without bias.
        const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let (mut id, mut secret) = ([0; 16], [0; 30]);
        getrandom::fill(&mut id).and_then(|()| getrandom::fill(&mut secret)).map_err(Error::Random)?;
        let id = id.iter().map(|byte| char::from(BASE32[usize::from(byte % 32)]));
        Ok(Self {
            access_key_id: "AKIA".chars().chain(id).collect(),
            secret_access_key: Secret(BASE64_STANDARD.encode(secret)),
            account_id: account_id.to_owned(),
            session_token: None,
        })
    }
}

/// Why the access keys could not be had. One sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("cannot read or write the access keys in {path}")]
    Io {
        /// The file in question.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Others than the owner may read the file.
    #[error("{path} holds secrets that other users can read: run `chmod 600 {path}`")]
    Readable {
        /// The file in question.
        path: PathBuf,
    },
    /// The file was written by another release.
    #[error("{path} has version {version}, and this release reads version {VERSION} only")]
    Version {
        /// The file in question.
        path: PathBuf,
        /// The version it has.
        version: u32,
    },
    /// The file is not what this module writes. The text never repeats what the file says.
    #[error("{path} is not a valid access key file: {problem}")]
    Invalid {
        /// The file in question.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// The operating system gave no random bytes.
    #[error("cannot get random bytes for an access key")]
    Random(#[source] getrandom::Error),
}

/// The access keys by ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKeys(BTreeMap<String, AccessKey>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    keys: Vec<AccessKey>,
}

impl AccessKeys {
    /// Loads the file at `path`; when there is none, creates it with one new key for `account_id`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn load_or_create(path: &Path, account_id: &str) -> Result<Self, Error> {
        match Self::load(path) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let keys = vec![AccessKey::generate(account_id)?];
                write_new(path, &Content { version: VERSION, keys })
                    .map_err(|source| Error::Io { path: path.to_owned(), source })?;
                Self::load(path)
            }
            loaded => loaded,
        }
    }

    /// Loads the file at `path`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let content = read_private(path)?;
        let invalid = |problem| Error::Invalid { path: path.to_owned(), problem };
        // Only the place of a mistake is passed on: serde's own message may quote a secret.
        let misplaced = |error: serde_json::Error| {
            invalid(format!("see line {}, column {}", error.line(), error.column()))
        };

        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_slice(&content).map_err(misplaced)?;
        if version != VERSION {
            return Err(Error::Version { path: path.to_owned(), version });
        }
        let Content { version: _, keys } = serde_json::from_slice(&content).map_err(misplaced)?;
        let mut by_id = BTreeMap::new();
        for (index, key) in keys.into_iter().enumerate() {
            let id = &key.access_key_id;
            let problem = if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                "accessKeyId must be letters and digits"
            } else if key.secret_access_key.expose().is_empty() {
                "secretAccessKey is empty"
            } else if key.account_id.len() != 12 || !key.account_id.bytes().all(|byte| byte.is_ascii_digit())
            {
                "accountId must be 12 digits"
            } else if by_id.contains_key(id) {
                "accessKeyId stands there twice"
            } else {
                by_id.insert(id.clone(), key);
                continue;
            };
            return Err(invalid(format!("in keys[{index}], {problem}")));
        }
        Ok(Self(by_id))
    }

    /// The key with this ID.
    pub fn find(&self, access_key_id: &str) -> Option<AccessKey> {
        self.0.get(access_key_id).cloned()
    }

    /// All keys, by ID.
    pub fn iter(&self) -> impl Iterator<Item = &AccessKey> {
        self.0.values()
    }
}

/// Reads a file after making sure that nobody but its owner can.
fn read_private(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(Error::Readable { path: path.to_owned() });
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

/// Writes `content` beside `path` and moves it there once it is durable. The caller holds the data directory's lock.
fn write_new(path: &Path, content: &Content) -> io::Result<()> {
    let unfinished = path.with_extension("json.new");
    // A crash may have left one; `create_new` below refuses to write through anything that stands there.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(&serde_json::to_vec_pretty(content)?)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    // The new name is durable only when its directory is.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "000000000000";

    #[test]
    fn first_start_creates_one_key_and_the_next_finds_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        fs::write(path.with_extension("json.new"), "left by a crash").unwrap();

        let created = AccessKeys::load_or_create(&path, ACCOUNT).unwrap();
        assert_eq!(created, AccessKeys::load_or_create(&path, "111111111111").unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);

        let key = created.iter().next().unwrap();
        assert_eq!((key.access_key_id.len(), key.secret_access_key.expose().len()), (20, 40));
        assert_eq!((&key.access_key_id[..4], key.account_id.as_str()), ("AKIA", ACCOUNT));
        assert_eq!(created.find(&key.access_key_id).as_ref(), Some(key));
        assert_eq!(created.find("AKIAUNKNOWN"), None);
        assert!(!format!("{created:?}").contains(key.secret_access_key.expose()));
        let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(json["keys"][0]["secretAccessKey"], key.secret_access_key.expose());
    }

    #[test]
    fn files_that_are_not_right_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let key = |id: &str, account: &str| {
            format!(r#"{{"accessKeyId":"{id}","secretAccessKey":"hunter2","accountId":"{account}"}}"#)
        };
        let file = |keys: String| format!(r#"{{"version":1,"keys":[{keys}]}}"#);
        let good = key("AKIA1", ACCOUNT);
        for (mode, content, want) in [
            (0o644, file(good.clone()), "holds secrets that other users can read: run `chmod 600 "),
            (0o620, file(good.clone()), "run `chmod 600 "),
            (
                0o600,
                r#"{"version":2,"accounts":{}}"#.to_owned(),
                "has version 2, and this release reads version 1",
            ),
            (0o600, r#"{"version":1,"keys":"hunter2"}"#.to_owned(), "see line 1, column 29"),
            (0o600, String::new(), "see line 1, column 0"),
            (0o600, file(format!("{good},{good}")), "in keys[1], accessKeyId stands there twice"),
            (0o600, file(key("AK/IA", ACCOUNT)), "in keys[0], accessKeyId must be letters and digits"),
            (0o600, file(key("AKIA1", "12")), "in keys[0], accountId must be 12 digits"),
        ] {
            fs::write(&path, &content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = AccessKeys::load_or_create(&path, ACCOUNT).unwrap_err();
            assert!(error.to_string().contains(want), "{content}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content, "the file is left alone");
        }
    }
}
