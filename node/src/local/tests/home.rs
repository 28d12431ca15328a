//! The socket and the lock of a home.

use crate::local::socket::{HomeLock, LOCK_NAME, SOCKET_NAME, SocketError};

#[test]
fn one_home_has_one_node_and_a_dead_nodes_socket_is_replaced() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let dir = tempfile::tempdir().unwrap();
    // As a killed node leaves it.
    std::fs::write(dir.path().join(LOCK_NAME), b"").unwrap();
    drop(std::os::unix::net::UnixListener::bind(dir.path().join(SOCKET_NAME)).unwrap());
    let lock = HomeLock::take(dir.path()).unwrap();
    let listener = lock.listen().unwrap();
    assert!(matches!(
        HomeLock::take(dir.path()),
        Err(SocketError::InUse(_))
    ));
    let connected = std::os::unix::net::UnixStream::connect(dir.path().join(SOCKET_NAME));
    assert!(connected.is_ok());
    drop(listener);
    lock.close();
    drop(lock);
    assert!(!dir.path().join(SOCKET_NAME).exists());
    assert!(HomeLock::take(dir.path()).is_ok());
}

#[test]
fn a_home_of_any_depth_can_be_listened_on() {
    use std::os::unix::fs::PermissionsExt as _;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("d".repeat(200));
    std::fs::create_dir(&dir).unwrap();
    let lock = HomeLock::take(&dir).unwrap();
    let _listener = lock.listen().unwrap();
    let mode = std::fs::metadata(dir.join(SOCKET_NAME))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}
