//! Frames on an asynchronous stream. Lengths are checked before anything is allocated, and a large
//! buffer is made only after a good part of the body has arrived.

use std::io;
use std::time::Duration;

use packnback_proto::limits::KIB;
use packnback_proto::wire::frame::{self, FrameError, FrameHead, HEAD_LEN};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

/// A peer that announces a large body and sends nothing costs this much, not the body. No larger
/// than needed: a buffer that grows by doubling would waste up to half of its memory.
const GROWTH: usize = 256 * KIB;

/// Reading or writing a frame failed.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The stream ended between two frames.
    #[error("the other side closed the stream")]
    Closed,
    /// The stream broke.
    #[error("the stream broke: {0}")]
    Io(#[from] io::Error),
    /// The frame was refused.
    #[error("bad message: {0}")]
    Frame(#[from] FrameError),
}

/// Reads one frame.
///
/// # Errors
/// [`StreamError`].
pub async fn read_frame<T, R>(stream: &mut R) -> Result<(T, Vec<u8>), StreamError>
where
    T: DeserializeOwned,
    R: AsyncRead + Unpin,
{
    let begun = begin(stream).await?;
    finish(stream, begun).await
}

/// Reads one frame, of which all has to arrive `within` this time once it has begun. It may begin at any
/// time.
///
/// # Errors
/// [`StreamError`].
pub async fn read_frame_within<T, R>(
    stream: &mut R,
    within: Duration,
) -> Result<(T, Vec<u8>), StreamError>
where
    T: DeserializeOwned,
    R: AsyncRead + Unpin,
{
    let begun = begin(stream).await?;
    let rest = tokio::time::timeout(within, finish(stream, begun)).await;
    rest.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// The first bytes of a frame.
struct Begun {
    head: [u8; HEAD_LEN],
    len: usize,
}

async fn begin<R: AsyncRead + Unpin>(stream: &mut R) -> Result<Begun, StreamError> {
    let mut head = [0; HEAD_LEN];
    match stream.read(&mut head).await? {
        0 => Err(StreamError::Closed),
        len => Ok(Begun { head, len }),
    }
}

async fn finish<T, R>(stream: &mut R, begun: Begun) -> Result<(T, Vec<u8>), StreamError>
where
    T: DeserializeOwned,
    R: AsyncRead + Unpin,
{
    let no_room = |_| std::future::ready(());
    let (message, body, ()) = finish_with_room(stream, begun, no_room).await?;
    Ok((message, body))
}

/// Reads one frame; asks for `room` for its body before that is read, and returns it with the frame.
///
/// # Errors
/// [`StreamError`].
pub async fn read_frame_with_room<T, R, F>(
    stream: &mut R,
    room: impl FnOnce(usize) -> F,
) -> Result<(T, Vec<u8>, F::Output), StreamError>
where
    T: DeserializeOwned,
    R: AsyncRead + Unpin,
    F: Future,
{
    let begun = begin(stream).await?;
    finish_with_room(stream, begun, room).await
}

async fn finish_with_room<T, R, F>(
    stream: &mut R,
    begun: Begun,
    room: impl FnOnce(usize) -> F,
) -> Result<(T, Vec<u8>, F::Output), StreamError>
where
    T: DeserializeOwned,
    R: AsyncRead + Unpin,
    F: Future,
{
    let Begun { mut head, len } = begun;
    if let Some(rest) = head.get_mut(len..) {
        stream.read_exact(rest).await?;
    }
    let lengths = FrameHead::parse(head)?;
    // A message may hold a secret: that of a recovery, that of an invite.
    let header = Zeroizing::new(read_bytes(stream, lengths.header_len).await?);
    let message = frame::decode(&header)?;
    let room = room(lengths.body_len).await;
    let body = read_bytes(stream, lengths.body_len).await?;
    Ok((message, body, room))
}

/// In two steps: a buffer of exactly the announced length is made once the first part has arrived.
async fn read_bytes<R: AsyncRead + Unpin>(stream: &mut R, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for target in [len.min(GROWTH), len] {
        let missing = target.saturating_sub(bytes.len());
        bytes.reserve_exact(missing);
        let wanted = u64::try_from(missing).unwrap_or(u64::MAX);
        if (&mut *stream).take(wanted).read_to_end(&mut bytes).await? < missing {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(bytes)
}

/// Writes one frame. Does not flush.
///
/// # Errors
/// [`StreamError`].
pub async fn write_frame<T, W>(stream: &mut W, message: &T, body: &[u8]) -> Result<(), StreamError>
where
    T: Serialize,
    W: AsyncWrite + Unpin,
{
    let head = Zeroizing::new(frame::encode(message, body.len())?);
    stream.write_all(&head).await?;
    stream.write_all(body).await?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use packnback_proto::wire::store::StoreRequest;

    use super::*;

    #[tokio::test]
    async fn frames_travel_and_the_end_is_told_from_a_break() {
        let (mut a, mut b) = tokio::io::duplex(16);
        let body = vec![7; 100_000];
        let message = StoreRequest::Sync;
        let sent = async {
            write_frame(&mut a, &message, &body).await.unwrap();
            a.write_all(&[1, 0]).await.unwrap();
            drop(a);
        };
        let received = async {
            let (got, got_body) = read_frame::<StoreRequest, _>(&mut b).await.unwrap();
            assert_eq!((got, got_body), (message.clone(), body.clone()));
            let broken = read_frame::<StoreRequest, _>(&mut b).await.unwrap_err();
            assert!(matches!(broken, StreamError::Io(_)));
            let ended = read_frame::<StoreRequest, _>(&mut b).await.unwrap_err();
            assert!(matches!(ended, StreamError::Closed));
        };
        tokio::join!(sent, received);
    }
}
