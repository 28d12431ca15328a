//! A signed order as text: `PNBO1:` and base32 of its envelope.
//!
//! Upper case, digits and `:` only, which a QR code stores in its compact alphanumeric mode. The
//! signature tells every typing and scanning error.

use data_encoding::BASE32_NOPAD;

use crate::limits::RECORD_MAX;
use crate::record::{Order, RecordError, Signed, decode_order};

const PREFIX: &str = "PNBO1:";

/// Why a text is no signed order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderTextError {
    /// Does not begin with the prefix.
    #[error("not a signed order: it should begin with {PREFIX}")]
    Prefix,
    /// Not base32, or too long.
    #[error("the order is cut off or has characters that do not belong there")]
    Digits,
    /// The order does not verify.
    #[error("the order is not genuine, or has a typing or scanning error: {0}")]
    Record(#[from] RecordError),
}

/// The text of a signed order.
#[must_use]
pub fn order_to_text(order: &Signed<Order>) -> String {
    let mut text = PREFIX.to_owned();
    BASE32_NOPAD.encode_append(order.envelope(), &mut text);
    text
}

/// The order from a scanned or typed text. Space around it and lower case are tolerated.
///
/// # Errors
/// [`OrderTextError`].
pub fn order_from_text(text: &str) -> Result<Signed<Order>, OrderTextError> {
    let upper = text.trim().to_ascii_uppercase();
    let digits = upper.strip_prefix(PREFIX).ok_or(OrderTextError::Prefix)?;
    // Eight digits hold five bytes.
    if digits.len() / 8 > RECORD_MAX / 5 {
        return Err(OrderTextError::Digits);
    }
    let envelope = BASE32_NOPAD
        .decode(digits.as_bytes())
        .map_err(|_| OrderTextError::Digits)?;
    Ok(decode_order(&envelope)?)
}
