//! The commands that look after a data directory: `backup`, `restore` and `check`. They read its files, so that they also
//! work where no server can start.

mod backup;
mod check;
mod copy;
mod restore;
mod staging;

use std::fs::{File, TryLockError};
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use fornada_store::sqlite::{Snapshot, Use};

pub(crate) use backup::{BackupArgs, EXAMPLES as BACKUP_EXAMPLES, backup};
pub(crate) use check::{CheckArgs, EXAMPLES as CHECK_EXAMPLES, check};
pub(crate) use restore::{EXAMPLES as RESTORE_EXAMPLES, RestoreArgs, restore};

use crate::cli::args::Output;
use crate::cli::{note, print_json};
use crate::serve::data_dir::{self, LOCK_FILE, STORE_FILE};

/// A look at the records of a data directory, as they were at one moment.
struct Records {
    snapshot: Snapshot,
    /// Keeps a server from starting where none runs, so that the files can be read as they lie, even from a medium that
    /// cannot be written.
    _quiet: Option<File>,
}

impl Records {
    /// # Errors
    /// Those of the store, as they are; the caller may tell them apart.
    fn open(data_dir: &Path) -> Result<Records, fornada_store::sqlite::OpenError> {
        let lock = File::open(data_dir.join(LOCK_FILE)).ok();
        let is_live = lock.as_ref().is_some_and(|lock| lock.try_lock_shared().is_err());
        let used = if is_live { Use::Live } else { Use::AtRest };
        let snapshot = Snapshot::open(&data_dir.join(STORE_FILE), used)?;
        Ok(Records { snapshot, _quiet: lock.filter(|_| !is_live) })
    }
}

/// Refuses a directory that is none of a server, in one sentence.
fn must_be_data_dir(path: &Path) -> Result<()> {
    if !path.join(STORE_FILE).is_file() {
        bail!("{} is not a data directory: it has no {STORE_FILE}", path.display());
    }
    Ok(())
}

/// Refuses a directory that a server or a node uses.
fn must_not_be_in_use(path: &Path) -> Result<()> {
    let users = [(path.join(LOCK_FILE), "server"), (data_dir::node(path).join("node.lock"), "node")];
    for (lock, user) in users {
        let Ok(lock) = File::open(lock) else { continue };
        match lock.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("the data directory {} is in use by a {user}: stop it first", path.display())
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot look at {}", path.display()));
            }
        }
    }
    Ok(())
}

/// Says what was copied: to a program that asked for it, or to a person; nothing in a script's pipe.
fn report(copied: &copy::Copied, said: &str, output: Output) -> Result<ExitCode> {
    match output {
        Output::Json => print_json(&serde_json::to_value(copied)?)?,
        Output::Table if std::io::stderr().is_terminal() => note(&format!("{said}: {copied}")),
        Output::Table => {}
    }
    Ok(ExitCode::SUCCESS)
}
