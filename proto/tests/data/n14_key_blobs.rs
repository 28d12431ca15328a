//! 14: chunk keys moved to another file, session or domain do not open. Nothing is returned then,
//! not even some of the keys.

use packnback_proto::crypto::CryptoError;
use packnback_proto::crypto::keys::SessionKeys;
use packnback_proto::format::entry::{DOM_PRIVATE, Entry, FileData};
use packnback_proto::format::keyblob::{chunk_ids, key_blob_len, open_key_blob, seal_key_blob};
use packnback_proto::format::payload::PayloadError;
use packnback_proto::format::segment::{self, Segment};
use packnback_proto::ids::ObjectId;

use crate::support::*;

const GROUP: u32 = 2;

fn session(label: &str) -> SessionKeys {
    SessionKeys::start(&owner().device_keys(3, GROUP), secret(label)).unwrap()
}

fn refs() -> Vec<ObjectId> {
    sorted((0..4).map(object).collect())
}

fn keys(n: usize) -> Vec<[u8; 32]> {
    (0..n).map(|i| bytes32(&format!("key {i}"))).collect()
}

/// A file of the given chunks, its keys sealed in a session.
fn file(path: &str, session: &SessionKeys, ses_idx: u32, chunks: &[u32]) -> Entry {
    let mut entry = chunked(path, chunks.iter().map(|r| chunk(*r, 1000)).collect());
    let Some(FileData::Chunks {
        dom,
        ses_idx: idx,
        parts,
        kb,
    }) = &mut entry.data
    else {
        panic!()
    };
    let ids = chunk_ids(parts, &refs()).unwrap();
    *kb = seal_key_blob(&session.blob, GROUP, &ids, &keys(ids.len())).unwrap();
    (*dom, *idx) = (GROUP, ses_idx);
    entry
}

/// Two files of one session and one of another, through encoding and decoding.
fn tree() -> Segment {
    let (first, second) = (session("first"), session("second"));
    let segment = Segment {
        sessions: vec![(first.epk, 3), (second.epk, 3)],
        entries: vec![
            file("a", &first, 0, &[0, 1]),
            file("b", &first, 0, &[2, 3]),
            file("c", &second, 1, &[0, 1]),
        ],
    };
    segment::decode(&segment::encode(&segment).unwrap(), refs().len()).unwrap()
}

/// What a restore does: the session's keys from the owner seed, then the key blob.
fn restore(segment: &Segment, index: usize) -> Result<Vec<[u8; 32]>, PayloadError> {
    // The changed segment is still one that the format allows: only the keys can tell.
    let bytes = segment::encode(segment).unwrap();
    let segment = segment::decode(&bytes, refs().len()).unwrap();
    let Some(FileData::Chunks {
        dom,
        ses_idx,
        parts,
        kb,
    }) = &segment.entries[index].data
    else {
        panic!("no chunks")
    };
    let (epk, epoch) = segment.sessions[*ses_idx as usize];
    let session = owner().open_session(&epk, epoch).unwrap();
    let ids = chunk_ids(parts, &refs())?;
    open_key_blob(&session.blob, *dom, &ids, kb).map(|keys| keys.to_vec())
}

fn data(segment: &mut Segment, index: usize) -> &mut FileData {
    segment.entries[index].data.as_mut().unwrap()
}

const REFUSED: Result<Vec<[u8; 32]>, PayloadError> =
    Err(PayloadError::KeyBlob(CryptoError::BadTag));

#[test]
fn the_unchanged_tree_opens() {
    for index in 0..3 {
        assert_eq!(restore(&tree(), index).unwrap(), keys(2));
    }
}

#[test]
fn n14_blob_swapped_between_files() {
    let mut tree = tree();
    let (left, right) = tree.entries.split_at_mut(1);
    let (Some(FileData::Chunks { kb: a, .. }), Some(FileData::Chunks { kb: b, .. })) =
        (&mut left[0].data, &mut right[0].data)
    else {
        panic!()
    };
    std::mem::swap(a, b);
    assert_eq!(restore(&tree, 0), REFUSED);
    assert_eq!(restore(&tree, 1), REFUSED);
    assert_eq!(restore(&tree, 2).unwrap(), keys(2));
}

#[test]
fn n14_session_swapped() {
    let mut swapped = tree();
    let FileData::Chunks { ses_idx, .. } = data(&mut swapped, 0) else {
        panic!()
    };
    *ses_idx = 1;
    assert_eq!(restore(&swapped, 0), REFUSED);
    // The same by exchanging the table, or by claiming another epoch.
    let mut swapped = tree();
    swapped.sessions.swap(0, 1);
    assert_eq!(restore(&swapped, 0), REFUSED);
    assert_eq!(restore(&swapped, 2), REFUSED);
    let mut swapped = tree();
    swapped.sessions[0].1 = 2;
    assert_eq!(restore(&swapped, 0), REFUSED);
    assert_eq!(restore(&swapped, 2).unwrap(), keys(2));
}

#[test]
fn n14_domain_swapped() {
    for wrong in [0, GROUP + 1, DOM_PRIVATE] {
        let mut swapped = tree();
        let FileData::Chunks { dom, .. } = data(&mut swapped, 1) else {
            panic!()
        };
        *dom = wrong;
        assert_eq!(restore(&swapped, 1), REFUSED);
    }
}

#[test]
fn n14_chunks_reordered_replaced_added_or_dropped() {
    let with = |refs: &[u32]| {
        let mut changed = tree();
        let FileData::Chunks { parts, kb, .. } = data(&mut changed, 0) else {
            panic!()
        };
        *parts = refs.iter().map(|r| chunk(*r, 1000)).collect();
        kb.resize(key_blob_len(refs.len()), 0);
        changed.entries[0].size = 1000 * refs.len() as u64;
        restore(&changed, 0)
    };
    assert_eq!(with(&[0, 1]).unwrap(), keys(2));
    for other in [&[1, 0][..], &[0, 2], &[0, 0], &[0], &[0, 1, 1]] {
        assert_eq!(with(other), REFUSED, "{other:?}");
    }
}

#[test]
fn n14_changed_blobs_and_wrong_counts() {
    let session = session("first");
    let ids = &refs()[..2];
    let kb = seal_key_blob(&session.blob, GROUP, ids, &keys(2)).unwrap();
    let open = |kb: &[u8]| open_key_blob(&session.blob, GROUP, ids, kb).map(|keys| keys.to_vec());
    for bit in 0..kb.len() * 8 {
        let mut flipped = kb.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&flipped), REFUSED);
    }
    for len in [0, 39, 40, kb.len() - 1, kb.len() + 1] {
        let mut other = kb.clone();
        other.resize(len, 0);
        assert_eq!(open(&other), Err(PayloadError::KeyCount));
    }
    assert_eq!(open(&kb).unwrap(), keys(2));
    let mismatch = seal_key_blob(&session.blob, GROUP, ids, &keys(1));
    assert_eq!(mismatch, Err(PayloadError::KeyCount));
    let none = seal_key_blob(&session.blob, GROUP, &[], &[]).unwrap();
    assert!(none.is_empty());
    assert!(
        open_key_blob(&session.blob, GROUP, &[], &none)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn n14_the_list_key_opens_no_chunk_keys() {
    // Everything a list-only export derives, tried as the key of the blob.
    let session = session("first");
    let kb = seal_key_blob(&session.blob, GROUP, &refs(), &keys(4)).unwrap();
    for key in [
        &session.node,
        &owner().list_secret(3),
        &owner().session_psk(3),
    ] {
        let opened = open_key_blob(key, GROUP, &refs(), &kb).map(|keys| keys.to_vec());
        assert_eq!(opened, REFUSED);
    }
}
