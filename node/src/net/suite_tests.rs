//! libp2p passes what every network has to.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use packnback_proto::crypto::secret::Secret32;

use super::Libp2p;
use crate::ports::Transport;
use crate::ports::suite::{Lab, TRANSPORT};

struct Loopback(&'static str);

impl Lab for Loopback {
    fn node(&self, n: u8, listens: bool) -> BoxFuture<'_, Arc<dyn Transport>> {
        let listen: Vec<String> = listens.then(|| self.0.to_owned()).into_iter().collect();
        Box::pin(async move {
            let key = Secret32::new([n; 32]);
            let started = Libp2p::start(&key, &listen, |net| {
                net.redial_first = Duration::from_millis(50);
                net.redial_max = Duration::from_millis(200);
            });
            started.await.unwrap()
        })
    }
}

async fn passes(lab: Loopback) {
    let mut broken = Vec::new();
    for check in TRANSPORT {
        if let Err(error) = (check.run)(&lab).await {
            broken.push(format!("{}: {error:#}", check.name));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_passes() {
    passes(Loopback("/ip4/127.0.0.1/tcp/0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_passes() {
    passes(Loopback("/ip4/127.0.0.1/udp/0/quic-v1")).await;
}
