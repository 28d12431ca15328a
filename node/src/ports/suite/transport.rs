//! Of networks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::future::{join, join_all, try_join};
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::wire::{Role, SecretBytes};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::broadcast;

use super::{Check, Lab, happens};
use crate::ports::{Arrived, ByteStream, NetError, Opened, PathEvent, Protocol, Transport};

/// How long something is given to happen that must not happen.
const NEVER: Duration = Duration::from_millis(500);

/// All checks.
pub const TRANSPORT: &[Check] = &[
    Check {
        name: "bytes arrive both ways, whole and in order",
        run: |lab| Box::pin(both_ways(lab)),
    },
    Check {
        name: "a stream that one side ended goes on the other way",
        run: |lab| Box::pin(half_close(lab)),
    },
    Check {
        name: "a stream that is dropped ends at the other side",
        run: |lab| Box::pin(dropped(lab)),
    },
    Check {
        name: "who sends to somebody that does not read has to wait",
        run: |lab| Box::pin(back_pressure(lab)),
    },
    Check {
        name: "strangers reach nothing",
        run: |lab| Box::pin(strangers(lab)),
    },
    Check {
        name: "a role opens its protocols only, and as long as it lasts",
        run: |lab| Box::pin(roles(lab)),
    },
    Check {
        name: "connections come and go once each, in order",
        run: |lab| Box::pin(events(lab)),
    },
    Check {
        name: "a closed connection ends its streams",
        run: |lab| Box::pin(closed(lab)),
    },
    Check {
        name: "who is expelled is gone and stays away",
        run: |lab| Box::pin(expelled(lab)),
    },
    Check {
        name: "a peer that is not there is an error and not a wait",
        run: |lab| Box::pin(dead(lab)),
    },
    Check {
        name: "many streams at once do not mix",
        run: |lab| Box::pin(many(lab)),
    },
    Check {
        name: "a kept peer is dialled, and dialled again",
        run: |lab| Box::pin(kept(lab)),
    },
    Check {
        name: "a visitor has a name of its own and leaves when it is dropped",
        run: |lab| Box::pin(visitor(lab)),
    },
    Check {
        name: "after the end nothing is opened, taken or left open",
        run: |lab| Box::pin(shut_down(lab)),
    },
];

struct Pair {
    a: Arc<dyn Transport>,
    b: Arc<dyn Transport>,
    /// Where `b` can be dialled.
    addrs: Vec<String>,
}

impl Pair {
    /// `a` knows `b` as a friend; `b` has to be told.
    async fn strangers(lab: &dyn Lab) -> anyhow::Result<Self> {
        let (a, b) = join(lab.node(1, false), lab.node(2, true)).await;
        let addrs = b.listen_addrs();
        ensure!(!addrs.is_empty(), "a node that listens has no address");
        ensure!(a.listen_addrs().is_empty(), "a node listens unasked");
        a.admit(b.node(), Role::Friend, None)?;
        Ok(Self { a, b, addrs })
    }

    async fn friends(lab: &dyn Lab) -> anyhow::Result<Self> {
        let pair = Self::strangers(lab).await?;
        pair.b.admit(pair.a.node(), Role::Friend, None)?;
        Ok(pair)
    }

    async fn try_open(&self, protocol: Protocol) -> anyhow::Result<Result<Opened, NetError>> {
        let open = self.a.open(self.b.node(), &self.addrs, protocol);
        happens("an open", open).await
    }

    async fn open(&self) -> anyhow::Result<(Opened, Arrived)> {
        let accept = async { self.b.accept().await.context("the network has ended") };
        let open = async { anyhow::Ok(self.try_open(Protocol::Store).await??) };
        happens("a stream", try_join(open, accept)).await?
    }
}

/// Whether the other side is gone: the end of the bytes, or an error.
async fn ends(stream: &mut ByteStream) -> anyhow::Result<()> {
    let mut byte = [0];
    match happens("the end of a stream", stream.read(&mut byte)).await? {
        Ok(0) | Err(_) => Ok(()),
        Ok(_) => bail!("bytes that nobody sent"),
    }
}

async fn both_ways(lab: &dyn Lab) -> anyhow::Result<()> {
    let pair = Pair::friends(lab).await?;
    let (mut opened, mut arrived) = pair.open().await?;
    ensure!(arrived.peer == pair.a.node(), "it comes from somebody else");
    ensure!(arrived.role == Role::Friend && arrived.protocol == Protocol::Store);
    ensure!(opened.path.node == pair.b.node() && opened.path.outbound);
    ensure!(arrived.path.node == pair.a.node() && !arrived.path.outbound);
    let sent: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    for _ in 0..2 {
        let mut got = vec![0; sent.len()];
        let send = async {
            opened.stream.write_all(&sent).await?;
            opened.stream.flush().await
        };
        let (sending, reading) = happens(
            "a transfer",
            join(send, arrived.stream.read_exact(&mut got)),
        )
        .await?;
        sending?;
        reading?;
        ensure!(got == sent, "other bytes arrived than were sent");
        std::mem::swap(&mut opened.stream, &mut arrived.stream);
    }
    Ok(())
}

async fn half_close(lab: &dyn Lab) -> anyhow::Result<()> {
    let pair = Pair::friends(lab).await?;
    let (mut opened, mut arrived) = pair.open().await?;
    opened.stream.write_all(b"question").await?;
    opened.stream.shutdown().await?;
    let mut got = Vec::new();
    happens("the end", arrived.stream.read_to_end(&mut got)).await??;
    ensure!(got == b"question", "what was sent before the end is lost");
    arrived.stream.write_all(b"answer").await?;
    arrived.stream.shutdown().await?;
    let mut got = Vec::new();
    happens("the answer", opened.stream.read_to_end(&mut got)).await??;
    ensure!(got == b"answer", "the way back closed too");
    Ok(())
}

async fn dropped(lab: &dyn Lab) -> anyhow::Result<()> {
    let pair = Pair::friends(lab).await?;
    let (opened, mut arrived) = pair.open().await?;
    drop(opened);
    ends(&mut arrived.stream).await?;
    let (mut opened, arrived) = pair.open().await?;
    drop(arrived);
    ends(&mut opened.stream).await?;
    let block = vec![0; 1 << 16];
    let refused = async { while opened.stream.write_all(&block).await.is_ok() {} };
    happens("a write that fails", refused).await
}

async fn back_pressure(lab: &dyn Lab) -> anyhow::Result<()> {
    let pair = Pair::friends(lab).await?;
    let (mut opened, _arrived) = pair.open().await?;
    let block = vec![0; 1 << 20];
    let send = async {
        for _ in 0..100 {
            if opened.stream.write_all(&block).await.is_err() {
                return;
            }
        }
    };
    let sent = tokio::time::timeout(NEVER, send).await;
    ensure!(sent.is_err(), "100 MiB were taken that nobody reads");
    Ok(())
}

async fn strangers(lab: &dyn Lab) -> anyhow::Result<()> {
    let pair = Pair::strangers(lab).await?;
    match pair.try_open(Protocol::Store).await? {
        Ok(_) => bail!("a stranger opened a stream"),
        Err(error) => ensure!(error.is_transient(), "{error}"),
    }
    ensure!(pair.b.paths().is_empty(), "a stranger stays connected");
    ensure!(pair.b.stats().refused_connections > 0, "nobody counted it");
    pair.b.admit(pair.a.node(), Role::Friend, None)?;
    // The first to arrive is the first that may.
    pair.open().await?;
    let c = lab.node(3, true).await;
    let (to_c, addrs) = (c.node(), c.listen_addrs());
    let error = happens("an open", pair.a.open(to_c, &addrs, Protocol::Store)).await?;
    ensure!(
        matches!(error, Err(NetError::NotAllowed(node)) if node == to_c),
        "a stranger was dialled"
    );
    // Nor is it taken for somebody else.
    c.admit(pair.a.node(), Role::Friend, None)?;
    pair.a.admit(to_c, Role::Friend, None)?;
    let wrong = happens("an open", pair.a.open(to_c, &pair.addrs, Protocol::Store)).await?;
    ensure!(
        matches!(wrong, Err(NetError::Unreachable { .. })),
        "one node was taken for another"
    );
    Ok(())
}

async fn roles(lab: &dyn Lab) -> anyhow::Result<()> {
    let pair = Pair::friends(lab).await?;
    for (role, refused) in [
        (Role::Guest, Protocol::Store),
        (Role::Recovery, Protocol::Invite),
        (Role::Infra, Protocol::Store),
        (Role::Former, Protocol::Store),
    ] {
        pair.b.admit(pair.a.node(), role, None)?;
        ensure!(pair.b.role(pair.a.node()) == Some(role));
        match pair.try_open(refused).await? {
            Err(NetError::Refused { node, protocol }) => {
                ensure!(node == pair.b.node() && protocol == refused.name());
            }
            other => bail!("{role:?} opens {refused:?}: {other:?}"),
        }
    }
    pair.b.admit(pair.a.node(), Role::Recovery, None)?;
    let (_opened, arrived) = pair.open().await?;
    ensure!(
        arrived.role == Role::Recovery,
        "it came as {:?}",
        arrived.role
    );
    pair.b.admit(pair.a.node(), Role::Friend, Some(1))?;
    ensure!(pair.b.role(pair.a.node()).is_none(), "its time is over");
    ensure!(
        pair.try_open(Protocol::Store).await?.is_err(),
        "an admission does not end"
    );
    Ok(())
}

/// The next event that is about coming or going.
async fn next(events: &mut broadcast::Receiver<PathEvent>) -> anyhow::Result<PathEvent> {
    loop {
        match happens("an event", events.recv()).await?? {
            PathEvent::Moved(_) => {}
            event => return Ok(event),
        }
    }
}

async fn events(lab: &dyn Lab) -> anyhow::Result<()> {
    let pair = Pair::friends(lab).await?;
    let (a, b) = (pair.a.node(), pair.b.node());
    let (mut at_a, mut at_b) = (pair.a.events(), pair.b.events());
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        let (opened, _arrived) = pair.open().await?;
        pair.open().await?;
        ensure!(ids.insert(opened.path.id), "one number for two connections");
        ensure!(next(&mut at_a).await? == PathEvent::Connected(b));
        ensure!(next(&mut at_b).await? == PathEvent::Connected(a));
        ensure!(pair.a.is_connected(b) && pair.b.is_connected(a));
        ensure!(pair.a.paths().contains(&opened.path), "it is not listed");
        pair.a.close(opened.path.id).await?;
        ensure!(next(&mut at_a).await? == PathEvent::Gone(b));
        ensure!(next(&mut at_b).await? == PathEvent::Gone(a));
        ensure!(!pair.a.is_connected(b) && !pair.b.is_connected(a));
        // It is closed: no error.
        pair.a.close(opened.path.id).await?;
    }
    ensure!(at_a.is_empty() && at_b.is_empty(), "something came twice");
    Ok(())
}

async fn closed(lab: &dyn Lab) -> anyhow::Result<()> {
    let pair = Pair::friends(lab).await?;
    let (mut opened, mut arrived) = pair.open().await?;
    let mut at_a = pair.a.events();
    pair.b.close(arrived.path.id).await?;
    ends(&mut opened.stream).await?;
    ends(&mut arrived.stream).await?;
    ensure!(next(&mut at_a).await? == PathEvent::Gone(pair.b.node()));
    pair.open().await?;
    Ok(())
}

async fn expelled(lab: &dyn Lab) -> anyhow::Result<()> {
    let pair = Pair::friends(lab).await?;
    let (mut opened, _arrived) = pair.open().await?;
    let mut at_a = pair.a.events();
    pair.b.expel(pair.a.node()).await?;
    ensure!(next(&mut at_a).await? == PathEvent::Gone(pair.b.node()));
    ends(&mut opened.stream).await?;
    ensure!(pair.b.role(pair.a.node()).is_none(), "it keeps its role");
    ensure!(
        pair.try_open(Protocol::Store).await?.is_err(),
        "it is back at once"
    );
    Ok(())
}

async fn dead(lab: &dyn Lab) -> anyhow::Result<()> {
    let pair = Pair::friends(lab).await?;
    let (node, addrs) = (pair.b.node(), pair.addrs.clone());
    pair.b.shutdown().await;
    let opens = (0..8).map(|_| pair.a.open(node, &addrs, Protocol::Store));
    for opened in happens("answers", join_all(opens)).await? {
        ensure!(
            matches!(opened, Err(NetError::Unreachable { .. })),
            "{opened:?}"
        );
    }
    let nowhere = happens("an answer", pair.a.open(node, &[], Protocol::Store)).await?;
    ensure!(
        matches!(nowhere, Err(NetError::NoAddress(_))),
        "{nowhere:?}"
    );
    Ok(())
}

async fn many(lab: &dyn Lab) -> anyhow::Result<()> {
    const STREAMS: u8 = 20;
    let pair = Pair::friends(lab).await?;
    let serve = async {
        let mut arrived = Vec::new();
        for _ in 0..STREAMS {
            arrived.push(pair.b.accept().await.context("the network has ended")?);
        }
        let echoes = arrived.into_iter().map(|one| async {
            let (mut read, mut write) = tokio::io::split(one.stream);
            tokio::io::copy(&mut read, &mut write).await?;
            write.shutdown().await
        });
        join_all(echoes)
            .await
            .into_iter()
            .collect::<Result<Vec<()>, _>>()?;
        anyhow::Ok(())
    };
    let talks = join_all((0..STREAMS).map(|n| {
        let pair = &pair;
        async move {
            let (sent, mut got) = (vec![n; 10_000], Vec::new());
            let mut stream = pair.try_open(Protocol::Store).await??.stream;
            stream.write_all(&sent).await?;
            stream.shutdown().await?;
            stream.read_to_end(&mut got).await?;
            ensure!(got == sent, "stream {n} got something else");
            Ok(())
        }
    }));
    let (served, talked) = happens("all talks", join(serve, talks)).await?;
    served?;
    talked.into_iter().collect()
}

async fn kept(lab: &dyn Lab) -> anyhow::Result<()> {
    let pair = Pair::friends(lab).await?;
    let (a, b) = (pair.a.node(), pair.b.node());
    let mut at_a = pair.a.events();
    pair.a.keep(b, pair.addrs.clone()).await?;
    for _ in 0..2 {
        ensure!(next(&mut at_a).await? == PathEvent::Connected(b));
        let back = pair.a.comes_back(b);
        let paths = pair.a.paths();
        let path = paths.first().context("there is no connection")?;
        pair.a.close(path.id).await?;
        ensure!(next(&mut at_a).await? == PathEvent::Gone(b));
        happens("it comes back", back).await?;
    }
    ensure!(next(&mut at_a).await? == PathEvent::Connected(b));
    // Who is left alone stays away.
    pair.a.unkeep(b).await?;
    pair.b.expel(a).await?;
    ensure!(next(&mut at_a).await? == PathEvent::Gone(b));
    pair.b.admit(a, Role::Friend, None)?;
    let returns = tokio::time::timeout(NEVER, pair.a.comes_back(b)).await;
    ensure!(returns.is_err(), "it is dialled although nobody keeps it");
    Ok(())
}

async fn visitor(lab: &dyn Lab) -> anyhow::Result<()> {
    let pair = Pair::friends(lab).await?;
    let seed = [77; 32];
    let guest = SigningKey::from_seed(&Secret32::new(seed)).node_id();
    pair.b.admit(guest, Role::Guest, None)?;
    let mut at_b = pair.b.events();
    let visitor = pair.a.visit(SecretBytes::new(seed)).await?;
    ensure!(visitor.node() == guest, "it visits under another name");
    visitor.admit(pair.b.node(), Role::Infra, None)?;
    let (node, addrs) = (pair.b.node(), &pair.addrs);
    let both = join(visitor.open(node, addrs, Protocol::Invite), pair.b.accept());
    let (opened, arrived) = happens("a stream", both).await?;
    let arrived = arrived.context("the network has ended")?;
    ensure!((arrived.peer, arrived.role) == (guest, Role::Guest));
    ensure!(next(&mut at_b).await? == PathEvent::Connected(guest));
    drop((opened?, arrived, visitor));
    ensure!(next(&mut at_b).await? == PathEvent::Gone(guest));
    pair.open().await?;
    Ok(())
}

async fn shut_down(lab: &dyn Lab) -> anyhow::Result<()> {
    let pair = Pair::friends(lab).await?;
    let (mut opened, _arrived) = pair.open().await?;
    let mut at_a = pair.a.events();
    happens("the end", pair.b.shutdown()).await?;
    ensure!(next(&mut at_a).await? == PathEvent::Gone(pair.b.node()));
    ends(&mut opened.stream).await?;
    let taken = happens("nothing to take", pair.b.accept()).await?;
    ensure!(taken.is_none(), "a stream after the end");
    let (node, addrs) = (pair.a.node(), Vec::new());
    let late = happens("an answer", pair.b.open(node, &addrs, Protocol::Store)).await?;
    ensure!(matches!(late, Err(NetError::Down)), "{late:?}");
    ensure!(pair.b.keep(node, Vec::new()).await == Err(NetError::Down));
    // Twice is no harm.
    happens("the end", pair.b.shutdown()).await
}
