//! The attack drill: plays an attacker who has taken everything of a device, against its hosts and its own node.
//!
//! It speaks the same protocols as a node, under the stolen identity, and breaks their rules. Nothing in here can do
//! what any other program with the stolen files could not. `packnback drill ransomware` starts it, and checks
//! afterwards that everything of before is still there (docs/drill.md).
//!
//! | Module | Tries |
//! |---|---|
//! | `local` | the own node's socket |
//! | `delete`, `alter`, `forge`, `replay` | to remove, change or sign what is not the device's, and old records |
//! | `read` | to read back without a grant |
//! | `poison` | to make others deduplicate against what is not there |
//! | `friend` | what a friend gone bad can do, see there |
//! | `starve`, `dates`, `displace`, `flood` | what a device may do, too much of it, and at odd times |
//!
//! A new attack is one function and one line in the table `ATTACKS` of its module.

mod alter;

mod attacker;
mod dates;
mod delete;
mod displace;
mod flood;
mod forge;
mod friend;
mod junk;
mod local;
mod poison;
mod read;
mod replay;
mod run;
mod socket;
mod spec;
mod starve;
mod tried;

pub(crate) use run::run;

/// Word before the file that tells the attacker's process whom to play.
pub(crate) const ATTACK_WORD: &str = "--attack";
