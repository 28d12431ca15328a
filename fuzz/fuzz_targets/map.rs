//! Maps of large files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packnback_proto::format::map::{decode, encode};

fuzz_target!(|data: &[u8]| {
    if let Ok(map) = decode(data, 8) {
        assert_eq!(encode(&map).unwrap(), data);
    }
});
