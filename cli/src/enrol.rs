//! Making a machine a device of an owner: the certificate and the bundle that follow from the seed.

use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::ids::NodeId;
use packnback_proto::record::{Cert, RecordError, Signed, perms, seal_label};

use crate::bundle::Bundle;
use crate::keys::DeviceBundleKeys;

const DAY_S: u64 = 86_400;
/// Lifetime of a certificate, in days.
pub const LIFETIME_D: u64 = 3 * 365;
/// Clocks differ: valid a little before now.
const BACKDATE_S: u64 = 3600;
/// Most bytes of one device: more than the machine of a person or office has, far less than what
/// would fill a host unnoticed. Hosts bound all devices together by what they offer.
pub const QUOTA_BYTES: u64 = 16 << 40;
/// Most new bytes a day: about 24 MB/s around the clock, so the first full backup of a disk of two
/// terabytes takes one day as far as this goes, and a larger one goes on the next day. A thief with
/// the device key needs eight days to fill the quota, during which the device sees the uploads.
pub const NEW_BYTES_PER_DAY: u64 = 2 << 40;
/// Most snapshots a day: one every half hour. Hosts stop expiring when they get more than half of
/// it in a day, so a flood shows and removes nothing.
pub const SNAPS_PER_DAY: u64 = 48;

/// What a person chooses, and the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// Name of the device.
    pub label: String,
    /// Serial number of the certificate.
    pub serial: u64,
    /// Unix seconds.
    pub now: u64,
}

/// What a certificate allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Permissions, see [`perms`].
    pub perms: u64,
    /// Most bytes stored.
    pub quota_bytes: u64,
    /// Most new bytes a day.
    pub new_bytes_per_day: u64,
    /// Most snapshots a day.
    pub snaps_per_day: u64,
    /// Lifetime in days.
    pub days: u64,
    /// Dedup group.
    pub group: u32,
    /// Key epoch.
    pub epoch: u32,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            perms: perms::ALL,
            quota_bytes: QUOTA_BYTES,
            new_bytes_per_day: NEW_BYTES_PER_DAY,
            snaps_per_day: SNAPS_PER_DAY,
            days: LIFETIME_D,
            group: 0,
            epoch: 0,
        }
    }
}

/// A serial number above all that are known: by the clock, so that two machines that do not know
/// of each other's certificates rarely choose the same.
#[must_use]
pub fn next_serial(now: u64, known: impl IntoIterator<Item = u64>) -> u64 {
    let last = known.into_iter().max();
    last.map_or(now, |last| now.max(last.saturating_add(1)))
}

/// Signs a certificate.
///
/// # Errors
/// [`RecordError`] if the label is too long or has control characters, or the terms make no sense.
pub fn make_cert(
    seed: &OwnerSeed,
    device: NodeId,
    enrolment: &Enrolment,
    terms: &Terms,
) -> Result<Signed<Cert>, RecordError> {
    let owner = seed.owner_id();
    let label_key = seed.label_key(terms.epoch);
    let cert = Cert {
        owner,
        device,
        serial: enrolment.serial,
        perms: terms.perms,
        not_before: enrolment.now.saturating_sub(BACKDATE_S),
        expires: expires(enrolment.now, terms.days),
        quota_bytes: terms.quota_bytes,
        new_bytes_per_day: terms.new_bytes_per_day,
        snaps_per_day: terms.snaps_per_day,
        group: terms.group,
        epoch: terms.epoch,
        sealed_label: seal_label(&label_key, &owner, &device, &enrolment.label)?,
        recovery: seed.recovery_id(),
    };
    Signed::sign(&cert, &seed.sign_key())
}

fn expires(now: u64, days: u64) -> u64 {
    now.saturating_add(days.saturating_mul(DAY_S))
}

/// What changes when a certificate is replaced. `None`: as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Most bytes stored.
    pub quota_bytes: Option<u64>,
    /// Most new bytes a day.
    pub new_bytes_per_day: Option<u64>,
    /// Most snapshots a day.
    pub snaps_per_day: Option<u64>,
    /// Permissions.
    pub perms: Option<u64>,
    /// A new lifetime in days, from now.
    pub days: Option<u64>,
}

/// Number and time of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issued {
    /// Its number, above those of all earlier ones.
    pub serial: u64,
    /// The clock of who signs, unix seconds.
    pub now: u64,
}

/// Signs a certificate in place of another. Group, epoch and name stay: the device keeps its keys,
/// and a key that only signs is enough.
///
/// # Errors
/// [`RecordError`] if the changes make no sense, or `key` is not that of the owner.
pub fn renew_cert(
    key: &SigningKey,
    old: &Cert,
    changes: &Changes,
    Issued { serial, now }: Issued,
) -> Result<Signed<Cert>, RecordError> {
    let cert = Cert {
        serial,
        quota_bytes: changes.quota_bytes.unwrap_or(old.quota_bytes),
        new_bytes_per_day: changes.new_bytes_per_day.unwrap_or(old.new_bytes_per_day),
        snaps_per_day: changes.snaps_per_day.unwrap_or(old.snaps_per_day),
        perms: changes.perms.unwrap_or(old.perms),
        expires: changes.days.map_or(old.expires, |days| expires(now, days)),
        ..old.clone()
    };
    Signed::sign(&cert, key)
}

/// Signs a certificate on the usual terms for a device and packs what it needs.
///
/// # Errors
/// [`RecordError`] if the label is too long or has control characters.
pub fn make_bundle(
    seed: &OwnerSeed,
    device: NodeId,
    enrolment: &Enrolment,
    cache_key: Secret32,
) -> Result<Bundle, RecordError> {
    let terms = Terms::default();
    Ok(Bundle {
        cert: make_cert(seed, device, enrolment, &terms)?,
        label: enrolment.label.clone(),
        keys: DeviceBundleKeys {
            device: seed.device_keys(terms.epoch, terms.group),
            cache_key,
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use packnback_proto::crypto::keyset::{KeyKind, OwnerKey};

    fn seed() -> OwnerSeed {
        OwnerSeed::from_bytes([7; 32])
    }

    fn cert() -> Signed<Cert> {
        let enrolment = Enrolment {
            label: "laptop".into(),
            serial: 5,
            now: 1_800_000_000,
        };
        let device = OwnerSeed::from_bytes([8; 32]).recovery_id();
        make_cert(&seed(), device, &enrolment, &Terms::default()).unwrap()
    }

    #[test]
    fn serial_numbers_rise_whatever_the_clock_says() {
        assert_eq!(next_serial(100, []), 100);
        assert_eq!(next_serial(100, [7, 3]), 100);
        assert_eq!(next_serial(100, [3, 100]), 101);
        assert_eq!(next_serial(100, [5000]), 5001);
    }

    #[test]
    fn a_sign_only_key_renews_limits_and_the_rest_stays() {
        let key = OwnerKey::from(seed())
            .subset(KeyKind::SignOnly, 0..=0, 0..=0)
            .unwrap();
        let changes = Changes {
            quota_bytes: Some(1),
            ..Changes::default()
        };
        let old = cert();
        let at = Issued {
            serial: 6,
            now: 1_900_000_000,
        };
        let new = renew_cert(&key.sign_key().unwrap(), old.value(), &changes, at).unwrap();
        let expected = Cert {
            serial: 6,
            quota_bytes: 1,
            ..old.value().clone()
        };
        assert_eq!(*new.value(), expected);
        let other = OwnerSeed::from_bytes([9; 32]).sign_key();
        assert!(renew_cert(&other, old.value(), &changes, at).is_err());
        let longer = Changes {
            days: Some(1),
            ..changes
        };
        let new = renew_cert(&seed().sign_key(), old.value(), &longer, at).unwrap();
        assert_eq!(new.value().expires, 1_900_000_000 + DAY_S);
    }

    #[test]
    fn usual_limits_are_those_of_the_documents() {
        let cert = cert().into_value();
        assert_eq!(
            (cert.snaps_per_day, cert.quota_bytes, cert.new_bytes_per_day),
            (48, 1 << 44, 1 << 41)
        );
    }
}
