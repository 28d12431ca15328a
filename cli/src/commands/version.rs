//! `packnback version`.

use packnback_proto::wire::local::API_VERSION;
use packnback_proto::wire::{INVITE_PROTOCOL, STORE_PROTOCOL};
use serde_json::json;

use crate::exit::{Exit, Outcome};
use crate::render::Voice;

/// Runs the command.
///
/// # Errors
/// When nobody reads it.
pub fn run(voice: Voice) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    voice.result(&json!({
        "version": version, "format": 1, "local_api": API_VERSION, "protocols": [STORE_PROTOCOL, INVITE_PROTOCOL],
    }))?;
    voice.say(&format!("packnback {version} (format 1, {STORE_PROTOCOL}, {INVITE_PROTOCOL}, local API {API_VERSION})"))?;
    Ok(Exit::Done)
}
