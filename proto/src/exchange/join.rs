//! A new device asks, the owner answers.
//!
//! ```text
//! request     = [1, node id, X25519 public key, name]
//! fingerprint = DK("device fingerprint", node id || X25519 public key)[..8]
//! bundle      = [1, node id, epk, sealed]        sealed to the key in the request, ad = [1, node id, epk]
//! content     = [body bstr, sig bstr64]          sig = Ed25519 of the owner over "packnback-bundle-v1\0" || body
//! body        = {1: cert, 2: owner_meta_pub[e], 3: owner_dec_pub[e], 4: PSK[e], 5: C[g], 6: name, 7: hosts order / null,
//!                8: key of the ids of backup sets}
//! ```
//! `e` and `g` are those of the certificate. The signature is there because sealing says nothing
//! about who sealed: without it somebody who reads the request could pair a true certificate with
//! keys of their own, and the device would from then on seal its backups for them.

use zeroize::Zeroizing;

use super::ExchangeError;
use crate::cbor::{Reader, Writer};
use crate::crypto::boxed::{open_from, seal_to};
use crate::crypto::keys::DeviceKeys;
use crate::crypto::labels;
use crate::crypto::primitives::{derive_bytes, x25519_public};
use crate::crypto::secret::Secret32;
use crate::crypto::sign::{SigningKey, verify_strict};
use crate::ids::NodeId;
use crate::limits::{JOIN_BUNDLE_MAX, JOIN_REQUEST_MAX, LABEL_MAX};
use crate::record::{Cert, Op, Order, Signed, decode_cert, decode_order};

const VERSION: u64 = 1;
const SIGNATURE_PREFIX: &[u8] = b"packnback-bundle-v1\0";
const FINGERPRINT_LEN: usize = 8;

/// What a new device shows. Nothing in it is secret, and nothing proves it: people compare the
/// fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// The node of the new device.
    pub node: NodeId,
    /// The X25519 public key to seal the bundle to.
    pub key: [u8; 32],
    /// Name it would like to have.
    pub label: String,
}

fn check_label(label: &str) -> Result<(), ExchangeError> {
    if label.len() > LABEL_MAX || label.chars().any(crate::text::is_unfit) {
        Err(ExchangeError::Mismatch("name"))
    } else {
        Ok(())
    }
}

impl JoinRequest {
    /// The bytes.
    ///
    /// # Errors
    /// [`ExchangeError::Mismatch`] if the name is too long or has control characters.
    pub fn encode(&self) -> Result<Vec<u8>, ExchangeError> {
        check_label(&self.label)?;
        let mut w = Writer::with_capacity(JOIN_REQUEST_MAX);
        w.array(4);
        w.uint(VERSION);
        w.bytes(self.node.as_bytes());
        w.bytes(&self.key);
        w.text(&self.label);
        Ok(w.into_bytes())
    }

    /// From bytes.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ExchangeError> {
        if bytes.len() > JOIN_REQUEST_MAX {
            return Err(ExchangeError::Damaged);
        }
        let mut r = Reader::new(bytes);
        r.array_exact(4)?;
        if r.uint()? != VERSION {
            return Err(ExchangeError::UnknownVersion);
        }
        let request = Self {
            node: NodeId(*r.bytes_exact()?),
            key: *r.bytes_exact()?,
            label: r.text()?.to_owned(),
        };
        r.finish()?;
        check_label(&request.label)?;
        Ok(request)
    }

    /// What people compare on both machines: 64 bits in four groups of hex digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = [0; FINGERPRINT_LEN];
        let parts: [&[u8]; 2] = [self.node.as_bytes(), &self.key];
        derive_bytes(labels::DEVICE_FINGERPRINT, &parts, &mut hash);
        let (pairs, _) = hash.as_chunks::<2>();
        let groups = pairs
            .iter()
            .map(|pair| data_encoding::HEXLOWER.encode(pair));
        groups.collect::<Vec<_>>().join(" ")
    }
}

/// What the owner gives to a new device.
pub struct JoinBundle {
    /// Its certificate.
    pub cert: Signed<Cert>,
    /// Its keys.
    pub keys: DeviceKeys,
    /// Its name.
    pub label: String,
    /// The owner's newest list of hosts.
    pub hosts: Option<Signed<Order>>,
}

/// `[1, node id, epk]`, or the head of the whole bundle with `items` 4.
fn outer(items: usize, node: &NodeId, epk: &[u8; 32], capacity: usize) -> Writer {
    let mut w = Writer::with_capacity(capacity);
    w.array(items);
    w.uint(VERSION);
    w.bytes(node.as_bytes());
    w.bytes(epk);
    w
}

fn signed_message(body: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([SIGNATURE_PREFIX, body].concat())
}

impl JoinBundle {
    /// Signs and seals the bundle for who made the request; `esk` is 32 fresh random bytes.
    ///
    /// # Errors
    /// [`ExchangeError::OtherMachine`] if the certificate is for another machine,
    /// [`ExchangeError::Mismatch`] if its parts are of several owners, epochs or groups,
    /// [`ExchangeError::Sealed`] if the key in the request is of low order.
    pub fn seal(
        &self,
        request: &JoinRequest,
        owner: &SigningKey,
        esk: &Secret32,
    ) -> Result<Vec<u8>, ExchangeError> {
        self.check(&request.node)?;
        if self.cert.value().owner != owner.owner_id() {
            return Err(ExchangeError::Mismatch("owner"));
        }
        let body = self.body();
        let signature = owner.sign(&signed_message(&body));
        let mut content = Writer::with_capacity(body.len().saturating_add(128));
        content.array(2);
        content.bytes(&body);
        content.bytes(&signature);
        let content = Zeroizing::new(content.into_bytes());
        let epk = x25519_public(esk);
        let ad = outer(3, &request.node, &epk, 128).into_bytes();
        let sealed = seal_to(labels::DEVICE_BUNDLE, &request.key, esk, &ad, &content);
        let sealed = sealed.map_err(ExchangeError::Sealed)?;
        let mut w = outer(4, &request.node, &epk, sealed.len().saturating_add(128));
        w.bytes(&sealed);
        Ok(w.into_bytes())
    }

    /// Opens a bundle on the machine `node`, whose X25519 secret is `secret`. Everything in it is
    /// checked: machine, seal, signature of the owner, certificate, and that they belong together.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub fn open(bytes: &[u8], secret: &Secret32, node: &NodeId) -> Result<Self, ExchangeError> {
        if bytes.len() > JOIN_BUNDLE_MAX {
            return Err(ExchangeError::Damaged);
        }
        let mut r = Reader::new(bytes);
        r.array_exact(4)?;
        if r.uint()? != VERSION {
            return Err(ExchangeError::UnknownVersion);
        }
        let made_for = NodeId(*r.bytes_exact()?);
        let epk = *r.bytes_exact()?;
        let sealed = r.bytes()?;
        r.finish()?;
        if made_for != *node {
            return Err(ExchangeError::OtherMachine(made_for));
        }
        let ad = outer(3, &made_for, &epk, 128).into_bytes();
        let content = open_from(labels::DEVICE_BUNDLE, secret, &epk, &ad, sealed)
            .map(Zeroizing::new)
            .map_err(ExchangeError::Sealed)?;
        let mut r = Reader::new(&content);
        r.array_exact(2)?;
        let body = r.bytes()?;
        let signature = r.bytes_exact()?;
        r.finish()?;
        let bundle = Self::decode_body(body)?;
        let owner = &bundle.cert.value().owner;
        verify_strict(&owner.0, &signed_message(body), signature)
            .map_err(|_| ExchangeError::Signature)?;
        bundle.check(node)?;
        Ok(bundle)
    }

    fn body(&self) -> Zeroizing<Vec<u8>> {
        let hosts = self.hosts.as_ref().map(Signed::envelope);
        let records = self
            .cert
            .envelope()
            .len()
            .saturating_add(hosts.map_or(0, <[u8]>::len));
        // Room enough that the vector never moves and leaves a copy of a key behind.
        let mut w = Writer::with_capacity(records.saturating_add(512));
        w.map(8);
        w.uint(1u8);
        w.bytes(self.cert.envelope());
        for (key, bytes) in [
            (2u8, &self.keys.meta_pub),
            (3, &self.keys.dec_pub),
            (4, self.keys.psk.expose()),
            (5, self.keys.group_key.expose()),
        ] {
            w.uint(key);
            w.bytes(bytes);
        }
        w.uint(6u8);
        w.text(&self.label);
        w.uint(7u8);
        match hosts {
            Some(order) => w.bytes(order),
            None => w.null(),
        }
        w.uint(8u8);
        w.bytes(self.keys.set_key.expose());
        Zeroizing::new(w.into_bytes())
    }

    fn decode_body(body: &[u8]) -> Result<Self, ExchangeError> {
        let mut r = Reader::new(body);
        let mut map = r.required_map()?;
        map.step(&mut r)?;
        let cert = decode_cert(r.bytes()?)?;
        map.step(&mut r)?;
        let meta_pub = *r.bytes_exact()?;
        map.step(&mut r)?;
        let dec_pub = *r.bytes_exact()?;
        let mut secret = || -> Result<Secret32, ExchangeError> {
            map.step(&mut r)?;
            let bytes = r.bytes_exact::<32>()?;
            Ok(Secret32::init_with(|out| out.copy_from_slice(bytes)))
        };
        let (psk, group_key) = (secret()?, secret()?);
        map.step(&mut r)?;
        let label = r.text()?.to_owned();
        map.step(&mut r)?;
        let hosts = if r.take_null() {
            None
        } else {
            Some(decode_order(r.bytes()?)?)
        };
        map.step(&mut r)?;
        let bytes = r.bytes_exact::<32>()?;
        let set_key = Secret32::init_with(|out| out.copy_from_slice(bytes));
        map.finish(&mut r)?;
        r.finish()?;
        let keys = DeviceKeys {
            meta_pub,
            dec_pub,
            psk,
            group_key,
            set_key,
            epoch: cert.value().epoch,
            group: cert.value().group,
        };
        Ok(Self {
            cert,
            keys,
            label,
            hosts,
        })
    }

    /// Whether the parts belong together and to this machine.
    fn check(&self, node: &NodeId) -> Result<(), ExchangeError> {
        let cert = self.cert.value();
        if cert.device != *node {
            return Err(ExchangeError::OtherMachine(cert.device));
        }
        if (self.keys.epoch, self.keys.group) != (cert.epoch, cert.group) {
            return Err(ExchangeError::Mismatch("key epoch or dedup group"));
        }
        check_label(&self.label)?;
        let Some(order) = self.hosts.as_ref().map(Signed::value) else {
            return Ok(());
        };
        if order.owner != cert.owner || !matches!(order.op, Op::Hosts { .. }) {
            return Err(ExchangeError::Mismatch("list of hosts"));
        }
        Ok(())
    }
}
