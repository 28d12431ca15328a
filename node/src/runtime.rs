//! Puts a node together, runs it, and takes it apart in order.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::wire::ErrorCode;
use packnback_sys::homes::HomeError;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::api::Api;
use crate::chores::{self, ChoresConfig};
use crate::config::Config;
use crate::identity;
use crate::listen::{Ports, Try, Wish};
use crate::local;
use crate::local::offline::Offline;
use crate::local::socket::HomeLock;
use crate::net::{Libp2p, Multiaddr, NetConfig};
use crate::network::{P2p, P2pConfig, net_failure};
use crate::peers::StoredState;
use crate::ports::{Env, Failure, Network};
use crate::service::Host;
use crate::settings::Settings;
use crate::store::rocks;
use crate::store::{DiskReserve, Store};
use crate::work::Runner;

/// Threads for work that blocks: hashing, the disk.
const BLOCKING_THREADS: usize = 16;

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
    let (settings, is_new) = settings_of(config, dir)?;
    let env = Env::system();
    let seed = identity::load_or_create(dir)?;
    let disk = rocks::open(&dir.join("db")).context("cannot open the store")?;
    let key = SigningKey::from_seed(&seed);
    let store = Store::new(disk, key, DiskReserve::default());
    let store = Arc::new(store.with_grace(config.grace_days));
    store.check_version().context("cannot use the store")?;
    store
        .mend(env.clock.now())
        .context("cannot put the damaged store in order")?;
    let runner = Runner::new(env.clone());
    let composed = compose(config, &settings, Arc::clone(&store), &seed, &env, &runner).await?;
    let network = composed.network;
    if is_new && let Err(error) = settings.save(dir) {
        tracing::warn!(%error, "where this node listens now is forgotten at its next start");
    }
    let stop = Arc::new(Notify::new());
    let api = Api::new(composed.host, Arc::clone(&network), Arc::clone(&stop));
    let api = api.with_settings(dir, settings, composed.note);
    let api = Arc::new(api.with_workers(runner.clone()));
    // Last: a program that can connect finds a node that is ready.
    let listener = lock.listen()?;
    no_core_dumps();
    tracing::info!(node = %store.node_id(), listen = ?network.listen_addrs(), "node is ready");
    let local = tokio::spawn(local::serve(listener, api));
    let scrub_days = config.scrub_days;
    chores::start(&runner, &store, ChoresConfig { scrub_days });
    told_to_end(&stop).await?;
    tracing::info!("node is ending");
    local.abort();
    runner.shutdown().await;
    network.shutdown().await;
    Ok(())
}

/// What was set, with what is said at this start, which stays; whether that is new.
fn settings_of(config: &Config, dir: &Path) -> anyhow::Result<(Settings, bool)> {
    let mut settings = Settings::load(dir)?;
    let is_new = !config.listen.is_empty() && settings.listen != config.listen;
    if is_new {
        settings.listen.clone_from(&config.listen);
    }
    Ok((settings, is_new))
}

/// The service, the network that feeds it, and what a person has to know of how it listens.
struct Composed {
    host: Arc<Host>,
    network: Arc<dyn Network>,
    note: Option<String>,
}

async fn compose(
    config: &Config,
    settings: &Settings,
    store: Arc<Store>,
    seed: &Secret32,
    env: &Env,
    runner: &Runner,
) -> anyhow::Result<Composed> {
    if config.offline {
        let network = Arc::new(Offline::default());
        let host = Host::new(store, Arc::<Offline>::clone(&network), env.clone());
        return Ok(Composed {
            host: Arc::new(host),
            network,
            note: None,
        });
    }
    let addrs: Vec<Multiaddr> = settings.addrs().map_err(anyhow::Error::msg)?;
    let wish = match (addrs.is_empty(), config.listen.is_empty()) {
        (true, _) => Wish::Usual,
        (false, false) => Wish::Now(addrs),
        (false, true) => Wish::Set(addrs),
    };
    let state = StoredState::new(Arc::clone(&store));
    let ports = Ports::new(&state);
    let config = P2pConfig {
        name: settings.shown_name(),
        runner: Some(runner.clone()),
        ..P2pConfig::default()
    };
    let start = async |one: &Try| start_at(one, &config, &store, seed, env.clone()).await;
    let started = start_somewhere(&ports, &wish, start).await;
    started.context("cannot start the network")
}

/// Tries one place after the other, and keeps the ports of the one that works.
async fn start_somewhere(
    ports: &Ports<'_>,
    wish: &Wish,
    start: impl AsyncFn(&Try) -> Result<(Arc<Host>, Arc<dyn Network>), Failure>,
) -> Result<Composed, Failure> {
    let mut failed: Option<(Vec<Multiaddr>, Failure)> = None;
    for one in ports.tries(wish)? {
        let is_strict = matches!(wish, Wish::Now(_));
        let was_tried = failed
            .as_ref()
            .is_some_and(|(addrs, _)| *addrs == one.addrs);
        if was_tried || (!is_strict && !one.looks_free()) {
            continue;
        }
        match start(&one).await {
            Ok((host, network)) => {
                if let Err(failure) = ports.keep(&one) {
                    tracing::warn!(%failure, "the port chosen now is forgotten at the next start");
                }
                if let Some(note) = &one.note {
                    tracing::warn!("{note}");
                }
                return Ok(Composed {
                    host,
                    network,
                    note: one.note,
                });
            }
            Err(failure) => {
                tracing::warn!(%failure, "cannot listen here");
                failed = Some((one.addrs, failure));
            }
        }
    }
    if matches!(wish, Wish::Now(_)) {
        let (_, failure) = failed.unwrap_or_else(|| {
            let message = "there is nowhere to listen";
            (Vec::new(), Failure::new(ErrorCode::Internal, message))
        });
        return Err(failure);
    }
    // Backups go on: friends are dialled from here.
    let nowhere =
        Try::nowhere("this node cannot listen anywhere: friends cannot reach it, it reaches them");
    let (host, network) = start(&nowhere).await?;
    Ok(Composed {
        host,
        network,
        note: nowhere.note,
    })
}

async fn start_at(
    one: &Try,
    config: &P2pConfig,
    store: &Arc<Store>,
    seed: &Secret32,
    env: Env,
) -> Result<(Arc<Host>, Arc<dyn Network>), Failure> {
    let tune: fn(&mut NetConfig) = match one.some {
        true => |net| net.listen_some = true,
        false => |_| {},
    };
    let listen: Vec<String> = one.addrs.iter().map(ToString::to_string).collect();
    let net = Libp2p::start(seed, &listen, tune).await;
    let net = net.map_err(net_failure)?;
    let (host, network) = P2p::start(config, net, seed, Arc::clone(store), env)?;
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
