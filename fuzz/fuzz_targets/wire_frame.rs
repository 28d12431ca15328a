//! Lengths and headers of messages, and invite tokens.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packnback_proto::limits::{FRAME_BODY_MAX, FRAME_HEADER_MAX};
use packnback_proto::wire::frame::{FrameHead, decode};
use packnback_proto::wire::invite::{InviteReply, InviteRequest, InviteToken};
use packnback_proto::wire::local::{LocalReply, LocalRequest, Tagged};
use packnback_proto::wire::store::{StoreReply, StoreRequest};

fuzz_target!(|data: &[u8]| {
    if let Some(head) = data.first_chunk() {
        if let Ok(head) = FrameHead::parse(*head) {
            assert!(head.header_len <= FRAME_HEADER_MAX && head.body_len <= FRAME_BODY_MAX);
        }
    }
    drop(decode::<StoreRequest>(data));
    drop(decode::<StoreReply>(data));
    drop(decode::<LocalRequest>(data));
    drop(decode::<LocalReply>(data));
    drop(decode::<Tagged<LocalRequest>>(data));
    drop(decode::<Tagged<LocalReply>>(data));
    drop(decode::<InviteRequest>(data));
    drop(decode::<InviteReply>(data));
    if let Ok(text) = std::str::from_utf8(data) {
        drop(InviteToken::from_text(text));
    }
});
