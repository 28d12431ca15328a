//! Known peers: the durable table of friends, invites and recovery keys, how an invite becomes a
//! friendship, and the other hosts of the owners served here.

mod book;
mod contacts;
mod exchange;
mod invite;
mod recovery;
mod replicas;
mod rows;
mod state;
mod stored;
mod table;

#[cfg(test)]
mod owner_tests;
#[cfg(test)]
mod tests;

pub use contacts::{Contact, Heard, Refusal};
pub use exchange::{ClaimOutcome, Introduction, claim_invite, serve_invite};
pub use invite::{
    Claim, ClaimContext, ClaimRefusal, INVITE_LIFETIME_MAX_S, Verdict, clean_addrs, clean_name,
    decide_claim,
};
pub use rows::{Friend, Invite};
pub use state::{Change, MemoryState, Row, StatePort};
pub use stored::StoredState;
pub use table::{Accepted, NewInvite, PeerTable};

pub use crate::ports::Gate;
