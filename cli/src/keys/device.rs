//! The writing side.

use packnback_proto::crypto::keys::DeviceKeys;
use packnback_proto::crypto::secret::Secret32;

/// What a device holds: it can write and deduplicate with this, not read.
pub struct DeviceBundleKeys {
    /// From the owner.
    pub device: DeviceKeys,
    /// Random, of this device alone: keys the cache and the places where segments are cut.
    pub cache_key: Secret32,
}
