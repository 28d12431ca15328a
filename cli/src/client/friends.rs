//! Requests about friends, and what this node says of itself to them.

use packnback_proto::ids::NodeId;
use packnback_proto::wire::frame;
use packnback_proto::wire::local::{LocalReply, LocalRequest, NodeSettings, PeerInfo};

use super::ClientError;
use super::threads::Client;

impl Client {
    /// Makes an invite for a friend, and says how much it offers. `quota`: `None` = the usual, and a friend who
    /// takes it up keeps what it has.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn invite(
        &self,
        quota: Option<u64>,
        expires_s: u64,
        name: &str,
    ) -> Result<(String, u64), ClientError> {
        let request = LocalRequest::Invite {
            quota,
            expires_s,
            name: name.to_owned(),
        };
        match self.request(&request, Vec::new())?.0 {
            LocalReply::Invited { token, quota } => Ok((token, quota)),
            _ => Err(ClientError::OutOfTurn("Invite")),
        }
    }

    /// Accepts an invite. `quota` as of [`Client::invite`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn accept(
        &self,
        token: &str,
        quota: Option<u64>,
        name: &str,
    ) -> Result<PeerInfo, ClientError> {
        let request = LocalRequest::Accept {
            token: token.to_owned(),
            quota,
            name: name.to_owned(),
        };
        self.peer(&request, "Accept")
    }

    /// All other nodes known.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn peers(&self) -> Result<Vec<PeerInfo>, ClientError> {
        match self.request(&LocalRequest::Peers, Vec::new())?.0 {
            LocalReply::Peers { peers } => Ok(peers),
            _ => Err(ClientError::OutOfTurn("Peers")),
        }
    }

    /// Ends a friendship. Returns whether the other node knows.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn remove_peer(&self, node: NodeId) -> Result<bool, ClientError> {
        match self
            .request(&LocalRequest::RemovePeer { node }, Vec::new())?
            .0
        {
            LocalReply::Removed { told } => Ok(told),
            _ => Err(ClientError::OutOfTurn("RemovePeer")),
        }
    }

    /// Says where a friend can be dialled.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn peer_addrs(&self, node: NodeId, addrs: &[String]) -> Result<PeerInfo, ClientError> {
        let addrs = addrs.to_vec();
        self.peer(&LocalRequest::PeerAddrs { node, addrs }, "PeerAddrs")
    }

    /// Changes the settings of the node that are given; returns all as they are now.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn configure(
        &self,
        listen: Option<Vec<String>>,
        name: Option<String>,
    ) -> Result<NodeSettings, ClientError> {
        match self.request(&LocalRequest::Configure { listen, name }, Vec::new())? {
            (LocalReply::Info, body) => Ok(frame::decode_body(&body)?),
            _ => Err(ClientError::OutOfTurn("Configure")),
        }
    }

    fn peer(&self, request: &LocalRequest, name: &'static str) -> Result<PeerInfo, ClientError> {
        match self.request(request, Vec::new())?.0 {
            LocalReply::Peer { peer } => Ok(peer),
            _ => Err(ClientError::OutOfTurn(name)),
        }
    }
}
