//! Secrets in memory: on the heap (a move copies a pointer, not the bytes), wiped when dropped,
//! and neither printable, copyable, comparable nor serializable by accident.

use zeroize::Zeroize;

/// 32 secret bytes.
pub struct Secret32(Box<[u8; 32]>);

impl Secret32 {
    /// Takes over `bytes`; the caller's copy, if any, is the caller's to wipe.
    #[must_use]
    pub fn new(mut bytes: [u8; 32]) -> Self {
        let boxed = Box::new(bytes);
        bytes.zeroize();
        Self(boxed)
    }

    /// Lets `fill` write the secret in place, so that no other copy exists.
    #[must_use]
    pub fn init_with(fill: impl FnOnce(&mut [u8; 32])) -> Self {
        let mut secret = Self(Box::new([0; 32]));
        fill(&mut secret.0);
        secret
    }

    /// Like [`Secret32::init_with`], for a source that may fail, such as a random generator.
    ///
    /// # Errors
    /// What `fill` returns.
    pub fn try_init_with<E>(fill: impl FnOnce(&mut [u8; 32]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self(Box::new([0; 32]));
        fill(&mut secret.0)?;
        Ok(secret)
    }

    /// From a byte string, which must be exactly 32 bytes long.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 32] = bytes.try_into().ok()?;
        Some(Self::init_with(|out| out.copy_from_slice(bytes)))
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A second copy, asked for by name.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::init_with(|out| out.copy_from_slice(&*self.0))
    }
}

impl Drop for Secret32 {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::Secret32;
    use crate::crypto::keys::{ChunkKeys, DeviceKeys, OwnerSeed, SessionKeys, SessionRoots};
    use crate::crypto::keyset::OwnerKey;
    use crate::crypto::sign::SigningKey;
    use static_assertions::assert_not_impl_any;

    macro_rules! is_guarded {
        ($($t:ty),*) => {$(
            assert_not_impl_any!($t: std::fmt::Debug, std::fmt::Display, Clone, Copy, PartialEq,
                serde::Serialize, serde::de::DeserializeOwned);
        )*};
    }
    is_guarded!(
        Secret32,
        OwnerSeed,
        DeviceKeys,
        ChunkKeys,
        SessionKeys,
        SessionRoots,
        OwnerKey,
        SigningKey
    );

    #[test]
    fn wrong_length_is_no_secret() {
        assert!(Secret32::from_slice(&[1; 31]).is_none());
        assert!(Secret32::from_slice(&[1; 33]).is_none());
        assert!(Secret32::from_slice(&[1; 32]).is_some_and(|s| s.expose() == &[1; 32]));
    }
}
