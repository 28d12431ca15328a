//! Whatever the strict check lets through is what an encoder of deterministic CBOR makes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packnback_proto::cbor::{Bounds, check, decode_value, encode_value};

fuzz_target!(|data: &[u8]| {
    let bounds = Bounds {
        len: 1 << 16,
        depth: 6,
    };
    if check(data, bounds).is_ok() {
        let value = decode_value(data, bounds).unwrap();
        assert_eq!(encode_value(&value).unwrap(), data);
    }
});
