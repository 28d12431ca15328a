//! A friend gone bad: a real peer that was invited like any other, against its host and against the machine that
//! backs up to it. `packnback drill hostile-friend` starts it, and looks after each scheme whether an honest second
//! friend goes on (docs/drill.md).
//!
//! | Module | Tries |
//! |---|---|
//! | `opens` | certificates of owners without end, recovery keys without end, a recovery key that is another's |
//! | `bytes` | objects that are never made durable, records that nobody counts |
//! | `crowd` | identities, sessions and sockets without end |
//! | `work` | small messages that cost the host much |
//! | `noise` | lines in the log, control characters in everything that is text |
//! | `serve` | what it answers when it is asked: made-up heads, lists that do not end |
//! | `outlive` | to go on after the friendship has ended |
//!
//! A new scheme is one function and one line in the table `SCHEMES` of its module.

mod bytes;
mod crowd;
mod noise;
mod opens;
mod outlive;
mod peer;
mod run;
mod scheme;
mod serve;
mod serving;
mod work;

pub(super) use run::run;
pub(super) use scheme::Spec;
