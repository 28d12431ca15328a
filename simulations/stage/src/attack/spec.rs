//! What the attacker has in hand, and what it tells.

use std::path::PathBuf;

use packnback_proto::ids::NodeId;
use serde::{Deserialize, Serialize};

/// Whom to play. A file of JSON: `{"ransomware": {...}}` or `{"hostile-friend": {...}}`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Part {
    /// Who has taken a device.
    Ransomware(Spec),
    /// A friend gone bad.
    HostileFriend(super::friend::Spec),
}

/// Everything stolen or overheard.
#[derive(Debug, Deserialize)]
pub(super) struct Spec {
    /// Copy of the home of the device.
    pub(super) home: PathBuf,
    /// Socket of its running node.
    pub(super) socket: PathBuf,
    /// Addresses of its hosts.
    pub(super) hosts: Vec<String>,
    /// Another device of the owner, in hex.
    pub(super) other_device: NodeId,
    /// Families to run, in this order; empty: all.
    #[serde(default)]
    pub(super) families: Vec<String>,
    /// Records seen in passing.
    #[serde(default)]
    pub(super) captured: Vec<Captured>,
}

/// A record that went by, or lay on the disk.
#[derive(Debug, Deserialize)]
pub(super) struct Captured {
    /// Which one.
    pub(super) what: Loot,
    /// Its envelope in hex.
    pub(super) envelope: String,
}

/// The records the drill hands to the attacker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Loot {
    /// An earlier certificate of this device, with wider limits.
    OldCert,
    /// The certificate of the other device.
    OtherCert,
    /// A snapshot of the other device.
    OtherSnap,
    /// A policy the owner replaced since.
    OldPolicy,
    /// A delete order the owner took back.
    CancelledDelete,
    /// A grant of the owner whose time is over.
    GrantExpired,
    /// A grant for another reader.
    GrantOtherReader,
    /// A grant for this reader on another host.
    GrantOtherHost,
    /// A grant for this reader from another conversation with each host.
    GrantOtherConversation,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ended {
    /// The other side said no.
    Refused,
    /// Every device may do this; the text says why it harms nobody.
    Allowed,
    /// It worked and should not have.
    Succeeded,
    /// It could not be tried.
    Error,
}

/// One line of the report.
#[derive(Debug, Serialize)]
pub(super) struct Attempt<'a> {
    /// Short name.
    pub(super) name: &'a str,
    /// Family.
    pub(super) family: &'a str,
    /// Against whom; the own node if empty.
    pub(super) host: String,
    /// What was tried, for people.
    pub(super) what_was_tried: &'a str,
    /// How it ended.
    pub(super) outcome: Ended,
    /// What the other side said, or why it is harmless.
    pub(super) refusal: String,
}
