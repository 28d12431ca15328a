//! Indexes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packnback_proto::format::index::{decode, encode};

fuzz_target!(|data: &[u8]| {
    if let Ok(children) = decode(data, 8) {
        assert_eq!(encode(&children).unwrap(), data);
    }
});
