//! The owner's signature, from whatever kind of key can give it. The only place where orders meet a key.

use packnback_proto::crypto::keyset::OwnerKey;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::ids::OwnerId;
use packnback_proto::record::{Cert, Order, Signed};

use crate::args::KeyArgs;
use crate::commands::keypart::label_of;
use crate::exit::{Failure, Outcome};
use crate::secrets::read_key;

/// Signs orders; opens names of devices if the key can.
pub struct Signer {
    key: SigningKey,
    names: OwnerKey,
}

impl Signer {
    /// Reads the key that was named; `None` if none was.
    ///
    /// # Errors
    /// As [`read_key`], and for a part of the owner key that does not sign.
    pub fn read(args: &KeyArgs) -> Outcome<Option<Self>> {
        let Some(source) = args.source() else {
            return Ok(None);
        };
        let names = read_key(&source, &args.passphrase())?;
        let key = names.sign_key()?;
        Ok(Some(Self { key, names }))
    }

    /// Whose key it is.
    #[must_use]
    pub fn owner(&self) -> OwnerId {
        self.key.owner_id()
    }

    /// Signs an order.
    ///
    /// # Errors
    /// When it is against the format: nothing is signed then.
    pub fn sign(&self, order: &Order) -> Outcome<Signed<Order>> {
        Signed::sign(order, &self.key).map_err(|error| {
            Failure::failed("order", format!("this cannot be signed: {error}"))
                .safe("Nothing was signed.")
        })
    }

    /// The name in a certificate, if this key opens it.
    #[must_use]
    pub fn name(&self, cert: &Cert) -> Option<String> {
        label_of(&self.names, cert)
    }
}
