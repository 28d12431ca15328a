//! `packnback init`: an owner key, its recovery sheet, and this machine as a device of that owner.

use std::io::{self, BufRead, IsTerminal};
use std::path::Path;

use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::words::to_words;
use packnback_sys::say::{note, note_raw};
use serde_json::json;

use super::Context;
use super::device::{self, host_name};
use crate::args::{InitArgs, RequestArgs};
use crate::bundle::Bundle;
use crate::client::Client;
use crate::enrol::{Enrolment, make_bundle, next_serial};
use crate::exit::{Exit, Failure, Outcome};
use crate::files::Existing;
use crate::recovered::check_goes_on;
use crate::render::{self, print_line};
use crate::secrets::{self, KeySource, PassphraseSource};
use crate::sheet::{QrStyle, SheetInfo, draw};
use crate::spawn::reach_node;
use crate::system;

/// Runs the command.
///
/// # Errors
/// A home that has an owner, a key below the home, no choice made in a pipe, and the usual ones.
pub fn run(context: &Context, args: &InitArgs) -> Outcome {
    context.home.check_user()?;
    if let Some(what) = &args.join {
        return device::join(context, args, what);
    }
    if let Some(out) = &args.join_request {
        let request = RequestArgs {
            out: out.clone(),
            label: args.label.clone(),
            qr: args.qr,
        };
        return device::request(context, &request);
    }
    let existing = existing_source(args);
    check_choice(args, existing.is_some())?;
    if let Some(file) = &args.owner_key_out {
        check_key_place(context, file)?;
    }
    if let Some(bundle) = Bundle::load_if_there(&context.home)? {
        return Err(already(&bundle));
    }
    let label = args.label.clone().unwrap_or_else(host_name);
    let (seed, is_new) = match &existing {
        Some(source) => {
            let passphrase = PassphraseSource {
                file: args.passphrase.passphrase_file.clone(),
                none: false,
            };
            (secrets::read_owner_key(source, &passphrase)?, false)
        }
        None => (OwnerSeed::new(system::random_secret()?), true),
    };
    check_goes_on(&context.home, (!is_new).then(|| seed.owner_id()))?;
    let client = reach_node(&context.home)?;
    check_node(&client, &seed, is_new)?;
    if is_new {
        hand_out(context, args, &seed)?;
    }
    let bundle = enrol(context, &client, &seed, &label)?;
    tell(context, args, &seed, &bundle)
}

fn existing_source(args: &InitArgs) -> Option<KeySource> {
    if args.words {
        return Some(KeySource::Words);
    }
    args.owner_key.clone().map(KeySource::File)
}

/// A key nobody has seen is a backup nobody can read: it must go somewhere.
fn check_choice(args: &InitArgs, existing: bool) -> Outcome<()> {
    if existing || args.owner_key_out.is_some() || args.owner_words {
        return Ok(());
    }
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        return Ok(());
    }
    Err(
        Failure::usage("this makes the owner key, and there is nobody to show it to")
            .safe("Nothing was made.")
            .next(
                "Say where it goes: --owner-key-out FILE, or --owner-words to print the 24 words.",
            ),
    )
}

fn check_key_place(context: &Context, file: &Path) -> Outcome<()> {
    if context.home.contains(file) {
        return Err(Failure::refused(
            "key-below-home",
            format!("{} is below the home of this node", file.display()),
        )
        .safe("Nothing was made.")
        .next(
            "The owner key must not lie on the machine it protects: name a stick or another disk.",
        ));
    }
    if file.symlink_metadata().is_ok() {
        return Err(
            Failure::refused("key-exists", format!("{} exists already", file.display()))
                .safe("It was not touched: it may be the only key to older backups.")
                .next("Choose another name, or use that key: packnback init --owner-key FILE"),
        );
    }
    Ok(())
}

fn already(bundle: &Bundle) -> Failure {
    Failure::refused(
        "has-owner",
        format!(
            "this home already belongs to owner {} (device {})",
            bundle.owner().short(),
            bundle.label
        ),
    )
    .safe("Nothing was changed.")
    .next("It is ready: packnback backup PATH... For a second owner use another folder: --home DIR")
}

fn check_node(client: &Client, seed: &OwnerSeed, is_new: bool) -> Outcome<()> {
    match client.hello().owner {
        Some(owner) if owner != seed.owner_id() => Err(Failure::refused(
            "has-owner",
            format!("the node of this home already belongs to owner {}", owner.short()),
        )
        .safe("Nothing was made.")
        .next(if is_new {
            "If its device bundle was lost, enrol again with that owner's key: packnback init --owner-key FILE. Else use another folder: --home DIR"
        } else {
            "Use the key of that owner, or another folder: --home DIR"
        })),
        _ => Ok(()),
    }
}

/// Writes or shows the new key. From here on it exists outside this process.
fn hand_out(context: &Context, args: &InitArgs, seed: &OwnerSeed) -> Outcome<()> {
    if let Some(file) = &args.owner_key_out {
        let passphrase = secrets::new_passphrase(&(&args.passphrase).into(), file)?;
        let key = seed.duplicate().into();
        secrets::write_key_file(file, &key, passphrase.as_ref(), Existing::Keep)?;
    }
    if context.voice.json || (args.owner_key_out.is_some() && !args.owner_words) {
        return Ok(());
    }
    let info = SheetInfo {
        friends: Vec::new(),
        date: render::time(system::now()),
        qr: QrStyle::for_stdout(!args.no_qr),
    };
    print_line(&draw(seed, &info))?;
    if args.owner_words || args.owner_key_out.is_some() {
        return Ok(());
    }
    confirm(seed)
}

/// Asks for two of the words, so that nobody goes on without having them on paper.
fn confirm(seed: &OwnerSeed) -> Outcome<()> {
    let words = to_words(seed);
    let wanted: Vec<(usize, &str)> = [4, 19]
        .into_iter()
        .filter_map(|n: usize| Some((n, words.split(' ').nth(n.checked_sub(1)?)?)))
        .collect();
    for (number, word) in wanted {
        for left in (0..3).rev() {
            note_raw(&format!(
                "Write the words down or print them. Then type word {number}: "
            ));
            let mut line = String::new();
            let read = io::stdin().lock().read_line(&mut line);
            if matches!(read, Ok(1..)) && line.trim().eq_ignore_ascii_case(word) {
                break;
            }
            if left == 0 || !matches!(read, Ok(1..)) {
                return Err(Failure::refused(
                    "not-confirmed",
                    "the word was not the one on the sheet",
                )
                .safe("Nothing was set up; this key was thrown away.")
                .next("Run `packnback init` again for a new key."));
            }
            note(&format!("That is not word {number}."));
        }
    }
    Ok(())
}

fn enrol(context: &Context, client: &Client, seed: &OwnerSeed, label: &str) -> Outcome<Bundle> {
    let node = client
        .hello()
        .node
        .ok_or_else(|| Failure::failed("node-protocol", "the node did not say who it is"))?;
    let now = system::now();
    let enrolment = Enrolment {
        label: label.to_owned(),
        serial: next_serial(now, serials(client, seed)?),
        now,
    };
    let bundle = make_bundle(seed, node, &enrolment, system::random_secret()?).map_err(|e| {
        Failure::usage(format!("the name {label:?} cannot be used: {e}"))
            .next("Choose another with --label NAME.")
    })?;
    client.adopt(bundle.cert.envelope().into())?;
    bundle.save(&context.home)?;
    Ok(bundle)
}

/// Serial numbers of certificates this node knows: it may be renewed after its bundle was lost.
fn serials(client: &Client, seed: &OwnerSeed) -> Outcome<Vec<u64>> {
    if client.hello().owner.is_none() {
        return Ok(Vec::new());
    }
    let catalog = client.catalog(seed.owner_id())?;
    Ok(catalog.certs.values().map(|c| c.value().serial).collect())
}

fn tell(context: &Context, args: &InitArgs, seed: &OwnerSeed, bundle: &Bundle) -> Outcome {
    let voice = context.voice;
    let mut result = json!({
        "owner": bundle.owner().to_string(),
        "node": bundle.device().to_string(),
        "label": bundle.label,
        "owner_key_file": args.owner_key_out,
    });
    if let (true, true, Some(map)) = (voice.json, args.owner_words, result.as_object_mut()) {
        map.insert("words".into(), to_words(seed).as_str().into());
    }
    voice.result(&result)?;
    voice.say(&format!(
        "This machine ({}) is now a device of owner {}.",
        bundle.label,
        bundle.owner().short()
    ))?;
    if let Some(file) = &args.owner_key_out {
        voice.say(&format!("The owner key is in {}: it is the only way to read the backups. Print its sheet: packnback key sheet --owner-key {0}", file.display()))?;
    }
    voice.say("\nNext:")?;
    voice.say(
        "  packnback backup ~/Documents     save something (this machine cannot read or delete it)",
    )?;
    voice.say("  packnback peer invite            then send the line it prints to a friend")?;
    voice.say("  packnback status                 see which friends hold it")?;
    Ok(Exit::Done)
}
