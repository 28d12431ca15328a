//! Roots.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packnback_proto::format::root::{decode, encode};

fuzz_target!(|data: &[u8]| {
    if let Ok(root) = decode(data, 8) {
        assert_eq!(encode(&root).unwrap(), data);
    }
});
