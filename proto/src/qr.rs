//! The owner seed as text for a QR code: `PNB1:` and base32 of `S || BLAKE3(S)[..4]`.
//!
//! Upper case, digits and `:` only, which a QR code stores in its compact alphanumeric mode.

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use crate::crypto::keys::OwnerSeed;
use crate::crypto::secret::Secret32;
use crate::keyfile::{CHECK_LEN, checksum};

const PREFIX: &str = "PNB1:";
/// Seed and checksum.
const PAYLOAD_LEN: usize = 32 + CHECK_LEN;
/// 36 bytes are 288 bits: 58 digits of five bits.
const DIGITS: usize = 58;

/// Why a text is not the seed of a QR code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QrError {
    /// Does not begin with the prefix.
    #[error("not a packnback key: it should begin with {PREFIX}")]
    Prefix,
    /// Not base32 of the right length.
    #[error("the key is cut off or has characters that do not belong there")]
    Digits,
    /// The checksum is wrong.
    #[error("the key has a typing or scanning error: its checksum is wrong")]
    Checksum,
}

impl QrError {
    /// Stable name of the kind of failure, as in the golden vectors.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Prefix => "qr-prefix",
            Self::Digits => "qr-digits",
            Self::Checksum => "qr-checksum",
        }
    }
}

/// The text for a QR code.
#[must_use]
pub fn to_qr(seed: &OwnerSeed) -> Zeroizing<String> {
    let mut payload = Zeroizing::new(Vec::with_capacity(PAYLOAD_LEN));
    payload.extend_from_slice(seed.expose());
    payload.extend_from_slice(&checksum(seed.expose()));
    let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + DIGITS));
    text.push_str(PREFIX);
    BASE32_NOPAD.encode_append(&payload, &mut text);
    text
}

/// The seed from a scanned or typed text. Space around it and lower case are tolerated.
///
/// # Errors
/// [`QrError`].
pub fn from_qr(text: &str) -> Result<OwnerSeed, QrError> {
    let upper = Zeroizing::new(text.trim().to_ascii_uppercase());
    let digits = upper.strip_prefix(PREFIX).ok_or(QrError::Prefix)?;
    if digits.len() != DIGITS {
        return Err(QrError::Digits);
    }
    let payload = BASE32_NOPAD.decode(digits.as_bytes()).map(Zeroizing::new);
    let payload = payload.map_err(|_| QrError::Digits)?;
    let (seed, check) = payload.split_first_chunk::<32>().ok_or(QrError::Digits)?;
    if checksum(seed) != *check {
        return Err(QrError::Checksum);
    }
    Ok(OwnerSeed::new(Secret32::init_with(|out| {
        out.copy_from_slice(seed)
    })))
}
