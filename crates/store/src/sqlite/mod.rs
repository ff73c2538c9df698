//! Records in SQLite: the embedded store.
//!
//! One row a record, with the few columns that people search by, and the record itself as a versioned body ([`record`]).
//! WAL with `synchronous=FULL`: a commit is on disk when it returns. One connection writes, others read; a reader sees only
//! what is committed.

mod check;
mod index;
mod load;
#[cfg(test)]
mod migration_tests;
mod past;
mod record;
mod schema;
mod snapshot;
mod write;

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fornada_core::record::{Change, Loaded};
use fornada_engine::port::store::{Error, Store};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

pub use check::{Counts, check};
pub use index::SqliteIndex;
pub use snapshot::{CopyError, Snapshot, Use};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else's file.
    #[error("{} is not a Fornada store", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later release.
    #[error("{} was written by a newer version of Fornada (store version {found}, this one reads up to {version}): use that version", path.display(), version = schema::VERSION)]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
    },
    /// Damaged on its disk.
    #[error("{} is damaged: restore the data directory from a backup (fornada restore)", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite met.
        #[source]
        source: rusqlite::Error,
    },
    /// SQLite opens it all the same, and fails at the first commit.
    #[error("{} is read-only: make it writable and start again", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be created.
    #[error("cannot create {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be opened or read.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// An earlier release wrote it, and it cannot be brought up to date. It is as it was.
    #[error("cannot bring {} up to date", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Failure,
    },
}

impl OpenError {
    /// What an error of SQLite means for the store in `path`.
    fn of(path: &Path) -> impl Fn(rusqlite::Error) -> OpenError {
        move |source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => OpenError::Foreign { path: path.to_owned() },
            Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
                OpenError::Damaged { path: path.to_owned(), source }
            }
            _ => OpenError::Open { path: path.to_owned(), source },
        }
    }
}

/// The writing side.
pub struct SqliteStore {
    connection: Connection,
}

impl SqliteStore {
    /// Opens the store in `path`, creating it (mode 0600) when it is not there. Says whether it was created.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<(SqliteStore, bool), OpenError> {
        let created = match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(_) => true,
            Err(exists) if exists.kind() == std::io::ErrorKind::AlreadyExists => false,
            Err(source) => return Err(OpenError::Create { path: path.to_owned(), source }),
        };
        let failed = OpenError::of(path);
        let outdated = |source| OpenError::Migrate { path: path.to_owned(), source };
        let mut connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(&failed)?;
        if connection.is_readonly("main").map_err(&failed)? {
            return Err(OpenError::ReadOnly { path: path.to_owned() });
        }
        let mut created = created;
        match schema::pragma(&connection, "application_id").map_err(&failed)? {
            schema::APPLICATION_ID => match schema::pragma(&connection, "user_version").map_err(&failed)? {
                found @ 1..=schema::VERSION => {
                    schema::configure(&connection).map_err(&failed)?;
                    schema::migrate(&mut connection, found).map_err(outdated)?;
                }
                found => return Err(OpenError::Newer { path: path.to_owned(), found }),
            },
            // An empty file is the trace of a first start that was cut short.
            0 if schema::is_empty(&connection).map_err(&failed)? => {
                created = true;
                schema::configure(&connection).map_err(&failed)?;
                schema::migrate(&mut connection, 0).map_err(outdated)?;
            }
            _ => return Err(OpenError::Foreign { path: path.to_owned() }),
        }
        for suffix in ["-wal", "-shm"] {
            let mut side = path.as_os_str().to_owned();
            side.push(suffix);
            drop(fs::set_permissions(side, fs::Permissions::from_mode(0o600))); // they inherit it; older ones may not have
        }
        Ok((SqliteStore { connection }, created))
    }
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Loaded, Error> {
        load::load(&self.connection)
            .map_err(|source| Error { what: "cannot read the records".into(), source })
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), Error> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let result = transaction.and_then(|transaction| {
            changes.iter().try_for_each(|change| write::write(&transaction, change))?;
            transaction.commit()
        });
        result.map_err(|source| Error { what: what_failed(&source), source: source.into() })
    }
}

/// The sentence an operator needs; a full disk is the one that every machine meets some day.
fn what_failed(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => {
            "the disk is full: free some space and start again; nothing that was acknowledged is lost".into()
        }
        Some(rusqlite::ErrorCode::ReadOnly) => "the store is read-only".into(),
        _ => format!("the store cannot be written ({error})"),
    }
}
