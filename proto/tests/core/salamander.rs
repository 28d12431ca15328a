//! Makes a ciphertext whose Poly1305 tag is right under two keys: what deterministic nonces alone
//! do not prevent, and the nonce check of `open` must.
//!
//! Poly1305 is `tag = (c1 r^3 + c2 r^2 + len r mod p) + s mod 2^128`, `p = 2^130 - 5`, with `(r, s)`
//! from key and nonce, and each block with a bit set behind its end. For a given `c1`, equal tags
//! under two keys are one linear equation in `c2`, up to the carry out of the last addition.

use chacha20::XChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};

/// A number modulo `2^130 - 5`: low and high 128 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Field(u128, u128);

const P: Field = Field(u128::MAX - 4, 3);

impl Field {
    fn reduced(self) -> Self {
        if (self.1, self.0) >= (P.1, P.0) {
            let (low, borrow) = self.0.overflowing_sub(P.0);
            Self(low, self.1 - P.1 - u128::from(borrow))
        } else {
            self
        }
    }

    fn add(self, other: Self) -> Self {
        let (low, carry) = self.0.overflowing_add(other.0);
        Self(low, self.1 + other.1 + u128::from(carry)).reduced()
    }

    fn neg(self) -> Self {
        let (low, borrow) = P.0.overflowing_sub(self.0);
        Self(low, P.1 - self.1 - u128::from(borrow)).reduced()
    }

    fn bit(self, i: u32) -> bool {
        if i < 128 {
            self.0 >> i & 1 == 1
        } else {
            self.1 >> (i - 128) & 1 == 1
        }
    }

    fn mul(self, other: Self) -> Self {
        (0..130).rev().fold(Self(0, 0), |acc, i| {
            let doubled = acc.add(acc);
            if other.bit(i) {
                doubled.add(self)
            } else {
                doubled
            }
        })
    }

    /// By Fermat: to the power of `p - 2`.
    fn inverse(self) -> Self {
        let exponent = Self(P.0 - 2, P.1);
        (0..130).rev().fold(Self(1, 0), |acc, i| {
            let squared = acc.mul(acc);
            if exponent.bit(i) {
                squared.mul(self)
            } else {
                squared
            }
        })
    }
}

/// The first 32 bytes of the key stream, `r` clamped.
struct OneTimeKey {
    r: Field,
    s: u128,
}

fn one_time_key(key: &[u8; 32], nonce: &[u8; 24]) -> OneTimeKey {
    let mut stream = [0; 32];
    XChaCha20::new(key.into(), nonce.into()).apply_keystream(&mut stream);
    let half = |i: usize| u128::from_le_bytes(stream[i..i + 16].try_into().unwrap());
    OneTimeKey {
        r: Field(half(0) & 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff, 0),
        s: half(16),
    }
}

fn block(bytes: u128) -> Field {
    Field(bytes, 1)
}

fn tag(key: &OneTimeKey, c1: u128, c2: u128) -> u128 {
    let OneTimeKey { r, s } = *key;
    let len = block(32 << 64);
    let acc = block(c1).mul(r).add(block(c2)).mul(r).add(len).mul(r);
    acc.0.wrapping_add(s)
}

/// `nonce || c1 || c2 || tag` with no associated data, authentic under both keys.
pub(crate) fn make(key1: &[u8; 32], key2: &[u8; 32], nonce: &[u8; 24]) -> Vec<u8> {
    let (k1, k2) = (one_time_key(key1, nonce), one_time_key(key2, nonce));
    let square = |f: Field| f.mul(f);
    let inverse = square(k1.r).add(square(k2.r).neg()).inverse();
    let rest = |r: Field, c1| block(c1).mul(square(r)).mul(r).add(block(32 << 64).mul(r));
    for c1 in 0.. {
        let known = rest(k2.r, c1).add(rest(k1.r, c1).neg());
        // s2 - s1, and the multiples of 2^128 that the truncation may swallow.
        let difference = Field(k2.s.wrapping_sub(k1.s), 0);
        for carry in 0..4 {
            let c2 = known.add(difference).add(Field(0, carry)).mul(inverse);
            if c2.1 == 1 && tag(&k1, c1, c2.0) == tag(&k2, c1, c2.0) {
                let blocks = [c1, c2.0, tag(&k1, c1, c2.0)].map(u128::to_le_bytes);
                return [&nonce[..], &blocks.concat()].concat();
            }
        }
    }
    unreachable!("some block always fits");
}
