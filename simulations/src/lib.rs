//! packnback under virtual time: real nodes over a simulated network, simulated disks, clocks and dice, on one thread
//! and from one seed.
//!
//! | Module | Does |
//! |---|---|
//! | [`scenario`] | what is run: shapes and seeds |
//! | [`jobs`] | several seeds at once |
//! | [`plan`] | what is to happen when |
//! | [`world`] | lives through a plan |
//! | [`actors`] | devices, an owner, a blank machine that restores |
//! | [`site`] | a machine: a node that comes and goes on a disk that stays |
//! | [`net`], [`disk`], [`time`] | the ports of a node, simulated |
//! | [`ledger`] | what was promised and asked for |
//! | [`checks`] | looks for broken promises |
//! | [`pulse`] | whether a node works or spins |
//! | [`trace`], [`rng`] | what happened, and where chance comes from |
//!
//! There is no second implementation of anything a node does in here: the nodes are those of the product
//! (`packnback_node`, built without RocksDB).
#![deny(missing_docs)]

pub mod actors;
pub mod checks;
pub mod disk;
pub mod jobs;
pub mod ledger;
pub mod net;
pub mod plan;
pub mod pulse;
pub mod rng;
pub mod scenario;
pub mod site;
pub mod time;
pub mod trace;
pub mod world;
