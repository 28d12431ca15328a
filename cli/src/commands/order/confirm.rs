//! What a person has to say before something is signed that loses much.

use std::io::{self, BufRead, IsTerminal, Write};

use packnback_proto::record::Op;
use packnback_proto::request::{Plan, Wanted};

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
    let goes: Vec<String> = plan.goes().map(|(_, snap)| snap.id.to_string()).collect();
    as_expected(&goes, &args.expect)?;
    let farewells: Vec<&Wanted> = plan
        .wanted
        .iter()
        .filter(|wanted| wanted.op == Op::DropOwner)
        .collect();
    // A request with a farewell holds nothing else: who confirmed the loss of everything at a host
    // has confirmed that of the newest there.
    if !farewells.is_empty() {
        let several = farewells.len() > 1;
        return farewells
            .iter()
            .try_for_each(|wanted| drop_of_everything(voice, plan, wanted, several, args));
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

/// If it was said which snapshots go, it must be these and no others.
fn as_expected(goes: &[String], expect: &[String]) -> Outcome<()> {
    if expect.is_empty() {
        return Ok(());
    }
    let unexpected = goes
        .iter()
        .find(|id| !expect.iter().any(|text| names(text, id)));
    let unmet = expect.iter().find(|text| {
        let hits = goes.iter().filter(|id| names(text, id)).count();
        hits != 1
    });
    let what = match (unexpected, unmet) {
        (Some(id), _) => format!(
            "snapshot {} would go, and was not expected to",
            id.chars().take(DIGITS).collect::<String>()
        ),
        (None, Some(text)) => format!(
            "{} was expected to go, and is not one of the {} that would",
            render::path(text.as_bytes()),
            goes.len()
        ),
        (None, None) => return Ok(()),
    };
    Err(Failure::refused("unexpected", what)
        .safe(NOTHING)
        .next("Look at what the request wants: packnback order show FILE"))
}

fn drop_of_everything(
    voice: Voice,
    plan: &Plan,
    wanted: &Wanted,
    several: bool,
    args: &ConfirmArgs,
) -> Outcome<()> {
    let owner = plan.owner.to_string();
    let Some([host]) = wanted.audience.as_deref() else {
        return Err(Failure::refused(
            "drop-owner",
            "deleting everything of an owner is asked for by one order for each host",
        )
        .safe(NOTHING));
    };
    let whole = host.to_string();
    let covers = |text: &String| match text.split_once('@') {
        Some((of, at)) => names(of, &owner) && names(at, &whole),
        None => !several && names(text, &owner),
    };
    if args.confirm_owner.iter().any(covers) {
        return Ok(());
    }
    let what = format!(
        "everything of owner {} would go from host {}, what is not shown here as well",
        plan.owner.short(),
        host.short()
    );
    if typed(voice, &what, &owner)? == Some(true) {
        return Ok(());
    }
    let digits = if several {
        format!("{}@{}", plan.owner.short(), host.short())
    } else {
        plan.owner.short()
    };
    Err(
        Failure::refused("drop-owner", format!("{what}, and that was not confirmed"))
            .safe(NOTHING)
            .next(format!("Confirm it: --confirm-owner {digits}")),
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
    let farewell = plan.wanted.iter().any(|wanted| wanted.op == Op::DropOwner);
    if going == 0 && !farewell {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n27_only_what_was_expected_is_signed() {
        let goes = ["0123456789abcdef", "fedcba9876543210"].map(str::to_owned);
        let (one, other) = ("0123456789".to_owned(), "fedcba98".to_owned());
        assert!(as_expected(&goes, &[]).is_ok(), "nothing was said");
        assert!(as_expected(&goes, &[one.clone(), other.clone()]).is_ok());
        let more = "00000000".to_owned();
        for expect in [
            vec![one.clone()],
            vec![one, other, more.clone()],
            vec![more],
            vec!["0123456".to_owned()],
        ] {
            assert!(as_expected(&goes, &expect).is_err(), "{expect:?}");
        }
    }

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
