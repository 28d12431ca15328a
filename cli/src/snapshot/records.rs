//! From records to snapshots: certificate, then snapshot, both verified.

use packnback_proto::record::{Snap, open_label};

use super::source::ObjectSource;
use crate::client::ClientError;
use crate::keys::ReaderKeys;
use crate::records::{Catalog, LoadedSnapshot};

/// Every snapshot of the owner this source knows, newest first. Records that do not verify, or
/// belong to somebody else, or name a certificate the owner did not sign, are not shown: a host can
/// withhold, not invent.
///
/// # Errors
/// [`ClientError`].
pub fn snapshots(
    source: &dyn ObjectSource,
    keys: &ReaderKeys,
) -> Result<Vec<LoadedSnapshot>, ClientError> {
    let records = source.records(Some(keys.owner()))?;
    let catalog = Catalog::build(keys.owner(), &records, &source.viewpoint());
    Ok(named(&catalog, keys))
}

/// The snapshots of a catalog, with the names of their devices as far as the keys open them.
#[must_use]
pub fn named(catalog: &Catalog, keys: &ReaderKeys) -> Vec<LoadedSnapshot> {
    let label = |snap: &Snap| {
        let cert = catalog.all_certs.get(&(snap.device, snap.cert_serial))?;
        let cert = cert.value();
        let key = keys.label_key(cert.epoch)?;
        open_label(&key, &cert.owner, &cert.device, &cert.sealed_label).ok()
    };
    catalog
        .snaps
        .iter()
        .map(|listed| LoadedSnapshot {
            id: listed.snap.id(),
            snap: listed.snap.value().clone(),
            device_label: label(listed.snap.value()),
            received: listed.received,
            standing: listed.standing,
        })
        .collect()
}
