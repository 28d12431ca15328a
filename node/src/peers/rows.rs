//! What is stored of peers and invites. The key prefixes carry the version of the rows.

use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::wire::ErrorCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::state::Change;
use crate::ports::Failure;

/// Friends: prefix, then the node.
pub(super) const PEER: &[u8] = b"peer-1/";
/// Invites: prefix, then the guest.
pub(super) const INVITE: &[u8] = b"invite-1/";
/// Recovery keys: prefix, then the owner, then the recovery peer. Who names a key of another owner gets a
/// row of its own and takes nothing from the other.
pub(super) const RECOVERY: &[u8] = b"recovery-2/";

/// Friends that were removed and have to be told: prefix, then the node.
pub(super) const FAREWELL: &[u8] = b"farewell-1/";
/// When friends were last seen: prefix, then the node.
pub(super) const SEEN: &[u8] = b"seen-1/";
/// Hints where other hosts can be dialled: prefix, then the node.
pub(super) const HINT: &[u8] = b"addr-1/";

/// A friend.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Friend {
    /// Name given to it here; may be empty.
    pub name: String,
    /// Multiaddresses it can be dialled at.
    pub addrs: Vec<String>,
    /// Bytes we store for it at most.
    pub quota_given: u64,
    /// Bytes it stores for us.
    pub quota_taken: u64,
    /// The owner it stores for here, once it has shown a certificate.
    pub owner: Option<OwnerId>,
    /// Unix seconds.
    pub added: u64,
    /// What it calls itself; may be empty.
    #[serde(default)]
    pub told_name: String,
    /// So many of the addresses, from the front, are where it is now; behind them is where it was found before.
    #[serde(default)]
    pub fresh: usize,
    /// When it said that it ended the friendship: nothing new goes there.
    #[serde(default)]
    pub ended: Option<u64>,
}

impl Friend {
    /// Name to show: the one given here, else the one it gives itself; may be empty.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        if self.name.is_empty() {
            &self.told_name
        } else {
            &self.name
        }
    }

    /// Whether it stores for this node.
    #[must_use]
    pub const fn stores_for_us(&self) -> bool {
        self.quota_taken > 0 && self.ended.is_none()
    }
}

/// An invite we made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// Name to show for whoever takes it up; may be empty.
    pub name: String,
    /// Bytes we offer.
    pub quota: u64,
    /// Unix seconds after which it is void.
    pub expires: u64,
    /// Who took it up.
    pub used_by: Option<NodeId>,
    /// Nobody asked for that quota: whoever is a friend already keeps the quota it has.
    #[serde(default)]
    pub is_usual: bool,
}

/// A friend that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Farewell {
    /// Unix seconds after which it is a stranger, told or not.
    pub(super) until: u64,
}

/// The recovery peer of an owner served here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recovery {
    /// Start of validity of the newest certificate that named it, unix seconds.
    pub(super) issued: u64,
}

/// Where another host may be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hint {
    pub(super) addrs: Vec<String>,
}

fn key(prefix: &[u8], node: &NodeId) -> Vec<u8> {
    [prefix, node.as_bytes()].concat()
}

fn recovery_key(owner: &OwnerId, node: &NodeId) -> Vec<u8> {
    [RECOVERY, owner.as_bytes(), node.as_bytes()].concat()
}

/// The change that stores a recovery key.
pub(super) fn put_recovery(
    owner: &OwnerId,
    node: &NodeId,
    row: &Recovery,
) -> Result<Change, Failure> {
    let value = serde_cbor::to_vec(row).map_err(damaged)?;
    Ok((recovery_key(owner, node), Some(value)))
}

/// The change that deletes a recovery key.
pub(super) fn delete_recovery(owner: &OwnerId, node: &NodeId) -> Change {
    (recovery_key(owner, node), None)
}

/// Reads a recovery key back: whose, which, and since when.
pub(super) fn parse_recovery(
    key: &[u8],
    value: &[u8],
) -> Result<(OwnerId, NodeId, Recovery), Failure> {
    let ids = key.strip_prefix(RECOVERY).unwrap_or_default();
    let (owner, node) = ids.split_at_checked(32).unwrap_or_default();
    let owner = OwnerId::from_slice(owner).map_err(damaged)?;
    let node = NodeId::from_slice(node).map_err(damaged)?;
    let row = serde_cbor::from_slice(value).map_err(damaged)?;
    Ok((owner, node, row))
}

fn damaged(what: impl std::fmt::Display) -> Failure {
    Failure::new(
        ErrorCode::Internal,
        format!("the peer table is damaged: {what}"),
    )
    .safe("no backup is affected")
    .next("restore the node's home from a copy, or start a new one and invite friends again")
}

/// The change that stores a row.
pub(super) fn put<T: Serialize>(prefix: &[u8], node: &NodeId, row: &T) -> Result<Change, Failure> {
    let value = serde_cbor::to_vec(row).map_err(damaged)?;
    Ok((key(prefix, node), Some(value)))
}

/// The change that deletes a row.
pub(super) fn delete(prefix: &[u8], node: &NodeId) -> Change {
    (key(prefix, node), None)
}

/// Reads a row back. A damaged row is an error, never a default.
pub(super) fn parse<T: DeserializeOwned>(
    prefix: &[u8],
    key: &[u8],
    value: &[u8],
) -> Result<(NodeId, T), Failure> {
    let id = key.strip_prefix(prefix).unwrap_or_default();
    let node = NodeId::from_slice(id).map_err(damaged)?;
    Ok((node, serde_cbor::from_slice(value).map_err(damaged)?))
}
