//! Decisions of a host: who may open a session, what may be stored, when a snapshot is accepted,
//! what a reader may see, what hosts may copy from each other.
//!
//! Pure: facts and `now` come in, verdicts go out. The node and the simulations carry out the same
//! verdicts. Signatures are verified by the record decoders before a record gets here.

pub mod budget;
pub mod closure;
pub mod commit;
pub mod grant;
pub mod orders;
pub mod rate;
pub mod reading;
pub mod replica;
pub mod session;

#[cfg(test)]
mod tests;
