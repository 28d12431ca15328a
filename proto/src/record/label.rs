//! The name of a device in its certificate, which hosts carry but cannot read.
//!
//! ```text
//! key          = DK("device label", owner_meta[e])      e = field 11 of the certificate
//! sealed label = seal(key, "label1" || owner || device, label || 00.. up to 64 bytes)
//! ```
//! `owner_meta[e]` is the list key: whoever may list names of files may read names of devices, and
//! only the owner, who issues certificates, can seal one. Padding hides the length.

use zeroize::Zeroizing;

use super::RecordError;
use crate::crypto::seal::{OVERHEAD, open, seal};
use crate::crypto::secret::Secret32;
use crate::ids::{NodeId, OwnerId};
use crate::limits::LABEL_MAX;
use crate::text::is_unfit;

/// Length of every sealed label.
pub const SEALED_LABEL_LEN: usize = LABEL_MAX + OVERHEAD;

fn associated_data(owner: &OwnerId, device: &NodeId) -> Vec<u8> {
    [b"label1", owner.as_bytes().as_slice(), device.as_bytes()].concat()
}

/// Seals a label under [`crate::crypto::keys::OwnerSeed::label_key`].
///
/// # Errors
/// [`RecordError::Limit`] if the label is longer than [`LABEL_MAX`] bytes,
/// [`RecordError::Invalid`] if it holds a character [unfit](is_unfit) to be shown.
pub fn seal_label(
    label_key: &Secret32,
    owner: &OwnerId,
    device: &NodeId,
    label: &str,
) -> Result<Vec<u8>, RecordError> {
    if label.chars().any(is_unfit) {
        return Err(RecordError::Invalid("label"));
    }
    let mut padded = label.as_bytes().to_vec();
    if padded.len() > LABEL_MAX {
        return Err(RecordError::Limit("label"));
    }
    padded.resize(LABEL_MAX, 0);
    seal(label_key, &associated_data(owner, device), &padded).map_err(RecordError::Label)
}

/// Opens the sealed label of a certificate.
///
/// # Errors
/// [`RecordError::Label`] if it was not sealed under this key for this device;
/// [`RecordError::Invalid`] if it holds anything but a padded label.
pub fn open_label(
    label_key: &Secret32,
    owner: &OwnerId,
    device: &NodeId,
    sealed: &[u8],
) -> Result<String, RecordError> {
    let padded = open(label_key, &associated_data(owner, device), sealed)
        .map(Zeroizing::new)
        .map_err(RecordError::Label)?;
    let end = padded.iter().position(|b| *b == 0).unwrap_or(padded.len());
    let (label, padding) = padded.split_at_checked(end).unwrap_or((&padded, &[]));
    let label = std::str::from_utf8(label).map_err(|_| RecordError::Invalid("label"))?;
    let clean = padded.len() == LABEL_MAX
        && padding.iter().all(|b| *b == 0)
        && !label.chars().any(is_unfit);
    if clean {
        Ok(label.to_owned())
    } else {
        Err(RecordError::Invalid("label"))
    }
}
