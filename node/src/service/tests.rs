//! The numbered negative tests of docs/threat-model.md at the level of a session: each asserts the
//! refusal and that the store is as it was.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod admit;
mod commit;
mod friend;
mod have;
mod late;
mod orders;
mod put;
mod read;
mod replicas;
mod retention;
mod session;
mod sessions;
mod sets;
