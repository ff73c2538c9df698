//! A file with a line for each secret: `NAME=value`. Empty lines and lines that begin with `#` are passed over.
//!
//! A value is all that stands behind the first `=`, quotes and blanks included. Of a name that is there twice the last
//! line counts.

use std::path::PathBuf;

use super::{Error, Secret, SecretSource, VALUE_BYTES_MAX, protected};

/// The whole file, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;

/// The file.
pub(super) struct EnvironmentFile(pub(super) PathBuf);

impl SecretSource for EnvironmentFile {
    fn find(&self, name: &str) -> Result<Option<Secret>, Error> {
        let Some(text) = protected::read(protected::open_file(&self.0), FILE_BYTES_MAX)? else {
            return Ok(None);
        };
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.split_once('='));
        let value = pairs.rev().find(|(key, _)| key.strip_prefix('/').unwrap_or(key) == name);
        match value {
            Some((_, value)) if value.len() > VALUE_BYTES_MAX => Err(Error::TooLong),
            found => Ok(found.map(|(_, value)| Secret::new(value))),
        }
    }
}
