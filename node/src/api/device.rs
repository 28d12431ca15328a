//! This machine as a device of its owner: its certificate, its owner's orders, what its store holds.

use std::sync::Arc;

use packnback_proto::ids::{ObjectId, OwnerId, RecordId};
use packnback_proto::record::decode_cert;
use packnback_proto::wire::local::RecordPage;
use packnback_proto::wire::{Bytes, ErrorCode};

use super::{Api, failure};
use crate::ports::Failure;
use crate::service::read_object;
use crate::store::{RecordFilter, StoreError};

impl Api {
    /// Makes this node a device of the owner who signed the certificate.
    ///
    /// # Errors
    /// If the certificate is not for this machine, or the node belongs to another owner.
    pub async fn adopt(&self, cert: Bytes) -> Result<(), Failure> {
        let refused =
            |code, message: &str| Failure::new(code, message).safe("Nothing was changed.");
        let cert = decode_cert(&cert).map_err(|error| failure(StoreError::from(error).into()))?;
        let (owner, me) = (cert.value().owner, self.node_id());
        if cert.value().device != me {
            return Err(refused(
                ErrorCode::Certificate,
                "the certificate belongs to another machine",
            ));
        }
        if self.device()?.is_some_and(|device| device.owner != owner) {
            let message = "this node belongs to another owner already";
            return Err(refused(ErrorCode::OtherOwner, message)
                .next("Use another home (--home), or the owner key this home was set up with."));
        }
        self.blocking(move |store| store.adopt(&cert)).await?;
        self.network.wake_replication();
        Ok(())
    }

    /// Stores an order of the owner and carries it to the hosts.
    ///
    /// # Errors
    /// If it is not the owner's, or breaks a rule.
    pub async fn order(&self, envelope: Bytes) -> Result<(), Failure> {
        let owner = self.owner()?.owner;
        let now = self.now();
        self.blocking(move |store| store.put_order(&owner, &envelope, now))
            .await?;
        self.network.wake_replication();
        Ok(())
    }

    /// A page of records of this node's owner, in order of their ids.
    ///
    /// # Errors
    /// If the owner is another one, or the store cannot be read.
    pub async fn records(
        &self,
        owner: Option<OwnerId>,
        after: Option<RecordId>,
    ) -> Result<RecordPage, Failure> {
        let own = self.own_or(owner)?;
        let page = self
            .blocking(move |store| store.records(&own, &RecordFilter::All, after.as_ref()))
            .await?;
        Ok(RecordPage {
            more: page.more,
            last: page.last,
            body: page.body,
        })
    }

    /// An object of this node's owner; `None` if it is not here, or damaged.
    ///
    /// # Errors
    /// If this node belongs to nobody.
    pub async fn object(&self, id: ObjectId) -> Result<Option<Vec<u8>>, Failure> {
        let owner = self.owner()?.owner;
        Ok(self.object_of(owner, id).await)
    }

    /// An object of an owner; `None` if it is not here, or damaged.
    pub(crate) async fn object_of(&self, owner: OwnerId, id: ObjectId) -> Option<Vec<u8>> {
        read_object(Arc::clone(&self.host), owner, id).await
    }

    /// The owner of this node, if it is this one or none is named.
    ///
    /// # Errors
    /// If it is another, or there is none.
    pub(crate) fn own_or(&self, owner: Option<OwnerId>) -> Result<OwnerId, Failure> {
        let own = self.owner()?.owner;
        if owner.is_some_and(|owner| owner != own) {
            return Err(
                Failure::new(ErrorCode::OtherOwner, "this node belongs to another owner")
                    .safe("Nothing was changed."),
            );
        }
        Ok(own)
    }
}
