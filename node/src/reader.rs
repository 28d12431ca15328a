//! A node for one program: a home on a disk that cannot be written still lists and restores.
//!
//! There is nowhere to put a socket or a lock, so the program that starts it brings the connection along as
//! standard input, and it ends with that connection. It reaches nobody and changes nothing.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;

use anyhow::Context as _;
use packnback_proto::crypto::sign::SigningKey;
use tokio::net::UnixStream;
use tokio::sync::Notify;

use crate::api::Api;
use crate::config::Config;
use crate::frames::StreamError;
use crate::identity;
use crate::local::offline::Offline;
use crate::local::serve_connection;
use crate::ports::Env;
use crate::service::Host;
use crate::store::rocks;
use crate::store::{DiskReserve, Store};

/// Serves the program at standard input until it leaves.
///
/// # Errors
/// When there is no store, or no program.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let refused = |error: packnback_sys::homes::HomeError| anyhow::anyhow!("{error}");
    let folders = config.folders().map_err(refused)?;
    folders.check().map_err(refused)?;
    let dir = folders.node();
    let seed = identity::load(&dir)?;
    let disk = rocks::open_read_only(&dir.join("db")).context("cannot open the store")?;
    let store = Store::new(disk, SigningKey::from_seed(&seed), DiskReserve::default());
    let store = Arc::new(store.with_grace(config.grace_days));
    store.check_version().context("cannot use the store")?;
    let input = std::io::stdin().as_fd().try_clone_to_owned()?;
    let stream = StdStream::from(input);
    stream
        .set_nonblocking(true)
        .context("no program at standard input")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_name("node")
        .build()
        .context("cannot start threads")?;
    runtime.block_on(async {
        let network = Arc::new(Offline::default());
        let host = Host::new(store, Arc::<Offline>::clone(&network), Env::system());
        let api = Api::new(Arc::new(host), network, Arc::new(Notify::new()));
        let stream = UnixStream::from_std(stream).context("no program at standard input")?;
        let (input, output) = stream.into_split();
        match serve_connection(input, output, Arc::new(api.read_only())).await {
            Ok(()) | Err(StreamError::Closed) => Ok(()),
            Err(error) => Err(error.into()),
        }
    })
}
