//! packnback's pure core: identifiers, limits, cryptography, format 1, signed records, wire messages and decisions.
//!
//! No clock, random generator, disk, socket or thread in here: time and randomness are arguments.
#![deny(missing_docs)]

pub mod cbor;
pub mod chunk;
pub mod crypto;
pub mod exchange;
pub mod format;
pub mod ids;
pub mod keyfile;
pub mod limits;
pub mod machine;
pub mod newest;
pub mod policy;
pub mod qr;
pub mod record;
pub mod request;
pub mod subset;
pub mod text;
pub mod wire;
pub mod words;
