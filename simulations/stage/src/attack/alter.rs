//! Changing what is stored.

use packnback_proto::format::header::Kind as ObjectKind;
use packnback_proto::record::Kind;
use packnback_proto::wire::store::StoreRequest;

use super::attacker::{Attacker, Target};
use super::junk::{envelope, object, parts};
use super::tried::{Outcome, allow, attacks, judge};

attacks! {
    "other-bytes", "put other bytes under the id of a stored object", other_bytes;
    "one-bit", "put a stored object again with one bit changed", one_bit;
    "cut-short", "put a stored object again without its last byte", cut_short;
    "nothing", "put nothing under the id of a stored object", nothing;
    "longer", "put a stored object again with a byte more", longer;
    "put-again", "put a stored object again as it is", put_again;
    "snapshot-other-signature", "send an old snapshot again under another signature", other_signature;
}

async fn put(a: &Attacker, t: &Target, bytes: Vec<u8>) -> Outcome {
    judge(a.put_under(t, a.stored.id, bytes).await?)
}

async fn other_bytes(a: &Attacker, t: &Target) -> Outcome {
    let junk = object(ObjectKind::Chunk, 0, &[], a.fresh(), 500)?;
    put(a, t, junk.bytes).await
}

async fn one_bit(a: &Attacker, t: &Target) -> Outcome {
    let mut bytes = a.stored.bytes.clone();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    put(a, t, bytes).await
}

async fn cut_short(a: &Attacker, t: &Target) -> Outcome {
    let mut bytes = a.stored.bytes.clone();
    bytes.pop();
    put(a, t, bytes).await
}

async fn nothing(a: &Attacker, t: &Target) -> Outcome {
    put(a, t, Vec::new()).await
}

async fn longer(a: &Attacker, t: &Target) -> Outcome {
    let mut bytes = a.stored.bytes.clone();
    bytes.push(0);
    put(a, t, bytes).await
}

async fn put_again(a: &Attacker, t: &Target) -> Outcome {
    let answer = a.put_under(t, a.stored.id, a.stored.bytes.clone()).await?;
    allow(
        answer,
        "the same bytes are there already; nothing is written",
    )
}

async fn other_signature(a: &Attacker, t: &Target) -> Outcome {
    let snap = a.snaps.first().ok_or("no snapshot")?;
    let known = parts(snap.envelope())?;
    let mut signature = known.signature;
    if let Some(first) = signature.first_mut() {
        *first ^= 1;
    }
    let snap = envelope(Kind::Snap, known.body, &known.signer, &signature);
    judge(a.ask(t, StoreRequest::Commit { snap }, &[]).await?)
}
