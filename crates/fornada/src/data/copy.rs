//! Copying a data directory while its server and node may be at work.
//!
//! What is copied, in this order: the records; the access keys; the logs; which machine this is (`node/instance`); the
//! secrets. Records come before logs, because a node hands on the end of an attempt when its log is complete: whatever the
//! copied records say has happened has its output in files that are copied after them. The other way round, a job could be
//! SUCCEEDED in the copy with a log that ends in the middle. What logs have beyond the records does no harm.
//!
//! Sockets, locks and notes of running processes stay behind: nothing runs in the copy. Its machine is the same, started
//! anew, so that attempts which the records call running are known to be lost.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use fornada_api::access_keys;
use fornada_store::log;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::Records;
use crate::serve::data_dir::{self, STORE_FILE};

/// What was copied.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Copied {
    pub(super) store_bytes: u64,
    pub(super) log_files: u64,
    pub(super) log_bytes: u64,
}

/// Copies the data directory `from` into the new directory `to`. Progress goes to stderr where that is a terminal.
pub(super) fn copy(from: &Path, to: &Path) -> Result<Copied> {
    let bar = progress_bar();
    let store_bytes = copy_records(from, to, &bar)?;
    copy_file(from, to, access_keys::FILE_NAME)?;

    bar.set_message("logs");
    let (logs, copies) = (data_dir::logs(from), data_dir::logs(to));
    let copied = log::copy::copy(&logs, &copies, &mut |copied| {
        bar.set_position(store_bytes + copied.bytes);
        bar.set_length(store_bytes + copied.bytes);
    });
    let log::copy::Copied { files, bytes } =
        copied.with_context(|| format!("cannot copy {}", logs.display()))?;

    let node = data_dir::node(to);
    DirBuilder::new()
        .mode(0o700)
        .create(&node)
        .with_context(|| format!("cannot create {}", node.display()))?;
    copy_file(&data_dir::node(from), &node, "instance")?;
    copy_file(from, to, "secrets.env")?;
    let secrets = from.join("secrets");
    if secrets.is_dir() {
        copy_tree(&secrets, &to.join("secrets"))
            .with_context(|| format!("cannot copy {}", secrets.display()))?;
    }
    bar.finish_and_clear();
    Ok(Copied { store_bytes, log_files: files, log_bytes: bytes })
}

fn copy_records(from: &Path, to: &Path, bar: &ProgressBar) -> Result<u64> {
    bar.set_message("records");
    let records = Records::open(from)?;
    let bytes = records.snapshot.copy_to(&to.join(STORE_FILE), &mut |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    });
    bytes.with_context(|| format!("cannot copy {} to {}", from.join(STORE_FILE).display(), to.display()))
}

/// A file that need not be there.
fn copy_file(from: &Path, to: &Path, name: &str) -> Result<()> {
    let path = from.join(name);
    let copied = fornada_store::file::copy(&path, &to.join(name));
    copied.map(drop).with_context(|| format!("cannot copy {}", path.display()))
}

/// Files, links as they are, and folders with both.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(from)?, to)?;
        } else if kind.is_dir() {
            copy_tree(&from, &to)?;
        } else if kind.is_file() {
            fornada_store::file::copy(&from, &to)?;
        }
    }
    Ok(())
}

/// On stderr, and only where that is a terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {elapsed} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━━─");
    let bar = ProgressBar::new(0).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

impl std::fmt::Display for Copied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Copied { store_bytes, log_files, log_bytes } = self;
        write!(
            f,
            "{} of records, {} of logs in {log_files} files",
            HumanBytes(*store_bytes),
            HumanBytes(*log_bytes)
        )
    }
}
