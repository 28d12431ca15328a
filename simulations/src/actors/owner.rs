//! An owner: signs certificates, orders and grants, away from every node.

use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::ids::{NodeId, OwnerId, SnapshotId};
use packnback_proto::record::{
    Cert, Grant, Op, Order, PolicyArg, RecordError, Scope, Signed, perms, seal_label,
};

use crate::rng::Rng;

/// Dedup group and key epoch of everything here.
pub const GROUP: u32 = 0;
/// See [`GROUP`].
pub const EPOCH: u32 = 0;

/// See the module.
pub struct Owner {
    /// Everything is derived from it.
    pub seed: OwnerSeed,
    key: SigningKey,
    rng: Rng,
    serial: u64,
    hosts_seq: u64,
    policy_seq: u64,
}

impl Owner {
    /// A new owner.
    #[must_use]
    pub fn new(rng: &mut Rng) -> Self {
        let seed = OwnerSeed::from_bytes(rng.bytes32());
        let key = seed.sign_key();
        Self {
            seed,
            key,
            rng: rng.branch(0x0e),
            serial: 0,
            hosts_seq: 0,
            policy_seq: 0,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> OwnerId {
        self.seed.owner_id()
    }

    /// Lets a machine write.
    ///
    /// # Errors
    /// A limit of the format.
    pub fn certify(
        &mut self,
        device: NodeId,
        quota: u64,
        now: u64,
    ) -> Result<Vec<u8>, RecordError> {
        self.serial += 1;
        let owner = self.id();
        let label = seal_label(&self.seed.label_key(EPOCH), &owner, &device, "device")?;
        let cert = Cert {
            owner,
            device,
            serial: self.serial,
            perms: perms::ALL,
            not_before: now,
            expires: now.saturating_add(3 * 365 * 86_400),
            quota_bytes: quota,
            new_bytes_per_day: quota,
            snaps_per_day: 48,
            group: GROUP,
            epoch: EPOCH,
            sealed_label: label,
            recovery: self.seed.recovery_id(),
        };
        Ok(Signed::sign(&cert, &self.key)?.envelope().to_vec())
    }

    /// Signs an order; returns its id and its envelope.
    ///
    /// # Errors
    /// A limit of the format.
    pub fn order(
        &mut self,
        op: Op,
        audience: Option<Vec<NodeId>>,
        now: u64,
    ) -> Result<([u8; 16], Vec<u8>), RecordError> {
        let mut oid = [0; 16];
        self.rng.fill(&mut oid);
        let order = Order {
            owner: self.id(),
            oid,
            issued: now,
            audience,
            op,
            not_before: None,
        };
        Ok((oid, Signed::sign(&order, &self.key)?.envelope().to_vec()))
    }

    /// The list of the owner's hosts.
    pub fn hosts(&mut self, mut hosts: Vec<NodeId>) -> Op {
        hosts.sort();
        self.hosts_seq += 1;
        Op::Hosts {
            hseq: self.hosts_seq,
            hosts,
        }
    }

    /// A policy that lets old snapshots of every device go.
    pub fn policy(&mut self, min_age_d: u64, keep_days: u64) -> Op {
        self.policy_seq += 1;
        Op::Policy(PolicyArg {
            pseq: self.policy_seq,
            device: None,
            min_age_d,
            keep: [0, keep_days, 0, 0, 0],
            keep_last: 3,
            grace_d: 2,
        })
    }

    /// Deletes snapshots.
    #[must_use]
    pub fn delete(mut snaps: Vec<SnapshotId>) -> Op {
        snaps.sort();
        snaps.dedup();
        Op::DeleteIds(snaps)
    }

    /// Lets a reader fetch everything from a host.
    ///
    /// # Errors
    /// A limit of the format.
    pub fn grant(
        &self,
        reader: NodeId,
        host: NodeId,
        nonce: [u8; 16],
        now: u64,
    ) -> Result<Vec<u8>, RecordError> {
        let grant = Grant {
            owner: self.id(),
            reader,
            scope: Scope::All,
            not_before: now.saturating_sub(86_400),
            expires: now.saturating_add(86_400),
            audience: Some(vec![host]),
            nonce,
            max_bytes: None,
        };
        Ok(Signed::sign(&grant, &self.key)?.envelope().to_vec())
    }
}
