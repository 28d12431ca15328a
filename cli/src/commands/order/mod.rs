//! `packnback order`: requests, signatures, and what becomes of signed orders.

mod author;
mod confirm;
mod list;
mod make;
mod plan;
mod sign;
mod submit;
mod what;

pub use author::{Draft, deletions, issue, unix_sequence};
pub use confirm::ask;
pub use list::waiting_lines;
pub use make::{find_device, find_hosts, known_hosts};
pub use sign::{show, sign};
pub use what::{op_json, op_text, policy_json, policy_text, policy_warnings};

use super::Context;
use crate::args::OrderCommand;
use crate::exit::Outcome;

/// Runs the commands that need the node of this home.
///
/// # Errors
/// Refused requests and keys, no node, no such order or snapshot.
pub fn run(context: &Context, command: OrderCommand) -> Outcome {
    match command {
        OrderCommand::Show { file } => show(context.voice, &file),
        OrderCommand::Sign(args) => sign(context.voice, &args),
        OrderCommand::Submit { file } => submit::run(context, &file),
        OrderCommand::List => list::run(context),
        OrderCommand::Cancel { orders, sign } => make::cancel(context, &orders, &sign),
        OrderCommand::Hold { snaps, sign } => make::hold(context, &snaps, true, &sign),
        OrderCommand::Unhold { snaps, sign } => make::hold(context, &snaps, false, &sign),
        OrderCommand::Hosts { hosts, add, sign } => make::hosts(context, &hosts, add, &sign),
        OrderCommand::DeleteRange {
            device,
            from,
            to,
            max,
            sign,
        } => make::delete_range(context, &device, &make::Range { from, to, max }, &sign),
        OrderCommand::DropOwner { hosts, sign } => make::drop_owner(context, &hosts, &sign),
    }
}
