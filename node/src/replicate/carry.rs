//! Carries out an [`Upload`] over a stream: reads objects ahead, writes, and feeds the answers back.

use std::collections::VecDeque;
use std::sync::Arc;

use packnback_proto::ids::{NodeId, ObjectId};
use packnback_proto::limits::MIB;
use packnback_proto::record::{RecordError, decode_receipt};
use packnback_proto::wire::Bytes;
use packnback_proto::wire::store::{StoreReply, StoreRequest};
use tokio::io::{AsyncRead, AsyncWrite};

use super::client::{ClientError, StoreClient, bits, missing};
use super::source::{OwnSnap, Shape, Source};
use super::upload::{Action, Left, Reply, Shapes, Upload, UploadError};
use crate::ports::{Blocking, Failure, Stopped};

/// Bytes of objects in memory per host: one lot on its way, one being read.
const LOT_BYTES: u64 = 4 * MIB as u64;
/// Actions per lot.
const LOT_ACTIONS: usize = 256;

/// A snapshot could not be brought to a host.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// The conversation failed.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// The upload cannot go on.
    #[error("{0}")]
    Upload(#[from] UploadError),
    /// The local store failed.
    #[error("the local store failed: {0}")]
    Local(#[from] Failure),
    /// The host's receipt is not valid, or not for this snapshot, or not by this host.
    #[error("the receipt of the host is not valid: {0}")]
    Receipt(String),
    /// Local work was cut short.
    #[error("the node is stopping")]
    Stopped,
}

impl From<Stopped> for CarryError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

struct Local<'a>(&'a dyn Source);

impl Shapes for Local<'_> {
    fn shape(&mut self, id: &ObjectId) -> Result<Option<Shape>, Failure> {
        self.0.shape(id)
    }
}

/// What to write, with the bytes already read.
enum Step {
    Have(Vec<ObjectId>),
    Put(ObjectId, Vec<u8>),
    Sync,
    Commit,
}

/// Why a lot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    More,
    Wait,
    Done,
}

struct Lot {
    upload: Upload,
    steps: Vec<Step>,
    then: Then,
}

/// Takes actions until one has to wait or the lot is full, and reads the objects. Blocks.
fn next_lot(mut upload: Upload, source: &dyn Source) -> Result<Lot, CarryError> {
    let (mut steps, mut bytes) = (Vec::new(), 0_u64);
    while steps.len() < LOT_ACTIONS && bytes < LOT_BYTES {
        let then = match upload.next(&mut Local(source))? {
            Action::Have(ids) => {
                steps.push(Step::Have(ids));
                continue;
            }
            Action::Put { id, .. } => {
                let object = source.object(&id)?.ok_or(UploadError::NotHere(id))?;
                bytes = bytes.saturating_add(u64::try_from(object.len()).unwrap_or(u64::MAX));
                steps.push(Step::Put(id, object));
                continue;
            }
            Action::Sync => {
                steps.push(Step::Sync);
                continue;
            }
            Action::Commit => {
                steps.push(Step::Commit);
                continue;
            }
            Action::Wait => Then::Wait,
            Action::Done => Then::Done,
        };
        return Ok(Lot {
            upload,
            steps,
            then,
        });
    }
    Ok(Lot {
        upload,
        steps,
        then: Then::More,
    })
}

fn expect_receipt(envelope: &Bytes, snap: &OwnSnap, host: &NodeId) -> Result<(), CarryError> {
    let wrong = |reason: &str| Err(CarryError::Receipt(reason.to_owned()));
    let receipt = decode_receipt(envelope)
        .map_err(|error: RecordError| CarryError::Receipt(error.to_string()))?;
    if receipt.value().host != *host {
        return wrong("it is signed by another host");
    }
    if receipt.value().snap != snap.id {
        return wrong("it is for another snapshot");
    }
    Ok(())
}

/// Brings one snapshot to the host of an open session; returns its verified receipt. `progress`
/// hears how much is left.
///
/// # Errors
/// [`CarryError`]. What was synced before stays at the host, and the next try starts there.
pub async fn carry<S>(
    client: &mut StoreClient<S>,
    source: &Arc<dyn Source>,
    blocking: Blocking,
    snap: &OwnSnap,
    host: &NodeId,
    progress: &(dyn Fn(Left) + Sync),
) -> Result<Bytes, CarryError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut asked: VecDeque<usize> = VecDeque::new();
    let mut receipt = None;
    let mut lot = lot_of(Upload::new(snap.root), source, blocking).await?;
    loop {
        progress(lot.upload.left());
        let (upload, steps) = (lot.upload, lot.steps);
        // While this lot is written the next one is read, unless an answer decides what it is.
        let write = write_steps(client, &snap.envelope, steps, &mut asked);
        let upload = match lot.then {
            Then::More => {
                let (written, next) = tokio::join!(write, lot_of(upload, source, blocking));
                written?;
                lot = next?;
                continue;
            }
            Then::Done => {
                write.await?;
                return receipt.ok_or(ClientError::Protocol("no receipt").into());
            }
            Then::Wait => {
                write.await?;
                upload
            }
        };
        let answer = read_answer(client, &mut asked, &mut receipt).await?;
        if let Some(envelope) = &receipt {
            expect_receipt(envelope, snap, host)?;
        }
        lot = lot_after(upload, answer, source, blocking).await?;
    }
}

/// Asks the host to commit a snapshot without sending anything: it may have got it another way. Its
/// verified receipt, or `None` if something is missing there.
///
/// # Errors
/// [`CarryError`].
pub(super) async fn commit_only<S>(
    client: &mut StoreClient<S>,
    snap: &OwnSnap,
    host: &NodeId,
) -> Result<Option<Bytes>, CarryError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let snap_envelope = snap.envelope.clone();
    let commit = StoreRequest::Commit {
        snap: snap_envelope,
    };
    match client.ask(&commit, &[]).await?.0 {
        StoreReply::Committed { receipt } => {
            expect_receipt(&receipt, snap, host)?;
            Ok(Some(receipt))
        }
        StoreReply::Missing { .. } => Ok(None),
        _ => Err(ClientError::Protocol("no answer to commit").into()),
    }
}

async fn lot_of(
    upload: Upload,
    source: &Arc<dyn Source>,
    blocking: Blocking,
) -> Result<Lot, CarryError> {
    let source = Arc::clone(source);
    blocking.run(move || next_lot(upload, &*source)).await?
}

async fn lot_after(
    mut upload: Upload,
    answer: Reply,
    source: &Arc<dyn Source>,
    blocking: Blocking,
) -> Result<Lot, CarryError> {
    let source = Arc::clone(source);
    let work = move || {
        upload.on_reply(answer, &mut Local(&*source))?;
        next_lot(upload, &*source)
    };
    blocking.run(work).await?
}

async fn write_steps<S>(
    client: &mut StoreClient<S>,
    snap: &Bytes,
    steps: Vec<Step>,
    asked: &mut VecDeque<usize>,
) -> Result<(), ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for step in steps {
        match step {
            Step::Have(ids) => {
                asked.push_back(ids.len());
                client.send_have(&ids).await?;
            }
            Step::Put(id, object) => client.send(&StoreRequest::Put { id }, &object).await?,
            Step::Sync => client.send(&StoreRequest::Sync, &[]).await?,
            Step::Commit => {
                client
                    .send(&StoreRequest::Commit { snap: snap.clone() }, &[])
                    .await?;
            }
        }
    }
    client.flush().await
}

async fn read_answer<S>(
    client: &mut StoreClient<S>,
    asked: &mut VecDeque<usize>,
    receipt: &mut Option<Bytes>,
) -> Result<Reply, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match client.reply().await? {
        (StoreReply::Bitmap, body) => {
            let count = asked.pop_front();
            let count = count.ok_or(ClientError::Protocol("a bitmap nobody asked for"))?;
            Ok(Reply::Bitmap(bits(&body, count)?))
        }
        (StoreReply::Synced { .. }, _) => Ok(Reply::Synced),
        (StoreReply::Missing { .. }, body) => Ok(Reply::Missing(missing(&body)?)),
        (StoreReply::Committed { receipt: envelope }, _) => {
            *receipt = Some(envelope);
            Ok(Reply::Committed)
        }
        _ => Err(ClientError::Protocol("an answer to something else")),
    }
}
