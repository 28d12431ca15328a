//! The ports in memory, for tests and simulations: a network without sockets, a clock that can be
//! turned, dice that fall the same way each time. Nothing here asks the machine for anything, so a run
//! under tokio's paused time on one thread repeats itself.
//!
//! What it does not have: libp2p's limits on connections and streams, and the closing of connections
//! that nobody uses.

mod dice;
mod pipe;
mod station;
mod time;
mod tuning;
mod wire;

pub use dice::SeededDice;
pub use time::VirtualClock;
pub use tuning::Tuning;
pub use wire::{Line, Wire};
