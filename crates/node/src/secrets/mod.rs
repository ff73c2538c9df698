//! Secrets: variables of a container whose values are in no record, log, answer or error.
//!
//! A definition names them by `valueFrom` ([`reference`]). The values are looked up when an attempt starts, in the
//! [`SecretSource`]s of the node, in order: as a rule a directory and a file that the operator fills. What must hold: a value
//! leaves this module only inside a [`Secret`], and the one place that exposes it is the environment of the process.

mod directory;
mod environment_file;
mod protected;
mod reference;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fornada_core::attempt::LaunchContainer;
use fornada_core::text::Text;

use directory::SecretDirectory;
use environment_file::EnvironmentFile;
use reference::Reference;

/// A value is no longer, in bytes. Source: AWS Secrets Manager quotas, secret value.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// A value that is not to be seen. Its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `value`.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value itself, for the process that is to have it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A place where secrets are kept.
pub trait SecretSource: Send + Sync {
    /// The value of `name`, such as `db` or `prod/db/password`; `None` when this source does not have it. Names are not
    /// empty, and none of their parts between slashes is empty, `.` or `..`. May block.
    ///
    /// # Errors
    /// It is there, or may be, but is not to be used.
    fn find(&self, name: &str) -> Result<Option<Secret>, Error>;
}

/// Why a secret cannot be had, for the reason of an attempt: no variant holds a value, or the path of a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `valueFrom` is none of the forms that are known.
    #[error("valueFrom is not an ARN of a secret or parameter, nor the name of a parameter")]
    Reference,
    /// No source has it.
    #[error("there is no such secret here")]
    Missing,
    /// Others could have read it.
    #[error("its file can be read by other users (chmod 600 is needed)")]
    Mode,
    /// It is not the node's.
    #[error("its file belongs to another user")]
    Owner,
    /// A directory or device, or a link that leads out of the directory of secrets.
    #[error("it is not a file within the directory of secrets")]
    Place,
    /// More than 64 KiB, or 1 MiB for a file with many.
    #[error("it is too long")]
    TooLong,
    /// Variables hold text.
    #[error("it is not UTF-8 text without zero bytes")]
    NotText,
    /// What the system said.
    #[error("its file cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// `valueFrom` names a key, and the secret has none.
    #[error("it is not a JSON object with the key {0}")]
    Key(String),
}

/// The sources of a node, in the order in which they are asked.
#[derive(Clone, Default)]
pub struct Secrets(Vec<Arc<dyn SecretSource>>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} sources)", self.0.len())
    }
}

impl Secrets {
    /// Asks these sources.
    pub fn new(sources: impl IntoIterator<Item = Arc<dyn SecretSource>>) -> Secrets {
        Secrets(sources.into_iter().collect())
    }

    /// `secrets` (a directory) and `secrets.env` in `data_dir`; either may come and go while the node runs.
    pub fn in_data_dir(data_dir: &Path) -> Secrets {
        Secrets::new([
            Arc::new(SecretDirectory(data_dir.join("secrets"))) as Arc<dyn SecretSource>,
            Arc::new(EnvironmentFile(data_dir.join("secrets.env"))),
        ])
    }

    /// What is at `path`: a directory with a file for each secret, or a file with a line for each.
    pub fn at(path: impl Into<PathBuf>) -> Secrets {
        let path = path.into();
        let source: Arc<dyn SecretSource> = match path.is_dir() {
            true => Arc::new(SecretDirectory(path)),
            false => Arc::new(EnvironmentFile(path)),
        };
        Secrets::new([source])
    }

    /// The variables of `container` that are secrets. The error names the `valueFrom` that failed.
    pub(crate) fn of(&self, container: &LaunchContainer) -> Result<Vec<(Text, Secret)>, (Text, Error)> {
        let resolve = |(name, value_from): &(Text, Text)| match self.resolve(value_from) {
            Ok(secret) => Ok((name.clone(), secret)),
            Err(error) => Err((value_from.clone(), error)),
        };
        container.secrets.iter().map(resolve).collect()
    }

    fn resolve(&self, value_from: &str) -> Result<Secret, Error> {
        let reference = Reference::parse(value_from).ok_or(Error::Reference)?;
        for name in reference.names() {
            for source in &self.0 {
                if let Some(secret) = source.find(name)? {
                    return reference.select(secret);
                }
            }
        }
        Err(Error::Missing)
    }
}

#[cfg(test)]
mod tests;
