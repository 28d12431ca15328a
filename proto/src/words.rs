//! The owner seed as 24 words of the English BIP39 list, for paper.
//!
//! The words are the 256 bits of the seed and 8 bits of checksum, as BIP39 lays them out; its
//! passphrase hashing is not used. Next to them the sheet shows the first eight hex digits of the
//! owner id, which tell one owner's sheet from another's.

use std::borrow::Cow;

use bip39::{Language, Mnemonic};
use zeroize::{Zeroize, Zeroizing};

use crate::crypto::keys::OwnerSeed;
use crate::crypto::secret::Secret32;

/// Words on a sheet.
pub const WORD_COUNT: usize = 24;
/// Most suggestions for one unknown word.
const SUGGESTIONS_MAX: usize = 5;

/// A word that is not in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownWord {
    /// Which word it is, counted from 1.
    pub position: usize,
    /// The word as given.
    pub word: String,
    /// The nearest words of the list, nearest first.
    pub suggestions: Vec<&'static str>,
}

/// Why words were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// Not 24 words.
    #[error("a recovery sheet has {WORD_COUNT} words, these are {}{}", .0, wallet(*.0))]
    Count(usize),
    /// Words of another list: those of a wallet or another program, not of a recovery sheet.
    #[error(
        "these are words of the {0} list, as wallets and other programs write them: a recovery sheet of packnback has {WORD_COUNT} English words"
    )]
    Foreign(&'static str),
    /// Words that are not in the list.
    #[error("{}", describe(.0))]
    Unknown(Vec<UnknownWord>),
    /// Every word is in the list, but they do not belong together.
    #[error("the words do not fit together: one is wrong, or two are in the wrong place")]
    Checksum,
    /// The words are those of another owner, or wrong in a way the checksum does not notice.
    #[error("these words belong to owner {words}, not to owner {expected}")]
    OtherOwner {
        /// Owner id digits that follow from the words.
        words: String,
        /// The digits they were compared with.
        expected: String,
    },
}

impl WordsError {
    /// Stable name of the kind of failure, as in the golden vectors.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Count(_) => "words-count",
            Self::Foreign(_) => "words-foreign",
            Self::Unknown(_) => "words-unknown",
            Self::Checksum => "words-checksum",
            Self::OtherOwner { .. } => "words-other-owner",
        }
    }
}

/// What so many words may be instead.
fn wallet(count: usize) -> &'static str {
    match count {
        12 | 15 | 18 | 21 => ": as many as a wallet may have, or a part of the sheet",
        20 | 33 => ": as many as a part of a secret that was split by another program",
        _ => "",
    }
}

/// Words needed to tell another list.
const FOREIGN_MIN: usize = 3;

/// The list all these words are of, if it is not ours.
fn foreign(words: &[&str]) -> Option<&'static str> {
    let others = Language::ALL
        .iter()
        .filter(|language| **language != Language::English);
    let normal: Vec<Cow<'_, str>> = words
        .iter()
        .map(|word| {
            let mut word = Cow::Borrowed(*word);
            Mnemonic::normalize_utf8_cow(&mut word);
            word
        })
        .collect();
    let knows_all =
        |language: &&Language| normal.iter().all(|word| language.find_word(word).is_some());
    let name = others
        .filter(|_| words.len() >= FOREIGN_MIN)
        .find(knows_all);
    name.map(|language| language_name(*language))
}

fn language_name(language: Language) -> &'static str {
    match language {
        Language::SimplifiedChinese | Language::TraditionalChinese => "Chinese",
        Language::Czech => "Czech",
        Language::French => "French",
        Language::Italian => "Italian",
        Language::Japanese => "Japanese",
        Language::Korean => "Korean",
        Language::Portuguese => "Portuguese",
        Language::Spanish => "Spanish",
        _ => "English",
    }
}

/// Whether a word may stand on a sheet. Upper case and space around are ignored.
///
/// # Errors
/// The nearest words that may.
pub fn check_word(position: usize, word: &str) -> Result<(), UnknownWord> {
    let lower = Zeroizing::new(word.trim().to_lowercase());
    if Language::English.find_word(&lower).is_some() {
        return Ok(());
    }
    Err(UnknownWord {
        position,
        word: (*lower).clone(),
        suggestions: suggestions(&lower),
    })
}

impl UnknownWord {
    /// In a sentence.
    #[must_use]
    pub fn describe(&self) -> String {
        describe(std::slice::from_ref(self))
    }
}

fn describe(unknown: &[UnknownWord]) -> String {
    let each = unknown.iter().map(|w| match w.suggestions.as_slice() {
        [] => format!("word {} ({:?}) is not in the list", w.position, w.word),
        near => format!(
            "word {} ({:?}) is not in the list; did you mean {}?",
            w.position,
            w.word,
            near.join(", ")
        ),
    });
    each.collect::<Vec<_>>().join("\n")
}

/// The words of a seed, separated by single spaces.
#[must_use]
pub fn to_words(seed: &OwnerSeed) -> Zeroizing<String> {
    // 24 words of at most eight letters: the string never moves and leaves no copy behind.
    let mut text = Zeroizing::new(String::with_capacity(WORD_COUNT * 9));
    // 32 bytes are a valid length, so there is always a mnemonic.
    for word in Mnemonic::from_entropy_in(Language::English, seed.expose())
        .iter()
        .flat_map(Mnemonic::words)
    {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// The first eight hex digits of the owner id, as printed next to the words.
#[must_use]
pub fn owner_digits(seed: &OwnerSeed) -> String {
    seed.owner_id().short()
}

/// The seed from typed words. Upper case, extra space and numbering (`1.`, `2)`, `3`) are ignored.
///
/// # Errors
/// [`WordsError`] but for [`WordsError::OtherOwner`].
pub fn from_words(text: &str) -> Result<OwnerSeed, WordsError> {
    let lower = Zeroizing::new(text.to_lowercase());
    let words: Vec<&str> = lower
        .split_whitespace()
        .filter(|word| !is_numbering(word))
        .collect();
    let unknown: Vec<_> = words
        .iter()
        .enumerate()
        .filter(|(_, word)| Language::English.find_word(word).is_none())
        .map(|(index, word)| UnknownWord {
            position: index.saturating_add(1),
            word: (*word).to_owned(),
            suggestions: suggestions(word),
        })
        .collect();
    if let Some(language) = (!unknown.is_empty()).then(|| foreign(&words)).flatten() {
        return Err(WordsError::Foreign(language));
    }
    if words.len() != WORD_COUNT {
        return Err(WordsError::Count(words.len()));
    }
    if !unknown.is_empty() {
        return Err(WordsError::Unknown(unknown));
    }
    let joined = Zeroizing::new(words.join(" "));
    let mnemonic = Mnemonic::parse_in_normalized(Language::English, &joined);
    let (mut entropy, len) = mnemonic
        .map_err(|_| WordsError::Checksum)?
        .to_entropy_array();
    let seed = entropy.get(..len).and_then(Secret32::from_slice);
    entropy.zeroize();
    seed.map(OwnerSeed::new).ok_or(WordsError::Checksum)
}

/// Compares a seed with the digits of an owner id: those printed on the sheet, or those of a home.
/// Upper case and space around are ignored; more than the first eight digits may be given.
///
/// # Errors
/// [`WordsError::OtherOwner`], also for fewer than eight digits.
pub fn check_owner(seed: &OwnerSeed, digits: &str) -> Result<(), WordsError> {
    let given = digits.trim().to_ascii_lowercase();
    if given.len() >= 8 && seed.owner_id().to_string().starts_with(&given) {
        return Ok(());
    }
    Err(WordsError::OtherOwner {
        words: owner_digits(seed),
        expected: given,
    })
}

fn is_numbering(word: &str) -> bool {
    let digits = word.trim_end_matches(['.', ')', ':']);
    !word.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Words of the list near to `word`: by typing errors, then by beginning. Four letters are enough
/// to tell the words of the list apart.
fn suggestions(word: &str) -> Vec<&'static str> {
    let start: String = word.chars().take(4).collect();
    let mut ranked: Vec<(usize, &'static str)> = Language::English
        .word_list()
        .iter()
        .map(|candidate| {
            let same_start = start.chars().count() >= 3 && candidate.starts_with(&start);
            (
                if same_start {
                    1
                } else {
                    distance(word, candidate)
                },
                *candidate,
            )
        })
        .filter(|(rank, _)| *rank <= 2)
        .collect();
    ranked.sort_unstable();
    ranked.truncate(SUGGESTIONS_MAX);
    ranked.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Number of letters to insert, delete, replace, or swap with their neighbour (optimal string
/// alignment). Words much longer than any of the list are far from all of them.
fn distance(a: &str, b: &str) -> usize {
    if a.chars().count().abs_diff(b.chars().count()) > 2 {
        return usize::MAX;
    }
    strsim::osa_distance(a, b)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn n22_words_of_other_lists_are_told_as_such() {
        for (language, name) in [
            (Language::Spanish, "Spanish"),
            (Language::Japanese, "Japanese"),
            (Language::SimplifiedChinese, "Chinese"),
            (Language::Czech, "Czech"),
        ] {
            for len in [16, 32] {
                let words = Mnemonic::from_entropy_in(language, &[7; 32][..len]).unwrap();
                let refused = from_words(&words.to_string()).err().unwrap();
                assert_eq!(refused, WordsError::Foreign(name), "{len}");
            }
        }
        let wallet = Mnemonic::from_entropy_in(Language::English, &[7; 16]).unwrap();
        let refused = from_words(&wallet.to_string()).err().unwrap();
        assert_eq!(refused, WordsError::Count(12));
        assert!(refused.to_string().contains("wallet"));
        assert_eq!(check_word(1, " Abandon "), Ok(()));
        let near = check_word(3, "abandom").unwrap_err();
        assert_eq!(near.position, 3);
        assert!(near.describe().contains("abandon"), "{near:?}");
    }
}
