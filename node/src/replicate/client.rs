//! The asking side of a storage session (`packnback_proto::wire::store`), over any stream.

use std::time::Duration;

use packnback_proto::ids::{NodeId, ObjectId, RecordId, SnapshotId};
use packnback_proto::limits::HAVE_IDS_MAX;
use packnback_proto::text::Text;
use packnback_proto::wire::admin::EvictInfo;
use packnback_proto::wire::ids::{decode_bitmap, decode_ids, encode_ids, split_records};
use packnback_proto::wire::store::{Head, STORE_VERSION, Stand, StoreReply, StoreRequest};
use packnback_proto::wire::{Bytes, ErrorCode, Nonce16};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufWriter};

use crate::frames::{StreamError, read_frame, write_frame};

/// Small frames are gathered up to this; larger bodies go straight through.
const WRITE_BUFFER: usize = 64 << 10;
/// How long to look for the reason after the host stopped reading.
const REASON_TIMEOUT: Duration = Duration::from_secs(5);

/// A conversation with a host failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The stream broke.
    #[error("{0}")]
    Stream(#[from] StreamError),
    /// The host refused.
    #[error("the host refuses ({code}): {message}")]
    Refused {
        /// Kind.
        code: ErrorCode,
        /// For people.
        message: Text,
        /// The object it is about.
        id: Option<ObjectId>,
    },
    /// The host answered something else than asked.
    #[error("the host does not keep to the protocol: {0}")]
    Protocol(&'static str),
}

/// To `Hello`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// Host clock, unix seconds.
    pub time: u64,
    /// For a grant.
    pub nonce: Nonce16,
    /// Who answers.
    pub host: NodeId,
    /// Version of the messages it knows.
    pub version: u32,
}

/// To `Open`, as far as it is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// Whether everything below the base is there.
    pub base_complete: bool,
    /// Newest snapshots of this device there.
    pub heads: Vec<Head>,
    /// Their envelopes, as far as the host shows them.
    pub head_records: Vec<Bytes>,
    /// Orders of the owner in their grace there (envelopes).
    pub orders: Vec<Bytes>,
    /// The end of hosting, if it was announced.
    pub notice: Option<EvictInfo>,
    /// What became of snapshots it had receipted, newest first, as far as it was asked.
    pub stands: Vec<(SnapshotId, Stand)>,
    /// The orders it named with that.
    pub stand_orders: Vec<Bytes>,
}

/// See the module.
#[derive(Debug)]
pub struct StoreClient<S: AsyncWrite> {
    stream: BufWriter<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> StoreClient<S> {
    /// Says hello. The host must be the peer at the other end of the stream.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn hello(stream: S, peer: &NodeId) -> Result<(Self, Greeting), ClientError> {
        let stream = BufWriter::with_capacity(WRITE_BUFFER, stream);
        let mut client = Self { stream };
        let hello = StoreRequest::Hello {
            version: STORE_VERSION,
        };
        match client.ask(&hello, &[]).await?.0 {
            StoreReply::Hello { host, .. } if host != *peer => {
                Err(ClientError::Protocol("it claims to be another host"))
            }
            StoreReply::Hello {
                time,
                nonce,
                host,
                version,
            } => Ok((
                client,
                Greeting {
                    time,
                    nonce,
                    host,
                    version,
                },
            )),
            _ => Err(ClientError::Protocol("no answer to hello")),
        }
    }

    /// The stream, when all that was asked is answered.
    pub(crate) fn into_stream(self) -> S {
        self.stream.into_inner()
    }

    /// Sends a request that is answered later or never. May stay in the buffer.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the host said why it stopped reading.
    pub async fn send(&mut self, request: &StoreRequest, body: &[u8]) -> Result<(), ClientError> {
        match write_frame(&mut self.stream, request, body).await {
            Err(StreamError::Io(error)) => Err(self.reason(error.into()).await),
            other => Ok(other?),
        }
    }

    /// Reads the next answer; a refusal is an error.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reply(&mut self) -> Result<(StoreReply, Vec<u8>), ClientError> {
        if let Err(error) = self.stream.flush().await {
            return Err(self.reason(error.into()).await);
        }
        match read_frame(&mut self.stream).await? {
            (StoreReply::Refused { code, message, id }, _) => {
                Err(ClientError::Refused { code, message, id })
            }
            answer => Ok(answer),
        }
    }

    /// A request and its answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ask(
        &mut self,
        request: &StoreRequest,
        body: &[u8],
    ) -> Result<(StoreReply, Vec<u8>), ClientError> {
        self.send(request, body).await?;
        self.reply().await
    }

    /// A request answered with `Ok`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ask_ok(&mut self, request: &StoreRequest) -> Result<(), ClientError> {
        match self.ask(request, &[]).await?.0 {
            StoreReply::Ok => Ok(()),
            _ => Err(ClientError::Protocol("expected ok")),
        }
    }

    /// Opens a device session.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open(
        &mut self,
        cert: Bytes,
        base: Option<SnapshotId>,
    ) -> Result<Opened, ClientError> {
        match self.ask(&StoreRequest::Open { cert, base }, &[]).await?.0 {
            StoreReply::Opened {
                base_complete,
                heads,
                head_records,
                orders,
                notice,
                ..
            } => Ok(Opened {
                base_complete,
                heads,
                head_records,
                orders,
                notice,
                ..Opened::default()
            }),
            _ => Err(ClientError::Protocol("no answer to open")),
        }
    }

    /// Asks what became of snapshots: how each stands, and the orders named.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stands(
        &mut self,
        snaps: &[SnapshotId],
    ) -> Result<(Vec<Stand>, Vec<Bytes>), ClientError> {
        let ids: Vec<ObjectId> = snaps.iter().map(|snap| ObjectId(snap.0)).collect();
        let (reply, body) = self.ask(&StoreRequest::Stands, &encode_ids(&ids)).await?;
        let StoreReply::Stands { stands } = reply else {
            return Err(ClientError::Protocol("no answer to stands"));
        };
        if stands.len() != snaps.len() {
            return Err(ClientError::Protocol("an answer of another length"));
        }
        let orders =
            split_records(&body).map_err(|_| ClientError::Protocol("a wrong list of orders"))?;
        Ok((stands, orders.into_iter().map(Bytes::from).collect()))
    }

    /// Asks whether objects are there.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn send_have(&mut self, ids: &[ObjectId]) -> Result<(), ClientError> {
        self.send(&StoreRequest::Have, &encode_ids(ids)).await?;
        self.flush().await
    }

    /// Sends what is still in the buffer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        match self.stream.flush().await {
            Err(error) => Err(self.reason(error.into()).await),
            Ok(()) => Ok(()),
        }
    }

    /// One page of records: whether there are more, the last id, the body.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn records(
        &mut self,
        after: Option<RecordId>,
    ) -> Result<(bool, Option<RecordId>, Vec<u8>), ClientError> {
        match self.ask(&StoreRequest::Records { after }, &[]).await? {
            (StoreReply::Records { more, last }, body) => Ok((more, last, body)),
            _ => Err(ClientError::Protocol("no answer to records")),
        }
    }

    /// A host that refuses says so and stops reading: its last word explains the broken stream.
    async fn reason(&mut self, error: StreamError) -> ClientError {
        let last_word = async {
            loop {
                match read_frame(&mut self.stream).await {
                    Ok((StoreReply::Refused { code, message, id }, _)) => {
                        return Some(ClientError::Refused { code, message, id });
                    }
                    Ok(_) => {}
                    Err(_) => return None,
                }
            }
        };
        match tokio::time::timeout(REASON_TIMEOUT, last_word).await {
            Ok(Some(refused)) => refused,
            _ => error.into(),
        }
    }
}

/// The bits of a `Bitmap` answer.
///
/// # Errors
/// [`ClientError::Protocol`].
pub(super) fn bits(body: &[u8], asked: usize) -> Result<Vec<bool>, ClientError> {
    decode_bitmap(body, asked).map_err(|_| ClientError::Protocol("a wrong bitmap"))
}

/// The ids of a `Missing` answer.
///
/// # Errors
/// [`ClientError::Protocol`].
pub(super) fn missing(body: &[u8]) -> Result<Vec<ObjectId>, ClientError> {
    decode_ids(body, HAVE_IDS_MAX).map_err(|_| ClientError::Protocol("a wrong list of ids"))
}
