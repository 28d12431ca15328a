//! The own node's socket: root may connect to it.

use std::path::Path;

use anyhow::{Context as _, bail};
use packnback_node::frames::{StreamError, read_frame, write_frame};
use packnback_proto::ids::ObjectId;
use packnback_proto::record::{Record, Signed, Snap, decode_record};
use packnback_proto::wire::Bytes;
use packnback_proto::wire::ids::{encode_ids, split_records};
use packnback_proto::wire::local::{API_VERSION, LocalReply, LocalRequest};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use super::junk::Object;

/// A connection to the device's own node.
pub(super) struct OwnNode(UnixStream);

impl OwnNode {
    pub(super) async fn connect(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket).await;
        let mut node = Self(stream.with_context(|| format!("cannot reach {}", socket.display()))?);
        match node
            .ask(&LocalRequest::Hello { api: API_VERSION }, &[])
            .await?
        {
            (LocalReply::Hello { .. }, _) => Ok(node),
            (other, _) => bail!("no greeting: {other:?}"),
        }
    }

    pub(super) async fn send(
        &mut self,
        request: &LocalRequest,
        body: &[u8],
    ) -> Result<(), StreamError> {
        write_frame(&mut self.0, request, body).await?;
        Ok(self.0.flush().await?)
    }

    pub(super) async fn ask(
        &mut self,
        request: &LocalRequest,
        body: &[u8],
    ) -> Result<(LocalReply, Vec<u8>), StreamError> {
        self.send(request, body).await?;
        loop {
            match read_frame(&mut self.0).await? {
                (LocalReply::Working, _) => {}
                answer => return Ok(answer),
            }
        }
    }

    /// The certificate in use.
    pub(super) async fn open(&mut self) -> anyhow::Result<Bytes> {
        match self.ask(&LocalRequest::Open, &[]).await?.0 {
            LocalReply::Opened { cert, .. } => Ok(cert),
            other => bail!("no session with the own node: {other:?}"),
        }
    }

    /// Every snapshot the node knows.
    pub(super) async fn snaps(&mut self) -> anyhow::Result<Vec<Signed<Snap>>> {
        let (mut snaps, mut after) = (Vec::new(), None);
        loop {
            let request = LocalRequest::Records {
                owner: None,
                after,
                remote: false,
            };
            let (reply, body) = self.ask(&request, &[]).await?;
            let LocalReply::Records { more, last } = reply else {
                bail!("no records of the own node: {reply:?}");
            };
            for envelope in split_records(&body)? {
                if let Ok(Record::Snap(snap)) = decode_record(envelope) {
                    snaps.push(snap);
                }
            }
            if !more || last == after {
                return Ok(snaps);
            }
            after = last;
        }
    }

    /// An object the node holds.
    pub(super) async fn object(&mut self, id: ObjectId) -> anyhow::Result<Object> {
        let get = LocalRequest::Get { remote: false };
        match self.ask(&get, &encode_ids(&[id])).await? {
            (LocalReply::Object { found: true, .. }, bytes) => Ok(Object { id, bytes }),
            (other, _) => bail!("no object of the own node: {other:?}"),
        }
    }
}
