//! Words and QR text of the owner seed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packnback_proto::qr::{from_qr, to_qr};
use packnback_proto::words::{from_words, to_words};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(seed) = from_words(text) {
        assert_eq!(
            from_words(&to_words(&seed)).unwrap().expose(),
            seed.expose()
        );
    }
    if let Ok(seed) = from_qr(text) {
        assert_eq!(*to_qr(&seed), text.trim().to_ascii_uppercase());
    }
});
