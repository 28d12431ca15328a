//! packnback's node: the store, the service to friends, the local API and the network.
//!
//! | Module | Does |
//! |---|---|
//! | [`store`] | keeps objects, records and state; durable before anything is acknowledged |
//! | [`service`] | answers storage sessions of other nodes |
//! | [`api`] | what a node can be asked for, as typed functions |
//! | [`local`] | answers programs of this machine over a Unix socket |
//! | [`frames`] | messages on a stream |
//! | [`net`] | libp2p as a port: who may connect, streams between nodes |
//! | [`network`] | the node among its friends: serving, invites, reading from hosts |
//! | [`peers`] | the durable table of friends and invites |
//! | [`replicate`] | carries snapshots of this node to its friends |
//! | [`log`] | what is told of what happens, bounded |
//! | `runtime`, [`config`], [`settings`], [`listen`], [`identity`] | put a node together |
//! | `reader` | a node for one program, from a home that cannot be written |
//! | [`ports`] | what these need from the world and from each other |
//!
//! Decisions (who may, how much, is it complete) are in `packnback_proto::machine`.

pub mod api;
pub mod config;
pub mod frames;
pub mod identity;
pub mod listen;
pub mod local;
pub mod log;
pub mod net;
pub mod network;
pub mod peers;
pub mod ports;
#[cfg(feature = "rocks")]
pub mod reader;
pub mod replicate;
#[cfg(feature = "rocks")]
pub mod runtime;
pub mod service;
pub mod settings;
pub mod store;
