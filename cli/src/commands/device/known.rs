//! What the records of the owner say of its devices.

use std::collections::BTreeMap;

use packnback_proto::crypto::keyset::OwnerKey;
use packnback_proto::ids::{NodeId, OwnerId, RecordId};
use packnback_proto::record::{Cert, Op, Order, Record, Signed, decode_record};

use super::super::keypart::label_of;
use crate::exit::{Failure, Outcome};

/// Certificates, revocations and the list of hosts, all signatures checked.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The newest certificate of each device.
    pub(super) certs: BTreeMap<NodeId, Signed<Cert>>,
    /// Highest serial number of any.
    pub(super) serials: Vec<u64>,
    /// Devices that were revoked, and by which order.
    pub(super) revoked: BTreeMap<NodeId, RecordId>,
    /// The newest list of hosts.
    pub(super) hosts: Option<Signed<Order>>,
}

impl Known {
    /// From records as a node gives them. What is of another owner or does not verify counts nothing.
    pub(super) fn from_records(owner: OwnerId, envelopes: &[Vec<u8>]) -> Self {
        let mut known = Self::default();
        for envelope in envelopes {
            match decode_record(envelope) {
                Ok(Record::Cert(cert)) if cert.value().owner == owner => known.cert(cert),
                Ok(Record::Order(order)) if order.value().owner == owner => known.order(order),
                _ => {}
            }
        }
        known
    }

    fn cert(&mut self, cert: Signed<Cert>) {
        let (device, serial) = (cert.value().device, cert.value().serial);
        self.serials.push(serial);
        let newest = self.certs.get(&device).map(|known| known.value().serial);
        if newest.is_none_or(|known| known < serial) {
            self.certs.insert(device, cert);
        }
    }

    fn order(&mut self, order: Signed<Order>) {
        match &order.value().op {
            Op::Revoke { device, .. } => {
                self.revoked.insert(*device, order.id());
            }
            Op::Hosts { hseq, .. } if self.hosts_seq().is_none_or(|known| known < *hseq) => {
                self.hosts = Some(order);
            }
            _ => {}
        }
    }

    fn hosts_seq(&self) -> Option<u64> {
        match self.hosts.as_ref().map(|order| &order.value().op) {
            Some(Op::Hosts { hseq, .. }) => Some(*hseq),
            _ => None,
        }
    }

    /// The highest dedup group in use.
    pub(super) fn last_group(&self) -> Option<u32> {
        self.certs.values().map(|cert| cert.value().group).max()
    }

    /// The certificate of the device a person named, by name or by first digits of its id.
    pub(super) fn find(&self, text: &str, key: &OwnerKey) -> Outcome<&Signed<Cert>> {
        let lower = text.to_ascii_lowercase();
        let is_id = lower.len() >= 4 && lower.bytes().all(|b| b.is_ascii_hexdigit());
        let named: Vec<_> = self
            .certs
            .values()
            .filter(|cert| label_of(key, cert.value()).as_deref() == Some(text))
            .collect();
        let by_id = self
            .certs
            .iter()
            .filter(|(device, _)| is_id && device.to_string().starts_with(&lower))
            .map(|(_, cert)| cert);
        let found = if named.is_empty() {
            by_id.collect()
        } else {
            named
        };
        match found.as_slice() {
            [one] => Ok(one),
            [] => Err(
                Failure::failed("no-device", format!("there is no device {text:?}"))
                    .safe("Nothing was changed.")
                    .next("See which there are: packnback device list --owner-key FILE"),
            ),
            _ => Err(Failure::usage(format!("{text:?} may be several devices"))
                .safe("Nothing was changed.")
                .next("Use digits of the id: packnback device list")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::enrol::{Enrolment, Terms, make_cert};
    use packnback_proto::crypto::keys::OwnerSeed;

    fn seed() -> OwnerSeed {
        OwnerSeed::from_bytes([1; 32])
    }

    fn cert(owner: &OwnerSeed, device: u8, serial: u64, label: &str, group: u32) -> Vec<u8> {
        let enrolment = Enrolment {
            label: label.into(),
            serial,
            now: 1_800_000_000,
        };
        let terms = Terms {
            group,
            ..Terms::default()
        };
        let cert = make_cert(owner, NodeId([device; 32]), &enrolment, &terms);
        cert.unwrap().envelope().to_vec()
    }

    fn order(owner: &OwnerSeed, op: Op) -> Vec<u8> {
        let order = Order {
            owner: owner.owner_id(),
            oid: [0; 16],
            issued: 5,
            audience: None,
            op,
            not_before: None,
        };
        let signed = Signed::sign(&order, &owner.sign_key()).unwrap();
        signed.envelope().to_vec()
    }

    #[test]
    fn only_what_this_owner_signed_counts_and_the_newest_wins() {
        let stranger = OwnerSeed::from_bytes([2; 32]);
        let hosts = |hseq| Op::Hosts {
            hseq,
            hosts: vec![NodeId([9; 32])],
        };
        let revoke = |device| Op::Revoke {
            device: NodeId([device; 32]),
            reason: String::new(),
        };
        let mut flipped = cert(&seed(), 5, 99, "x", 9);
        *flipped.last_mut().unwrap() ^= 1;
        let records = vec![
            cert(&seed(), 0xaa, 7, "laptop", 1),
            cert(&seed(), 0xaa, 3, "old name", 0),
            cert(&seed(), 0xab, 4, "desktop", 0),
            cert(&stranger, 0xac, 50, "laptop", 8),
            flipped,
            order(&seed(), hosts(3)),
            order(&seed(), hosts(2)),
            order(&stranger, hosts(9)),
            order(&seed(), revoke(0xab)),
            order(&stranger, revoke(0xaa)),
        ];
        let known = Known::from_records(seed().owner_id(), &records);
        assert_eq!(known.certs.len(), 2);
        assert_eq!(known.serials.iter().max(), Some(&7));
        assert_eq!(known.last_group(), Some(1));
        assert_eq!(known.hosts_seq(), Some(3));
        let revoked: Vec<_> = known.revoked.keys().collect();
        assert_eq!(revoked, [&NodeId([0xab; 32])]);
        let key = OwnerKey::from(seed());
        let found = |text: &str| known.find(text, &key).ok().map(|c| c.value().device);
        assert_eq!(found("laptop"), Some(NodeId([0xaa; 32])));
        assert_eq!(found("ABABAB"), Some(NodeId([0xab; 32])));
        for bad in ["old name", "aa", "", "acac"] {
            assert_eq!(found(bad), None, "{bad}");
        }
    }
}
