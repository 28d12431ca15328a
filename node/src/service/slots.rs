//! How many sessions each device has open here.

use std::collections::HashMap;
use std::sync::Arc;

use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::machine::session::{OpenRefusal, one_more};
use parking_lot::Mutex;

type Counts = Mutex<HashMap<(OwnerId, NodeId), usize>>;

/// The places of all devices.
#[derive(Default, Clone)]
pub(super) struct Slots(Arc<Counts>);

/// The place of one session. Free again when dropped.
pub(super) struct Slot {
    all: Arc<Counts>,
    device: (OwnerId, NodeId),
}

impl Slots {
    /// A place for one more session of a device.
    ///
    /// # Errors
    /// [`OpenRefusal::TooManySessions`]
    pub(super) fn take(&self, owner: OwnerId, device: NodeId) -> Result<Slot, OpenRefusal> {
        let device = (owner, device);
        let mut counts = self.0.lock();
        let count = counts.entry(device).or_default();
        one_more(*count)?;
        *count = count.saturating_add(1);
        Ok(Slot {
            all: Arc::clone(&self.0),
            device,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.all.lock();
        if let Some(count) = counts.get_mut(&self.device) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.device);
            }
        }
    }
}
