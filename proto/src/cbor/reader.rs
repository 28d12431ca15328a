//! Pulls deterministic CBOR items off a byte slice. Total: no input panics or allocates.

use super::CborError;

/// Major types of RFC 8949.
mod major {
    pub(super) const UINT: u8 = 0;
    pub(super) const NINT: u8 = 1;
    pub(super) const BYTES: u8 = 2;
    pub(super) const TEXT: u8 = 3;
    pub(super) const ARRAY: u8 = 4;
    pub(super) const MAP: u8 = 5;
    pub(super) const SIMPLE: u8 = 7;
}

const FALSE: u64 = 20;
const TRUE: u64 = 21;
const NULL: u64 = 22;

/// A position in a CBOR byte string.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`CborError::Trailing`] if anything is left.
    pub fn finish(self) -> Result<(), CborError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(CborError::Trailing)
        }
    }

    fn take_array<const N: usize>(&mut self) -> Result<&'a [u8; N], CborError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], CborError> {
        let len = usize::try_from(len).map_err(|_| CborError::Truncated)?;
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// Major type and argument of the next head. Allows only what deterministic CBOR allows.
    #[inline]
    fn head(&mut self) -> Result<(u8, u64), CborError> {
        let [first] = *self.take_array()?;
        let (major, info) = (first >> 5, first & 0x1f);
        match (major, info) {
            (_, 31) => return Err(CborError::Indefinite),
            (_, 28..=30) => return Err(CborError::Malformed),
            (major::SIMPLE, 20..=22) => return Ok((major, u64::from(info))),
            (6 | 7, _) => return Err(CborError::Forbidden),
            (_, 0..=23) => return Ok((major, u64::from(info))),
            _ => {}
        }
        let (value, least) = match info {
            24 => (u64::from(u8::from_be_bytes(*self.take_array()?)), 24),
            25 => (u64::from(u16::from_be_bytes(*self.take_array()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(*self.take_array()?)), 1 << 16),
            _ => (u64::from_be_bytes(*self.take_array()?), 1 << 32),
        };
        if value < least {
            Err(CborError::NotShortest)
        } else {
            Ok((major, value))
        }
    }

    #[inline]
    fn expect(&mut self, wanted: u8) -> Result<u64, CborError> {
        match self.head()? {
            (major, value) if major == wanted => Ok(value),
            _ => Err(CborError::WrongType),
        }
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// [`CborError`] if the next item is none.
    #[inline]
    pub fn uint(&mut self) -> Result<u64, CborError> {
        self.expect(major::UINT)
    }

    /// An unsigned integer of 32 bits.
    ///
    /// # Errors
    /// [`CborError`] if the next item is none.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, CborError> {
        u32::try_from(self.uint()?).map_err(|_| CborError::OutOfRange)
    }

    /// A signed integer of 64 bits.
    ///
    /// # Errors
    /// [`CborError`] if the next item is none.
    pub fn i64(&mut self) -> Result<i64, CborError> {
        match self.head()? {
            (major::UINT, value) => i64::try_from(value).map_err(|_| CborError::OutOfRange),
            // -1 - value, which is the complement in two's complement arithmetic.
            (major::NINT, value) => i64::try_from(value)
                .map(|v| !v)
                .map_err(|_| CborError::OutOfRange),
            _ => Err(CborError::WrongType),
        }
    }

    /// A byte string.
    ///
    /// # Errors
    /// [`CborError`] if the next item is none.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let len = self.expect(major::BYTES)?;
        self.take(len)
    }

    /// A byte string of a fixed length.
    ///
    /// # Errors
    /// [`CborError`] if the next item is none.
    pub fn bytes_exact<const N: usize>(&mut self) -> Result<&'a [u8; N], CborError> {
        self.bytes()?.try_into().map_err(|_| CborError::OutOfRange)
    }

    /// A text string.
    ///
    /// # Errors
    /// [`CborError`] if the next item is none.
    pub fn text(&mut self) -> Result<&'a str, CborError> {
        let len = self.expect(major::TEXT)?;
        std::str::from_utf8(self.take(len)?).map_err(|_| CborError::NotUtf8)
    }

    /// The head of an array: how many items follow. Never more than bytes are left, so that the
    /// count may be used to allocate.
    ///
    /// # Errors
    /// [`CborError`] if the next item is no array.
    #[inline]
    pub fn array(&mut self) -> Result<usize, CborError> {
        let count = self.expect(major::ARRAY)?;
        self.items(count)
    }

    /// The head of an array that must have `wanted` items.
    ///
    /// # Errors
    /// [`CborError`] if the next item is no such array.
    pub fn array_exact(&mut self, wanted: usize) -> Result<(), CborError> {
        if self.array()? == wanted {
            Ok(())
        } else {
            Err(CborError::OutOfRange)
        }
    }

    /// The head of a map: how many pairs follow. Never more than bytes are left.
    ///
    /// # Errors
    /// [`CborError`] if the next item is no map.
    pub fn map(&mut self) -> Result<usize, CborError> {
        let count = self.expect(major::MAP)?;
        self.items(count)
    }

    /// The head of a map with unsigned integers as keys.
    ///
    /// # Errors
    /// [`CborError`] if the next item is no map.
    pub fn int_map(&mut self) -> Result<MapKeys, CborError> {
        Ok(MapKeys {
            left: self.map()?,
            last: None,
        })
    }

    /// The head of a map that has every key from 1 up.
    ///
    /// # Errors
    /// [`CborError`] if the next item is no map.
    pub fn required_map(&mut self) -> Result<RequiredKeys, CborError> {
        Ok(RequiredKeys {
            keys: self.int_map()?,
            next: 1,
        })
    }

    /// Takes a `null`, if one is next.
    pub fn take_null(&mut self) -> bool {
        let mut ahead = self.clone();
        let found = ahead.head() == Ok((major::SIMPLE, NULL));
        if found {
            *self = ahead;
        }
        found
    }

    /// Every item takes at least a byte.
    fn items(&self, count: u64) -> Result<usize, CborError> {
        let count = usize::try_from(count).map_err(|_| CborError::Truncated)?;
        if count > self.rest.len() {
            Err(CborError::Truncated)
        } else {
            Ok(count)
        }
    }

    /// Steps over one item of any type, checking all of it. Recursion ends at `depth`.
    pub(super) fn skip(&mut self, depth: usize) -> Result<(), CborError> {
        let deeper = depth.checked_sub(1).ok_or(CborError::TooDeep)?;
        match self.head()? {
            (major::BYTES, len) => self.take(len).map(drop),
            (major::TEXT, len) => std::str::from_utf8(self.take(len)?)
                .map(drop)
                .map_err(|_| CborError::NotUtf8),
            (major::ARRAY, count) => (0..self.items(count)?).try_for_each(|_| self.skip(deeper)),
            (major::MAP, count) => {
                let count = self.items(count)?;
                self.skip_pairs(count, deeper)
            }
            (major::UINT | major::NINT, _) | (major::SIMPLE, FALSE | TRUE | NULL) => Ok(()),
            _ => Err(CborError::Forbidden),
        }
    }

    fn skip_pairs(&mut self, count: usize, depth: usize) -> Result<(), CborError> {
        let mut last: Option<&[u8]> = None;
        for _ in 0..count {
            let before = self.rest;
            // No format has such keys, and comparing them is slow.
            if before
                .first()
                .is_some_and(|byte| matches!(byte >> 5, major::ARRAY | major::MAP))
            {
                return Err(CborError::WrongType);
            }
            self.skip(depth)?;
            let len = before.len().saturating_sub(self.rest.len());
            let key = before.get(..len).ok_or(CborError::Truncated)?;
            ascending(last.cmp(&Some(key)))?;
            last = Some(key);
            self.skip(depth)?;
        }
        Ok(())
    }
}

/// The order of a map key to the one after it.
fn ascending(order: std::cmp::Ordering) -> Result<(), CborError> {
    match order {
        std::cmp::Ordering::Less => Ok(()),
        std::cmp::Ordering::Equal => Err(CborError::DuplicateKey),
        std::cmp::Ordering::Greater => Err(CborError::KeyOrder),
    }
}

/// The keys of a map with unsigned integers as keys, in ascending order.
#[derive(Debug)]
pub struct MapKeys {
    left: usize,
    last: Option<u64>,
}

impl MapKeys {
    /// The next key, or `None` behind the last pair. The caller reads the value in between.
    ///
    /// # Errors
    /// [`CborError`] if the key is not an unsigned integer or not greater than the one before.
    pub fn next(&mut self, reader: &mut Reader<'_>) -> Result<Option<u64>, CborError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        let key = reader.uint()?;
        ascending(self.last.cmp(&Some(key)))?;
        self.left = left;
        self.last = Some(key);
        Ok(Some(key))
    }
}

/// The keys of a map that has every key from 1 up to some last one.
#[derive(Debug)]
pub struct RequiredKeys {
    keys: MapKeys,
    next: u64,
}

impl RequiredKeys {
    /// Steps over the next key; its value is next.
    ///
    /// # Errors
    /// [`CborError::MissingKey`] if it is another key or the map has ended.
    pub fn step(&mut self, reader: &mut Reader<'_>) -> Result<(), CborError> {
        match self.keys.next(reader)? {
            Some(0) => Err(CborError::UnknownKey(0)),
            Some(key) if key == self.next => {
                self.next = self.next.saturating_add(1);
                Ok(())
            }
            _ => Err(CborError::MissingKey(self.next)),
        }
    }

    /// Whether there is one more key, the next number; its value is next then. For a key that earlier
    /// writers did not write.
    ///
    /// # Errors
    /// [`CborError::UnknownKey`] if it is another key.
    pub fn optional(&mut self, reader: &mut Reader<'_>) -> Result<bool, CborError> {
        match self.keys.next(reader)? {
            None => Ok(false),
            Some(key) if key == self.next => {
                self.next = self.next.saturating_add(1);
                Ok(true)
            }
            Some(key) => Err(CborError::UnknownKey(key)),
        }
    }

    /// Ends the reading of the map.
    ///
    /// # Errors
    /// [`CborError::UnknownKey`] if it has more keys.
    pub fn finish(mut self, reader: &mut Reader<'_>) -> Result<(), CborError> {
        match self.keys.next(reader)? {
            None => Ok(()),
            Some(key) => Err(CborError::UnknownKey(key)),
        }
    }
}
