//! A directory that gets its name when it is whole: until then it is `NAME.partial`, and nobody takes it for the real one.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

/// A file in each of them.
const MARK: &str = "being-made";

/// A directory in the making. It is removed unless it is finished.
pub(super) struct Staging {
    path: PathBuf,
    target: PathBuf,
    /// Tells one that is in the making from one that was cut short.
    lock: File,
}

impl Staging {
    /// Begins the directory that is to be `target`, which does not exist or is empty.
    pub(super) fn begin(target: &Path) -> Result<Staging> {
        let target = std::path::absolute(target)?;
        must_be_free(&target)?;
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            bail!("{} cannot be made: name a directory", target.display());
        };
        let mut partial = name.to_owned();
        partial.push(".partial");
        let path = parent.join(partial);
        let failed = || format!("cannot create {}", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(parent).with_context(failed)?;
        match File::open(&path).map(|left| left.try_lock()) {
            Ok(Ok(())) if !is_ours(&path) => {
                bail!("{} is there already: move it away first, or choose another place", path.display())
            }
            Ok(Ok(())) => {
                fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?
            }
            Ok(Err(TryLockError::WouldBlock)) => {
                bail!("{} is being written by another process", path.display())
            }
            Ok(Err(TryLockError::Error(error))) => return Err(error).with_context(failed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(failed),
        }
        DirBuilder::new().mode(0o700).create(&path).with_context(failed)?;
        let lock = File::open(&path).with_context(failed)?;
        lock.try_lock().map_err(|_| anyhow!("{} is being written by another process", path.display()))?;
        File::create(path.join(MARK)).with_context(failed)?;
        Ok(Staging { path, target, lock })
    }

    /// Where its files go.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that all of it is on the disk, and gives it its name, which then is on the disk too.
    pub(super) fn finish(self) -> Result<()> {
        let failed = || format!("cannot write {}", self.target.display());
        // One call for all files: syncing 100,000 logs one by one would take as many writes of the journal.
        rustix::fs::syncfs(&self.lock).with_context(failed)?;
        fs::remove_file(self.path.join(MARK)).with_context(failed)?;
        // Fails if somebody has put something there meanwhile.
        fs::rename(&self.path, &self.target).with_context(failed)?;
        let parent = self.target.parent().expect("it has one since the beginning");
        File::open(parent).and_then(|parent| parent.sync_all()).with_context(failed)
    }
}

impl Drop for Staging {
    /// Finds nothing where it was finished.
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.path));
    }
}

/// Whether a directory in the making was begun here: nothing else is cleared away.
fn is_ours(path: &Path) -> bool {
    let is_empty = || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    path.join(MARK).exists() || is_empty()
}

fn must_be_free(target: &Path) -> Result<()> {
    match fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => bail!("{} is not empty: move it away first, or choose another place", target.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            bail!("{} is a file: choose another place", target.display())
        }
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", target.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let (target, partial) = (dir.path().join("b"), dir.path().join("b.partial"));
        let staging = Staging::begin(&target).unwrap();
        fs::write(staging.path().join("f"), "1").unwrap();
        assert!(Staging::begin(&target).is_err(), "one at a time");
        drop(staging);
        assert!(!target.exists() && !partial.exists());

        fs::create_dir(&partial).unwrap();
        fs::write(partial.join("half"), "a backup that was killed").unwrap();
        assert!(Staging::begin(&target).is_err(), "somebody else's");
        fs::write(partial.join(MARK), "").unwrap();
        let staging = Staging::begin(&target).unwrap();
        fs::write(staging.path().join("f"), "2").unwrap();
        assert!(!target.exists());
        staging.finish().unwrap();
        assert_eq!(fs::read_to_string(target.join("f")).unwrap(), "2");
        assert!(!partial.exists() && !target.join("half").exists());

        assert!(Staging::begin(&target).is_err(), "not empty");
        assert!(Staging::begin(&target.join("f")).is_err(), "a file");
        let staging = Staging::begin(&dir.path().join("c/d")).unwrap();
        fs::create_dir_all(dir.path().join("c/d/e")).unwrap();
        assert!(staging.finish().is_err(), "somebody was there first");
        assert!(dir.path().join("c/d/e").exists());
    }
}
