//! A machine of the world: its disk, its clock and its identity stay, the node on it comes and goes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use packnback_node::api::Api;
use packnback_node::network::{P2p, P2pConfig};
use packnback_node::ports::memory::{SeededDice, VirtualClock};
use packnback_node::ports::{Blocking, Clock, Env, Lag, Network as _};
use packnback_node::service::Host;
use packnback_node::store::memory::MemoryDisk;
use packnback_node::store::{DiskReserve, Store};
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::ids::NodeId;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::disk::{self, Power};
use crate::net::{Machine, Net};
use crate::pulse::Pulse;
use crate::rng::Rng;
use crate::time::{CountedClock, Epoch, START};
use crate::trace::Trace;

/// Days before what was deleted goes.
pub const GRACE_D: u64 = 3;
/// Pause between two rounds of expiry and collection.
const COLLECT_EVERY: Duration = Duration::from_secs(600);
/// After this long the others have noticed that a machine is silent.
const SILENT_FOR: Duration = Duration::from_secs(25);

/// A node that runs.
pub struct Running {
    /// What it can be asked for.
    pub api: Arc<Api>,
    /// Its store and its clock.
    pub host: Arc<Host>,
    /// How often it looks at anything.
    pub pulse: Pulse,
    network: Arc<P2p>,
    power: Power,
    collecting: JoinHandle<()>,
}

/// See the module.
pub struct Site {
    /// Its number in the network.
    pub machine: Machine,
    /// Its disk.
    pub memory: MemoryDisk,
    /// The node, if one runs.
    pub running: Option<Running>,
    clock: Arc<VirtualClock>,
    seed: Secret32,
    rng: Rng,
    is_powered: bool,
    /// How slow its disk is.
    pub lag: Lag,
    trace: Trace,
}

impl Site {
    /// A new machine with an empty disk; its node does not run yet.
    #[must_use]
    pub fn new(machine: Machine, trace: Trace, rng: &mut Rng) -> Self {
        let mut rng = rng.branch(u64::try_from(machine).unwrap_or(0));
        Self {
            machine,
            memory: MemoryDisk::default(),
            running: None,
            clock: Arc::new(VirtualClock::new(START)),
            seed: Secret32::new(rng.bytes32()),
            rng,
            is_powered: true,
            lag: Lag::new(),
            trace,
        }
    }

    /// The identity of its node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        SigningKey::from_seed(&self.seed).node_id()
    }

    /// The node, if it runs.
    ///
    /// # Errors
    /// It does not.
    pub fn up(&self) -> anyhow::Result<&Running> {
        self.running.as_ref().context("the node does not run")
    }

    /// Whether the machine has power.
    #[must_use]
    pub const fn is_powered(&self) -> bool {
        self.is_powered
    }

    /// Starts the node.
    ///
    /// # Errors
    /// The disk failed, or the node cannot use what is on it.
    pub fn start(&mut self, net: &Net) -> anyhow::Result<()> {
        self.trace.note(format_args!("start {}", self.machine));
        let (power, pulse) = (Power::default(), Pulse::default());
        let disk = disk::Seen {
            disk: self.memory.disk(),
            power: power.clone(),
            pulse: pulse.clone(),
            trace: self.trace.clone(),
            machine: self.machine,
        };
        let clock: Arc<dyn Clock> = Arc::new(CountedClock {
            inner: Arc::clone(&self.clock),
            pulse: pulse.clone(),
        });
        let env = Env {
            clock: Arc::clone(&clock),
            dice: Arc::new(SeededDice::new(self.rng.draw())),
            blocking: Blocking::Late(self.lag),
        };
        let key = SigningKey::from_seed(&self.seed);
        let store = Store::new(disk.into(), key, DiskReserve(0)).with_grace(GRACE_D);
        store.check_version()?;
        store.mend(clock.now())?;
        let store = Arc::new(store);
        let transport = net.join(self.machine, self.node(), env.clone());
        let config = P2pConfig::default();
        let (host, network) = P2p::start(&config, transport, &self.seed, Arc::clone(&store), env)?;
        let stop = Arc::new(Notify::new());
        let api = Api::new(Arc::clone(&host), Arc::<P2p>::clone(&network), stop);
        self.running = Some(Running {
            api: Arc::new(api),
            host,
            pulse,
            network,
            power,
            collecting: tokio::spawn(collect_now_and_then(store, clock)),
        });
        Ok(())
    }

    async fn end(&mut self) {
        if let Some(running) = self.running.take() {
            running.power.cut();
            running.collecting.abort();
            running.network.shutdown().await;
        }
    }

    /// The process of the node is killed: its connections break at once, what was only in its memory is lost.
    pub async fn kill(&mut self) {
        self.end().await;
        self.memory.kill();
    }

    /// The machine loses its power: nobody is told, and what was not durable is lost.
    /// `is_hasty`: its disk had said "written" too early.
    pub async fn lose_power(&mut self, net: &mut Net, is_hasty: bool) {
        net.power(self.machine, false);
        self.is_powered = false;
        if let Some(running) = &self.running {
            running.power.cut();
        }
        tokio::time::sleep(SILENT_FOR).await;
        self.end().await;
        match is_hasty {
            true => self.memory.crash_out_of_order(),
            false => self.memory.crash(),
        }
    }

    /// The power is back, and the machine starts; its node does next.
    pub fn has_power(&mut self, net: &mut Net) {
        net.power(self.machine, true);
        self.is_powered = true;
        self.clock.reboot();
    }

    /// The disk is lost, and replaced by an empty one. The identity is kept elsewhere.
    pub async fn lose_disk(&mut self) {
        self.kill().await;
        self.memory = MemoryDisk::default();
    }

    /// Sets the clock so far ahead of the right time.
    pub fn set_clock(&self, epoch: Epoch, ahead_s: i64) {
        self.clock.set(epoch.now().saturating_add_signed(ahead_s));
    }

    /// Whether the node worked on and on without any time going by.
    #[must_use]
    pub fn spins(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| running.pulse.spins())
    }
}

/// A round of everything that goes with time, every few minutes, as the daemon does it.
async fn collect_now_and_then(store: Arc<Store>, clock: Arc<dyn Clock>) {
    loop {
        // ignored: a disk that fails is tried again
        let _ = store.collect(clock.moment(), false);
        tokio::time::sleep(COLLECT_EVERY).await;
    }
}
