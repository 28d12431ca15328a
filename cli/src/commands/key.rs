//! `packnback key`: owner keys and their sheets.

use std::path::Path;

use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::crypto::keyset::{KeyKind, OwnerKey};
use packnback_proto::keyfile::Protection;
use packnback_proto::subset::inspect;
use packnback_proto::words::{check_owner, from_words};
use serde_json::json;

use super::Context;
use crate::args::{KeyArgs, KeyCommand, NewKeyArgs};
use crate::bundle::Bundle;
use crate::commands::printed::{self, OnSheet};
use crate::exit::{Exit, Failure, Outcome};
use crate::files::{Existing, read_small};
use crate::render::{self, print_line};
use crate::secrets::{self, PassphraseSource};
use crate::sheet::{QrStyle, SheetInfo, draw};
use crate::spawn::running_node;
use crate::system;

/// Runs the command.
///
/// # Errors
/// Wrong words or passphrases, files that cannot be used.
pub fn run(context: &Context, command: KeyCommand) -> Outcome {
    match command {
        KeyCommand::New(args) => new(context, &args),
        KeyCommand::Sheet { key, no_qr } => sheet(context, &key, !no_qr),
        KeyCommand::VerifyWords { owner } => verify_words(context, owner.as_deref()),
        KeyCommand::Export(args) => super::keypart::export(context, &args),
        KeyCommand::Grant(args) => super::keypart::grant(context, &args),
        KeyCommand::Unseal(args) => super::keypart::unseal(context, &args),
        KeyCommand::Passwd {
            owner_key,
            passphrase_file,
            new_passphrase_file,
            no_passphrase,
        } => {
            let old = PassphraseSource {
                file: passphrase_file,
                none: false,
            };
            let new = PassphraseSource {
                file: new_passphrase_file,
                none: no_passphrase,
            };
            passwd(context, &owner_key, &old, &new)
        }
    }
}

fn new(context: &Context, args: &NewKeyArgs) -> Outcome {
    if context.home.contains(&args.out) {
        return Err(Failure::refused(
            "key-below-home",
            format!("{} is below the home of this node", args.out.display()),
        )
        .safe("Nothing was made.")
        .next(
            "The owner key must not lie on the machine it protects: name a stick or another disk.",
        ));
    }
    let passphrase = secrets::new_passphrase(&(&args.passphrase).into(), &args.out)?;
    let seed = OwnerKey::from(OwnerSeed::new(system::random_secret()?));
    secrets::write_key_file(&args.out, &seed, passphrase.as_ref(), Existing::Keep)?;
    context
        .voice
        .result(&json!({ "owner": seed.owner_id().to_string(), "owner_key_file": args.out }))?;
    context.voice.say(&format!(
        "Owner {}: the key is in {}. Print its sheet with: packnback key sheet --owner-key {1}",
        seed.owner_id().short(),
        args.out.display()
    ))?;
    Ok(Exit::Done)
}

fn sheet(context: &Context, key: &KeyArgs, qr: bool) -> Outcome {
    let seed = context.owner_key(key)?;
    let friends = friends(context);
    printed::note(context, &friends);
    let date = render::time(system::now());
    if context.voice.json {
        let words = packnback_proto::words::to_words(&seed);
        let friends: Vec<_> = friends
            .iter()
            .map(|friend| json!({ "name": friend.name, "addresses": friend.addresses }))
            .collect();
        context.voice.result(&json!({
            "owner": seed.owner_id().to_string(), "words": words.as_str(), "date": date, "friends": friends,
        }))?;
        return Ok(Exit::Done);
    }
    let mute: Vec<&str> = friends
        .iter()
        .filter(|friend| friend.addresses.is_empty())
        .map(|friend| friend.name.as_str())
        .collect();
    if !mute.is_empty() {
        context.voice.note(&format!(
            "WARNING: no address of {} is known here, so this sheet does not reach them. Print it again once they have connected.",
            mute.join(", ")
        ));
    }
    let friends = friends
        .into_iter()
        .map(|friend| (friend.name, friend.addresses));
    print_line(&draw(
        &seed,
        &SheetInfo {
            friends: friends.collect(),
            date,
            qr: QrStyle::for_stdout(qr),
        },
    ))?;
    Ok(Exit::Done)
}

/// The friends, if the node of this home runs: an offline machine prints a sheet without them.
fn friends(context: &Context) -> Vec<OnSheet> {
    let peers = running_node(&context.home)
        .ok()
        .flatten()
        .and_then(|client| client.peers().ok());
    printed::friends(&peers.unwrap_or_default())
}

fn verify_words(context: &Context, digits: Option<&str>) -> Outcome {
    let text = secrets::words_text()?;
    let wrong = |e: packnback_proto::words::WordsError| {
        Failure::refused("words", e.to_string())
            .safe("Nothing was changed.")
            .next("Correct the paper while the key file is still there: packnback key sheet --owner-key FILE")
    };
    let seed = from_words(&text).map_err(wrong)?;
    if let Some(digits) = digits {
        check_owner(&seed, digits).map_err(wrong)?;
    }
    let home = Bundle::load_if_there(&context.home)?.map(|bundle| bundle.owner());
    if let Some(home) = home.filter(|home| digits.is_none() && *home != seed.owner_id()) {
        return Err(Failure::refused(
            "other-owner",
            format!(
                "the words are right, but those of owner {}; this home belongs to owner {}",
                seed.owner_id().short(),
                home.short()
            ),
        )
        .safe("Nothing was changed.")
        .next("Look for the sheet with this home's owner on it."));
    }
    let matches_home = home.map(|home| home == seed.owner_id());
    context.voice.result(
        &json!({ "owner": seed.owner_id().to_string(), "valid": true, "this_home": matches_home }),
    )?;
    let of_home = if matches_home == Some(true) {
        ", the owner of this home"
    } else {
        ""
    };
    context.voice.say(&format!(
        "The 24 words are right: owner {}{of_home}.",
        seed.owner_id().short()
    ))?;
    Ok(Exit::Done)
}

fn passwd(
    context: &Context,
    path: &Path,
    old: &PassphraseSource,
    new: &PassphraseSource,
) -> Outcome {
    let key = secrets::open_key_file(path, old)?;
    let had = read_small(path, 64 * 1024)
        .ok()
        .and_then(|bytes| inspect(&bytes).ok());
    let passphrase = secrets::new_passphrase(new, path)?;
    secrets::write_key_file(path, &key, passphrase.as_ref(), Existing::Replace)?;
    let protected = passphrase.is_some();
    context.voice.result(&json!({ "owner": key.owner_id().to_string(), "kind": key.kind().name(), "owner_key_file": path, "protected": protected }))?;
    let what = match (had, protected) {
        (_, false) if key.kind() != KeyKind::Full => "The key file has no passphrase any more.",
        (_, false) => "The key file has no passphrase any more: whoever reads it is the owner.",
        (Some(Protection::None), true) => "The key file has a passphrase now.",
        _ => "The passphrase was changed.",
    };
    context.voice.say(&format!("{what} Copies of the file elsewhere still open with the old one; the 24 words are the same."))?;
    Ok(Exit::Done)
}
