//! Key files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packnback_proto::keyfile::{inspect, open_unprotected, seal_unprotected};

fuzz_target!(|data: &[u8]| {
    // Protected files are only taken apart: hashing a passphrase is slow on purpose.
    if let Ok(seed) = open_unprotected(data) {
        assert!(inspect(data).is_ok());
        assert_eq!(seal_unprotected(&seed).as_slice(), data);
    }
});
