//! The server's hold on its data directory: one server at a time, and nobody else reads it.
//!
//! ```text
//! lock               held by the running server
//! store.db           records (SQLite)
//! access-keys.json   who may call, mode 0600
//! server.json        where the running server answers; there only while it does
//! logs/              output of jobs
//! node/              socket, lock and notes of the node
//! secrets/           values of jobs' secrets, if the operator puts any there; or secrets.env
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cli::data_dir::{SERVER_FILE, ServerFile, read};

/// Held by the running server.
pub(crate) const LOCK_FILE: &str = "lock";
/// The records.
pub(crate) const STORE_FILE: &str = "store.db";

/// A data directory that this process holds.
pub(super) struct DataDir {
    path: PathBuf,
    /// Released when the process ends, however it does.
    _lock: File,
}

impl DataDir {
    /// Creates the directory (mode 0700) if need be, and takes hold of it.
    pub(super) fn hold(path: &Path) -> Result<DataDir> {
        create(path)?;
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(path.join(LOCK_FILE));
        let lock = lock.with_context(|| format!("cannot use the data directory {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let server: Option<ServerFile> = read(path, SERVER_FILE).ok().flatten();
                let who =
                    server.map(|s| format!(" (process {} at {})", s.pid, s.endpoint)).unwrap_or_default();
                bail!("the data directory {} is in use by another server{who}", path.display());
            }
            Err(TryLockError::Error(error)) => {
                return Err(error)
                    .with_context(|| format!("cannot lock the data directory {}", path.display()));
            }
        }
        Ok(DataDir { path: fs::canonicalize(path)?, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn store(&self) -> PathBuf {
        self.path.join(STORE_FILE)
    }

    /// Tells clients where the server answers; the file is whole or not there.
    pub(super) fn announce(&self, server: &ServerFile) -> Result<Announced> {
        let path = self.path.join(SERVER_FILE);
        let temporary = self.path.join(format!("{SERVER_FILE}.new"));
        let write = || -> io::Result<()> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(&serde_json::to_vec(server)?)?;
            fs::rename(&temporary, &path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Announced { path })
    }
}

/// Takes the announcement back when dropped.
pub(super) struct Announced {
    path: PathBuf,
}

impl Drop for Announced {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

/// Creates a data directory that only its owner can enter.
pub(super) fn create(path: &Path) -> Result<()> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.with_context(|| format!("cannot create the data directory {}", path.display()))
}

/// Where the output of jobs is kept.
pub(crate) fn logs(data_dir: &Path) -> PathBuf {
    data_dir.join("logs")
}

/// The node's own directory.
pub(crate) fn node(data_dir: &Path) -> PathBuf {
    data_dir.join("node")
}
