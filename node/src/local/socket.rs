//! The socket and the lock of a home.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use tokio::net::{UnixListener, UnixStream};

/// Longest path a socket address holds, without its final zero.
const SOCKET_PATH_MAX: usize = 107;

/// Name of the socket in the folder of the node.
pub const SOCKET_NAME: &str = "node.sock";
/// Name of the lock file in the folder of the node.
pub const LOCK_NAME: &str = "node.lock";

/// The home cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another node runs on this home.
    #[error("another node is running on this home ({0})")]
    InUse(PathBuf),
    /// The file system said no.
    #[error("cannot use {path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The right to be the only node of a home, for as long as it lives. The system gives it back when
/// the process ends, however it ends.
#[derive(Debug)]
pub struct HomeLock {
    _file: File,
    dir: PathBuf,
}

impl HomeLock {
    /// Takes the home.
    ///
    /// # Errors
    /// [`SocketError::InUse`] if another node has it.
    pub fn take(dir: &Path) -> Result<Self, SocketError> {
        let path = dir.join(LOCK_NAME);
        let io = |error| SocketError::Io {
            path: path.clone(),
            error,
        };
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(&path).map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self {
                _file: file,
                dir: dir.to_owned(),
            }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(SocketError::InUse(dir.to_owned())),
            Err(error) => Err(io(error.into())),
        }
    }

    /// Listens. A socket left behind by a dead node is replaced: the lock proves that it is dead.
    /// To be called within a tokio runtime.
    ///
    /// # Errors
    /// [`SocketError::Io`].
    pub fn listen(&self) -> Result<UnixListener, SocketError> {
        let path = self.dir.join(SOCKET_NAME);
        let io = |error| SocketError::Io {
            path: path.clone(),
            error,
        };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let listener = bind(&self.dir, &path).map_err(io)?;
        // Nobody else gets here before: the folder is closed to them.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(io)?;
        Ok(listener)
    }

    /// Removes the socket, at the end.
    pub fn close(&self) {
        // ignored: a socket that stays behind is replaced at the next start
        let _ = std::fs::remove_file(self.dir.join(SOCKET_NAME));
    }
}

/// Binds; a path too long for a socket address goes through `/proc/self/fd`.
fn bind(dir: &Path, path: &Path) -> io::Result<UnixListener> {
    if path.as_os_str().as_bytes().len() <= SOCKET_PATH_MAX {
        return UnixListener::bind(path);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(dir, flags, Mode::empty())?;
    let fd = dir.as_raw_fd().to_string();
    UnixListener::bind(Path::new("/proc/self/fd").join(fd).join(SOCKET_NAME))
}

/// Whether the other side is the same user or root.
pub(super) fn may_connect(stream: &UnixStream) -> bool {
    let me = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|cred| cred.uid() == me || cred.uid() == 0)
}
