//! Making invites, and taking them up from others.

use std::sync::Arc;

use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::ids::NodeId;
use packnback_proto::wire::invite::{InviteSecret, InviteToken};
use packnback_proto::wire::local::PeerInfo;
use packnback_proto::wire::{ErrorCode, Role};
use zeroize::Zeroizing;

use super::{P2p, net_failure};
use crate::net::reach_of;
use crate::peers::{
    ClaimOutcome, Friend, Introduction, NewInvite, claim_invite, clean_addrs, clean_name,
};
use crate::ports::{Failure, NetError, PeerBook as _, Protocol, Reach, Transport};

pub(super) fn is_loopback(text: &str) -> bool {
    text.starts_with("/ip4/127.") || text.starts_with("/ip6/::1/")
}

fn refused(message: impl Into<String>, next: &str) -> Failure {
    Failure::new(ErrorCode::Invite, message)
        .safe("nothing was changed")
        .next(next)
}

/// Bytes offered to a friend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offered {
    bytes: u64,
    /// Nobody asked for that number: who is a friend already keeps the one it has.
    is_usual: bool,
}

impl Offered {
    pub(super) const fn wanted(bytes: u64) -> Self {
        Self {
            bytes,
            is_usual: false,
        }
    }

    pub(super) const fn usual(bytes: u64) -> Self {
        Self {
            bytes,
            is_usual: true,
        }
    }
}

/// The addresses that are of use to somebody elsewhere, the best first: an invite has room for a few. Loopback only
/// if there is nothing else.
fn for_invite(addrs: &[String]) -> Vec<String> {
    let rank = |text: &String| {
        let is_six = text.starts_with("/ip6/");
        let is_link_local = text.starts_with("/ip6/fe80:") || text.starts_with("/ip4/169.254.");
        match reach_of(text) {
            Reach::Public => u8::from(is_six),
            Reach::Private if !is_link_local => 2 + u8::from(is_six),
            Reach::Private => 4,
            Reach::Loopback => 5 + u8::from(is_six),
        }
    };
    let mut sorted = addrs.to_vec();
    sorted.sort_by_key(rank);
    let is_far = |addr: &String| reach_of(addr) > Reach::Loopback;
    if sorted.iter().any(is_far) {
        sorted.retain(is_far);
    }
    sorted
}

/// Who takes up an invite before it is known as itself.
fn guest_of(secret: &InviteSecret) -> NodeId {
    let seed = Secret32::init_with(|out| out.copy_from_slice(secret.guest_seed().expose()));
    SigningKey::from_seed(&seed).node_id()
}

impl P2p {
    pub(super) fn make_invite(
        &self,
        offer: Offered,
        expires_s: u64,
        name: &str,
    ) -> Result<String, Failure> {
        let addrs = for_invite(&self.net.listen_addrs());
        if addrs.is_empty() {
            let message = "this node listens nowhere, so nobody could take the invite up";
            let next = "set where it listens: packnback node set --listen ADDR";
            return Err(refused(message, next));
        }
        let mut random = Zeroizing::new([0; 16]);
        let dice = &self.env.dice;
        dice.fill(random.as_mut_slice())
            .map_err(|e| Failure::new(ErrorCode::Internal, e.to_string()))?;
        let secret = InviteSecret::new(*random);
        let guest = guest_of(&secret);
        let new = NewInvite {
            guest,
            name,
            quota: offer.bytes,
            is_usual: offer.is_usual,
            lifetime_s: expires_s,
        };
        let expires = self.table.add_invite(new, self.env.clock.now())?;
        let token = InviteToken {
            inviter: self.net.node(),
            name: self.name.borrow().clone(),
            addrs,
            expires,
            quota: offer.bytes,
            secret,
        };
        token
            .to_text()
            .map_err(|e| Failure::new(ErrorCode::Internal, e.to_string()))
    }

    pub(super) async fn accept_invite(
        &self,
        token: &str,
        offer: Offered,
        name: &str,
    ) -> Result<PeerInfo, Failure> {
        let token = InviteToken::from_text(token)
            .map_err(|e| refused(e.to_string(), "copy the whole invite, or ask for a new one"))?;
        if token.inviter == self.net.node() {
            let next = "give it to a friend, who accepts it on another machine";
            return Err(refused("this invite was made by this node", next));
        }
        let known = self.table.friend(&token.inviter);
        let kept = known.as_ref().filter(|_| offer.is_usual);
        let quota = kept.map_or(offer.bytes, |friend| friend.quota_given);
        let me = self.introduction(quota);
        let outcome = self.claim(&token, &me).await?;
        let inviter = match outcome {
            ClaimOutcome::Accepted(inviter) => inviter,
            ClaimOutcome::Refused { message, .. } => {
                return Err(refused(
                    format!("the other node refuses the invite: {message}"),
                    "ask for a new invite",
                ));
            }
        };
        let known = self.table.friend(&token.inviter).unwrap_or_else(|| Friend {
            added: self.env.clock.now(),
            ..Friend::default()
        });
        let name = clean_name(name);
        let fresh = inviter.addrs.len();
        let mut addrs = inviter.addrs;
        addrs.extend(token.addrs);
        addrs.extend(known.addrs);
        let friend = Friend {
            // A new invite to a friend leaves it the name it has here.
            name: if name.is_empty() { known.name } else { name },
            told_name: inviter.name,
            addrs: clean_addrs(&addrs, true),
            fresh,
            quota_given: quota,
            quota_taken: inviter.quota,
            owner: known.owner,
            added: known.added,
            ended: None,
        };
        self.table.put_friend(token.inviter, friend.clone())?;
        Ok(self.info(token.inviter, &friend))
    }

    /// As the guest; if that door is closed, as ourselves, in case an earlier answer got lost.
    async fn claim(&self, token: &InviteToken, me: &Introduction) -> Result<ClaimOutcome, Failure> {
        let guest = guest_of(&token.secret);
        let visiting = self.net.visit(token.secret.guest_seed()).await;
        let visitor = visiting.map_err(net_failure)?;
        let first = self.claim_over(&visitor, token, &guest, me).await;
        visitor.shutdown().await;
        match first {
            Ok(outcome @ ClaimOutcome::Accepted(_)) => Ok(outcome),
            first => {
                let second = self.claim_over(&self.net, token, &guest, me).await;
                if self.table.standing(&token.inviter).is_none() {
                    self.net.withdraw(token.inviter);
                    self.table.readmit(&token.inviter)?;
                }
                match second {
                    Ok(outcome @ ClaimOutcome::Accepted(_)) => Ok(outcome),
                    // What the guest was told says more than a closed door.
                    _ => {
                        first.map_err(|error| explain(error, self.env.clock.now() >= token.expires))
                    }
                }
            }
        }
    }

    async fn claim_over(
        &self,
        net: &Arc<dyn Transport>,
        token: &InviteToken,
        guest: &NodeId,
        me: &Introduction,
    ) -> Result<ClaimOutcome, NetError> {
        if net.role(token.inviter).is_none() {
            // Lets us dial it; opens nothing for it here.
            net.admit(token.inviter, Role::Infra, None)?;
        }
        net.trust_names_of(token.inviter);
        let mut opened = net
            .open(token.inviter, &token.addrs, Protocol::Invite)
            .await?;
        let key = &self.key;
        claim_invite(&mut opened.stream, &token.inviter, guest, key, me)
            .await
            .map_err(|_| NetError::Closed(token.inviter))
    }
}

fn explain(error: NetError, is_expired: bool) -> Failure {
    if is_expired {
        return refused("the invite has expired", "ask for a new invite");
    }
    let failure = net_failure(error);
    Failure {
        next: "check that the other node runs; if it does, the invite may have been used already: \
               ask for a new one"
            .to_owned(),
        ..failure
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_invite_names_what_reaches_farthest_first() {
        let sorted = |texts: &[&str]| {
            let addrs: Vec<String> = texts.iter().map(ToString::to_string).collect();
            for_invite(&addrs)
        };
        let all = [
            "/ip4/127.0.0.1/tcp/1",
            "/ip6/fe80::1/tcp/1",
            "/ip4/192.168.1.2/tcp/1",
            "/ip6/2001:db8::1/tcp/1",
            "/ip4/203.0.113.1/tcp/1",
        ];
        let expected = [all[4], all[3], all[2], all[1]];
        assert_eq!(sorted(&all), expected);
        assert_eq!(sorted(&all[..1]), &all[..1]);
    }
}
