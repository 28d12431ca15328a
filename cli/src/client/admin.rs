//! Requests about devices, orders, retention, hosting and space: one reply with a body each.

use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::wire::admin::{
    CollectInfo, DeviceInfo, HostedOwner, OrderInfo, OwnerStats, PolicyInfo, RetentionInfo,
};
use packnback_proto::wire::frame;
use packnback_proto::wire::local::{LocalReply, LocalRequest};
use serde::de::DeserializeOwned;

use super::ClientError;
use super::threads::Client;

impl Client {
    fn info<T: DeserializeOwned>(&self, request: &LocalRequest) -> Result<T, ClientError> {
        match self.request(request, Vec::new())? {
            (LocalReply::Info, body) => Ok(frame::decode_body(&body)?),
            _ => Err(ClientError::OutOfTurn("Info")),
        }
    }

    /// Devices of the owner.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn devices(&self) -> Result<Vec<DeviceInfo>, ClientError> {
        self.info(&LocalRequest::Devices)
    }

    /// Orders of the owner.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn orders(&self) -> Result<Vec<OrderInfo>, ClientError> {
        self.info(&LocalRequest::Orders)
    }

    /// What retention says of each snapshot on this node, under the policy in force or another.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn retention(
        &self,
        device: Option<NodeId>,
        policy: Option<PolicyInfo>,
    ) -> Result<Vec<RetentionInfo>, ClientError> {
        self.info(&LocalRequest::Retention { device, policy })
    }

    /// Owners this node stores for.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn host_owners(&self) -> Result<Vec<HostedOwner>, ClientError> {
        self.info(&LocalRequest::HostOwners)
    }

    /// Sets or takes off the most bytes stored for an owner.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn host_quota(&self, owner: OwnerId, bytes: Option<u64>) -> Result<(), ClientError> {
        self.expect_ok(&LocalRequest::HostQuota { owner, bytes }, "HostQuota")
    }

    /// Announces the end of hosting an owner (days of warning, days without writes), or takes it
    /// back.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn host_evict(
        &self,
        owner: OwnerId,
        days: Option<(u32, u32)>,
    ) -> Result<HostedOwner, ClientError> {
        self.info(&LocalRequest::HostEvict { owner, days })
    }

    /// Sizes of an owner's data on this node (`None`: its own owner).
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn stats(&self, owner: Option<OwnerId>) -> Result<OwnerStats, ClientError> {
        self.info(&LocalRequest::Stats { owner })
    }

    /// Carries out what is due and frees space, now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn collect(&self) -> Result<CollectInfo, ClientError> {
        self.info(&LocalRequest::Collect)
    }

    /// Says that a person has seen an alarm.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn acknowledge(&self, alarm: u64) -> Result<(), ClientError> {
        self.expect_ok(&LocalRequest::Acknowledge { alarm }, "Acknowledge")
    }
}
