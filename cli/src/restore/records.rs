//! From records to snapshots: certificate, then snapshot, both verified.

use std::collections::HashMap;

use packnback_proto::ids::NodeId;
use packnback_proto::record::{Cert, Record, Snap, decode_record, open_label};

use super::keys::ReaderKeys;
use super::options::{LoadedSnapshot, RestoreError};
use crate::client::ObjectSource;

/// Every snapshot of the owner this source knows, newest first. Records that do not verify, or
/// belong to somebody else, or come from a device without certificate, are not shown: a host can
/// withhold, not invent.
///
/// # Errors
/// [`RestoreError::Node`].
pub fn snapshots(
    source: &dyn ObjectSource,
    keys: &ReaderKeys,
) -> Result<Vec<LoadedSnapshot>, RestoreError> {
    let mut certs: HashMap<NodeId, Vec<Cert>> = HashMap::new();
    let mut snaps: HashMap<_, Snap> = HashMap::new();
    for envelope in source.records(Some(keys.owner()))? {
        match decode_record(&envelope) {
            Ok(Record::Cert(cert)) if cert.value().owner == keys.owner() => {
                certs
                    .entry(cert.value().device)
                    .or_default()
                    .push(cert.into_value());
            }
            Ok(Record::Snap(snap)) if snap.value().owner == keys.owner() => {
                snaps.insert(snap.id(), snap.into_value());
            }
            _ => {}
        }
    }
    let mut loaded = Vec::new();
    for (id, snap) in snaps {
        let of_device = certs
            .get(&snap.device)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let Some(cert) = of_device
            .iter()
            .max_by_key(|cert| (cert.serial == snap.cert_serial, cert.serial))
        else {
            continue;
        };
        let label = keys
            .label_key(cert.epoch)
            .and_then(|key| open_label(&key, &cert.owner, &cert.device, &cert.sealed_label).ok());
        loaded.push(LoadedSnapshot {
            id,
            device_label: label,
            snap,
        });
    }
    loaded.sort_by_key(|loaded| std::cmp::Reverse((loaded.snap.time, loaded.snap.seq, loaded.id)));
    Ok(loaded)
}
