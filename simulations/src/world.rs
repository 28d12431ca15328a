//! The world: machines, a network, an owner and its devices, and the plan they live through, in virtual time on one
//! thread.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use packnback_node::api::Api;
use packnback_proto::record::Op;
use packnback_proto::wire::local::API_VERSION;

use crate::actors::device::{Device, Made};
use crate::actors::owner::Owner;
use crate::actors::restorer;
use crate::checks::{Broken, View};
use crate::ledger::{Deletion, Ledger, MIN_AGE_D, QUOTA};
use crate::net::{Machine, Net, Wiring};
use crate::plan::{Act, Shape, plan};
use crate::rng::Rng;
use crate::site::Site;
use crate::time::Epoch;
use crate::trace::{Report, Trace};

/// Longest a backup or a restore may take.
const PATIENCE: Duration = Duration::from_secs(3600);
/// A node that did not come up is tried again after this.
const START_AGAIN: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// See the module.
pub struct World {
    shape: Shape,
    acts: Vec<(u64, Act)>,
    epoch: Epoch,
    net: Net,
    trace: Trace,
    sites: Vec<Site>,
    devices: Vec<Device>,
    owner: Owner,
    ledger: Ledger,
    /// Orders that devices have not taken yet.
    undelivered: Vec<(Machine, Vec<u8>)>,
    rng: Rng,
    report: Report,
}

impl World {
    /// A world from a seed, in which the plan was not begun yet.
    #[must_use]
    pub fn new(shape: Shape, seed: u64, trace: Trace) -> Self {
        let mut rng = Rng::new(seed);
        // And a blank one, to restore at the end.
        let sites =
            (0..=shape.machines()).map(|machine| Site::new(machine, trace.clone(), &mut rng));
        let sites: Vec<Site> = sites.collect();
        let wiring = Wiring {
            delay_ms: 80,
            rate: [200_000, 20_000_000],
        };
        let nodes = sites.iter().map(Site::node).collect();
        let net = Net::new(nodes, wiring, &mut rng, trace.clone());
        let owner = Owner::new(&mut rng);
        let devices = (0..shape.devices)
            .map(|_| Device::new(&owner, &mut rng))
            .collect();
        Self {
            shape,
            acts: plan(shape, seed),
            epoch: Epoch::new(),
            net,
            trace,
            sites,
            devices,
            owner,
            ledger: Ledger::default(),
            undelivered: Vec::new(),
            rng,
            report: Report::default(),
        }
    }

    /// Lives through the plan.
    ///
    /// # Errors
    /// [`Broken`], as soon as a promise is found broken.
    pub async fn run(mut self) -> Result<Report, Broken> {
        let failed = |error: anyhow::Error| Broken::World(format!("{error:#}"));
        self.begin().await.map_err(failed)?;
        for (at, act) in std::mem::take(&mut self.acts) {
            self.wait_until(Duration::from_secs(at)).await?;
            if act != Act::Check {
                self.trace.note(format_args!("{act:?}"));
            }
            self.act(act).await?;
        }
        self.wait_until(Duration::from_secs(self.shape.quiet_s()))
            .await?;
        self.end().await?;
        self.report.events = self.trace.len();
        self.report.trace = self.trace.hash();
        self.report.made = self.ledger.made.len();
        Ok(self.report)
    }

    async fn wait_until(&self, since_start: Duration) -> Result<(), Broken> {
        tokio::time::sleep_until(self.epoch.after(since_start)).await;
        match self.sites.iter().find(|site| site.spins()) {
            Some(site) => {
                let looks = site
                    .running
                    .as_ref()
                    .map_or(0, |running| running.pulse.take());
                Err(Broken::Spins {
                    machine: site.machine,
                    looks,
                })
            }
            None => Ok(()),
        }
    }

    fn view(&mut self) -> View<'_> {
        View {
            sites: self.sites.get(..self.shape.machines()).unwrap_or_default(),
            ledger: &mut self.ledger,
            owner: &self.owner,
            shape: self.shape,
            now: self.epoch.now(),
        }
    }

    fn site(&mut self, machine: Machine) -> anyhow::Result<&mut Site> {
        self.sites.get_mut(machine).context("no such machine")
    }

    fn start(&mut self, machine: Machine) -> anyhow::Result<()> {
        let site = self.sites.get_mut(machine).context("no such machine")?;
        site.start(&self.net)
    }

    /// Starts every node, makes friends, and lets the devices write.
    async fn begin(&mut self) -> anyhow::Result<()> {
        let now = self.epoch.now();
        for machine in 0..self.shape.machines() {
            self.start(machine)?;
        }
        for machine in self.shape.hosts..self.shape.machines() {
            let device = self.site(machine)?.node();
            let cert = self.owner.certify(device, QUOTA, now - 30 * 86_400)?;
            self.site(machine)?.up()?.api.adopt(cert.into()).await?;
        }
        for host in 0..self.shape.hosts {
            self.befriend(host).await?;
        }
        self.list(None).await
    }

    /// The owner lists the hosts, but for one.
    async fn list(&mut self, but: Option<Machine>) -> anyhow::Result<()> {
        let hosts = self.sites.iter().take(self.shape.hosts);
        let hosts = hosts
            .filter(|host| Some(host.machine) != but)
            .map(Site::node);
        let op = self.owner.hosts(hosts.collect());
        self.order(op, false).await?;
        Ok(())
    }

    /// A host invites the devices, which accept; it may use as much of theirs.
    async fn befriend(&mut self, host: Machine) -> anyhow::Result<()> {
        for device in self.shape.hosts..self.shape.machines() {
            let api = self.site(host)?.up()?.api.clone();
            let invited = api
                .invite(Some(QUOTA), 86_400, format!("device {device}"))
                .await?;
            let api = self.site(device)?.up()?.api.clone();
            api.accept(invited.token, Some(QUOTA), format!("host {host}"))
                .await?;
        }
        Ok(())
    }

    /// The owner gives an order to every device: now, or when it is up again. It counts as given when one of them has
    /// taken it. `for_all`: it is for all hosts and devices by name.
    async fn order(&mut self, op: Op, for_all: bool) -> anyhow::Result<()> {
        let (_, envelope) = self.sign(op, for_all)?;
        self.give(envelope).await
    }

    fn sign(&mut self, op: Op, for_all: bool) -> anyhow::Result<([u8; 16], Vec<u8>)> {
        let mut all: Vec<_> = self
            .sites
            .iter()
            .take(self.shape.machines())
            .map(Site::node)
            .collect();
        all.sort();
        let now = self.epoch.now();
        Ok(self.owner.order(op, for_all.then_some(all), now)?)
    }

    fn up_api(&self, machine: Machine) -> Option<&Api> {
        Some(&self.sites.get(machine)?.running.as_ref()?.api)
    }

    /// Given at one device: hosts tell the others.
    async fn give_to_one(&mut self, envelope: Vec<u8>) -> anyhow::Result<()> {
        for machine in self.shape.hosts..self.shape.machines() {
            let Some(api) = self.up_api(machine) else {
                continue;
            };
            if api.order(envelope.clone().into()).await.is_ok() {
                self.ledger.orders.push((machine, envelope));
                return Ok(());
            }
        }
        anyhow::bail!("no device takes it")
    }

    async fn give(&mut self, envelope: Vec<u8>) -> anyhow::Result<()> {
        let before = self.ledger.orders.len();
        for machine in self.shape.hosts..self.shape.machines() {
            self.undelivered.push((machine, envelope.clone()));
        }
        self.deliver().await;
        let mut given = self.ledger.orders.iter().skip(before);
        let is_given = given.any(|(_, given)| *given == envelope);
        if !is_given {
            self.undelivered.retain(|(_, given)| *given != envelope);
        }
        ensure!(is_given, "no device takes it");
        Ok(())
    }

    /// Gives devices the orders they have not taken yet, in order.
    async fn deliver(&mut self) {
        for (machine, envelope) in std::mem::take(&mut self.undelivered) {
            let given = match self.up_api(machine) {
                Some(api) => api.order(envelope.clone().into()).await.is_ok(),
                None => false,
            };
            match given {
                true => self.ledger.orders.push((machine, envelope)),
                false => self.undelivered.push((machine, envelope)),
            }
        }
    }

    /// Does one thing of the plan. What fails because of a fault is no error.
    async fn act(&mut self, act: Act) -> Result<(), Broken> {
        let done = match act {
            Act::Check => return self.view().promises(),
            Act::BackUp(machine) => self.back_up(machine).await,
            Act::Delete { takes_back } => self.delete(takes_back).await,
            Act::TakeBack => self.take_back().await,
            Act::Policy => self.policy().await,
            Act::Quota(host, is_on) => self.limit(host, is_on).await,
            Act::Evict(host, is_on) => self.evict(host, is_on).await,
            Act::Befriend(host) => self.befriend(host).await,
            Act::Unlist(host) => self.list(Some(host)).await,
            Act::Start(machine) | Act::PowerOn(machine) => {
                return self.start_node(act, machine).await;
            }
            fault => {
                self.report.faults += 1;
                self.fault(fault).await
            }
        };
        if let Err(error) = done {
            self.trace.note(format_args!("{act:?} failed: {error:#}"));
        }
        Ok(())
    }

    async fn back_up(&mut self, machine: Machine) -> anyhow::Result<()> {
        self.deliver().await;
        let now = self.epoch.now();
        let api = self.site(machine)?.up()?.api.clone();
        let device = self
            .devices
            .get_mut(machine - self.shape.hosts)
            .context("no such device")?;
        device.change();
        let made = tokio::time::timeout(PATIENCE, device.back_up(&api, now)).await;
        match made
            .context("a backup takes for ever")
            .and_then(|made| made)
        {
            Ok(made) => {
                self.trace.note(format_args!("made {:?}", made.snap));
                self.ledger.made.insert(made.snap, made);
                Ok(())
            }
            Err(error) => {
                self.report.failed += 1;
                Err(error)
            }
        }
    }

    async fn delete(&mut self, takes_back: bool) -> anyhow::Result<()> {
        let wanted = self.ledger.wanted();
        // Not the newest: they are what a person still needs.
        let old = wanted.len().saturating_sub(4);
        let pick = usize::try_from(self.rng.below(old.try_into()?))?;
        let snap = wanted
            .get(pick)
            .filter(|_| old > 0)
            .context("nothing is old yet")?
            .snap;
        let at = self.epoch.now();
        let (oid, envelope) = self.sign(Owner::delete(vec![snap]), false)?;
        self.ledger.deletions.push(Deletion {
            oid,
            envelope: envelope.clone(),
            snap,
            at,
            is_taken_back: false,
            is_doubtful: true,
        });
        self.give(envelope).await?;
        self.last_deletion(|newest| newest.is_doubtful = false);
        self.trace
            .note(format_args!("to go: {snap:?}, taken back: {takes_back}"));
        Ok(())
    }

    async fn take_back(&mut self) -> anyhow::Result<()> {
        let newest = self
            .ledger
            .deletions
            .last()
            .context("nothing to take back")?;
        let (oid, at) = (newest.oid, newest.at);
        let is_fresh = self.epoch.now() < at + 2 * 3600 && !newest.is_doubtful;
        ensure!(is_fresh, "the order was not given");
        self.last_deletion(|newest| newest.is_doubtful = true);
        let (_, envelope) = self.sign(Op::Cancel(vec![oid]), false)?;
        self.give_to_one(envelope).await?;
        self.last_deletion(|newest| (newest.is_taken_back, newest.is_doubtful) = (true, false));
        Ok(())
    }

    fn last_deletion(&mut self, change: impl FnOnce(&mut Deletion)) {
        self.ledger.deletions.last_mut().map(change);
    }

    async fn policy(&mut self) -> anyhow::Result<()> {
        let op = self.owner.policy(MIN_AGE_D, 5);
        self.ledger.policy_since.get_or_insert(self.epoch.now());
        self.order(op, true).await?;
        Ok(())
    }

    async fn limit(&mut self, host: Machine, is_on: bool) -> anyhow::Result<()> {
        let owner = self.owner.id();
        let running = self.site(host)?.up()?;
        let owners = running.api.host_owners().await?;
        let used = owners.iter().find(|hosted| hosted.owner == owner);
        let bytes = used.context("nothing of the owner is here")?.bytes;
        running
            .api
            .host_quota(owner, is_on.then_some(bytes))
            .await?;
        Ok(())
    }

    async fn evict(&mut self, host: Machine, is_on: bool) -> anyhow::Result<()> {
        let owner = self.owner.id();
        let running = self.site(host)?.up()?;
        let days = packnback_proto::wire::local::EvictDays {
            warn: 30,
            frozen: 30,
        };
        running.api.host_evict(owner, is_on.then_some(days)).await?;
        Ok(())
    }

    async fn fault(&mut self, fault: Act) -> anyhow::Result<()> {
        match fault {
            Act::Kill(machine) => self.site(machine)?.kill().await,
            Act::Fuse {
                machine,
                writes,
                tears,
            } => {
                let memory = &self.site(machine)?.memory;
                match tears {
                    true => memory.tear_after(writes),
                    false => memory.fail_after(writes),
                }
            }
            Act::PowerOff { machine, is_hasty } => {
                let site = self.sites.get_mut(machine).context("no such machine")?;
                site.lose_power(&mut self.net, is_hasty).await;
            }
            Act::Reset(one, other) => self.net.reset(one, other),
            Act::Block(from, to, is_blocked) => self.net.block(from, to, is_blocked),
            Act::Full(machine, is_full) => self.site(machine)?.memory.set_full(is_full),
            Act::Fail(machine, calls) => self.site(machine)?.memory.fail_call(Some(calls)),
            Act::Slow(machine, ms) => self.site(machine)?.lag.set(Duration::from_millis(ms)),
            Act::Clock(machine, ahead_s) => {
                let epoch = self.epoch;
                self.site(machine)?.set_clock(epoch, ahead_s);
            }
            Act::LoseDisk(machine) => {
                self.site(machine)?.lose_disk().await;
                self.ledger.forget(machine);
                self.start(machine)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Starts a node, and again if its disk fails meanwhile.
    async fn start_node(&mut self, act: Act, machine: Machine) -> Result<(), Broken> {
        let failed = |error: anyhow::Error| Broken::World(format!("{error:#}"));
        let site = self
            .sites
            .get_mut(machine)
            .context("no such machine")
            .map_err(failed)?;
        match act {
            Act::PowerOn(_) if !site.is_powered() => site.has_power(&mut self.net),
            _ if !site.is_powered() => return Ok(()),
            _ => {}
        }
        let mut why = String::new();
        for _ in 0..5 {
            let site = self.site(machine).map_err(failed)?;
            if site.running.is_some() {
                return Ok(());
            }
            match self.start(machine) {
                Ok(()) => return self.view().promises(),
                Err(error) => why = format!("{error:#}"),
            }
            self.trace
                .note(format_args!("start {machine} failed: {why}"));
            tokio::time::sleep(START_AGAIN).await;
        }
        // A full disk, or one whose power fails again at once: the next start may do better.
        self.trace
            .note(format_args!("start {machine} given up: {why}"));
        Ok(())
    }

    /// Quiet hours, and everything has to be where it should be.
    async fn end(&mut self) -> Result<(), Broken> {
        for site in self.sites.iter().take(self.shape.machines()) {
            site.running.as_ref().map(|running| running.pulse.take());
        }
        let hours = 12;
        // From now: the last things of the plan were done when the quiet had begun already.
        tokio::time::sleep(HOUR * hours).await;
        self.wait_until(Duration::ZERO).await?;
        self.view().idle(hours.into())?;
        self.view().converged()?;
        self.view().restorable()?;
        let failed = |error: anyhow::Error| Broken::World(format!("{error:#}"));
        self.recover().await.map_err(failed)
    }

    /// A blank machine gets the newest snapshot of every device from every host.
    async fn recover(&mut self) -> anyhow::Result<()> {
        let blank = self.shape.machines();
        self.start(blank)?;
        let api = self.site(blank)?.up()?.api.clone();
        let wanted = self.ledger.wanted();
        for site in self
            .sites
            .iter()
            .skip(self.shape.hosts)
            .take(self.shape.devices)
        {
            let newest = wanted.iter().rev().find(|made| made.device == site.node());
            let Some(made) = newest else { continue };
            self.recover_from_all(&api, made).await?;
        }
        Ok(())
    }

    async fn recover_from_all(
        &self,
        api: &std::sync::Arc<packnback_node::api::Api>,
        made: &Made,
    ) -> anyhow::Result<()> {
        for host in self.sites.iter().take(self.shape.hosts) {
            let listens = host.up()?.api.hello(API_VERSION)?.listen;
            let address = listens.first().context("it listens nowhere")?;
            let restoring = restorer::restore(api, &self.owner, host.node(), address, made);
            let restored = tokio::time::timeout(PATIENCE, restoring).await;
            let from = format!("recovery from host {}", host.machine);
            restored
                .with_context(|| from.clone())?
                .with_context(|| from)?;
        }
        Ok(())
    }
}
