//! Making a machine a device of an owner: the certificate and the bundle that follow from the seed.

use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::ids::NodeId;
use packnback_proto::record::{Cert, RecordError, Signed, perms, seal_label};

use crate::backup::DeviceBundleKeys;
use crate::bundle::Bundle;

const DAY_S: u64 = 86_400;
/// Lifetime of a certificate.
const LIFETIME_S: u64 = 3 * 365 * DAY_S;
/// Clocks differ: valid a little before now.
const BACKDATE_S: u64 = 3600;
/// A device may store as much as the friends' own quotas allow; this bound only stops nonsense.
const QUOTA_BYTES: u64 = 1 << 50;
const NEW_BYTES_PER_DAY: u64 = 1 << 44;
/// One every five minutes.
const SNAPS_PER_DAY: u64 = 288;

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

/// Signs a certificate for a device and packs what it needs.
///
/// # Errors
/// [`RecordError`] if the label is too long or has control characters.
pub fn make_bundle(
    seed: &OwnerSeed,
    device: NodeId,
    enrolment: &Enrolment,
    cache_key: Secret32,
) -> Result<Bundle, RecordError> {
    let (epoch, group) = (0, 0);
    let owner = seed.owner_id();
    let cert = Cert {
        owner,
        device,
        serial: enrolment.serial,
        perms: perms::ALL,
        not_before: enrolment.now.saturating_sub(BACKDATE_S),
        expires: enrolment.now.saturating_add(LIFETIME_S),
        quota_bytes: QUOTA_BYTES,
        new_bytes_per_day: NEW_BYTES_PER_DAY,
        snaps_per_day: SNAPS_PER_DAY,
        group,
        epoch,
        sealed_label: seal_label(&seed.label_key(epoch), &owner, &device, &enrolment.label)?,
        recovery: seed.recovery_id(),
    };
    Ok(Bundle {
        cert: Signed::sign(&cert, &seed.sign_key())?,
        label: enrolment.label.clone(),
        keys: DeviceBundleKeys {
            device: seed.device_keys(epoch, group),
            cache_key,
        },
    })
}
