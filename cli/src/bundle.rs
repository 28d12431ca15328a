//! The device bundle: all this device holds of its owner. It can write and deduplicate, not read.

use std::io;
use std::path::Path;

use packnback_proto::cbor::{CborError, Reader, Writer};
use packnback_proto::crypto::hash::object_id;
use packnback_proto::crypto::keys::DeviceKeys;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::record::{Cert, RecordError, Signed, decode_cert};
use zeroize::Zeroizing;

use crate::exit::{Failure, Outcome};
use crate::files::{Existing, read_small, write_private};
use crate::home::Home;
use crate::keys::DeviceBundleKeys;

const MAGIC: &str = "PNBDEV2";
const BUNDLE_MAX: u64 = 128 * 1024;
const CHECK_LEN: usize = 32;

/// A bundle that cannot be used. Never replaced by a default: the person decides.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// There is none.
    #[error("there is no device bundle")]
    Missing,
    /// It could not be read.
    #[error("the device bundle cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Its bytes are not those written.
    #[error("the device bundle is damaged: its checksum is wrong")]
    Checksum,
    /// It is of another version.
    #[error("the device bundle is of a version this program does not know")]
    UnknownVersion,
    /// It does not decode.
    #[error("the device bundle is damaged: {0}")]
    Cbor(#[from] CborError),
    /// Its certificate is not valid.
    #[error("the certificate in the device bundle is not valid: {0}")]
    Cert(#[from] RecordError),
    /// Its parts belong to different owners.
    #[error("the certificate in the device bundle is of another owner")]
    OtherOwner,
}

/// What the owner gave to this device.
pub struct Bundle {
    /// The certificate.
    pub cert: Signed<Cert>,
    /// Name of this device.
    pub label: String,
    /// Keys for the pipeline.
    pub keys: DeviceBundleKeys,
}

impl Bundle {
    /// The owner.
    #[must_use]
    pub fn owner(&self) -> OwnerId {
        self.cert.value().owner
    }

    /// The device it was made for.
    #[must_use]
    pub fn device(&self) -> NodeId {
        self.cert.value().device
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let DeviceBundleKeys { device, cache_key } = &self.keys;
        // Room enough that the vector never moves and leaves a copy of a key behind.
        let mut w = Writer::with_capacity(self.cert.envelope().len().saturating_add(1024));
        w.map(12);
        w.uint(1u8);
        w.text(MAGIC);
        w.uint(2u8);
        w.bytes(self.owner().as_bytes());
        w.uint(3u8);
        w.bytes(self.cert.envelope());
        w.uint(4u8);
        w.uint(device.epoch);
        w.uint(5u8);
        w.uint(device.group);
        for (key, bytes) in [
            (6u8, &device.meta_pub),
            (7, &device.dec_pub),
            (8, device.psk.expose()),
            (9, device.group_key.expose()),
            (10, cache_key.expose()),
        ] {
            w.uint(key);
            w.bytes(bytes);
        }
        w.uint(11u8);
        w.text(&self.label);
        w.uint(12u8);
        w.bytes(device.set_key.expose());
        let mut bytes = Zeroizing::new(w.into_bytes());
        let check = object_id(&bytes);
        bytes.extend_from_slice(check.as_bytes());
        bytes
    }

    /// From the file's bytes.
    ///
    /// # Errors
    /// [`BundleError`], the first problem found.
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        let (body, check) = bytes
            .split_last_chunk::<CHECK_LEN>()
            .ok_or(BundleError::Checksum)?;
        if object_id(body).as_bytes() != check {
            return Err(BundleError::Checksum);
        }
        let mut r = Reader::new(body);
        let mut map = r.required_map()?;
        map.step(&mut r)?;
        if r.text()? != MAGIC {
            return Err(BundleError::UnknownVersion);
        }
        map.step(&mut r)?;
        let owner = OwnerId(*r.bytes_exact()?);
        map.step(&mut r)?;
        let cert = decode_cert(r.bytes()?)?;
        map.step(&mut r)?;
        let epoch = r.u32()?;
        map.step(&mut r)?;
        let group = r.u32()?;
        map.step(&mut r)?;
        let meta_pub = *r.bytes_exact()?;
        map.step(&mut r)?;
        let dec_pub = *r.bytes_exact()?;
        let mut secret = || -> Result<Secret32, CborError> {
            map.step(&mut r)?;
            let bytes = r.bytes_exact::<32>()?;
            Ok(Secret32::init_with(|out| out.copy_from_slice(bytes)))
        };
        let (psk, group_key, cache_key) = (secret()?, secret()?, secret()?);
        map.step(&mut r)?;
        let label = r.text()?.to_owned();
        map.step(&mut r)?;
        let bytes = r.bytes_exact::<32>()?;
        let set_key = Secret32::init_with(|out| out.copy_from_slice(bytes));
        map.finish(&mut r)?;
        r.finish()?;
        if cert.value().owner != owner {
            return Err(BundleError::OtherOwner);
        }
        let device = DeviceKeys {
            meta_pub,
            dec_pub,
            psk,
            group_key,
            set_key,
            epoch,
            group,
        };
        Ok(Self {
            cert,
            label,
            keys: DeviceBundleKeys { device, cache_key },
        })
    }

    /// Reads the bundle of a home.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn read(home: &Home) -> Result<Self, BundleError> {
        let bytes = match read_small(&home.bundle(), BUNDLE_MAX) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(BundleError::Missing),
            Err(e) => return Err(e.into()),
        };
        Self::decode(&bytes)
    }

    /// Reads the bundle of a home that must have one.
    ///
    /// # Errors
    /// What a person can do about it.
    pub fn load(home: &Home) -> Outcome<Self> {
        Self::read(home).map_err(|error| failure(&error, &home.bundle()))
    }

    /// Reads the bundle of a home, if it has one.
    ///
    /// # Errors
    /// A bundle that is there and cannot be used.
    pub fn load_if_there(home: &Home) -> Outcome<Option<Self>> {
        match Self::read(home) {
            Err(BundleError::Missing) => Ok(None),
            other => other
                .map(Some)
                .map_err(|error| failure(&error, &home.bundle())),
        }
    }

    /// Writes it to a home. It is on disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written; an older one is as it was then.
    pub fn save(&self, home: &Home) -> Outcome<()> {
        // The node may have been started by something else, which makes no folder for settings.
        home.create()?;
        let path = home.bundle();
        write_private(&path, &self.encode(), Existing::Replace)
            .map_err(|e| Failure::file("write", &path, &e))
    }
}

fn failure(error: &BundleError, path: &Path) -> Failure {
    match error {
        BundleError::Missing => Failure::failed(
            "no-device",
            format!("this home has no owner yet ({} does not exist)", path.display()),
        )
        .safe("Nothing was changed.")
        .next("Set it up: packnback init. Or, if this machine was lost: packnback recover"),
        BundleError::Io(error) => Failure::file("read", path, error).safe("Nothing was changed."),
        _ => Failure::failed("bundle", format!("{error} ({})", path.display()))
            .safe("Nothing was changed. Snapshots on this machine and on friends do not depend on this file.")
            .next("Move that file away and enrol this device again: packnback init --owner-key FILE (or --words)"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::enrol::{Enrolment, make_bundle};
    use packnback_proto::crypto::keys::OwnerSeed;

    fn bundle() -> Bundle {
        let seed = OwnerSeed::from_bytes([7; 32]);
        let device = NodeId(OwnerSeed::from_bytes([8; 32]).owner_id().0);
        let enrolment = Enrolment {
            label: "laptop".into(),
            serial: 1,
            now: 1_800_000_000,
        };
        make_bundle(&seed, device, &enrolment, Secret32::new([9; 32])).unwrap()
    }

    #[test]
    fn a_bundle_comes_back_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(dir.path()).unwrap();
        assert!(matches!(Bundle::read(&home), Err(BundleError::Missing)));
        let saved = bundle();
        saved.save(&home).unwrap();
        let read = Bundle::read(&home).unwrap();
        assert_eq!(read.encode().as_slice(), saved.encode().as_slice());
        assert_eq!(read.label, "laptop");
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_an_error() {
        let bytes = bundle().encode();
        for len in 0..bytes.len() {
            assert!(Bundle::decode(&bytes[..len]).is_err(), "cut at {len}");
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x20;
            assert!(
                matches!(Bundle::decode(&bad), Err(BundleError::Checksum)),
                "flipped at {at}"
            );
        }
    }

    #[test]
    fn parts_of_another_owner_are_refused() {
        let mut bytes = bundle().encode().to_vec();
        bytes.truncate(bytes.len() - CHECK_LEN);
        let owner = bundle().owner();
        let at = bytes
            .windows(32)
            .position(|w| w == owner.as_bytes())
            .unwrap();
        bytes[at] ^= 1;
        let check = object_id(&bytes);
        bytes.extend_from_slice(check.as_bytes());
        assert!(matches!(
            Bundle::decode(&bytes),
            Err(BundleError::OtherOwner)
        ));
    }
}
