//! Connecting to a socket whose path may be longer than the system allows for one.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

/// Room for a path in `sockaddr_un`, without the final zero.
const SUN_PATH_MAX: usize = 107;

/// A node that takes no more connections is stopped, or busy with very many.
const WAIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Connects; a long path goes through `/proc/self/fd`.
///
/// # Errors
/// What the system said; [`io::ErrorKind::TimedOut`] if somebody listens who takes nobody in.
pub(super) fn connect(path: &Path) -> io::Result<UnixStream> {
    let started = Instant::now();
    loop {
        match try_connect(path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if started.elapsed() > WAIT {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                std::thread::sleep(POLL);
            }
            other => return other,
        }
    }
}

/// Does not wait: a full queue of a stopped node would hold a connection for ever.
fn connect_at_once(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn try_connect(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().as_bytes().len() <= SUN_PATH_MAX {
        return connect_at_once(path);
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let dir = rustix::fs::open(
        dir,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let short = Path::new("/proc/self/fd")
        .join(dir.as_raw_fd().to_string())
        .join(name);
    connect_at_once(&short)
}
