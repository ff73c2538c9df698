//! Reading files that only their owner may read.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::Error;

/// The text of `name`, a path below `directory` or on its own; `None` when there is no such file.
///
/// Nothing leads out of the directory: neither the path nor a link in it, whoever changes them meanwhile. What is checked is
/// the file that was opened, not the path.
pub(super) fn read(directory: Option<&Path>, name: &Path, bytes_max: usize) -> Result<Option<String>, Error> {
    let is_missing = |errno: Errno| errno == Errno::NOENT || errno == Errno::NOTDIR;
    // Without O_NONBLOCK the opening of a pipe would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let parent = match directory {
        Some(directory) => match File::open(directory) {
            Ok(directory) => Some(directory),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    let (place, bounds) = match &parent {
        Some(parent) => (parent.as_fd(), ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS),
        None => (CWD, ResolveFlags::empty()),
    };
    let file = match openat2(place, name, flags, Mode::empty(), bounds) {
        Ok(file) => File::from(file),
        Err(errno) if is_missing(errno) => return Ok(None),
        Err(Errno::XDEV | Errno::LOOP) => return Err(Error::Place),
        Err(errno) => return Err(std::io::Error::from(errno).into()),
    };
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(Error::Place);
    }
    if facts.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::Owner);
    }
    if facts.mode() & 0o077 != 0 {
        return Err(Error::Mode);
    }
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(Error::TooLong);
    }
    // The bytes that an error of the conversion would carry are a secret.
    let text = String::from_utf8(bytes).map_err(|_| Error::NotText)?;
    if text.contains('\0') {
        return Err(Error::NotText);
    }
    Ok(Some(text))
}
