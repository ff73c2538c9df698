//! A directory with a file for each secret: `db`, `prod/db/password`.

use std::path::PathBuf;

use super::{Error, Secret, SecretSource, VALUE_BYTES_MAX, protected};

/// The directory.
pub(super) struct SecretDirectory(pub(super) PathBuf);

impl SecretSource for SecretDirectory {
    fn find(&self, name: &str) -> Result<Option<Secret>, Error> {
        let text = protected::read(protected::open_below(&self.0, name), VALUE_BYTES_MAX)?;
        Ok(text.map(|mut text| {
            // Editors and `echo` end a file with a line end, which is not part of what was written.
            let length = text.strip_suffix('\n').map_or(text.len(), str::len);
            text.truncate(length);
            Secret::new(text)
        }))
    }
}
