//! What a person has to say before something is signed that loses much.

use std::io::{self, BufRead, IsTerminal, Write};

use packnback_proto::record::Op;
use packnback_proto::request::Plan;

use crate::args::ConfirmArgs;
use crate::exit::{Failure, Outcome};
use crate::render::{self, Voice};

/// Digits of an id that confirm it.
const DIGITS: usize = 8;
const NOTHING: &str = "Nothing was signed.";

/// Asks for everything a plan needs confirmed.
///
/// # Errors
/// When it is not confirmed: nothing is to be signed then.
pub(super) fn confirm(voice: Voice, plan: &Plan, args: &ConfirmArgs) -> Outcome<()> {
    drop_of_everything(voice, plan, args)?;
    let drops = plan.wanted.iter().any(|wanted| wanted.op == Op::DropOwner);
    // Whoever confirmed the loss of everything has confirmed that of the newest.
    if drops {
        return Ok(());
    }
    for (device, snap) in plan.newest_going() {
        let id = snap.id.to_string();
        if args.confirm_newest.iter().any(|text| names(text, &id)) {
            continue;
        }
        let what = format!(
            "snapshot {} is the newest of device {}",
            snap.id.short(),
            device.device.short()
        );
        let asked = typed(voice, &what, &id)?;
        if asked != Some(true) {
            return Err(Failure::refused(
                "newest",
                format!("{what}, and its removal was not confirmed"),
            )
            .safe(NOTHING)
            .next(format!(
                "Leave it out, or confirm it: --confirm-newest {}",
                snap.id.short()
            )));
        }
    }
    Ok(())
}

fn drop_of_everything(voice: Voice, plan: &Plan, args: &ConfirmArgs) -> Outcome<()> {
    if !plan.wanted.iter().any(|wanted| wanted.op == Op::DropOwner) {
        return Ok(());
    }
    let owner = plan.owner.to_string();
    if args
        .confirm_owner
        .as_ref()
        .is_some_and(|text| names(text, &owner))
    {
        return Ok(());
    }
    let what = format!(
        "everything of owner {} would go from these hosts",
        plan.owner.short()
    );
    if typed(voice, &what, &owner)? == Some(true) {
        return Ok(());
    }
    Err(
        Failure::refused("drop-owner", format!("{what}, and that was not confirmed"))
            .safe(NOTHING)
            .next(format!(
                "Confirm it: --confirm-owner {}",
                plan.owner.short()
            )),
    )
}

/// Whether a text names this id: enough digits of its beginning.
fn names(text: &str, id: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    text.len() >= DIGITS && id.starts_with(&text)
}

/// Asks for the digits of an id; `None` if there is nobody to ask.
fn typed(voice: Voice, what: &str, id: &str) -> Outcome<Option<bool>> {
    if !can_ask(voice) {
        return Ok(None);
    }
    let digits: String = id.chars().take(DIGITS).collect();
    let answer = question(&format!(
        "WARNING: {what}.\nType {digits} to confirm, anything else to stop: "
    ))?;
    Ok(Some(names(&answer, id)))
}

fn can_ask(voice: Voice) -> bool {
    !voice.json && io::stdin().is_terminal()
}

fn question(text: &str) -> Outcome<String> {
    let failed =
        |e: io::Error| Failure::failed("terminal", format!("cannot ask: {e}")).safe(NOTHING);
    let mut err = io::stderr().lock();
    err.write_all(text.as_bytes())
        .and_then(|()| err.flush())
        .map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(answer)
}

/// Asks whether to go on if something goes, or may go by itself from then on.
pub(super) fn ask_if_lossy(voice: Voice, plan: &Plan, yes: bool) -> Outcome<()> {
    let going = plan.goes().count();
    let ranges = plan
        .wanted
        .iter()
        .any(|wanted| matches!(wanted.op, Op::DeleteRange { .. }));
    if going == 0 && !ranges {
        return Ok(());
    }
    let going = u64::try_from(going).unwrap_or(u64::MAX);
    let what = format!(
        "{} would be removed after the grace of each host.",
        render::counted(going, "snapshot", "snapshots")
    );
    ask(voice, &what, yes)
}

/// Asks whether to go on. `yes`: said so beforehand.
///
/// # Errors
/// When the answer is no, or there is nobody to ask.
pub fn ask(voice: Voice, what: &str, yes: bool) -> Outcome<()> {
    if yes {
        return Ok(());
    }
    if !can_ask(voice) {
        return Err(
            Failure::usage(format!("{what} Nobody is there to be asked about that."))
                .safe("Nothing was changed.")
                .next("Say --yes if it is meant."),
        );
    }
    let answer = question(&format!("{what} Go on? [y/N] "))?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Failure::refused("no", "stopped").safe("Nothing was changed."))
}

/// Asks at a terminal; a script that named key, request and output has said what it wants.
pub(super) fn ask_at_terminal(voice: Voice, what: &str, yes: bool) -> Outcome<()> {
    if can_ask(voice) {
        ask(voice, what, yes)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_confirmed_by_enough_of_its_own_digits() {
        let id = "0123456789abcdef";
        assert!(names("01234567", id));
        assert!(names(" 0123456789AB\n", id));
        for wrong in ["", "0123456", "y", "01234568", "0123456789abcdef0"] {
            assert!(!names(wrong, id), "{wrong}");
        }
    }
}
