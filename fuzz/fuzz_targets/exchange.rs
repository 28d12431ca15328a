//! Parts of the owner key, requests and answers that are carried between machines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::exchange::{JoinBundle, JoinRequest, TextForm, UnsealAnswer, UnsealRequest, from_text};
use packnback_proto::ids::NodeId;
use packnback_proto::subset;

fuzz_target!(|data: &[u8]| {
    // Protected files are only taken apart: hashing a passphrase is slow on purpose.
    if let Ok(key) = subset::open(data, None) {
        assert_eq!(subset::seal(&key, None).unwrap().as_slice(), data);
    }
    if let Ok(request) = JoinRequest::decode(data) {
        assert_eq!(request.encode().unwrap(), data);
    }
    if let Ok(request) = UnsealRequest::decode(data) {
        assert_eq!(request.encode().unwrap(), data);
    }
    let secret = Secret32::new([1; 32]);
    if let Ok(answer) = UnsealAnswer::decode(data) {
        assert_eq!(answer.encode(), data);
        drop(answer.open(&secret));
    }
    drop(JoinBundle::open(data, &secret, &NodeId([2; 32])));
    if let Ok(text) = std::str::from_utf8(data) {
        TextForm::ALL
            .into_iter()
            .for_each(|form| drop(from_text(form, text)));
    }
});
