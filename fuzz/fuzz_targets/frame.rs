//! Frames: compression and padding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packnback_proto::format::frame::Decompressor;
use packnback_proto::limits::RAW_MAX;

fuzz_target!(|data: &[u8]| {
    let mut raw = Vec::new();
    let result = Decompressor::new().unwrap().unframe_into(data, &mut raw);
    assert!(raw.len() <= RAW_MAX);
    assert!(result.is_ok() || raw.is_empty());
});
