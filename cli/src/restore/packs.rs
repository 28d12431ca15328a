//! Opened packs, a few at a time: entries of neighbouring segments share packs, and each is to be
//! fetched and opened once.

use std::collections::VecDeque;
use std::sync::Arc;

use packnback_proto::format::frame::Decompressor;
use packnback_proto::format::header::Kind;
use packnback_proto::ids::ObjectId;
use parking_lot::Mutex;

use super::open::{ObjectFault, Reader};

/// Packs kept open.
const KEPT: usize = 10;

type Slot = Arc<Mutex<Option<Arc<Vec<u8>>>>>;

#[derive(Default)]
pub(super) struct Packs(Mutex<VecDeque<(ObjectId, Slot)>>);

impl Packs {
    fn slot(&self, id: ObjectId) -> Slot {
        let mut kept = self.0.lock();
        let at = kept.iter().position(|(known, _)| *known == id);
        let slot = at
            .and_then(|at| kept.remove(at))
            .map_or_else(Slot::default, |(_, slot)| slot);
        kept.push_back((id, Arc::clone(&slot)));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        slot
    }

    /// The content of a pack. Who asks second waits for the first.
    pub(super) fn get(
        &self,
        reader: Reader<'_>,
        decompressor: &mut Decompressor,
        id: ObjectId,
    ) -> Result<Arc<Vec<u8>>, ObjectFault> {
        let slot = self.slot(id);
        let mut content = slot.lock();
        if let Some(content) = &*content {
            return Ok(Arc::clone(content));
        }
        let opened = Arc::new(reader.get(decompressor, id, &[Kind::Pack])?.raw);
        *content = Some(Arc::clone(&opened));
        Ok(opened)
    }
}
