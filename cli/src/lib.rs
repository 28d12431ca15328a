//! packnback's command line: reads files, seals them, signs and renders. The program is `packnback`.
//!
//! Rooms in here: [`fs`] (files and their attributes), [`snapshot`] (the reading room), [`backup`] and
//! [`restore`] with [`pipeline`] and [`keys`] that serve both,
//! [`cache`] (what the last run knew), [`client`] (the local node's socket), [`commands`] (one file
//! per command). Around them: the home and its device bundle, secrets typed in, the start of the
//! node, exit codes, and what people see.
//!
//! All of these are private, so that the compiler says what nothing needs; [`parts`] names what others use. [`snapshot`] is a
//! library for whatever reads snapshots next, and serves it whole.
#![allow(unreachable_pub)]

mod args;
mod backup;
mod bundle;
mod cache;
mod choice;
mod client;
mod commands;
mod enrol;
mod exchange;
mod exit;
mod failures;
mod fs;
mod home;
mod keys;
mod meter;
mod peer_addr;
mod pipeline;
mod progress;
mod records;
mod recovered;
mod render;
mod request;
mod restore;
mod run;
mod secrets;
mod sets;
mod sheet;
pub mod snapshot;
mod spawn;
mod system;
mod tables;
mod units;

pub mod parts;

use packnback_sys::files;
pub use run::{run, run_with};
