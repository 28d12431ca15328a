//! The invite protocol on one stream: both sides.

use std::time::Duration;

use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::ids::NodeId;
use packnback_proto::text::Text;
use packnback_proto::wire::invite::{INVITE_VERSION, InviteReply, InviteRequest, claim_message};
use packnback_proto::wire::{Bytes, ErrorCode, Nonce16};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::invite::{Claim, ClaimContext, ClaimRefusal, clean_addrs, clean_name};
use super::table::PeerTable;
use crate::frames::{StreamError, read_frame, write_frame};
use crate::ports::Failure;

/// Longest silence of the other side.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// How a node presents itself to a new friend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// Its name; may be empty.
    pub name: String,
    /// Where it can be dialled.
    pub addrs: Vec<String>,
    /// Bytes it stores for the other.
    pub quota: u64,
}

/// What came of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// Friends now: what the inviter says of itself.
    Accepted(Introduction),
    /// The inviter refused.
    Refused {
        /// Kind.
        code: ErrorCode,
        /// For people.
        message: Text,
    },
}

async fn ask<S>(stream: &mut S, request: &InviteRequest) -> Result<InviteReply, StreamError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    write_frame(stream, request, &[]).await?;
    stream.flush().await?;
    Ok(in_time(read_frame(stream)).await?.0)
}

async fn in_time<T>(step: impl Future<Output = Result<T, StreamError>>) -> Result<T, StreamError> {
    tokio::time::timeout(ANSWER_TIMEOUT, step)
        .await
        .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

/// The invitee's side.
///
/// # Errors
/// If the stream broke. Then the inviter may or may not have accepted; asking again is safe.
pub async fn claim_invite<S>(
    stream: &mut S,
    inviter: &NodeId,
    guest: &NodeId,
    key: &SigningKey,
    me: &Introduction,
) -> Result<ClaimOutcome, StreamError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let refused = |code, message| Ok(ClaimOutcome::Refused { code, message });
    let nonce = match ask(
        stream,
        &InviteRequest::Hello {
            version: INVITE_VERSION,
        },
    )
    .await?
    {
        InviteReply::Challenge { nonce, .. } => nonce,
        InviteReply::Refused { code, message } => return refused(code, message),
        InviteReply::Accepted { .. } => {
            return refused(
                ErrorCode::Protocol,
                "accepted before anything was claimed".into(),
            );
        }
    };
    let real = key.node_id();
    let signature = key.sign(&claim_message(inviter, guest, &real, &nonce));
    let claim = InviteRequest::Claim {
        real,
        signature: Bytes(signature.to_vec()),
        name: me.name.clone().into(),
        addrs: me.addrs.clone().into(),
        quota: me.quota,
    };
    match ask(stream, &claim).await? {
        InviteReply::Accepted { name, addrs, quota } => {
            let name = clean_name(&name);
            let addrs = addrs.into_vec();
            Ok(ClaimOutcome::Accepted(Introduction { name, addrs, quota }))
        }
        InviteReply::Refused { code, message } => refused(code, message),
        InviteReply::Challenge { .. } => refused(ErrorCode::Protocol, "challenged twice".into()),
    }
}

fn refusal_reply(refusal: ClaimRefusal) -> InviteReply {
    InviteReply::Refused {
        code: ErrorCode::Invite,
        message: refusal.to_string().into(),
    }
}

/// The inviter's side, for one stream. Returns the new (or known) friend, if there is one.
///
/// # Errors
/// If the stream broke or the other side does not keep to the protocol.
pub async fn serve_invite<S>(
    stream: &mut S,
    table: &PeerTable,
    inviter: &NodeId,
    peer: &NodeId,
    nonce: Nonce16,
    me: &Introduction,
    over_loopback: bool,
) -> Result<Option<NodeId>, StreamError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (InviteRequest::Hello { .. }, _) = in_time(read_frame(stream)).await? else {
        return finish(stream, &protocol_error()).await.map(|()| None);
    };
    let challenge = InviteReply::Challenge {
        version: INVITE_VERSION,
        nonce,
    };
    write_frame(stream, &challenge, &[]).await?;
    stream.flush().await?;
    let (request, _) = in_time(read_frame(stream)).await?;
    let InviteRequest::Claim {
        real,
        signature,
        name,
        addrs,
        quota,
    } = request
    else {
        return finish(stream, &protocol_error()).await.map(|()| None);
    };
    let addrs = clean_addrs(&addrs, over_loopback);
    let claim = Claim {
        real,
        signature,
        name: name.into_string(),
        addrs,
        quota,
    };
    let context = ClaimContext {
        inviter,
        peer,
        nonce: &nonce,
        now: table.clock.now(),
    };
    let (reply, friend) = match table.claim(&claim, &context) {
        Ok(Ok(accepted)) => {
            let (name, addrs) = (me.name.as_str().into(), me.addrs.clone().into());
            (
                InviteReply::Accepted {
                    name,
                    addrs,
                    quota: accepted.quota,
                },
                Some(real),
            )
        }
        Ok(Err(refusal)) => (refusal_reply(refusal), None),
        Err(Failure { code, message, .. }) => {
            let message = message.into();
            (InviteReply::Refused { code, message }, None)
        }
    };
    finish(stream, &reply).await?;
    Ok(friend)
}

fn protocol_error() -> InviteReply {
    InviteReply::Refused {
        code: ErrorCode::Protocol,
        message: "this message was not expected here".into(),
    }
}

/// Sends the last word and waits until the other side has hung up, so that it has been read.
async fn finish<S>(stream: &mut S, reply: &InviteReply) -> Result<(), StreamError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    write_frame(stream, reply, &[]).await?;
    stream.shutdown().await?;
    // Whether it says something or just hangs up makes no difference.
    let _ = in_time(read_frame::<InviteRequest, _>(stream)).await;
    Ok(())
}
