//! The node's directory: one node at a time, its name, its socket, and notes of what it runs.
//!
//! `node.lock` (held while the node lives), `node.pid`, `node.sock`, `node.log`, `instance` (written once), and
//! `attempts/{task id}`, one note an attempt, written before its process starts and removed after its end.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SOCKET: &str = "node.sock";

/// A node that was just killed keeps its lock until the last of its threads is gone.
const LET_GO: Duration = Duration::from_millis(500);

/// The directory, held exclusively as long as this value lives.
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

/// Why a node cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One directory, one node.
    #[error("another node already runs in {path}", path = .0.display())]
    InUse(PathBuf),
    /// One machine, one node: a data directory and its restored backup are the same machine.
    #[error(
        "another node runs as {0}, this directory's name of the machine: it is that of the directory that this one is a copy of; stop that node first"
    )]
    NameInUse(String),
    /// A file, directory or socket of the node.
    #[error("the node cannot use {path}", path = path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Threads, signals or the local network.
    #[error("the node cannot get what it needs from the system")]
    System(#[from] io::Error),
}

impl Error {
    pub(crate) fn path(path: &Path) -> impl Fn(io::Error) -> Error {
        move |source| Error::Path { path: path.to_owned(), source }
    }
}

impl Directory {
    pub(crate) fn open(path: &Path) -> Result<Directory, Error> {
        let io = Error::path(path);
        DirBuilder::new().recursive(true).mode(0o700).create(path.join("attempts")).map_err(&io)?;
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(&io)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(path.join("node.lock")).map_err(&io)?;
        match patiently(|| lock.try_lock(), |error| matches!(error, TryLockError::WouldBlock)) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        fs::write(path.join("node.pid"), format!("{}\n", std::process::id())).map_err(&io)?;
        Ok(Directory { path: path.to_owned(), _lock: lock })
    }

    /// `i-` and 17 hex digits, the same for the life of the directory.
    pub(crate) fn instance_id(&self) -> Result<String, Error> {
        let path = self.path.join("instance");
        let io = Error::path(&path);
        let is_id = |id: &str| {
            id.strip_prefix("i-")
                .is_some_and(|hex| hex.len() == 17 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
        };
        match fs::read_to_string(&path) {
            Ok(text) if is_id(text.trim()) => return Ok(text.trim().to_owned()),
            Ok(_) => {} // torn by a crash while it was first written: nobody has seen it
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        let hex = format!("{:032x}", random_128());
        let id = format!("i-{}", &hex[..17]);
        let write = || {
            // Durable before it is used: records name it.
            let mut file = File::create(&path)?;
            file.write_all(format!("{id}\n").as_bytes())?;
            file.sync_all()?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(&io)?;
        Ok(id)
    }

    /// Takes the name of the machine for as long as the result lives. The cgroups go by that name, so a second node that had it
    /// too, in a copy of the directory, would take the jobs of the first for left over, and kill them.
    pub(crate) fn claim(instance_id: &str) -> Result<UnixDatagram, Error> {
        // An abstract name, which is free again when its holder is gone, however it went.
        let address = SocketAddr::from_abstract_name(format!("fornada-{instance_id}"))?;
        let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
        patiently(|| UnixDatagram::bind_addr(&address), is_taken).map_err(|error| match is_taken(&error) {
            true => Error::NameInUse(instance_id.to_owned()),
            false => Error::System(error),
        })
    }

    /// Listens on the socket, in place of one that an earlier node left.
    pub(crate) fn listen(&self) -> Result<UnixListener, Error> {
        let path = self.path.join(SOCKET);
        let listen = || {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = through_descriptor(&self.path, |short| UnixListener::bind(short))?;
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        listen().map_err(Error::path(&path))
    }

    /// Where the notes are.
    pub(crate) fn attempts(&self) -> PathBuf {
        self.path.join("attempts")
    }
}

/// Tries again while a node that was just killed may hold what is asked for.
fn patiently<T, E>(attempt: impl Fn() -> Result<T, E>, is_held: impl Fn(&E) -> bool) -> Result<T, E> {
    let deadline = Instant::now() + LET_GO;
    loop {
        match attempt() {
            Err(error) if is_held(&error) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

impl Drop for Directory {
    /// A client that finds no socket knows at once that there is no node.
    fn drop(&mut self) {
        for name in [SOCKET, "node.pid"] {
            let _ = fs::remove_file(self.path.join(name));
        }
    }
}

/// Connects to the node that listens in `directory`.
pub(crate) fn connect(directory: &Path) -> io::Result<UnixStream> {
    through_descriptor(directory, |short| UnixStream::connect(short))
}

/// A socket's path may have no more than 107 bytes. Through a descriptor of its directory it always fits.
fn through_descriptor<T>(directory: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let directory = File::open(directory)?;
    act(&PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd())))
}

/// 128 bits from the kernel.
///
/// # Panics
/// When the kernel has no random numbers to give: nothing of this machine would be unique.
pub(crate) fn random_128() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the kernel has random numbers");
    u128::from_be_bytes(bytes)
}

/// The part of `file` from `offset` on, at most the last `lines` lines.
pub(crate) fn tail(file: &Path, offset: u64, lines: usize) -> io::Result<String> {
    use std::io::Seek;
    let mut file = File::open(file)?;
    file.seek(io::SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(1 << 20).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_a_directory_and_one_name_for_its_life() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("d".repeat(120));
        let first = Directory::open(&long).unwrap();
        let id = first.instance_id().unwrap();
        assert_eq!(first.instance_id().unwrap(), id);
        let second = Directory::open(&long).err().unwrap();
        assert_eq!(second.to_string(), format!("another node already runs in {}", long.display()));

        let _listener = first.listen().unwrap();
        connect(&long).unwrap();
        let _again = first.listen().unwrap(); // replaces the stale socket
        connect(&long).unwrap();

        drop(first);
        assert!(connect(&long).is_err());
        assert_eq!(Directory::open(&long).unwrap().instance_id().unwrap(), id);
    }

    #[test]
    fn one_node_a_machine() {
        let id = format!("i-{:017x}", random_128() >> 60);
        let first = Directory::claim(&id).unwrap();
        let second = Directory::claim(&id).err().unwrap();
        assert!(second.to_string().starts_with(&format!("another node runs as {id}")), "{second}");
        drop(first);
        Directory::claim(&id).unwrap();
    }
}
