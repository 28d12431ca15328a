//! `packnback drill ransomware`: plays an attack on a small world of this machine, and shows what stopped it.
//!
//! | Module | Does |
//! |---|---|
//! | [`scene`] | two devices of one owner, two hosts, backups, a policy |
//! | [`loot`] | the records the attacker has seen |
//! | [`attack`] | runs the attacker, a process of its own (`packnback_node::drill`) |
//! | [`readback`] | the attacker's second half: tries every stolen secret on everything stored |
//! | [`safe`] | what has to be there afterwards as it was before |
//! | [`report`] | each attempt and what stopped it |
//! | [`hostile`] | the other drill: `packnback drill hostile-friend` |

mod attack;
mod hostile;
mod loot;
mod play;
mod readback;
mod report;
mod safe;
mod scene;
mod secrets;
mod trees;

use crate::args::DrillCommand;
use crate::exit::Outcome;
use crate::render::Voice;

/// Runs the command.
///
/// # Errors
/// When the world cannot be built. An attack that succeeds is no error but exit code 1.
pub fn run(voice: Voice, command: &DrillCommand) -> Outcome {
    match command {
        DrillCommand::Ransomware { keep } => play::ransomware(voice, *keep),
        DrillCommand::HostileFriend { scheme, keep } => hostile::run(voice, scheme, *keep),
    }
}
