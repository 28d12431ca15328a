//! Puts a node together, runs it, and takes it apart in order.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_sys::homes::HomeError;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::clocks::moment;
use crate::config::Config;
use crate::identity;
use crate::local::offline::Offline;
use crate::local::socket::HomeLock;
use crate::local::{self, LocalNode};
use crate::net::{DEFAULT_PORT, Multiaddr, default_listen};
use crate::network::{P2p, P2pConfig};
use crate::ports::{Clock, Network};
use crate::service::Host;
use crate::store::rocks::RocksEngine;
use crate::store::{DiskReserve, Store};

/// Pause between two rounds of expiry and collection.
const COLLECT_EVERY: Duration = Duration::from_secs(600);
/// Threads for work that blocks: hashing, the disk.
const BLOCKING_THREADS: usize = 16;

/// The clock of the system.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        crate::net::now_s()
    }
}

/// Runs a node until it is told to end.
///
/// # Errors
/// When it cannot start; the message is for people.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let dir = home(config)?;
    let lock = HomeLock::take(&dir)?;
    // The folder it was started from may be somebody's stick.
    std::env::set_current_dir("/").context("cannot leave the working folder")?;
    for what in packnback_sys::process::inherited() {
        tracing::warn!("this node was started under {what}, and could not get rid of it");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("node")
        .build()
        .context("cannot start threads")?;
    runtime.block_on(serve(config, &dir, &lock))?;
    runtime.shutdown_timeout(Duration::from_secs(10));
    lock.close();
    tracing::info!("node ended");
    Ok(())
}

/// The node's folder, made if it is not there. Refused if others could write to it: what is in there is
/// the identity of this node.
fn home(config: &Config) -> anyhow::Result<PathBuf> {
    let refused = |error: HomeError| anyhow::anyhow!("{error}. {}", error.next());
    let folders = config.folders().map_err(refused)?;
    folders.check_new().map_err(refused)?;
    let dir = folders.node();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .with_context(|| format!("cannot create {}", dir.display()))?;
    folders.check().map_err(refused)?;
    Ok(dir)
}

async fn serve(config: &Config, dir: &Path, lock: &HomeLock) -> anyhow::Result<()> {
    let seed = identity::load_or_create(dir)?;
    let engine = RocksEngine::open(&dir.join("db")).context("cannot open the store")?;
    let key = SigningKey::from_seed(&seed);
    let store = Store::new(Arc::new(engine), key, DiskReserve::default());
    let store = Arc::new(store.with_grace(config.grace_days));
    store.check_version().context("cannot use the store")?;
    let (host, network) = compose(config, Arc::clone(&store), &seed).await?;
    let stop = Arc::new(Notify::new());
    let node = Arc::new(LocalNode::new(
        host,
        Arc::clone(&network),
        Arc::clone(&stop),
    ));
    // Last: a program that can connect finds a node that is ready.
    let listener = lock.listen()?;
    no_core_dumps();
    tracing::info!(node = %store.node_id(), listen = ?network.listen_addrs(), "node is ready");
    let local = tokio::spawn(local::serve(listener, node));
    let collecting = tokio::spawn(collect_now_and_then(store));
    told_to_end(&stop).await?;
    tracing::info!("node is ending");
    local.abort();
    collecting.abort();
    network.shutdown().await;
    Ok(())
}

/// A round of everything that goes with time, every few minutes, for ever.
async fn collect_now_and_then(store: Arc<Store>) {
    let mut ticks = tokio::time::interval(COLLECT_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let store = Arc::clone(&store);
        let round =
            tokio::task::spawn_blocking(move || store.collect(moment(SystemClock.now()), false));
        match round.await {
            Ok(Ok(round)) if round.done.snaps > 0 || round.done.objects > 0 => {
                tracing::info!(done = ?round.done, marked = round.marked, "collected");
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "collecting failed; nothing in doubt was freed")
            }
            Err(error) => tracing::error!(%error, "collecting broke off"),
        }
    }
}

/// The service and the network that feeds it.
async fn compose(
    config: &Config,
    store: Arc<Store>,
    seed: &Secret32,
) -> anyhow::Result<(Arc<Host>, Arc<dyn Network>)> {
    let clock = Arc::new(SystemClock);
    if config.offline {
        let network = Arc::new(Offline::default());
        let host = Host::new(store, Arc::<Offline>::clone(&network), clock);
        return Ok((Arc::new(host), network));
    }
    let mut listen = Vec::new();
    for addr in &config.listen {
        let parsed = addr.parse::<Multiaddr>();
        listen.push(parsed.with_context(|| format!("{addr} is not a multiaddress"))?);
    }
    if !listen.is_empty() {
        let config = P2pConfig::new(listen);
        let started = P2p::start(config, seed, store, clock).await;
        let (host, network) = started.context("cannot start the network")?;
        return Ok((host, network));
    }
    let at = |port| P2pConfig {
        tune: |net| net.listen_some = true,
        ..P2pConfig::new(default_listen(port))
    };
    let first = P2p::start(at(DEFAULT_PORT), seed, Arc::clone(&store), clock.clone()).await;
    let started = match first {
        Ok(started) => Ok(started),
        Err(error) => {
            tracing::warn!(%error, "port {DEFAULT_PORT} is taken: using any other");
            P2p::start(at(0), seed, store, clock).await
        }
    };
    let (host, network) = started.context("cannot start the network")?;
    Ok((host, network))
}

async fn told_to_end(stop: &Notify) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hang_up = async {
        // The terminal it was started at is gone. Under `nohup` it stays.
        if packnback_sys::process::is_ignored(SignalKind::hangup().as_raw_value()) {
            return std::future::pending().await;
        }
        match signal(SignalKind::hangup()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = stop.notified() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hang_up => {}
    }
    Ok(())
}

/// The memory of a node holds the identity key: it is not to be written to a disk by accident.
/// After the socket is bound, because a process that may not be dumped cannot use `/proc/self/fd`.
fn no_core_dumps() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if setrlimit(Resource::Core, none).is_err()
        || set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err()
    {
        tracing::warn!("core dumps could not be turned off");
    }
}
