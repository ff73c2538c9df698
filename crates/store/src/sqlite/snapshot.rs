//! A store as it was at one moment: what a backup copies and a check reads. Nothing is written to it, and whoever writes
//! meanwhile is not held up.

use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::schema::{self, APPLICATION_ID, migrate, pragma};
use super::{Failure, OpenError};

/// Pages that are copied at once: 4 MiB, of which nothing stays in memory.
const STEP_PAGES: i32 = 1024;

/// Whether a process may be writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A server may run, or have been killed.
    Live,
    /// Nobody writes while the snapshot is there; then the directory may also be read-only.
    AtRest,
}

/// A store open for reading; later commits are not seen.
#[derive(Debug)]
pub struct Snapshot {
    connection: Connection,
    version: i32,
}

impl Snapshot {
    /// Opens the store in `path` as it is now.
    ///
    /// # Errors
    /// [`OpenError`]; a store of an older version is none.
    pub fn open(path: &Path, used: Use) -> Result<Snapshot, OpenError> {
        let failed = OpenError::of(path);
        // With a file of its last commits beside it, a store is not at rest: that must be read too.
        let side = [path.as_os_str().as_bytes(), b"-wal"].concat();
        let has_commits =
            std::fs::metadata(Path::new(std::ffi::OsStr::from_bytes(&side))).is_ok_and(|file| file.len() > 0);
        let immutable = if used == Use::AtRest && !has_commits { "?immutable=1" } else { "" };
        let uri =
            format!("file:{}{immutable}", percent_encode(path.as_os_str().as_bytes(), NON_ALPHANUMERIC));
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(uri, flags).map_err(&failed)?;
        // The first read of a transaction is its moment.
        connection.execute_batch("BEGIN").map_err(&failed)?;
        if pragma(&connection, "application_id").map_err(&failed)? != APPLICATION_ID {
            return Err(OpenError::Foreign { path: path.to_owned() });
        }
        let version = pragma(&connection, "user_version").map_err(&failed)?;
        if !(1..=schema::VERSION).contains(&version) {
            return Err(OpenError::Newer { path: path.to_owned(), found: version });
        }
        Ok(Snapshot { connection, version })
    }

    /// Version of its tables.
    pub fn version(&self) -> i32 {
        self.version
    }

    /// Writes a copy to `path`, a new file for its owner only (mode 0600), and returns its size in bytes. `progress` hears
    /// how many bytes are done, and of how many. The copy is on the disk when this returns.
    ///
    /// # Errors
    /// When the store cannot be read or the copy not be written.
    pub fn copy_to(&self, path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<u64, CopyError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        drop(file);
        let mut copy = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // Nobody misses a copy that a power failure cut short; the file is synced once, when it is whole.
        copy.pragma_update(None, "synchronous", "OFF")?;
        self.copy_into(&mut copy, progress)?;
        copy.close().map_err(|(_, error)| error)?;
        let file = File::open(path)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }

    /// The connection to read from: the store itself, or a migrated copy of one of an older version, which SQLite keeps in a
    /// temporary file.
    pub(super) fn current(&self) -> Result<Current<'_>, Failure> {
        if self.version == schema::VERSION {
            return Ok(Current::Itself(&self.connection));
        }
        let mut copy = Connection::open("")?;
        self.copy_into(&mut copy, &mut |_, _| ())?;
        migrate(&mut copy, self.version)?;
        Ok(Current::Migrated(copy))
    }

    /// The transaction of this connection holds the moment between the steps; a backup that took it for each step anew would
    /// begin again after every commit of the server.
    fn copy_into(&self, copy: &mut Connection, progress: &mut dyn FnMut(u64, u64)) -> rusqlite::Result<()> {
        let page_size = u64::try_from(pragma(&self.connection, "page_size")?).unwrap_or_default();
        let bytes = |pages: i32| u64::try_from(pages).unwrap_or_default() * page_size;
        let backup = Backup::new(&self.connection, copy)?;
        loop {
            let step = backup.step(STEP_PAGES)?;
            let at = backup.progress();
            progress(bytes(at.pagecount - at.remaining), bytes(at.pagecount));
            match step {
                StepResult::Done => return Ok(()),
                StepResult::More => {}
                _ => std::thread::sleep(Duration::from_millis(1)), // a checkpoint holds the file for a moment
            }
        }
    }
}

/// Why a store could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// SQLite met a fault, in the store or in its copy.
    #[error("cannot copy the store")]
    Sqlite(#[from] rusqlite::Error),
    /// The copy cannot be written.
    #[error("cannot write the copy of the store")]
    Io(#[from] std::io::Error),
}

/// A store in its present form.
pub(super) enum Current<'a> {
    Itself(&'a Connection),
    Migrated(Connection),
}

impl std::ops::Deref for Current<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Current::Itself(connection) => connection,
            Current::Migrated(connection) => connection,
        }
    }
}
