//! Random bytes.

/// There is no source of random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node has no source of randomness")]
pub struct NoDice;

/// A source of random bytes: of keys, nonces and invites as well as of pauses.
pub trait Dice: Send + Sync + 'static {
    /// Fills all of it.
    ///
    /// # Errors
    /// [`NoDice`]; what is in `out` then is of no use.
    fn fill(&self, out: &mut [u8]) -> Result<(), NoDice>;
}

impl dyn Dice {
    /// So many bytes.
    ///
    /// # Errors
    /// [`NoDice`].
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], NoDice> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }

    /// A number for the jitter of pauses; the middle if there are no random bytes, which only loses the
    /// jitter.
    #[must_use]
    pub fn jitter(&self) -> u32 {
        self.bytes().map_or(u32::MAX / 2, u32::from_le_bytes)
    }

    /// Puts the items in any order; leaves them as they are if there are no random bytes.
    pub fn shuffle<T>(&self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let Ok(random) = self.bytes().map(u64::from_le_bytes) else {
                return;
            };
            let among = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
            items.swap(last, usize::try_from(random % among).unwrap_or(last));
        }
    }
}
