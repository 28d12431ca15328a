//! What other programs of this repository use of this one: the stage of the demo and the drills, tests, measurements.
//! Everything else is this crate's own, and the compiler says what of it nothing needs.

pub use crate::args::{Cli, Command, DrillCommand, FIRST_STEPS, parse};
pub use crate::bundle::Bundle;
pub use crate::client::Client;
pub use crate::commands::recover::grant_all;
pub use crate::exit::{Exit, Failure, Outcome};
pub use crate::fs::{Kind, Walk, WalkItem, WalkOptions};
pub use crate::home::Home;
pub use crate::pipeline::Cancel;
pub use crate::progress::Silent;
pub use crate::restore::export_raw;
pub use crate::secrets::{KeySource, OWNER_KEY_VARIABLE, PassphraseSource, read_owner_key};
pub use crate::snapshot::{ObjectSource, Remote};
pub use crate::spawn::{COMPANION_WORD, find_node_program, log_tail};

/// What people see.
pub mod render {
    pub use crate::render::{Voice, bytes, counted, duration, path, rate};
}

/// What the system is asked for.
pub mod system {
    pub use crate::system::{cancel_and_clean_up, now, random};
}
