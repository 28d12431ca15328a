//! Two devices of one owner, two hosts, and a blank machine that holds nothing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use packnback_cli::parts::{
    Bundle, Failure, KeySource, Outcome, PassphraseSource, Remote, grant_all, read_owner_key,
    system,
};
use packnback_compare::compare_trees;
use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::ids::{NodeId, RecordId};
use packnback_proto::record::{Cert, Op, Order, PolicyArg, Record, Signed, decode_record};

use super::trees;
use crate::staging::{Node, World, number, text};

/// The code of failures.
pub(super) const DRILL: &str = "drill";
/// Limits of the device that will be attacked, small enough to be reached soon.
const QUOTA: u64 = 48 << 20;
const BYTES_PER_DAY: u64 = 24 << 20;
const SNAPS_PER_DAY: u64 = 40;
/// Orders are carried within seconds; this is for a machine that is busy.
const CARRY_DEADLINE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(100);

/// A snapshot of before, and what it has to come back as.
pub(super) struct Kept {
    /// Whose.
    pub(super) machine: String,
    /// Its id in hex.
    pub(super) snapshot: String,
    /// Restored before the attack, and compared with the files then.
    pub(super) reference: PathBuf,
    /// Where its files are below a target.
    pub(super) below: PathBuf,
}

/// The machines.
pub(super) struct Scene {
    /// The device that is attacked. Gone in the end.
    pub(super) laptop: Option<Node>,
    /// The other device.
    pub(super) desk: Node,
    /// The owner's own host: its socket shows what retention says.
    pub(super) nas: Node,
    /// A friend's host.
    pub(super) ann: Node,
    /// A blank machine, to read with the owner key.
    pub(super) paper: Node,
    /// The owner key, elsewhere.
    pub(super) key_file: PathBuf,
    pub(super) seed: OwnerSeed,
    /// Everything that was backed up.
    pub(super) kept: Vec<Kept>,
    /// The laptop's certificate before its limits were set.
    pub(super) old_cert: Vec<u8>,
    /// A policy that was replaced before it reached a host.
    pub(super) old_policy: Vec<u8>,
    /// A delete order that was taken back.
    pub(super) cancelled: Vec<u8>,
}

pub(super) fn failed(what: impl Into<String>) -> Failure {
    Failure::failed(DRILL, what)
}

pub(super) fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl Scene {
    /// Starts the machines and makes them an owner's, and friends.
    pub(super) fn build(world: &mut World) -> Outcome<Self> {
        let (laptop, desk) = (world.start("laptop")?, world.start("desk")?);
        let (nas, ann) = (world.start("nas")?, world.start("ann")?);
        let paper = world.start("paper")?;
        let key_file = world.folder().join("owner.key");
        let key = shown(&key_file);
        let first = ["--owner-key-out", &key, "--no-passphrase"];
        world.command(
            &nas,
            &[&["init", "--label", "nas"][..], &first].concat(),
            None,
        )?;
        for node in [&laptop, &desk] {
            let words = ["init", "--label", &node.name, "--owner-key", &key];
            world.command(node, &words, None)?;
        }
        for device in [&laptop, &desk] {
            for host in [&nas, &ann] {
                befriend(world, host, device)?;
            }
        }
        let source = KeySource::File(key_file.clone());
        let passphrase = PassphraseSource {
            file: None,
            none: false,
        };
        Ok(Self {
            laptop: Some(laptop),
            desk,
            nas,
            ann,
            paper,
            seed: read_owner_key(&source, &passphrase)?,
            key_file,
            kept: Vec::new(),
            old_cert: Vec::new(),
            old_policy: Vec::new(),
            cancelled: Vec::new(),
        })
    }

    pub(super) fn laptop(&self) -> Outcome<&Node> {
        self.laptop
            .as_ref()
            .ok_or_else(|| failed("the laptop is gone"))
    }

    pub(super) fn hosts(&self) -> [&Node; 2] {
        [&self.nas, &self.ann]
    }

    /// A host's identity.
    pub(super) fn host_id(host: &Node) -> Outcome<NodeId> {
        let id = host.client()?.hello().node;
        id.ok_or_else(|| failed("a host did not say who it is"))
    }

    /// Backups of both devices, with a change of the laptop's limits between.
    pub(super) fn back_up(&mut self, world: &World) -> Outcome<()> {
        for machine in ["laptop", "desk"] {
            let tree = self.tree(world, machine);
            trees::grow(&tree, machine).map_err(|e| Failure::file("write", &tree, &e))?;
            self.save(world, machine, 1)?;
        }
        self.old_cert = limit(self.laptop()?, &self.seed)?;
        for machine in ["laptop", "desk"] {
            let tree = self.tree(world, machine);
            trees::work(&tree, "tuesday").map_err(|e| Failure::file("write", &tree, &e))?;
            self.save(world, machine, 2)?;
        }
        Ok(())
    }

    pub(super) fn tree(&self, world: &World, machine: &str) -> PathBuf {
        world.folder().join("files").join(machine)
    }

    pub(super) fn device(&self, machine: &str) -> Outcome<&Node> {
        match machine {
            "laptop" => self.laptop(),
            _ => Ok(&self.desk),
        }
    }

    /// Backs a machine up to both hosts, restores it and compares: the reference for later.
    pub(super) fn save(&mut self, world: &World, machine: &str, count: u32) -> Outcome<()> {
        let tree = self.tree(world, machine);
        let node = self.device(machine)?;
        let words = ["--wait", "2", "--wait-timeout", "120s"];
        let path = shown(&tree);
        let saved = world.command(node, &[&["backup", &path][..], &words].concat(), None)?;
        if number(&saved, "friends") != 2 {
            return Err(failed(format!(
                "the backup of {machine} did not reach both hosts"
            )));
        }
        let snapshot = text(&saved, "snapshot");
        let reference = world.folder().join(format!("before/{machine}-{count}"));
        let (target, key) = (shown(&reference), shown(&self.key_file));
        let words = [
            "restore",
            &snapshot,
            "--target",
            &target,
            "--owner-key",
            &key,
        ];
        world.command(node, &words, None)?;
        let below = tree.strip_prefix("/").unwrap_or(&tree).to_owned();
        let found = compare_trees(&tree, &reference.join(&below))
            .map_err(|e| failed(format!("cannot compare the files of {machine}: {e}")))?;
        if !found.differences.is_empty() {
            return Err(failed(format!(
                "the backup of {machine} was not good to begin with"
            )));
        }
        let machine = machine.to_owned();
        self.kept.push(Kept {
            machine,
            snapshot,
            reference,
            below,
        });
        Ok(())
    }

    /// The owner's orders: a policy that replaces one which nobody saw, and a delete that is taken back.
    pub(super) fn orders(&mut self, world: &World) -> Outcome<()> {
        let mut hosts = Vec::new();
        for host in self.hosts() {
            hosts.push(Self::host_id(host)?);
        }
        hosts.sort_unstable();
        let oldest = self.kept.first().ok_or_else(|| failed("no snapshot"))?;
        let oldest = oldest
            .snapshot
            .parse::<RecordId>()
            .map_err(|e| failed(format!("the id of a snapshot: {e}")))?;
        let sign = |op| sign_order(&self.seed, hosts.clone(), op);
        let careless = PolicyArg {
            pseq: 1,
            device: None,
            min_age_d: 0,
            keep: [0; 5],
            keep_last: 1,
            grace_d: 0,
        };
        let careful = PolicyArg {
            pseq: 2,
            device: None,
            min_age_d: 30,
            keep: [0, 7, 4, 12, 3],
            keep_last: 5,
            grace_d: 7,
        };
        let old_policy = sign(Op::Policy(careless))?;
        let delete = sign(Op::DeleteIds(vec![oldest]))?;
        let cancel = sign(Op::Cancel(vec![delete.value().oid]))?;
        let policy = sign(Op::Policy(careful))?;
        let wanted = [delete.id(), cancel.id(), policy.id()];
        for order in [&delete, &cancel, &policy] {
            for node in [self.laptop()?, &self.desk, &self.nas] {
                node.client()?.order(order.envelope().into())?;
            }
        }
        for host in self.hosts() {
            self.wait_for_orders(world, host, &wanted)?;
        }
        self.old_policy = old_policy.envelope().to_vec();
        self.cancelled = delete.envelope().to_vec();
        Ok(())
    }

    /// Every record a host shows to the owner.
    pub(super) fn records(&self, host: &Node) -> Outcome<Vec<Vec<u8>>> {
        let client = self.paper.client()?;
        grant_all(&client, &self.seed, &host.address(), true)?;
        Ok(packnback_cli::parts::ObjectSource::records(
            &Remote(&client),
            None,
        )?)
    }

    fn wait_for_orders(&self, world: &World, host: &Node, wanted: &[RecordId]) -> Outcome<()> {
        let started = Instant::now();
        loop {
            world.check()?;
            let records = self.records(host)?;
            let there = |id: &RecordId| {
                let mut orders = records
                    .iter()
                    .filter_map(|record| decode_record(record).ok());
                orders.any(|record| matches!(record, Record::Order(order) if order.id() == *id))
            };
            if wanted.iter().all(there) {
                return Ok(());
            }
            if started.elapsed() > CARRY_DEADLINE {
                return Err(failed(format!(
                    "the owner's orders did not reach {}",
                    host.name
                )));
            }
            std::thread::sleep(POLL);
        }
    }
}

fn befriend(world: &World, host: &Node, device: &Node) -> Outcome<()> {
    let words = ["peer", "invite", "--name", &device.name, "--quota", "1G"];
    let token = text(&world.command(host, &words, None)?, "token");
    let words = ["peer", "accept", &token, "--name", &host.name];
    world.command(device, &words, None).map(|_| ())
}

/// Signs an order for hosts.
fn sign_order(seed: &OwnerSeed, audience: Vec<NodeId>, op: Op) -> Outcome<Signed<Order>> {
    let order = Order {
        owner: seed.owner_id(),
        oid: system::random()?,
        issued: system::now(),
        audience: Some(audience),
        op,
        not_before: None,
    };
    Signed::sign(&order, &seed.sign_key()).map_err(|e| failed(format!("cannot sign an order: {e}")))
}

/// Gives a device a certificate with narrow limits; returns the one before.
fn limit(node: &Node, seed: &OwnerSeed) -> Outcome<Vec<u8>> {
    let home = node.folders()?;
    let bundle = Bundle::load(&home)?;
    let old = bundle.cert.value();
    let cert = Cert {
        serial: old.serial.saturating_add(1),
        quota_bytes: QUOTA,
        new_bytes_per_day: BYTES_PER_DAY,
        snaps_per_day: SNAPS_PER_DAY,
        ..old.clone()
    };
    let cert = Signed::sign(&cert, &seed.sign_key())
        .map_err(|e| failed(format!("cannot sign a certificate: {e}")))?;
    let old = bundle.cert.envelope().to_vec();
    let bundle = Bundle { cert, ..bundle };
    node.client()?.adopt(bundle.cert.envelope().into())?;
    bundle.save(&home)?;
    Ok(old)
}
