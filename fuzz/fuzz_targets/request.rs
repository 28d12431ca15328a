//! Order requests, behind a checksum that fits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packnback_proto::cbor::Writer;
use packnback_proto::crypto::hash::object_id;
use packnback_proto::request::{decode, encode, order_from_text, verify};

fuzz_target!(|body: &[u8]| {
    let mut w = Writer::default();
    w.array(3);
    w.text("PNBREQ1");
    w.bytes(body);
    w.bytes(&object_id(body).0);
    let file = w.into_bytes();
    if let Ok(request) = decode(&file) {
        assert_eq!(encode(&request).unwrap(), file);
        drop(verify(&request, request.owner));
    }
    drop(decode(body));
    if let Ok(text) = std::str::from_utf8(body) {
        drop(order_from_text(text));
    }
});
