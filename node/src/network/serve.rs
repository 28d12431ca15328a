//! Takes the streams that peers open.

use std::sync::{Arc, Weak};

use packnback_proto::wire::{Nonce16, Role};

use super::shares::{Asker, Shares};
use super::{P2p, contact};
use crate::net::reach_of;
use crate::peers::{Heard, serve_invite};
use crate::ports::{Arrived, Network as _, Protocol, Sponsor, Transport};
use crate::service::{Host, serve_session};

/// Serves streams until the network ends.
pub(super) async fn run(net: Arc<dyn Transport>, host: Arc<Host>, p2p: Weak<P2p>) {
    let shares = Shares::default();
    // Never waits: whoever comes next may be somebody else.
    while let Some(arrived) = net.accept().await {
        let Some(sponsor) = host
            .peers
            .sponsor(&arrived.peer)
            .or_else(|| guest(&arrived))
        else {
            continue;
        };
        let asker = Asker {
            peer: arrived.peer,
            sponsor,
            is_friend: arrived.role == Role::Friend,
        };
        let Some(share) = shares.take(asker) else {
            tracing::debug!(peer = ?arrived.peer, "too many streams at once: one is closed");
            continue;
        };
        let (host, p2p) = (Arc::clone(&host), Weak::clone(&p2p));
        tokio::spawn(async move {
            one(arrived, host, p2p).await;
            drop(share);
        });
    }
}

/// The guest of an invite, or a former friend that is still to be told: they stand for themselves.
fn guest(arrived: &Arrived) -> Option<Sponsor> {
    let stands_alone = matches!(arrived.role, Role::Guest | Role::Former);
    stands_alone.then_some(Sponsor::Peer(arrived.peer))
}

async fn one(arrived: Arrived, host: Arc<Host>, p2p: Weak<P2p>) {
    let peer = arrived.peer;
    let ended = match arrived.protocol {
        Protocol::Store => {
            if arrived.role == Role::Friend
                && let Some(p2p) = p2p.upgrade()
            {
                p2p.table.note(peer, host.env.clock.now(), Heard::Seen);
            }
            let over = reach_of(&arrived.path.remote);
            serve_session(arrived.stream, peer, over, host).await
        }
        Protocol::Invite => match p2p.upgrade() {
            Some(p2p) => invite(arrived, &p2p).await,
            None => Ok(()),
        },
        Protocol::Contact => match p2p.upgrade() {
            Some(p2p) => contact::answer(arrived, &p2p).await,
            None => Ok(()),
        },
    };
    if let Err(error) = ended {
        tracing::debug!(?peer, %error, "a stream of a peer ended early");
    }
}

async fn invite(mut arrived: Arrived, p2p: &P2p) -> Result<(), crate::frames::StreamError> {
    let Ok(nonce) = p2p.env.dice.bytes() else {
        return Ok(());
    };
    let over_loopback = super::invite::is_loopback(&arrived.path.remote);
    // The quota is that of the invite.
    let me = p2p.introduction(0);
    let served = serve_invite(
        &mut arrived.stream,
        &p2p.table,
        &p2p.net.node(),
        &arrived.peer,
        Nonce16(nonce),
        &me,
        over_loopback,
    )
    .await;
    if let Ok(Some(friend)) = &served {
        tracing::info!(?friend, "an invite was taken up");
        // The guest key has done its work; its connection goes with it.
        if *friend != arrived.peer && p2p.net.expel(arrived.peer).await.is_err() {
            tracing::debug!("the network ended while an invite was taken up");
        }
        p2p.wake_replication();
    }
    served.map(|_| ())
}
