//! Copying all logs while jobs write them and retention deletes them.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::check::groups;
use super::directory::streams;
use super::group;
use super::stream::StreamPath;
use crate::file;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Segments and settings of groups.
    pub files: u64,
    /// Of all of them together.
    pub bytes: u64,
}

/// Copies the logs in `from` into the new folder `to`; `progress` hears what is done. The copies are not synced.
///
/// The copy of a stream ends where the stream ended at some moment since the call, and reads as the stream itself does,
/// because of the order: the segments are listed first, so each but the newest of the list is complete. Then the newest is
/// copied first: expiry deletes the oldest first, so what it takes away meanwhile is missing at the beginning, never in the
/// middle.
///
/// # Errors
/// When a file cannot be read or written. What was deleted meanwhile is no error.
pub fn copy(from: &Path, to: &Path, progress: &mut dyn FnMut(Copied)) -> io::Result<Copied> {
    let mut copied = Copied::default();
    let mut take = |from: &Path, to: &Path| -> io::Result<()> {
        if let Some(bytes) = file::copy(from, to)? {
            copied = Copied { files: copied.files + 1, bytes: copied.bytes + bytes };
            progress(copied);
        }
        Ok(())
    };
    create(to)?;
    for folder in groups(from)? {
        let below = folder.strip_prefix(from).expect("groups lie in the folder of logs");
        let copy = to.join(below);
        create(&copy)?;
        take(&folder.join(group::FILE), &copy.join(group::FILE))?;
        for stream in streams(&folder)?.unwrap_or_default().into_keys() {
            let path = StreamPath { group: folder.clone(), stream: stream.clone() };
            let copy = StreamPath { group: copy.clone(), stream };
            let bases = path.bases()?;
            if bases.len() > 1 {
                create(&copy.later())?;
            }
            for base in bases.into_iter().rev() {
                take(&path.segment(base), &copy.segment(base))?;
            }
        }
    }
    Ok(copied)
}

fn create(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
