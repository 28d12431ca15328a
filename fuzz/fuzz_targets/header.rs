//! Headers of objects, as a host sees them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packnback_proto::crypto::hash::object_id;
use packnback_proto::format::header::{parse_header, verify_object};

fuzz_target!(|data: &[u8]| {
    let parsed = parse_header(data);
    assert_eq!(
        verify_object(&object_id(data), data).is_ok(),
        parsed.is_ok()
    );
    if let Ok((header, payload)) = parsed {
        let mut again = Vec::new();
        header.write(&mut again).unwrap();
        assert_eq!(again, data[..payload]);
    }
});
