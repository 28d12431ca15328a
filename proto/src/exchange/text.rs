//! Bytes as one line of text: prefix, then base32 of the bytes and four bytes of their BLAKE3.
//!
//! Letters, digits and `-` only: in upper case a QR code stores it in its compact mode.

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use super::ExchangeError;
use crate::crypto::primitives::blake3;

const CHECK_LEN: usize = 4;

/// What a text stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextForm {
    /// Request of a new device.
    Request,
    /// Bundle for a new device.
    Bundle,
    /// A new certificate for a device that has its keys.
    Cert,
}

impl TextForm {
    /// Every form.
    pub const ALL: [Self; 3] = [Self::Request, Self::Bundle, Self::Cert];

    /// What the text begins with.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Request => "pnb-device-",
            Self::Bundle => "pnb-bundle-",
            Self::Cert => "pnb-cert-",
        }
    }

    /// The form of a text, by its beginning.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let start: String = text.trim_start().chars().take(16).collect();
        let start = start.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|form| start.starts_with(form.prefix()))
    }
}

/// As text.
#[must_use]
pub fn to_text(form: TextForm, bytes: &[u8]) -> String {
    let mut checked = bytes.to_vec();
    checked.extend(blake3(bytes).iter().take(CHECK_LEN));
    let digits = BASE32_NOPAD.encode(&checked).to_ascii_lowercase();
    format!("{}{digits}", form.prefix())
}

/// From text. White space anywhere and case are ignored.
///
/// # Errors
/// [`ExchangeError::Prefix`], [`ExchangeError::Damaged`].
pub fn from_text(form: TextForm, text: &str) -> Result<Zeroizing<Vec<u8>>, ExchangeError> {
    let text: String = text.split_whitespace().collect();
    let text = text.to_ascii_lowercase();
    let prefix = form.prefix();
    let digits = text
        .strip_prefix(prefix)
        .ok_or(ExchangeError::Prefix(prefix))?;
    let bytes = BASE32_NOPAD.decode(digits.to_ascii_uppercase().as_bytes());
    let mut bytes = Zeroizing::new(bytes.map_err(|_| ExchangeError::Damaged)?);
    let (content, check) = bytes
        .split_last_chunk::<CHECK_LEN>()
        .ok_or(ExchangeError::Damaged)?;
    if !blake3(content).starts_with(check) {
        return Err(ExchangeError::Damaged);
    }
    let len = content.len();
    bytes.truncate(len);
    Ok(bytes)
}
