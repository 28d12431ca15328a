//! Whole objects, with the key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packnback_proto::crypto::hash::object_id;
use packnback_proto::crypto::seal::seal;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::format::frame::Decompressor;
use packnback_proto::format::header::{EPK_LEN, FIXED_LEN};
use packnback_proto::format::object::open_object;

fuzz_target!(|data: &[u8]| {
    // The input is header and frame; sealing it here lets the fuzzer get behind the encryption.
    let key = Secret32::new([7; 32]);
    let header = data
        .get(8..12)
        .map_or(0, |n| u32::from_le_bytes(n.try_into().unwrap()));
    let is_chunk = data.get(4) == Some(&0);
    let refs = usize::try_from(header % 8192).unwrap();
    let len = FIXED_LEN + if is_chunk { 0 } else { EPK_LEN } + 32 * refs;
    let Some((header, frame)) = data.split_at_checked(len) else {
        return;
    };
    let object = [header, &seal(&key, header, frame).unwrap()].concat();
    let mut decompressor = Decompressor::new().unwrap();
    let wrong_key = Secret32::new([8; 32]);
    assert!(open_object(&mut decompressor, &object, &object_id(&object), &wrong_key).is_err());
    if let Ok((header, _)) = open_object(&mut decompressor, &object, &object_id(&object), &key) {
        assert_eq!(header.encoded_len(), len);
    }
});
