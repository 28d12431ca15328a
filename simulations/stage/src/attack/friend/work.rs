//! Small messages, much work.

use std::time::Duration;

use packnback_cli::parts::system::now;
use packnback_node::net::Protocol;
use packnback_node::replicate::StoreClient;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::format::header::Kind as ObjectKind;
use packnback_proto::ids::{ObjectId, OwnerId, SET_ID_LEN, SetId, SnapshotId};
use packnback_proto::record::{Grant, Scope, Snap, decode_cert};
use packnback_proto::wire::store::{StoreReply, StoreRequest};
use tokio::task::JoinHandle;

use super::super::attacker::{Attacker, connect_as};
use super::super::junk::{Object, object, signed_by};
use super::super::tried::{Outcome, Tried};
use super::peer::{Friend, PATIENCE, answer};
use super::scheme::{Played, nothing_held, schemes};

/// Leaves of the tree the grants are for.
const LEAVES: usize = 24_000;
/// References of one segment.
const REFS: usize = 8000;
/// Grants presented at the same time.
const TALKERS: usize = 6;
/// Each of them presents this many.
const GRANTS: usize = 200;
/// Snapshots over the same tree.
const COMMITS: u64 = 40;

schemes! {
    "grants", "present 1,200 grants of 250 bytes, each for a snapshot of 24,000 objects, six at a time", grants;
    "commits", "commit 40 snapshots over the same 24,000 objects", commits;
}

/// Tasks that end with this.
struct Busy(Vec<JoinHandle<()>>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Puts a wide tree once; the same bytes each time. Its root, or why it is not there.
async fn wide_tree(friend: &Friend) -> Result<ObjectId, String> {
    let mut talk = friend.session().await?;
    let mut leaves: Vec<Object> = Vec::with_capacity(LEAVES);
    for number in 0..LEAVES {
        let noise = u64::try_from(number).unwrap_or(u64::MAX);
        leaves.push(object(ObjectKind::Chunk, 0, &[], noise, 100)?);
    }
    let ids: Vec<ObjectId> = leaves.iter().map(|leaf| leaf.id).collect();
    let mut tree = Vec::new();
    for refs in ids.chunks(REFS) {
        tree.push(object(ObjectKind::Segment, 2, refs, 1, 100)?);
    }
    let segments: Vec<ObjectId> = tree.iter().map(|segment| segment.id).collect();
    let root = object(ObjectKind::Root, 8, &segments, 1, 100)?;
    let id = root.id;
    tree.push(root);
    for all in [leaves, tree] {
        if let Err(error) = Attacker::put_all(&mut talk, &all).await {
            return Err(format!("the tree was not taken: {error}"));
        }
    }
    Ok(id)
}

fn snap(friend: &Friend, root: ObjectId) -> Result<packnback_proto::wire::Bytes, String> {
    let cert = decode_cert(&friend.cert()).map_err(|e| e.to_string())?;
    let snap = Snap {
        owner: OwnerId(friend.owner.public()),
        device: friend.key.node_id(),
        seq: friend.fresh(),
        prev: None,
        root,
        time: now(),
        cert_serial: cert.value().serial,
        set: SetId([0; SET_ID_LEN]),
    };
    signed_by(&snap, &friend.key)
}

/// Commits; the id of the last that was taken, and how many were.
async fn commit(friend: &Friend, count: u64) -> Result<(Option<SnapshotId>, u64, String), String> {
    let root = wide_tree(friend).await?;
    let mut talk = friend.session().await?;
    let (mut last, mut taken, mut why) = (None, 0u64, String::new());
    for _ in 0..count {
        let envelope = snap(friend, root)?;
        let id = packnback_proto::record::decode_record(&envelope).map_err(|e| e.to_string())?;
        let commit = StoreRequest::Commit { snap: envelope };
        match answer(&mut talk, &commit, &[]).await? {
            Ok((StoreReply::Committed { .. }, _)) => {
                (last, taken) = (Some(id.id()), taken.saturating_add(1));
            }
            Ok((other, _)) => why = format!("{other:?}"),
            Err(error) => why = error.to_string(),
        }
    }
    Ok((last, taken, why))
}

async fn commits(friend: &Friend) -> Played {
    let outcome: Outcome = match commit(friend, COMMITS).await {
        Ok((_, taken, why)) => Ok(Tried::Allowed(format!("{taken} were taken. {why}"))),
        Err(error) => Ok(Tried::Refused(error)),
    };
    nothing_held(outcome)
}

async fn grants(friend: &Friend) -> Played {
    let snap = match commit(friend, 1).await {
        Ok((Some(snap), _, _)) => snap,
        Ok((None, _, why)) => return nothing_held(Ok(Tried::Refused(why))),
        Err(error) => return nothing_held(Ok(Tried::Refused(error))),
    };
    let mut busy = Busy(Vec::new());
    for _ in 0..TALKERS {
        let again = |key: &SigningKey| SigningKey::from_seed(&key.seed());
        let (key, owner) = (again(&friend.key), again(&friend.owner));
        let (hosts, host) = ([friend.spec.host.clone()], friend.host.host);
        let addrs = friend.host.addrs.clone();
        busy.0.push(tokio::spawn(async move {
            let Ok(net) = connect_as(&key.seed(), &hosts).await else {
                return;
            };
            for _ in 0..GRANTS {
                let present = async {
                    let opened = net.open(host, &addrs, Protocol::Store).await.ok()?;
                    let (mut talk, greeting) =
                        StoreClient::hello(opened.stream, &host).await.ok()?;
                    let grant = Grant {
                        owner: OwnerId(owner.public()),
                        reader: key.node_id(),
                        scope: Scope::Snaps(vec![snap]),
                        not_before: greeting.time,
                        expires: greeting.time.saturating_add(600),
                        audience: Some(vec![host]),
                        nonce: greeting.nonce.0,
                        max_bytes: None,
                    };
                    let envelope = signed_by(&grant, &owner).ok()?;
                    let grant = StoreRequest::Grant { envelope };
                    talk.ask(&grant, &[]).await.ok()
                };
                // Refused or not: the next one.
                drop(tokio::time::timeout(PATIENCE, present).await);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            net.shutdown().await;
        }));
    }
    let told = "they are presented while the honest friend backs up".to_owned();
    (Ok(Tried::Allowed(told)), Box::new(busy))
}
