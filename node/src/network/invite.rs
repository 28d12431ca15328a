//! Making invites, and taking them up from others.

use packnback_proto::crypto::secret::Secret32;
use packnback_proto::ids::NodeId;
use packnback_proto::wire::invite::{INVITE_VERSION, InviteToken};
use packnback_proto::wire::local::PeerInfo;
use packnback_proto::wire::{ErrorCode, Role, SecretBytes};

use super::{P2p, net_failure};
use crate::net::{
    Multiaddr, NetConfig, NetError, NetHandle, Protocol, keypair_from_seed, node_id_of, now_s,
    parse_addrs,
};
use crate::peers::{ClaimOutcome, Friend, Introduction, claim_invite, clean_addrs, clean_name};
use crate::ports::{Failure, PeerBook as _};

pub(super) fn is_loopback(addr: &Multiaddr) -> bool {
    let text = addr.to_string();
    text.starts_with("/ip4/127.") || text.starts_with("/ip6/::1/")
}

fn refused(message: impl Into<String>, next: &str) -> Failure {
    Failure::new(ErrorCode::Invite, message)
        .safe("nothing was changed")
        .next(next)
}

impl P2p {
    pub(super) fn make_invite(
        &self,
        quota: u64,
        expires_s: u64,
        name: &str,
    ) -> Result<String, Failure> {
        let seed = Secret32::try_init_with(|bytes| getrandom::fill(bytes))
            .map_err(|e| Failure::new(ErrorCode::Internal, e.to_string()))?;
        let guest = keypair_from_seed(*seed.expose()).map_err(net_failure)?;
        let guest = node_id_of(&guest)
            .ok_or_else(|| Failure::new(ErrorCode::Internal, "the guest key has no id"))?;
        let expires = self
            .table
            .add_invite(guest, name, quota, expires_s, now_s())?;
        let token = InviteToken {
            version: INVITE_VERSION,
            inviter: self.net.node(),
            addrs: self.own_addrs(),
            expires,
            quota,
            seed: SecretBytes::new(*seed.expose()),
        };
        token
            .to_text()
            .map_err(|e| Failure::new(ErrorCode::Internal, e.to_string()))
    }

    pub(super) async fn accept_invite(
        &self,
        token: &str,
        quota: u64,
        name: &str,
    ) -> Result<PeerInfo, Failure> {
        let token = InviteToken::from_text(token)
            .map_err(|e| refused(e.to_string(), "copy the whole invite, or ask for a new one"))?;
        if token.inviter == self.net.node() {
            let next = "give it to a friend, who accepts it on another machine";
            return Err(refused("this invite was made by this node", next));
        }
        let me = Introduction {
            name: String::new(),
            addrs: self.own_addrs(),
            quota,
        };
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
        let known = self.table.friend(&token.inviter);
        let shown = if name.is_empty() { &inviter.name } else { name };
        let mut addrs = clean_addrs(&token.addrs, true);
        addrs.extend(inviter.addrs);
        let friend = Friend {
            name: clean_name(shown),
            addrs: clean_addrs(&addrs, true),
            quota_given: quota,
            quota_taken: inviter.quota,
            owner: known.as_ref().and_then(|f| f.owner),
            added: known.map_or_else(now_s, |f| f.added),
        };
        self.table.put_friend(token.inviter, friend.clone())?;
        Ok(self.info(token.inviter, friend))
    }

    /// As the guest; if that door is closed, as ourselves, in case an earlier answer got lost.
    async fn claim(&self, token: &InviteToken, me: &Introduction) -> Result<ClaimOutcome, Failure> {
        let addrs = parse_addrs(&token.addrs);
        let guest_key = keypair_from_seed(*token.seed.expose()).map_err(net_failure)?;
        let guest = node_id_of(&guest_key)
            .ok_or_else(|| refused("the invite holds no valid key", "ask for a new invite"))?;
        let mut config = NetConfig::new(guest_key, Vec::new());
        (self.tune)(&mut config);
        let (visitor, _incoming, task) = NetHandle::start(config).await.map_err(net_failure)?;
        let first = self.claim_over(&visitor, token, &guest, &addrs, me).await;
        visitor.shutdown().await;
        // An error means that the task panicked; the claim is over either way.
        let _ = task.await;
        match first {
            Ok(outcome @ ClaimOutcome::Accepted(_)) => Ok(outcome),
            first => {
                let second = self.claim_over(&self.net, token, &guest, &addrs, me).await;
                if self.table.standing(&token.inviter).is_none() {
                    self.net.withdraw(token.inviter);
                }
                match second {
                    Ok(outcome @ ClaimOutcome::Accepted(_)) => Ok(outcome),
                    // What the guest was told says more than a closed door.
                    _ => first.map_err(|error| explain(error, token.expires)),
                }
            }
        }
    }

    async fn claim_over(
        &self,
        net: &NetHandle,
        token: &InviteToken,
        guest: &NodeId,
        addrs: &[Multiaddr],
        me: &Introduction,
    ) -> Result<ClaimOutcome, NetError> {
        if net.role(token.inviter).is_none() {
            // Lets us dial it; opens nothing for it here.
            net.admit(token.inviter, Role::Infra, None)?;
        }
        net.trust_names_of(token.inviter);
        let mut opened = net.open(token.inviter, addrs, Protocol::Invite).await?;
        let key = &self.key;
        claim_invite(&mut opened.stream, &token.inviter, guest, key, me)
            .await
            .map_err(|_| NetError::Closed(token.inviter))
    }
}

fn explain(error: NetError, expires: u64) -> Failure {
    if now_s() >= expires {
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
