//! `packnback device`: machines of the owner. A new one asks, the owner answers, and nothing secret of
//! the owner but what it needs to write ever reaches it.

mod enroll;
mod join;
mod known;
mod limits;
mod list;
mod request;
mod revoke;

pub use join::join;
pub use request::{host_name, request};

use super::Context;
use crate::args::DeviceCommand;
use crate::exit::{Exit, Outcome};
use crate::render::print_line;
use crate::sheet::{QrStyle, draw_code};
use qrcode::EcLevel;

/// Runs the command.
///
/// # Errors
/// Keys that cannot do it, devices that are not known, texts that are damaged.
pub fn run(context: &Context, command: DeviceCommand) -> Outcome {
    match command {
        DeviceCommand::Request(args) => request(context, &args),
        DeviceCommand::Enroll(args) => enroll::run(context, &args),
        DeviceCommand::List { key } => list::run(context, &key),
        DeviceCommand::Revoke(args) => revoke::run(context, &args),
        DeviceCommand::Limits(args) => limits::run(context, &args),
    }
}

/// Shows a text to be carried: as it is if it goes nowhere else, and as a QR code if asked for.
fn show(context: &Context, text: &str, printed: bool, qr: bool) -> Outcome {
    if context.voice.json {
        return Ok(Exit::Done);
    }
    if printed {
        print_line(text)?;
    }
    if qr {
        // Upper case takes the least room, and readers accept it.
        let upper = text.to_ascii_uppercase();
        match draw_code(upper.as_bytes(), EcLevel::L, QrStyle::for_stdout(true)) {
            Some(picture) => print_line(&picture)?,
            None => context
                .voice
                .note("It is too long for a QR code: carry the text or the file."),
        }
    }
    Ok(Exit::Done)
}
