//! Reading secrets: owner keys from files and words, passphrases from prompts and files.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::crypto::keyset::OwnerKey;
use packnback_proto::keyfile::{KeyFileError, Protection, Work};
use packnback_proto::limits::SUBSET_LEN_MAX;
use packnback_proto::subset;
use packnback_proto::words::{WORD_COUNT, check_word, from_words};
use packnback_sys::say::note;
use zeroize::Zeroizing;

use crate::exit::{Failure, Outcome};
use crate::files::{Existing, read_small, write_private};
use crate::system::random;

/// Environment variable that names a key file.
pub const OWNER_KEY_VARIABLE: &str = "PACKNBACK_OWNER_KEY";
const PASSPHRASE_MAX: u64 = 4096;
const WORDS_MAX: u64 = 4096;
/// Fewest characters of a new passphrase: whoever finds the file may try as often as she likes.
const PASSPHRASE_CHARS_MIN: usize = 10;
/// Fewest different ones among them.
const PASSPHRASE_DIFFERENT_MIN: usize = 5;
/// Times a new passphrase is asked for.
const PASSPHRASE_TRIES: u32 = 3;
const UNCHANGED: &str = "Nothing was changed.";

/// Where an owner key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A key file.
    File(PathBuf),
    /// 24 words from the terminal or from standard input.
    Words,
}

/// How the passphrase of a key file is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassphraseSource {
    /// The first line of this file.
    pub file: Option<PathBuf>,
    /// There is none (for new key files).
    pub none: bool,
}

/// Reads an owner key, in full or a part of it.
///
/// # Errors
/// Wrong words, wrong passphrase, a damaged file; each with its own message.
pub fn read_key(source: &KeySource, passphrase: &PassphraseSource) -> Outcome<OwnerKey> {
    match source {
        KeySource::File(path) => open_key_file(path, passphrase),
        KeySource::Words => read_words().map(OwnerKey::from),
    }
}

/// Reads an owner key that must be the full one.
///
/// # Errors
/// As [`read_key`], and for a part of the owner key.
pub fn read_owner_key(source: &KeySource, passphrase: &PassphraseSource) -> Outcome<OwnerSeed> {
    Ok(read_key(source, passphrase)?.into_seed()?)
}

fn read_words() -> Outcome<OwnerSeed> {
    let text = words_text()?;
    from_words(&text).map_err(|error| {
        Failure::refused("words", error.to_string())
            .safe(UNCHANGED)
            .next("Compare each word with the sheet, in the order of its numbers; `packnback key verify-words` tries them.")
    })
}

/// Times a single word is asked for.
const WORD_TRIES: u32 = 5;

/// The words of a sheet: asked for one by one on a terminal, so that a wrong one is told at once;
/// all of them in one line are taken as well. Else from standard input. Not checked as a whole yet.
///
/// # Errors
/// When there is nobody to ask, or they cannot be read.
pub fn words_text() -> Outcome<Zeroizing<String>> {
    // Large enough never to move: no copy of the words is left behind.
    let mut text = Zeroizing::new(String::with_capacity(4096));
    if !io::stdin().is_terminal() {
        let read = io::stdin().take(WORDS_MAX).read_to_string(&mut text);
        read.map_err(|e| Failure::failed("words", format!("cannot read the words: {e}")))?;
        return Ok(text);
    }
    note(
        "Type the 24 words of the recovery sheet, each with Enter (they are not shown). All of them in one line will do too.",
    );
    for number in 1..=WORD_COUNT {
        let line = ask_word(number)?;
        let words = line.split_whitespace().count();
        if words > 2 {
            return Ok(line);
        }
        text.push_str(&line);
        text.push(' ');
    }
    Ok(text)
}

fn ask_word(number: usize) -> Outcome<Zeroizing<String>> {
    for _ in 0..WORD_TRIES {
        let typed = rpassword::prompt_password(format!("word {number} of {WORD_COUNT}: "));
        let line = Zeroizing::new(typed.map_err(|e| no_terminal(&e))?);
        // With its number before it, or the whole sheet at once.
        let mut words = line.split_whitespace().rev();
        match (words.next(), words.nth(1)) {
            (None, _) => continue,
            (Some(_), Some(_)) => return Ok(line),
            (Some(word), None) => match check_word(number, word) {
                Ok(()) => return Ok(line),
                Err(unknown) => note(&format!("  {}", unknown.describe())),
            },
        }
    }
    Err(
        Failure::refused("words", format!("word {number} is none of the list"))
            .safe(UNCHANGED)
            .next("Compare it with the sheet; is it a sheet of packnback, with 24 English words?"),
    )
}

/// Opens a key file of any kind.
///
/// # Errors
/// As [`read_key`].
pub fn open_key_file(path: &Path, passphrase: &PassphraseSource) -> Outcome<OwnerKey> {
    let limit = u64::try_from(SUBSET_LEN_MAX).unwrap_or(u64::MAX);
    let bytes = read_small(path, limit).map_err(|e| {
        Failure::file("read the owner key", path, &e)
            .safe(UNCHANGED)
            .next("Name the key file with --owner-key FILE, or type the words with --words.")
    })?;
    let bytes = Zeroizing::new(bytes);
    let refused = |error: KeyFileError| key_file_failure(path, &error);
    if subset::inspect(&bytes).map_err(refused)? == Protection::None {
        return subset::open(&bytes, None).map_err(refused);
    }
    let prompt = format!("Passphrase of {}: ", path.display());
    let phrase = ask_passphrase(passphrase, &prompt)?;
    subset::open(&bytes, Some(phrase.as_bytes())).map_err(refused)
}

fn key_file_failure(path: &Path, error: &KeyFileError) -> Failure {
    let what = format!("{}: {error}", path.display());
    match error {
        KeyFileError::WrongPassphrase | KeyFileError::EmptyPassphrase => {
            Failure::refused("passphrase", what)
                .safe(UNCHANGED)
                .next("Try again. If the passphrase is lost, the 24 words of the recovery sheet work too: --words")
        }
        KeyFileError::Memory => Failure::failed("memory", what)
            .safe(UNCHANGED)
            .next("Close other programs, or use the 24 words: --words"),
        _ => Failure::failed("key-file", what)
            .safe(UNCHANGED)
            .next("Use another copy of the key file, or the 24 words of the recovery sheet: --words"),
    }
}

/// Asks for the passphrase of an existing key file.
///
/// # Errors
/// When there is neither a file nor a terminal to ask at.
pub fn ask_passphrase(source: &PassphraseSource, prompt: &str) -> Outcome<Zeroizing<String>> {
    match &source.file {
        Some(path) => passphrase_from(path),
        None => rpassword::prompt_password(prompt)
            .map(Zeroizing::new)
            .map_err(|e| no_terminal(&e)),
    }
}

fn no_terminal(error: &io::Error) -> Failure {
    Failure::usage(format!("there is no terminal to ask at ({error})"))
        .safe(UNCHANGED)
        .next("Name a file that holds the passphrase: --passphrase-file FILE")
}

fn passphrase_from(path: &Path) -> Outcome<Zeroizing<String>> {
    let bytes = read_small(path, PASSPHRASE_MAX)
        .map_err(|e| Failure::file("read the passphrase from", path, &e).safe(UNCHANGED))?;
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        Failure::usage(format!("the passphrase in {} is not text", path.display())).safe(UNCHANGED)
    })?;
    Ok(Zeroizing::new(
        text.lines().next().unwrap_or_default().to_owned(),
    ))
}

/// The passphrase for a new key file: `None` only when it was asked for.
///
/// # Errors
/// When none can be had, it is too easily guessed, or the two typed ones differ.
pub fn new_passphrase(
    source: &PassphraseSource,
    file: &Path,
) -> Outcome<Option<Zeroizing<String>>> {
    if source.none {
        return Ok(None);
    }
    let phrase = match &source.file {
        Some(path) => passphrase_from(path)?,
        None if io::stdin().is_terminal() => typed_passphrase(file)?,
        None => {
            return Err(Failure::usage("a new key file needs a passphrase, and there is no terminal to ask at")
                .safe(UNCHANGED)
                .next("Use --passphrase-file FILE, or --no-passphrase if the file is kept safe otherwise."));
        }
    };
    check_new(&phrase)?;
    Ok(Some(phrase))
}

/// Asks twice; one that is too easily guessed is told before it is typed again.
fn typed_passphrase(file: &Path) -> Outcome<Zeroizing<String>> {
    let source = PassphraseSource::default();
    let prompt = format!(
        "New passphrase for {} (at least {PASSPHRASE_CHARS_MIN} characters): ",
        file.display()
    );
    let mut first = ask_passphrase(&source, &prompt)?;
    for _ in 1..PASSPHRASE_TRIES {
        let Err(failure) = check_new(&first) else {
            break;
        };
        note(&format!("{}. Another one, please.", failure.what));
        first = ask_passphrase(&source, &prompt)?;
    }
    check_new(&first)?;
    if *first != *ask_passphrase(&source, "The same again: ")? {
        return Err(Failure::refused("passphrase", "the two passphrases differ").safe(UNCHANGED));
    }
    Ok(first)
}

/// The floor of a passphrase for a new key file. Existing files open with whatever they have.
fn check_new(phrase: &str) -> Outcome<()> {
    let chars = phrase.trim().chars();
    let count = chars.clone().count();
    let different = chars.collect::<BTreeSet<char>>().len();
    let what = if count == 0 {
        "the passphrase is empty".to_owned()
    } else if count < PASSPHRASE_CHARS_MIN {
        format!(
            "the passphrase has {count} characters; a new key file needs at least {PASSPHRASE_CHARS_MIN}"
        )
    } else if different < PASSPHRASE_DIFFERENT_MIN {
        format!(
            "the passphrase has only {different} different characters; a new key file needs at least {PASSPHRASE_DIFFERENT_MIN}"
        )
    } else {
        return Ok(());
    };
    Err(Failure::refused("passphrase", what)
        .safe(UNCHANGED)
        .next("Choose a longer one, such as four words picked at random; or say --no-passphrase if the file is kept safe otherwise."))
}

/// Writes a key file of the kind of the key.
///
/// # Errors
/// When it cannot be written; an existing file is as it was then.
pub fn write_key_file(
    path: &Path,
    key: &OwnerKey,
    passphrase: Option<&Zeroizing<String>>,
    existing: Existing,
) -> Outcome<()> {
    let phrase = match passphrase {
        Some(phrase) => Some((phrase.as_bytes(), random()?, Work::default())),
        None => None,
    };
    let bytes = subset::seal(key, phrase).map_err(|e| key_file_failure(path, &e))?;
    write_private(path, &bytes, existing).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::refused("key-exists", format!("{} exists already", path.display()))
                .safe("It was not touched: it may be the only key to older backups.")
                .next("Choose another name.")
        }
        _ => Failure::file("write the owner key", path, &e).safe(UNCHANGED),
    })
}

#[cfg(test)]
mod tests {
    use super::check_new;

    #[test]
    fn a_new_passphrase_has_a_floor() {
        for weak in [
            "",
            " ",
            "a",
            "123456789",
            "         x ",
            "aaaaaaaaaaaa",
            "abababababab",
            "äöüßäöüßä",
        ] {
            assert!(check_new(weak).is_err(), "{weak:?}");
        }
        for good in ["correct horse", "0123456789", "äöüßéäöüßé"] {
            assert!(check_new(good).is_ok(), "{good:?}");
        }
    }
}
