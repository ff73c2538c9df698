//! Reading files that only their owner may read.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

use super::Error;

/// Without NONBLOCK the opening of a pipe would wait for a writer.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Opens `path`, wherever it leads.
pub(super) fn open_file(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, FLAGS, Mode::empty())
}

/// Opens `name` in `directory`. Neither the name nor a link leads out of it, whoever changes them meanwhile: the kernel
/// sees to that, since Linux 5.6.
pub(super) fn open_below(directory: &Path, name: &str) -> Result<OwnedFd, Errno> {
    let directory = open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    openat2(directory, name, FLAGS, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)
}

/// The text of what was opened; `None` when there was no such file.
pub(super) fn read(opened: Result<OwnedFd, Errno>, bytes_max: usize) -> Result<Option<String>, Error> {
    let file = match opened {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(Errno::XDEV | Errno::LOOP) => return Err(Error::Place),
        Err(errno) => return Err(io::Error::from(errno).into()),
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
    // The error of the conversion would carry the bytes, which are secret.
    let text = String::from_utf8(bytes).map_err(|_| Error::NotText)?;
    if text.contains('\0') {
        return Err(Error::NotText);
    }
    Ok(Some(text))
}
