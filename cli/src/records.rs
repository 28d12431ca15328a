//! Signed records put together: which snapshots there are, and which hosts say they hold them.

use std::collections::BTreeMap;

use packnback_proto::ids::{NodeId, OwnerId, SnapshotId};
use packnback_proto::newest::{self, Candidate, Place, Sight, Stamp, Standing, believable_now};
use packnback_proto::record::{Cert, Order, Receipt, Record, Signed, Snap, decode_record};

use crate::exit::{Failure, Outcome};
use crate::render;

/// Who looks, and from where: whose word counts besides that of the hosts the owner listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Viewpoint {
    /// This machine's own node, and hosts that are read from.
    pub besides: Vec<NodeId>,
    /// The clock of this machine, unix seconds.
    pub now: u64,
    /// The latest clock of a host that is read from.
    pub host_time: Option<u64>,
}

/// A snapshot and its receipts, all signatures checked.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The snapshot.
    pub snap: Signed<Snap>,
    /// Receipts, the earliest first.
    pub receipts: Vec<Signed<Receipt>>,
    /// When hosts that count received it first.
    pub received: Option<u64>,
    /// Whether it may be the newest.
    pub standing: Standing,
}

/// A snapshot whose record is verified: signed by a device that the owner certified.
#[derive(Debug, Clone)]
pub struct LoadedSnapshot {
    /// Its id.
    pub id: SnapshotId,
    /// The record.
    pub snap: Snap,
    /// Label of the device, opened from its certificate.
    pub device_label: Option<String>,
    /// When hosts that count received it first, unix seconds.
    pub received: Option<u64>,
    /// Whether it may be taken for the newest.
    pub standing: Standing,
}

impl Snapshot for LoadedSnapshot {
    fn id(&self) -> SnapshotId {
        self.id
    }

    fn snap(&self) -> &Snap {
        &self.snap
    }

    fn received(&self) -> Option<u64> {
        self.received
    }

    fn standing(&self) -> Standing {
        self.standing
    }
}

/// Everything the records of an owner say.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Snapshots, newest first; behind all others those that may not be the newest.
    pub snaps: Vec<Listed>,
    /// Certificates, the newest of each device.
    pub certs: BTreeMap<NodeId, Signed<Cert>>,
    /// Every certificate, by device and serial number.
    pub all_certs: BTreeMap<(NodeId, u64), Signed<Cert>>,
    /// Orders of the owner, in no order.
    pub orders: Vec<Signed<Order>>,
    /// Whose word counted, what was revoked, and what time it was taken to be.
    pub sight: Sight,
    /// Records that were refused: damaged, or of somebody else.
    pub refused: u64,
}

impl Catalog {
    /// Puts records together. Nothing is believed that is not signed by who has to sign it, and no
    /// snapshot without the certificate of this owner that it names.
    #[must_use]
    pub fn build(owner: OwnerId, envelopes: &[Vec<u8>], view: &Viewpoint) -> Self {
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
        catalog.sight = catalog.seen_from(view);
        let mut found: BTreeMap<SnapshotId, Listed> = BTreeMap::new();
        for snap in snaps {
            let (device, serial) = (snap.value().device, snap.value().cert_serial);
            if catalog.all_certs.contains_key(&(device, serial)) {
                let listed = Listed {
                    snap,
                    receipts: Vec::new(),
                    received: None,
                    standing: Standing::Unseen,
                };
                found.insert(listed.snap.id(), listed);
            } else {
                catalog.refused = catalog.refused.saturating_add(1);
            }
        }
        receipts.sort_by_key(|receipt| (receipt.value().received, receipt.id()));
        receipts.dedup_by_key(|receipt| receipt.id());
        for receipt in receipts {
            if let Some(listed) = found.get_mut(&receipt.value().snap) {
                listed.receipts.push(receipt);
            }
        }
        catalog.snaps = in_order(found, &catalog.sight);
        catalog
    }

    fn seen_from(&self, view: &Viewpoint) -> Sight {
        let starts = self.all_certs.values().map(|cert| cert.value().not_before);
        let issued = self.orders.iter().map(|order| order.value().issued);
        let signed = starts.chain(issued).collect();
        let sight = Sight {
            besides: view.besides.clone(),
            now: believable_now(view.now, view.host_time, &signed),
            ..Sight::default()
        };
        sight.with_orders(self.orders.iter().map(Signed::value))
    }

    fn add_cert(&mut self, cert: Signed<Cert>) {
        let (device, serial) = (cert.value().device, cert.value().serial);
        let newer = self
            .certs
            .get(&device)
            .is_none_or(|known| known.value().serial < serial);
        if newer {
            self.certs.insert(device, cert.clone());
        }
        self.all_certs.insert((device, serial), cert);
    }
}

fn in_order(mut found: BTreeMap<SnapshotId, Listed>, sight: &Sight) -> Vec<Listed> {
    let stamp = |receipt: &Signed<Receipt>| Stamp {
        received: receipt.value().received,
        host: receipt.value().host,
    };
    let candidates: Vec<Candidate<'_>> = found
        .iter()
        .map(|(id, listed)| Candidate {
            id: *id,
            snap: listed.snap.value(),
            stamps: listed.receipts.iter().map(stamp).collect(),
        })
        .collect();
    let places = newest::order(&candidates, sight);
    drop(candidates);
    let place = |place: Place| {
        found.remove(&place.id).map(|listed| Listed {
            received: place.received,
            standing: place.standing,
            ..listed
        })
    };
    places.into_iter().filter_map(place).collect()
}

/// A snapshot in its place among others.
pub trait Snapshot {
    /// Its id.
    fn id(&self) -> SnapshotId;
    /// Its record.
    fn snap(&self) -> &Snap;
    /// When hosts that count received it first.
    fn received(&self) -> Option<u64>;
    /// Whether it may be the newest.
    fn standing(&self) -> Standing;
}

impl Snapshot for Listed {
    fn id(&self) -> SnapshotId {
        self.snap.id()
    }

    fn snap(&self) -> &Snap {
        self.snap.value()
    }

    fn received(&self) -> Option<u64> {
        self.received
    }

    fn standing(&self) -> Standing {
        self.standing
    }
}

/// Why a snapshot may not be the newest, to be said after its id.
#[must_use]
pub fn standing_text(standing: Standing) -> String {
    match standing {
        Standing::Good => "counts".into(),
        Standing::Ahead => "has only receipts dated ahead of now".into(),
        Standing::Unseen => "has no receipt of a host that counts".into(),
        Standing::Again(id) => format!(
            "brings back what snapshot {} was, under a new date",
            id.short()
        ),
        Standing::Revoked(at) => format!(
            "was not with any host that counts before its device was revoked on {}",
            render::time(at)
        ),
    }
}

/// Finds a snapshot by what a person typed. `latest` is the newest of `device`, or of any device if
/// that one has none. `snaps` are newest first.
///
/// # Errors
/// When there is none, several begin like this, or none of the device may be taken for the newest.
pub fn choose<'a, S: Snapshot>(
    snaps: &'a [S],
    text: &str,
    device: Option<NodeId>,
) -> Outcome<&'a S> {
    if text == "latest" {
        let mut own = snaps
            .iter()
            .filter(|s| Some(s.snap().device) == device)
            .peekable();
        let newest = if own.peek().is_some() {
            own.next()
        } else {
            snaps.first()
        };
        return match newest {
            Some(newest) if newest.standing() == Standing::Good => Ok(newest),
            Some(doubtful) => Err(no_newest(doubtful)),
            None => Err(Failure::failed("no-snapshot", "there is no snapshot yet")
                .next("Make one: packnback backup PATH...")),
        };
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

fn no_newest<S: Snapshot>(doubtful: &S) -> Failure {
    Failure::refused(
        "no-newest",
        format!(
            "no snapshot may be taken for the newest: {} {}",
            doubtful.id().short(),
            standing_text(doubtful.standing())
        ),
    )
    .safe("Nothing was changed.")
    .next("Look at what there is (packnback snapshots --all), and name one by its id.")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::choice::doubts;
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

    fn receipt(host: &SigningKey, snap: &[u8], received: u64) -> Vec<u8> {
        let receipt = Receipt {
            snap: decode_record(snap).unwrap().id(),
            host: host.node_id(),
            received,
            log_seq: 1,
            log_prev: None,
            n_objects: 1,
            bytes: 1,
            policy_seq: 0,
        };
        Signed::sign(&receipt, host).unwrap().envelope().to_vec()
    }

    fn view(host: &SigningKey) -> Viewpoint {
        Viewpoint {
            besides: vec![host.node_id()],
            now: 1_900_000_000,
            host_time: None,
        }
    }

    fn key(n: u8) -> SigningKey {
        SigningKey::from_seed(&Secret32::new([n; 32]))
    }

    #[test]
    fn only_what_the_owner_certified_is_listed() {
        let (owner, stranger) = (
            OwnerSeed::from_bytes([1; 32]),
            OwnerSeed::from_bytes([2; 32]),
        );
        let (device, rogue, host) = (key(3), key(4), key(5));
        let mut flipped = snap(&owner, &device, 9, 900);
        *flipped.last_mut().unwrap() ^= 1;
        let (first, second) = (snap(&owner, &device, 1, 100), snap(&owner, &device, 2, 200));
        let records = vec![
            receipt(&host, &first, 150),
            receipt(&host, &second, 250),
            first,
            second,
            snap(&owner, &rogue, 3, 300),
            snap(&stranger, &device, 4, 400),
            flipped,
            cert(&owner, &device),
            cert(&stranger, &rogue),
        ];
        let catalog = Catalog::build(owner.owner_id(), &records, &view(&host));
        let seqs: Vec<u64> = catalog.snaps.iter().map(|s| s.snap.value().seq).collect();
        assert_eq!(seqs, [2, 1]);
        assert_eq!(catalog.refused, 4);
        let newest = choose(&catalog.snaps, "latest", None).unwrap();
        assert_eq!(newest.snap.value().seq, 2);
        assert!(doubts(&catalog.snaps, newest).is_empty());
        let id = catalog.snaps[1].id().to_string();
        assert_eq!(
            choose(&catalog.snaps, &id[..6], None).unwrap().id(),
            catalog.snaps[1].id()
        );
        for bad in ["", "xyz", "ab", "latest2", &format!("{}0", &id[..63])] {
            assert!(choose(&catalog.snaps, bad, None).is_err(), "{bad}");
        }
    }

    /// The certificate a snapshot names is asked for, not any of its device.
    #[test]
    fn n26_a_snapshot_under_another_certificate_than_it_names_is_not_listed() {
        let (owner, device, host) = (OwnerSeed::from_bytes([1; 32]), key(3), key(5));
        let mut other = decode_snap_value(&snap(&owner, &device, 1, 100));
        other.cert_serial = 2;
        let other = Signed::sign(&other, &device).unwrap().envelope().to_vec();
        let records = [receipt(&host, &other, 150), other, cert(&owner, &device)];
        let catalog = Catalog::build(owner.owner_id(), &records, &view(&host));
        assert!(catalog.snaps.is_empty());
        assert_eq!(catalog.refused, 1);
    }

    fn decode_snap_value(envelope: &[u8]) -> Snap {
        packnback_proto::record::decode_snap(envelope)
            .unwrap()
            .into_value()
    }

    /// A thief's snapshot dated ahead is passed over, and that is said.
    #[test]
    fn n26_what_was_passed_over_is_told() {
        let (owner, device, host) = (OwnerSeed::from_bytes([1; 32]), key(3), key(5));
        let honest = snap(&owner, &device, 1, 1_800_000_000);
        let thief = snap(&owner, &device, 9, 4_000_000_000);
        let records = [
            receipt(&host, &honest, 1_800_000_100),
            receipt(&host, &thief, 4_000_000_100),
            honest,
            thief,
            cert(&owner, &device),
        ];
        let catalog = Catalog::build(owner.owner_id(), &records, &view(&host));
        let chosen = choose(&catalog.snaps, "latest", Some(device.node_id())).unwrap();
        assert_eq!(chosen.snap.value().seq, 1);
        let told = doubts(&catalog.snaps, chosen);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("dated ahead of now"), "{told:?}");
        // With nothing else of that device nothing is taken for the newest, not even another's.
        let alone = &catalog.snaps[1..];
        let failed = choose(alone, "latest", Some(device.node_id())).unwrap_err();
        assert_eq!(failed.code, "no-newest");
        let id = alone[0].id().to_string();
        assert!(
            choose(alone, &id, None).is_ok(),
            "by its id it may be chosen"
        );
    }
}
