//! Sending objects: read and checked ahead on blocking threads while the one before is sent.

use std::sync::Arc;

use futures::StreamExt as _;
use packnback_proto::ids::{ObjectId, OwnerId};
use serde::Serialize;
use tokio::io::AsyncWrite;

use super::Host;
use crate::frames::{StreamError, write_frame};
use crate::store::StoreError;

/// Objects read ahead; bounds the memory of a reader.
const READ_AHEAD: usize = 3;

/// Sends one frame per id, in order. What is not here or damaged is answered as not found: never
/// a byte that does not match its address.
pub(crate) async fn send_objects<W, T>(
    host: &Arc<Host>,
    owner: OwnerId,
    ids: Vec<ObjectId>,
    output: &mut W,
    message: impl Fn(ObjectId, bool) -> T,
) -> Result<(), StreamError>
where
    W: AsyncWrite + Unpin,
    T: Serialize,
{
    let reads = ids.into_iter().map(|id| {
        let host = Arc::clone(host);
        async move { (id, read_object(host, owner, id).await) }
    });
    let mut reads = futures::stream::iter(reads).buffered(READ_AHEAD);
    while let Some((id, object)) = reads.next().await {
        let found = object.is_some();
        write_frame(output, &message(id, found), &object.unwrap_or_default()).await?;
    }
    Ok(())
}

/// An object; `None` if it is not here or damaged.
pub(crate) async fn read_object(host: Arc<Host>, owner: OwnerId, id: ObjectId) -> Option<Vec<u8>> {
    match host
        .blocking(move |store| tolerate(store.get(&owner, &id)))
        .await
    {
        Ok(object) => object,
        Err(refusal) => {
            tracing::error!(object = %id, "cannot read: {}", refusal.message);
            None
        }
    }
}

/// Damage has been noted and logged; for the asker the object is not here.
fn tolerate(read: Result<Option<Vec<u8>>, StoreError>) -> Result<Option<Vec<u8>>, StoreError> {
    match read {
        Err(StoreError::AddressMismatch { .. }) => Ok(None),
        other => other,
    }
}
