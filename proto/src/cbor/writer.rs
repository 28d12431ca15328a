//! Pushes deterministic CBOR items onto a byte vector.

use super::CborError;

/// Builds one CBOR item. Numbers and lengths come out in their shortest form; the caller pushes
/// map keys in ascending order and as many items as it announced.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// An empty writer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            out: Vec::with_capacity(capacity),
        }
    }

    /// The bytes written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Number of bytes written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    #[inline]
    fn head(&mut self, major: u8, value: u64) {
        let top = major << 5;
        if let Ok(byte) = u8::try_from(value) {
            if byte < 24 {
                self.out.push(top | byte);
            } else {
                self.out.extend_from_slice(&[top | 24, byte]);
            }
        } else if let Ok(short) = u16::try_from(value) {
            self.out.push(top | 25);
            self.out.extend_from_slice(&short.to_be_bytes());
        } else if let Ok(word) = u32::try_from(value) {
            self.out.push(top | 26);
            self.out.extend_from_slice(&word.to_be_bytes());
        } else {
            self.out.push(top | 27);
            self.out.extend_from_slice(&value.to_be_bytes());
        }
    }

    fn head_len(&mut self, major: u8, len: usize) {
        // No object in memory has more than 2^64 bytes or items.
        self.head(major, u64::try_from(len).unwrap_or(u64::MAX));
    }

    /// An unsigned integer.
    pub fn uint(&mut self, value: impl Into<u64>) {
        self.head(0, value.into());
    }

    /// A signed integer.
    pub fn int(&mut self, value: i64) {
        // -1 - n is written as n: the complement.
        match u64::try_from(value) {
            Ok(value) => self.head(0, value),
            Err(_) => self.head(1, (!value).unsigned_abs()),
        }
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.head_len(2, bytes.len());
        self.out.extend_from_slice(bytes);
    }

    /// A text string.
    pub fn text(&mut self, text: &str) {
        self.head_len(3, text.len());
        self.out.extend_from_slice(text.as_bytes());
    }

    /// The head of an array of `count` items.
    pub fn array(&mut self, count: usize) {
        self.head_len(4, count);
    }

    /// The head of a map of `count` pairs.
    pub fn map(&mut self, count: usize) {
        self.head_len(5, count);
    }

    /// A `null`.
    pub fn null(&mut self) {
        self.out.push(0xf6);
    }

    /// The bytes, if they are no more than `max`.
    ///
    /// # Errors
    /// [`CborError::TooLarge`].
    pub fn finish(self, max: usize) -> Result<Vec<u8>, CborError> {
        if self.out.len() > max {
            Err(CborError::TooLarge)
        } else {
            Ok(self.out)
        }
    }
}
