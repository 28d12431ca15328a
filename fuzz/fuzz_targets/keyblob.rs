//! Sealed chunk keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::format::keyblob::open_key_blob;
use packnback_proto::ids::ObjectId;

fuzz_target!(|data: &[u8]| {
    let ids = vec![ObjectId([1; 32]); data.len().saturating_sub(40) / 32];
    let opened = open_key_blob(&Secret32::new([7; 32]), 0, &ids, data);
    assert_eq!(opened.is_ok(), data.is_empty(), "nobody knows the key");
});
