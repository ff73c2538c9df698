//! Copying files that others may be writing.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Copies a file to a new one for its owner only (mode 0600), up to the length that it has now, with the time of its last
/// change; returns the bytes. `None` when there is no such file. The copy is not synced.
///
/// # Errors
/// When it cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> io::Result<Option<u64>> {
    let source = match File::open(from) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let bytes = io::copy(&mut (&source).take(source.metadata()?.len()), &mut copy)?;
    // Asked for after reading: what was read is no newer.
    copy.set_modified(source.metadata()?.modified()?)?;
    Ok(Some(bytes))
}
