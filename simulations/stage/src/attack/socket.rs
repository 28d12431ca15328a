//! The own node's socket: root may connect to it.

use std::path::Path;

use anyhow::{Context as _, bail};
use packnback_node::frames::{StreamError, read_frame, write_frame};
use packnback_proto::ids::ObjectId;
use packnback_proto::record::{Record, Signed, Snap, decode_record};
use packnback_proto::wire::Bytes;
use packnback_proto::wire::ids::{encode_ids, split_records};
use packnback_proto::wire::local::{API_VERSION, LocalReply, LocalRequest, Tagged};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use super::junk::Object;

/// A connection to the device's own node.
pub(super) struct OwnNode {
    stream: UnixStream,
    /// Number of the last request.
    tag: u64,
}

impl OwnNode {
    pub(super) async fn connect(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket).await;
        let mut stream = stream.with_context(|| format!("cannot reach {}", socket.display()))?;
        write_frame(&mut stream, &LocalRequest::Hello { api: API_VERSION }, &[]).await?;
        stream.flush().await?;
        match read_frame(&mut stream).await? {
            (LocalReply::Hello(_), _) => Ok(Self { stream, tag: 0 }),
            (other, _) => bail!("no greeting: {other:?}"),
        }
    }

    pub(super) async fn send(
        &mut self,
        request: &LocalRequest,
        body: &[u8],
    ) -> Result<(), StreamError> {
        self.tag = self.tag.saturating_add(1);
        write_frame(&mut self.stream, &(self.tag, request), body).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next thing that is said of anything, for one request is under way at a time.
    pub(super) async fn ask(
        &mut self,
        request: &LocalRequest,
        body: &[u8],
    ) -> Result<(LocalReply, Vec<u8>), StreamError> {
        self.send(request, body).await?;
        loop {
            match read_frame::<Tagged<LocalReply>, _>(&mut self.stream).await? {
                ((_, LocalReply::Working), _) => {}
                ((_, reply), body) => return Ok((reply, body)),
            }
        }
    }

    /// The certificate in use.
    pub(super) async fn open(&mut self) -> anyhow::Result<Bytes> {
        match self.ask(&LocalRequest::Open, &[]).await?.0 {
            LocalReply::Opened(opened) => Ok(opened.cert),
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
