//! Signed records put together: which snapshots there are, and which hosts say they hold them.

use std::collections::BTreeMap;

use packnback_proto::ids::{NodeId, OwnerId, SnapshotId};
use packnback_proto::record::{Cert, Order, Receipt, Record, Signed, Snap, decode_record};

use crate::exit::{Failure, Outcome};
use crate::restore::LoadedSnapshot;

/// A snapshot and its receipts, all signatures checked.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The snapshot.
    pub snap: Signed<Snap>,
    /// Receipts, the earliest first.
    pub receipts: Vec<Signed<Receipt>>,
}

/// Everything the records of an owner say.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Snapshots, newest first.
    pub snaps: Vec<Listed>,
    /// Certificates, the newest of each device.
    pub certs: BTreeMap<NodeId, Signed<Cert>>,
    /// Orders of the owner, in no order.
    pub orders: Vec<Signed<Order>>,
    /// Records that were refused: damaged, or of somebody else.
    pub refused: u64,
}

impl Catalog {
    /// Puts records together. Nothing is believed that is not signed by who has to sign it, under a
    /// certificate of this owner.
    #[must_use]
    pub fn build(owner: OwnerId, envelopes: &[Vec<u8>]) -> Self {
        let mut catalog = Self::default();
        let (mut snaps, mut receipts) = (Vec::new(), Vec::new());
        for envelope in envelopes {
            match decode_record(envelope) {
                Ok(Record::Cert(cert)) if cert.value().owner == owner => catalog.add_cert(cert),
                Ok(Record::Snap(snap)) if snap.value().owner == owner => snaps.push(snap),
                Ok(Record::Receipt(receipt)) => receipts.push(receipt),
                Ok(Record::Order(order)) if order.value().owner == owner => {
                    catalog.orders.push(order);
                }
                Ok(Record::Grant(_)) => {}
                Ok(_) | Err(_) => catalog.refused = catalog.refused.saturating_add(1),
            }
        }
        let mut found: BTreeMap<SnapshotId, Listed> = BTreeMap::new();
        for snap in snaps {
            if catalog.certs.contains_key(&snap.value().device) {
                found.insert(
                    snap.id(),
                    Listed {
                        snap,
                        receipts: Vec::new(),
                    },
                );
            } else {
                catalog.refused = catalog.refused.saturating_add(1);
            }
        }
        receipts.sort_by_key(|receipt| receipt.value().received);
        for receipt in receipts {
            if let Some(listed) = found.get_mut(&receipt.value().snap) {
                listed.receipts.push(receipt);
            }
        }
        catalog.snaps = found.into_values().collect();
        catalog.snaps.sort_by_key(|listed| {
            let snap = listed.snap.value();
            std::cmp::Reverse((snap.time, snap.seq))
        });
        catalog
    }

    fn add_cert(&mut self, cert: Signed<Cert>) {
        let newer = self
            .certs
            .get(&cert.value().device)
            .is_none_or(|known| known.value().serial < cert.value().serial);
        if newer {
            self.certs.insert(cert.value().device, cert);
        }
    }
}

/// Something with the id, device and time of a snapshot.
pub trait Snapshot {
    /// Its id.
    fn id(&self) -> SnapshotId;
    /// Its record.
    fn snap(&self) -> &Snap;
}

impl Snapshot for Listed {
    fn id(&self) -> SnapshotId {
        self.snap.id()
    }

    fn snap(&self) -> &Snap {
        self.snap.value()
    }
}

impl Snapshot for LoadedSnapshot {
    fn id(&self) -> SnapshotId {
        self.id
    }

    fn snap(&self) -> &Snap {
        &self.snap
    }
}

/// Finds a snapshot by what a person typed. `latest` is the newest of `device`, or of any device if
/// that one has none. `snaps` are newest first.
///
/// # Errors
/// When there is none, or several begin like this.
pub fn choose<'a, S: Snapshot>(
    snaps: &'a [S],
    text: &str,
    device: Option<NodeId>,
) -> Outcome<&'a S> {
    if text == "latest" {
        let own = snaps.iter().find(|s| Some(s.snap().device) == device);
        return own.or_else(|| snaps.first()).ok_or_else(|| {
            Failure::failed("no-snapshot", "there is no snapshot yet")
                .next("Make one: packnback backup PATH...")
        });
    }
    let text = text.to_ascii_lowercase();
    let digits = text.len() >= 4 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !digits {
        return Err(Failure::usage(format!(
            "{text:?} is no snapshot: say `latest`, or at least 4 digits of an id"
        ))
        .next("List what there is: packnback snapshots"));
    }
    let mut found = snaps
        .iter()
        .filter(|s| s.id().to_string().starts_with(&text));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(
            Failure::failed("no-snapshot", format!("there is no snapshot {text}"))
                .next("List what there is: packnback snapshots --all"),
        ),
        (Some(_), Some(_)) => Err(
            Failure::usage(format!("several snapshots begin with {text}"))
                .next("Give more digits of the id."),
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::enrol::{Enrolment, make_bundle};
    use packnback_proto::crypto::keys::OwnerSeed;
    use packnback_proto::crypto::secret::Secret32;
    use packnback_proto::crypto::sign::SigningKey;
    use packnback_proto::ids::{ObjectId, SetId};

    fn snap(owner: &OwnerSeed, device: &SigningKey, seq: u64, time: u64) -> Vec<u8> {
        let snap = Snap {
            owner: owner.owner_id(),
            device: device.node_id(),
            seq,
            prev: None,
            root: ObjectId([u8::try_from(seq).unwrap(); 32]),
            time,
            cert_serial: 1,
            set: SetId([1; 16]),
        };
        Signed::sign(&snap, device).unwrap().envelope().to_vec()
    }

    fn cert(owner: &OwnerSeed, device: &SigningKey) -> Vec<u8> {
        let enrolment = Enrolment {
            label: "x".into(),
            serial: 1,
            now: 1_800_000_000,
        };
        let bundle = make_bundle(owner, device.node_id(), &enrolment, Secret32::new([1; 32]));
        bundle.unwrap().cert.envelope().to_vec()
    }

    #[test]
    fn only_what_the_owner_certified_is_listed() {
        let (owner, stranger) = (
            OwnerSeed::from_bytes([1; 32]),
            OwnerSeed::from_bytes([2; 32]),
        );
        let (device, rogue) = (
            SigningKey::from_seed(&Secret32::new([3; 32])),
            SigningKey::from_seed(&Secret32::new([4; 32])),
        );
        let mut flipped = snap(&owner, &device, 9, 900);
        *flipped.last_mut().unwrap() ^= 1;
        let records = vec![
            snap(&owner, &device, 1, 100),
            snap(&owner, &device, 2, 200),
            snap(&owner, &rogue, 3, 300),
            snap(&stranger, &device, 4, 400),
            flipped,
            cert(&owner, &device),
            cert(&stranger, &rogue),
        ];
        let catalog = Catalog::build(owner.owner_id(), &records);
        let seqs: Vec<u64> = catalog.snaps.iter().map(|s| s.snap.value().seq).collect();
        assert_eq!(seqs, [2, 1]);
        assert_eq!(catalog.refused, 4);
        let newest = choose(&catalog.snaps, "latest", None).unwrap();
        assert_eq!(newest.snap.value().seq, 2);
        let id = catalog.snaps[1].id().to_string();
        assert_eq!(
            choose(&catalog.snaps, &id[..6], None).unwrap().id(),
            catalog.snaps[1].id()
        );
        for bad in ["", "xyz", "ab", "latest2", &format!("{}0", &id[..63])] {
            assert!(choose(&catalog.snaps, bad, None).is_err(), "{bad}");
        }
    }
}
