//! Whose backups were brought back into this home: so that going on here goes on as that owner.

use packnback_proto::ids::OwnerId;

use crate::exit::{Failure, Outcome};
use crate::files::{Existing, read_small, write_private};
use crate::home::Home;

const FILE: &str = "recovered-owner";
const LEN_MAX: u64 = 128;

/// Notes that something of this owner was asked for with its key.
///
/// # Errors
/// When it cannot be written.
pub fn note_owner(home: &Home, owner: OwnerId) -> Outcome<()> {
    let path = home.config_dir().join(FILE);
    let text = format!("{owner}\n");
    write_private(&path, text.as_bytes(), Existing::Replace)
        .map_err(|e| Failure::file("note the owner in", &path, &e))
}

/// The owner noted; `None` if there is none, or the note is no longer readable.
#[must_use]
pub fn noted_owner(home: &Home) -> Option<OwnerId> {
    let bytes = read_small(&home.config_dir().join(FILE), LEN_MAX).ok()?;
    std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
}

/// A home into which backups were brought back goes on as their owner: a new key would begin a second
/// owner beside the first, whose history nobody would look at any more.
///
/// # Errors
/// When `owner` (`None`: a new one is to be made) is not the one noted.
pub fn check_goes_on(home: &Home, owner: Option<OwnerId>) -> Outcome<()> {
    let Some(noted) = noted_owner(home).filter(|noted| Some(*noted) != owner) else {
        return Ok(());
    };
    let what = match owner {
        None => "init would make a new owner".to_owned(),
        Some(other) => format!("this key is of owner {}", other.short()),
    };
    Err(Failure::refused(
        "recovered-owner",
        format!(
            "backups of owner {} were recovered into this home, and {what}",
            noted.short()
        ),
    )
    .safe("Nothing was made.")
    .next(format!(
        "To go on as owner {}: packnback init --owner-key FILE (or --words). For another owner use another folder: --home DIR",
        noted.short()
    )))
}
