//! The own node: root may connect to its socket, and still may not give orders.

use packnback_proto::format::header::Kind as ObjectKind;
use packnback_proto::ids::{SET_ID_LEN, SetId};
use packnback_proto::record::{Cert, Op, Scope};
use packnback_proto::wire::Bytes;
use packnback_proto::wire::local::{LocalReply, LocalRequest};

use super::attacker::{Attacker, Target};
use super::delete::destructive;
use super::junk::{object, signed_by};
use super::socket::OwnNode;
use super::tried::{Outcome, Tried, attacks};

attacks! {
    "order-by-device", "give the own node every deleting order, signed with the device key", order_by_device;
    "order-by-new-key", "give the own node a delete order signed with a new key", order_by_new_key;
    "order-of-other-owner", "give the own node a delete order of an owner who was just made up", order_of_other_owner;
    "adopt-other-owner", "make the node a device of an owner who was just made up", adopt_other_owner;
    "other-bytes", "put other bytes under the id of a stored object", other_bytes;
    "missing-children", "commit a snapshot whose objects are not there", missing_children;
    "records-of-other-owner", "list the records of another owner", records_of_other_owner;
    "read-remote", "have the node read from the host without a grant", read_remote;
}

async fn connect(a: &Attacker) -> Result<OwnNode, String> {
    OwnNode::connect(&a.spec.socket)
        .await
        .map_err(|e| format!("{e:#}"))
}

fn judge(reply: LocalReply) -> Tried {
    match reply {
        LocalReply::Error { code, message, .. } => Tried::Refused(format!("{code}: {message}")),
        LocalReply::Missing { count } => {
            Tried::Refused(format!("not committed: {count} objects are not here"))
        }
        other => Tried::Worked(format!("it answered {other:?}")),
    }
}

async fn ask(a: &Attacker, request: LocalRequest) -> Outcome {
    let mut node = connect(a).await?;
    let answer = node.ask(&request, &[]).await;
    answer
        .map(|(reply, _)| judge(reply))
        .map_err(|e| e.to_string())
}

async fn order(a: &Attacker, envelope: Bytes) -> Outcome {
    ask(a, LocalRequest::Order { envelope }).await
}

async fn order_by_device(a: &Attacker, t: &Target) -> Outcome {
    let mut all = Vec::new();
    for op in destructive(a) {
        all.push(order(a, signed_by(&a.order(t, op), &a.key)?).await?);
    }
    Tried::worst(all)
}

async fn order_by_new_key(a: &Attacker, t: &Target) -> Outcome {
    let delete = a.order(t, Op::DeleteIds(a.snap_ids_sorted()));
    order(a, signed_by(&delete, &a.fresh_key())?).await
}

async fn order_of_other_owner(a: &Attacker, t: &Target) -> Outcome {
    let key = a.fresh_key();
    let mut delete = a.order(t, Op::DeleteIds(a.snap_ids_sorted()));
    delete.owner = key.owner_id();
    order(a, signed_by(&delete, &key)?).await
}

async fn adopt_other_owner(a: &Attacker, _: &Target) -> Outcome {
    let key = a.fresh_key();
    let cert = Cert {
        owner: key.owner_id(),
        ..a.cert.value().clone()
    };
    let cert = signed_by(&cert, &key)?;
    ask(a, LocalRequest::Adopt { cert }).await
}

async fn other_bytes(a: &Attacker, _: &Target) -> Outcome {
    let mut node = connect(a).await?;
    let junk = object(ObjectKind::Chunk, 0, &[], a.fresh(), 500)?;
    let put = LocalRequest::Put { id: a.stored.id };
    node.send(&put, &junk.bytes)
        .await
        .map_err(|e| e.to_string())?;
    let answer = node.ask(&LocalRequest::Sync, &[]).await;
    answer
        .map(|(reply, _)| judge(reply))
        .map_err(|e| e.to_string())
}

async fn missing_children(a: &Attacker, _: &Target) -> Outcome {
    let missing = object(ObjectKind::Segment, 2, &[], a.fresh(), 100)?;
    let root = object(ObjectKind::Root, 8, &[missing.id], a.fresh(), 100)?;
    let mut node = connect(a).await?;
    let put = LocalRequest::Put { id: root.id };
    node.send(&put, &root.bytes)
        .await
        .map_err(|e| e.to_string())?;
    let commit = LocalRequest::Commit {
        root: root.id,
        set: SetId([0; SET_ID_LEN]),
        time: packnback_cli::parts::system::now(),
    };
    let answer = node.ask(&commit, &[]).await;
    answer
        .map(|(reply, _)| judge(reply))
        .map_err(|e| e.to_string())
}

async fn records_of_other_owner(a: &Attacker, _: &Target) -> Outcome {
    let request = LocalRequest::Records {
        owner: Some(a.fresh_key().owner_id()),
        after: None,
        remote: false,
    };
    ask(a, request).await
}

async fn read_remote(a: &Attacker, t: &Target) -> Outcome {
    let mut node = connect(a).await?;
    let open = LocalRequest::RemoteOpen {
        addr: t.host.to_string(),
        recovery_seed: None,
    };
    let opened = node.ask(&open, &[]).await.map_err(|e| e.to_string())?;
    if !matches!(opened.0, LocalReply::RemoteOpened(_)) {
        return Err(format!("{:?}", opened.0));
    }
    let grant = super::read::grant(a, t.host, a.device(), Scope::All, [0; 16]);
    let grant = signed_by(&grant, &a.key)?;
    let answer = node.ask(&LocalRequest::RemoteGrant { grant }, &[]).await;
    let by_device = judge(answer.map_err(|e| e.to_string())?.0);
    let records = LocalRequest::Records {
        owner: None,
        after: None,
        remote: true,
    };
    let answer = node.ask(&records, &[]).await;
    Tried::worst(vec![by_device, judge(answer.map_err(|e| e.to_string())?.0)])
}
