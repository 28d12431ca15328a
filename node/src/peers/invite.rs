//! Who may take up an invite. Pure.

use packnback_proto::crypto::sign::verify_strict;
use packnback_proto::ids::NodeId;
use packnback_proto::limits::PEER_ADDRS_MAX;
use packnback_proto::text;
use packnback_proto::wire::invite::claim_message;
use packnback_proto::wire::{Bytes, Nonce16};

use super::replicas::merge;
use super::rows::{Friend, Invite};

/// Longest name of a peer, in characters.
const NAME_MAX: usize = 64;
/// Longest life of an invite, seconds: 30 days.
pub const INVITE_LIFETIME_MAX_S: u64 = 30 * 86_400;

/// What the invitee says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its real identity.
    pub real: NodeId,
    /// By the real key.
    pub signature: Bytes,
    /// Its name; may be empty.
    pub name: String,
    /// Where it can be dialled.
    pub addrs: Vec<String>,
    /// Bytes it offers.
    pub quota: u64,
}

/// The connection on which a claim arrived.
#[derive(Debug, Clone, Copy)]
pub struct ClaimContext<'a> {
    /// This node.
    pub inviter: &'a NodeId,
    /// The authenticated peer: the guest key, or the real key of one who comes back.
    pub peer: &'a NodeId,
    /// The nonce we gave on this stream.
    pub nonce: &'a Nonce16,
    /// Unix seconds.
    pub now: u64,
}

/// A claim was refused. Nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefusal {
    /// No such invite.
    #[error("there is no such invite")]
    Unknown,
    /// Too old.
    #[error("the invite has expired")]
    Expired,
    /// Somebody else was faster.
    #[error("the invite was used by somebody else")]
    Used,
    /// The signature is not by the claimed identity, or not for this conversation.
    #[error("the claim is not signed by the identity it names")]
    Signature,
    /// The claimed identity is the guest key or this node.
    #[error("the claim names an identity that cannot be a friend")]
    Identity,
}

/// What to do with a valid claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Make the claimant a friend and mark the invite as used.
    Accept,
    /// It was accepted before: answer the same, change nothing.
    Again,
}

/// Decides about a claim for the invite of `guest`.
///
/// # Errors
/// [`ClaimRefusal`].
pub fn decide_claim(
    guest: &NodeId,
    invite: &Invite,
    claim: &Claim,
    context: &ClaimContext<'_>,
) -> Result<Verdict, ClaimRefusal> {
    let signature: &[u8; 64] = claim
        .signature
        .as_ref()
        .try_into()
        .map_err(|_| ClaimRefusal::Signature)?;
    let message = claim_message(context.inviter, guest, &claim.real, context.nonce);
    verify_strict(claim.real.as_bytes(), &message, signature)
        .map_err(|_| ClaimRefusal::Signature)?;
    if claim.real == *guest || claim.real == *context.inviter {
        return Err(ClaimRefusal::Identity);
    }
    match invite.used_by {
        Some(real) if real == claim.real => Ok(Verdict::Again),
        Some(_) => Err(ClaimRefusal::Used),
        None if context.now >= invite.expires => Err(ClaimRefusal::Expired),
        None if context.peer != guest => Err(ClaimRefusal::Unknown),
        None => Ok(Verdict::Accept),
    }
}

/// The friend whoever took up an invite is from then on. One that was a friend before keeps its name here, and the
/// places where it was found.
pub(super) fn befriended(
    invite: &Invite,
    claim: &Claim,
    known: Option<Friend>,
    quota: u64,
    now: u64,
) -> Friend {
    let known = known.unwrap_or_else(|| Friend {
        added: now,
        ..Friend::default()
    });
    let name = if invite.name.is_empty() {
        known.name
    } else {
        clean_name(&invite.name)
    };
    Friend {
        name,
        told_name: clean_name(&claim.name),
        addrs: merge(claim.addrs.clone(), &known.addrs),
        fresh: claim.addrs.len(),
        quota_given: quota,
        quota_taken: claim.quota,
        owner: known.owner,
        added: known.added,
        ended: None,
    }
}

/// A name fit to be shown: on one line, nothing that moves or hides, not too long.
#[must_use]
pub fn clean_name(name: &str) -> String {
    text::clean(name, NAME_MAX)
}

/// Addresses from a peer: bounded in number and length. Loopback ones are kept only if the peer
/// itself came over loopback; from elsewhere they would lead to ourselves.
#[must_use]
pub fn clean_addrs(addrs: &[String], over_loopback: bool) -> Vec<String> {
    let is_loopback = |a: &str| a.starts_with("/ip4/127.") || a.starts_with("/ip6/::1/");
    let mut clean: Vec<String> = Vec::new();
    for addr in addrs {
        let usable = text::is_address(addr) && (over_loopback || !is_loopback(addr));
        if usable && !clean.contains(addr) && clean.len() < PEER_ADDRS_MAX {
            clean.push(addr.clone());
        }
    }
    clean
}
