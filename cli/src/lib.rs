//! packnback's command line: reads files, seals them, signs and renders. The program is `packnback`.
//!
//! Rooms in here: [`fs`] (files and their attributes), [`snapshot`] (the reading room), [`backup`] and
//! [`restore`] with [`pipeline`] and [`keys`] that serve both,
//! [`cache`] (what the last run knew), [`client`] (the local node's socket), [`commands`] (one file
//! per command). Around them: the home and its device bundle, secrets typed in, the start of the
//! node, exit codes, and what people see.

pub mod args;
pub mod backup;
pub mod bundle;
pub mod cache;
pub mod choice;
pub mod client;
pub mod commands;
pub mod enrol;
pub mod exchange;
pub mod exit;
mod failures;
pub mod fs;
pub mod home;
pub mod keys;
pub mod meter;
pub mod peer_addr;
pub mod pipeline;
pub mod progress;
pub mod records;
pub mod recovered;
pub mod render;
pub mod request;
pub mod restore;
mod run;
pub mod secrets;
pub mod sets;
pub mod sheet;
pub mod snapshot;
pub mod spawn;
pub mod system;
pub mod tables;
pub mod units;

pub mod parts;

pub use packnback_sys::files;
pub use run::{run, run_with};
