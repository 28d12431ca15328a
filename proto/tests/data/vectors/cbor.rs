use packnback_proto::cbor::{Bounds, decode_value};
use packnback_proto::limits::{CBOR_DEPTH_MAX, RECORD_MAX};
use serde_json::json;

use super::{diag, golden};
use crate::cbor_rules::RULES;

#[test]
fn vectors_cbor() {
    let bounds = Bounds {
        len: RECORD_MAX,
        depth: CBOR_DEPTH_MAX,
    };
    let cases: Vec<_> = RULES
        .iter()
        .map(|(name, hex, expected)| {
            let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
            let result = decode_value(&bytes, bounds);
            assert_eq!(
                result.as_ref().map(drop),
                expected.as_ref().map(drop),
                "{name}"
            );
            match result {
                Ok(value) => json!({ "name": name, "cbor": hex, "value": diag(&value) }),
                Err(error) => json!({ "name": name, "cbor": hex, "error": error.class() }),
            }
        })
        .collect();
    let about = "Deterministic CBOR, at most 6 deep. `value` is the diagnostic notation of \
                 RFC 8949; `error` the class of refusal.";
    golden("cbor", about, &cases);
}
