//! What the node needs from the world, and what its parts need from each other.
//!
//! Each side is written against these traits, so that it can be tested, and simulated, without the
//! other: the network never sees RocksDB, the store never sees libp2p, and neither reads the clock or
//! the dice of the machine.
//!
//! | Port | Is | Product | In memory |
//! |---|---|---|---|
//! | [`Transport`] | streams between nodes | [`crate::net`] | [`memory::Wire`] |
//! | [`Clock`] | the time | [`SystemClock`] | [`memory::VirtualClock`] |
//! | [`Dice`] | random bytes | [`SystemDice`] | [`memory::SeededDice`] |
//! | [`Blocking`] | where work that blocks runs | tokio's threads | inline |
//!
//! [`suite`] holds what every implementation has to pass. [`PeerBook`], [`Network`] and [`Remote`] are
//! between the rooms of the node.

mod blocking;
mod book;
mod clock;
mod dice;
mod env;
mod failure;
pub mod memory;
mod network;
mod pause;
mod progress;
pub mod suite;
mod system;
mod transport;

pub use blocking::{Blocking, Lag, Stopped};
pub use book::{Binding, PeerBook, Reach, Sponsor, Standing};
pub use clock::Clock;
pub use dice::{Dice, NoDice};
pub use env::Env;
pub use failure::Failure;
pub use network::{Network, RecordPage, Remote, RemoteInfo};
pub use pause::backoff;
pub use progress::{Counted, Progress};
pub use system::{SystemClock, SystemDice};
pub use transport::{
    Arrived, ByteStream, Duplex, Gate, NetError, NetStats, Opened, Path, PathEvent, PathId,
    Protocol, Transport, may_open,
};
