//! 19, the part about curves: points and signatures that must be refused.

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use packnback_proto::crypto::CryptoError;
use packnback_proto::crypto::keys::SessionKeys;
use packnback_proto::crypto::primitives::{x25519, x25519_public};
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::{SigningKey, verify_strict};

use sha2::{Digest, Sha512};

use crate::support::{device_keys, secret, seed};

pub(crate) fn hex32(hex: &str) -> [u8; 32] {
    data_encoding::HEXLOWER
        .decode(hex.as_bytes())
        .unwrap()
        .try_into()
        .unwrap()
}

/// Every encoding of a point of low order on Curve25519 or its twist, with the top bit clear.
pub(crate) fn low_order_x25519() -> Vec<[u8; 32]> {
    [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ]
    .map(hex32)
    .to_vec()
}

#[test]
fn n19_low_order_epk_and_recipient() {
    let seed = seed();
    for mut point in low_order_x25519() {
        for top_bit in [0, 0x80] {
            point[31] |= top_bit;
            let opened = seed.open_session(&point, 0).map(|_| ());
            assert_eq!(opened, Err(CryptoError::NonContributory));
            for field in 0..2 {
                let mut device = device_keys();
                *[&mut device.meta_pub, &mut device.dec_pub][field] = point;
                let started = SessionKeys::start(&device, secret("esk")).map(|_| ());
                assert_eq!(started, Err(CryptoError::NonContributory));
            }
        }
    }
}

#[test]
fn both_ends_of_a_session_agree() {
    for epoch in [0, 1, u32::MAX] {
        let device = seed().device_keys(epoch, 3);
        let ours = SessionKeys::start(&device, secret("esk")).unwrap();
        let owners = seed().open_session(&ours.epk, epoch).unwrap();
        assert_eq!(ours.epk, x25519_public(&secret("esk")));
        for (a, b) in [
            (&ours.node, &owners.node),
            (&ours.map, &owners.map),
            (&ours.pack, &owners.pack),
            (&ours.blob, &owners.blob),
            (&ours.chunk_priv, &owners.chunk_priv),
        ] {
            assert_eq!(a.expose(), b.expose());
        }
        let other = seed().open_session(&ours.epk, epoch ^ 1).unwrap();
        assert_ne!(ours.node.expose(), other.node.expose());
    }
}

#[test]
fn x25519_rfc_7748() {
    let [a, b] = [
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    ]
    .map(|hex| Secret32::new(hex32(hex)));
    let [public_a, public_b, shared] = [
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    ]
    .map(hex32);
    assert_eq!([x25519_public(&a), x25519_public(&b)], [public_a, public_b]);
    assert_eq!(x25519(&a, &public_b).unwrap().expose(), &shared);
    assert_eq!(x25519(&b, &public_a).unwrap().expose(), &shared);
}

#[test]
fn ed25519_rfc_8032() {
    let seed = hex32("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let key = SigningKey::from_seed(&Secret32::new(seed));
    let public = hex32("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    assert_eq!((key.public(), key.seed().expose()), (public, &seed));
    let r = hex32("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155");
    let s = hex32("5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
    assert_eq!(key.sign(b""), signature(&r, &s));
    assert_eq!(verify_strict(&public, b"", &signature(&r, &s)), Ok(()));
}

fn small_order_keys() -> Vec<[u8; 32]> {
    curve25519_dalek::constants::EIGHT_TORSION
        .iter()
        .map(|p| p.compress().to_bytes())
        .collect()
}

/// The group order, little endian.
fn group_order() -> [u8; 32] {
    hex32("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
}

#[test]
fn n19_small_order_keys_sign_nothing() {
    let message = b"transfer everything";
    for public in small_order_keys() {
        // R = [S]B fits every message where [h]A is the identity: A itself, or one try in eight.
        let s = Scalar::from(7_u64);
        let r = EdwardsPoint::mul_base(&s).compress().to_bytes();
        let sig = signature(&r, &s.to_bytes());
        assert_eq!(
            verify_strict(&public, message, &sig),
            Err(CryptoError::BadPublicKey)
        );
    }
}

fn signature(r: &[u8; 32], s: &[u8; 32]) -> [u8; 64] {
    [&r[..], s].concat().try_into().unwrap()
}

#[test]
fn n19_non_canonical_s() {
    let key = SigningKey::from_seed(&secret("signer"));
    let good = key.sign(b"message");
    assert_eq!(verify_strict(&key.public(), b"message", &good), Ok(()));
    let malleated = add_order(good);
    assert_eq!(good[..32], malleated[..32]);
    let result = verify_strict(&key.public(), b"message", &malleated);
    assert_eq!(result, Err(CryptoError::BadSignature));
}

/// The same signature with `S + L` for `S`: the same scalar, another encoding.
pub(crate) fn add_order(mut sig: [u8; 64]) -> [u8; 64] {
    let mut carry = 0_u16;
    for (byte, order) in sig[32..].iter_mut().zip(group_order()) {
        carry += u16::from(*byte) + u16::from(order);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert_eq!(carry, 0);
    sig
}

#[test]
fn n19_non_canonical_keys() {
    // y = p + 1 is y = 1, and y = 1 has no negative x: both decode, neither is the encoding.
    for text in [
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0100000000000000000000000000000000000000000000000000000000000080",
    ] {
        let result = verify_strict(&hex32(text), b"message", &[0; 64]);
        assert_eq!(result, Err(CryptoError::BadPublicKey), "{text}");
    }
    // The same for points of full order: what verifies for y must not verify for p + y.
    let mut tried = 0;
    for y in 2..19 {
        let mut canonical = [0; 32];
        canonical[0] = y;
        let Some(point) = CompressedEdwardsY(canonical).decompress() else {
            continue;
        };
        let mut shifted = [0xff; 32];
        shifted[0] = 0xed + y;
        shifted[31] = 0x7f;
        assert_eq!(CompressedEdwardsY(shifted).decompress(), Some(point));
        let refusal = |public| verify_strict(&public, b"message", &[1; 64]).unwrap_err();
        assert_eq!(refusal(canonical), CryptoError::BadSignature);
        assert_eq!(refusal(shifted), CryptoError::BadPublicKey);
        tried += 1;
    }
    assert!(tried > 0);
}

#[test]
fn n19_small_order_r() {
    // With R of small order the signer commits to nothing: S = h * a verifies without cofactor
    // for R = identity, and would for messages the signer never chose.
    use ed25519_dalek::Verifier;
    let key = ed25519_dalek::SigningKey::from_bytes(secret("signer").expose());
    let public = key.verifying_key();
    let mut loosely_valid = 0;
    for r in small_order_keys() {
        let hash = Sha512::new()
            .chain_update(r)
            .chain_update(public)
            .chain_update(b"message");
        let h = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
        let sig = signature(&r, &(h * key.to_scalar()).to_bytes());
        let loose = public.verify(b"message", &ed25519_dalek::Signature::from_bytes(&sig));
        loosely_valid += usize::from(loose.is_ok());
        let result = verify_strict(public.as_bytes(), b"message", &sig);
        assert_eq!(result, Err(CryptoError::BadSignature));
    }
    assert_eq!(loosely_valid, 1);
}

#[test]
fn n19_every_flipped_bit_of_a_signature() {
    let key = SigningKey::from_seed(&secret("signer"));
    let good = key.sign(b"message");
    for bit in 0..512 {
        let mut sig = good;
        sig[bit / 8] ^= 1 << (bit % 8);
        assert!(verify_strict(&key.public(), b"message", &sig).is_err());
    }
    assert!(verify_strict(&key.public(), b"other", &good).is_err());
    let other = SigningKey::from_seed(&secret("other"));
    assert!(verify_strict(&other.public(), b"message", &good).is_err());
}
