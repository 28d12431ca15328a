//! Making others deduplicate against what is not there.

use packnback_proto::format::header::Kind as ObjectKind;
use packnback_proto::ids::ObjectId;
use packnback_proto::wire::ids::{decode_bitmap, encode_ids};
use packnback_proto::wire::store::StoreRequest;

use super::attacker::{Attacker, Target};
use super::junk::{object, signed_by};
use super::tried::{Outcome, Tried, attacks, judge};

attacks! {
    "garbage-under-future-id", "put garbage under an id another device might use", garbage_under_id;
    "have-what-is-not-there", "be told that the host has what nobody put", have_nothing;
    "have-without-children", "be told that a node without its children is complete", have_without_children;
    "have-before-sync", "be told that the host has what was never made durable", have_before_sync;
    "commit-missing-children", "commit a snapshot whose objects are not there", commit_missing_children;
    "commit-upside-down", "commit a tree that goes up instead of down", commit_upside_down;
    "commit-no-root", "commit a snapshot over an object that is no root", commit_no_root;
}

async fn garbage_under_id(a: &Attacker, t: &Target) -> Outcome {
    let future = object(ObjectKind::Chunk, 0, &[], a.fresh(), 500)?;
    let garbage = object(ObjectKind::Chunk, 0, &[], a.fresh(), 500)?;
    judge(a.put_under(t, future.id, garbage.bytes).await?)
}

/// Asks about one id in a session that goes on.
async fn asked(talk: &mut super::attacker::Talk, id: ObjectId) -> Outcome {
    let answer = talk.ask(&StoreRequest::Have, &encode_ids(&[id])).await;
    let (_, body) = answer.map_err(|e| e.to_string())?;
    let bits = decode_bitmap(&body, 1).map_err(|e| e.to_string())?;
    Ok(if bits == [false] {
        Tried::Refused("the host says no".to_owned())
    } else {
        Tried::Worked("the host says yes".to_owned())
    })
}

async fn have_nothing(a: &Attacker, t: &Target) -> Outcome {
    let nobody_has = object(ObjectKind::Chunk, 0, &[], a.fresh(), 500)?;
    asked(&mut a.session(t).await?, nobody_has.id).await
}

async fn have_without_children(a: &Attacker, t: &Target) -> Outcome {
    let child = object(ObjectKind::Chunk, 0, &[], a.fresh(), 500)?;
    let node = object(ObjectKind::Segment, 2, &[child.id], a.fresh(), 100)?;
    let id = node.id;
    let mut talk = a.session(t).await?;
    let put = Attacker::put_all(&mut talk, &[node]).await;
    put.map_err(|e| e.to_string())?;
    asked(&mut talk, id).await
}

async fn have_before_sync(a: &Attacker, t: &Target) -> Outcome {
    let chunk = object(ObjectKind::Chunk, 0, &[], a.fresh(), 500)?;
    let put = StoreRequest::Put { id: chunk.id };
    let mut talk = a.session(t).await?;
    talk.send(&put, &chunk.bytes)
        .await
        .map_err(|e| e.to_string())?;
    asked(&mut talk, chunk.id).await
}

async fn commit(
    a: &Attacker,
    t: &Target,
    objects: &[super::junk::Object],
    root: ObjectId,
) -> Outcome {
    let mut talk = a.session(t).await?;
    let put = Attacker::put_all(&mut talk, objects).await;
    put.map_err(|e| e.to_string())?;
    let snap = signed_by(&a.snap(root), &a.key)?;
    judge(talk.ask(&StoreRequest::Commit { snap }, &[]).await)
}

async fn commit_missing_children(a: &Attacker, t: &Target) -> Outcome {
    let child = object(ObjectKind::Chunk, 0, &[], a.fresh(), 500)?;
    let node = object(ObjectKind::Segment, 2, &[child.id], a.fresh(), 100)?;
    let root = object(ObjectKind::Root, 8, &[node.id], a.fresh(), 100)?;
    let id = root.id;
    commit(a, t, &[node, root], id).await
}

async fn commit_upside_down(a: &Attacker, t: &Target) -> Outcome {
    let leaf = object(ObjectKind::Segment, 2, &[], a.fresh(), 100)?;
    let upper = object(ObjectKind::Index, 3, &[leaf.id], a.fresh(), 100)?;
    let same = object(ObjectKind::Index, 3, &[upper.id], a.fresh(), 100)?;
    let root = object(ObjectKind::Root, 8, &[same.id], a.fresh(), 100)?;
    let id = root.id;
    commit(a, t, &[leaf, upper, same, root], id).await
}

async fn commit_no_root(a: &Attacker, t: &Target) -> Outcome {
    let leaf = object(ObjectKind::Segment, 2, &[], a.fresh(), 100)?;
    let id = leaf.id;
    commit(a, t, &[leaf], id).await
}
