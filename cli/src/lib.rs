//! packnback's command line: reads files, seals them, signs and renders. The program is `packnback`.
//!
//! Rooms in here: [`fs`] (files and their attributes), [`backup`] and [`restore`] (pipelines),
//! [`cache`] (what the last run knew), [`client`] (the local node's socket).

pub mod backup;
pub mod cache;
pub mod client;
pub mod fs;
pub mod progress;
pub mod restore;
