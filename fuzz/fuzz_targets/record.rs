//! Bodies and envelopes of signed records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packnback_proto::record::{
    Body, Cert, Grant, Order, Receipt, Snap, decode_body, decode_record, encode_body,
};

fn body<T: Body>(data: &[u8]) {
    if let Ok(value) = decode_body::<T>(data) {
        assert_eq!(encode_body(&value).unwrap(), data);
    }
}

fuzz_target!(|data: &[u8]| {
    body::<Cert>(data);
    body::<Snap>(data);
    body::<Receipt>(data);
    body::<Order>(data);
    body::<Grant>(data);
    if let Ok(record) = decode_record(data) {
        assert_eq!(record.envelope(), data);
    }
});
