//! Segments with their entries.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packnback_proto::format::segment::{decode, encode};

fuzz_target!(|data: &[u8]| {
    if let Ok(segment) = decode(data, 8) {
        assert_eq!(encode(&segment).unwrap(), data);
    }
});
