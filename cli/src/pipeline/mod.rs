//! What a pipeline of threads is made of, whether it saves or restores: how it is stopped, what it notes,
//! and how much it may have in hand.

mod budget;
mod notes;
mod run;

pub use budget::{Budget, Permit};
pub use notes::FileNote;
pub(crate) use notes::Notes;
pub use run::Cancel;
pub(crate) use run::{Run, RunError, Stop};
