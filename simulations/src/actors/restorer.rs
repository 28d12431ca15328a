//! A blank machine with nothing but the owner's seed: reads a snapshot from a host.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use packnback_node::api::Api;
use packnback_proto::format::header::parse_header;
use packnback_proto::ids::{NodeId, ObjectId};
use packnback_proto::wire::SecretBytes;
use tokio::sync::mpsc;

use super::device::Made;
use super::folder::Reader;
use super::owner::{GROUP, Owner};

/// Objects asked for at once.
const ASK: usize = 64;

/// Restores a snapshot from the host at this address, over the network, and compares it with what was saved.
///
/// # Errors
/// It cannot be had, or is not what was saved.
pub async fn restore(
    api: &Arc<Api>,
    owner: &Owner,
    host: NodeId,
    address: &str,
    made: &Made,
) -> anyhow::Result<()> {
    let reading = api.reading();
    let seed = SecretBytes::new(*owner.seed.recovery_seed().expose());
    let opened = reading.open(address.to_owned(), Some(seed)).await?;
    ensure!(opened.host == host, "another host answers");
    let grant = owner.grant(opened.reader, host, opened.nonce.0, opened.time)?;
    reading.grant(grant.into()).await?;
    let mut objects = BTreeMap::new();
    let mut wanted = vec![made.root];
    while !wanted.is_empty() {
        let some: Vec<ObjectId> = wanted.drain(..wanted.len().min(ASK)).collect();
        let (sender, mut arrived) = mpsc::channel(some.len());
        reading.get(some, sender).await?;
        while let Some((id, bytes)) = arrived.recv().await {
            let bytes = bytes.with_context(|| format!("object {id:?} is not there"))?;
            let (header, _) = parse_header(&bytes)?;
            objects.insert(id, bytes);
            let new = |id: &ObjectId| !objects.contains_key(id);
            wanted.extend(header.refs.iter().filter(|id| new(id)));
        }
        wanted.sort_unstable();
        wanted.dedup();
    }
    let get = |id: &ObjectId| objects.get(id).cloned().context("not asked for");
    let files = Reader::new(&owner.seed, GROUP, get)?.restore(&made.root)?;
    ensure!(
        files == made.files,
        "other files than those that were saved"
    );
    Ok(())
}
