//! `packnback drill ransomware`: plays an attack on a small world of this machine, and shows what stopped it.
//!
//! | Module | Does |
//! |---|---|
//! | [`play`] | what every drill begins and ends with, and the play of this one |
//! | [`scene`] | two devices of one owner, two hosts, backups, a policy |
//! | [`loot`] | the records the attacker has seen |
//! | [`attack`] | runs the attacker, a process of its own ([`crate::attack`]) |
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

pub(crate) use hostile::run as hostile_friend;
pub(crate) use play::ransomware;
