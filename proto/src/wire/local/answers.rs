//! What a reply carries, as a value: written by the node and read by the program in one place.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::replies::{
    CommitAnswer, Copies, Hello, Invited, LocalReply, Opened, RecordPage, RemoteOpened,
};
use super::status::{PeerInfo, StatusInfo};
use crate::ids::ObjectId;
use crate::limits::HAVE_IDS_MAX;
use crate::wire::frame::{FrameError, decode_body, encode_body};
use crate::wire::ids::{decode_ids, encode_ids};

/// A reply and its body.
pub type Reply = (LocalReply, Vec<u8>);

/// How the value of an answer travels.
pub trait Answer {
    /// What the request gives.
    type Value;

    /// As a reply; `None` if nothing more is to be sent.
    ///
    /// # Errors
    /// [`FrameError::BodySize`] if it is too large.
    fn encode(value: Self::Value) -> Result<Option<Reply>, FrameError>;

    /// From a reply; `None` if that answers another request.
    ///
    /// # Errors
    /// [`FrameError::Malformed`].
    fn decode(reply: LocalReply, body: Vec<u8>) -> Result<Option<Self::Value>, FrameError>;
}

/// Replies whose value is their own.
macro_rules! as_it_is {
    ($($answer:ident),*) => {$(
        impl Answer for $answer {
            type Value = Self;

            fn encode(value: Self) -> Result<Option<Reply>, FrameError> {
                Ok(Some((LocalReply::$answer(value), Vec::new())))
            }

            fn decode(reply: LocalReply, _: Vec<u8>) -> Result<Option<Self>, FrameError> {
                Ok(match reply {
                    LocalReply::$answer(value) => Some(value),
                    _ => None,
                })
            }
        }
    )*};
}

as_it_is!(Hello, Opened, Copies, RemoteOpened, Invited);

/// Replies of one field without a body.
macro_rules! one_field {
    ($($(#[$doc:meta])* $answer:ident = $reply:ident . $field:ident : $value:ty;)*) => {$(
        $(#[$doc])*
        pub enum $answer {}

        impl Answer for $answer {
            type Value = $value;

            fn encode($field: $value) -> Result<Option<Reply>, FrameError> {
                Ok(Some((LocalReply::$reply { $field }, Vec::new())))
            }

            fn decode(reply: LocalReply, _: Vec<u8>) -> Result<Option<$value>, FrameError> {
                Ok(match reply {
                    LocalReply::$reply { $field } => Some($field),
                    _ => None,
                })
            }
        }
    )*};
}

one_field! {
    /// `Synced`: how many objects are durable.
    SyncedAnswer = Synced.objects: u64;
    /// `Removed`: whether the other node knows.
    RemovedAnswer = Removed.told: bool;
    /// `Peers`.
    PeersAnswer = Peers.peers: Vec<PeerInfo>;
    /// `Peer`.
    PeerAnswer = Peer.peer: PeerInfo;
}

/// `Ok`.
pub enum Done {}

impl Answer for Done {
    type Value = ();

    fn encode((): ()) -> Result<Option<Reply>, FrameError> {
        Ok(Some((LocalReply::Ok, Vec::new())))
    }

    fn decode(reply: LocalReply, _: Vec<u8>) -> Result<Option<()>, FrameError> {
        Ok(matches!(reply, LocalReply::Ok).then_some(()))
    }
}

/// No reply at all.
pub enum Nothing {}

impl Answer for Nothing {
    type Value = ();

    fn encode((): ()) -> Result<Option<Reply>, FrameError> {
        Ok(None)
    }

    fn decode(_: LocalReply, _: Vec<u8>) -> Result<Option<()>, FrameError> {
        Ok(None)
    }
}

/// One `Object` for each id, sent while they are read.
pub enum Objects {}

impl Answer for Objects {
    type Value = ();

    fn encode((): ()) -> Result<Option<Reply>, FrameError> {
        Ok(None)
    }

    fn decode(_: LocalReply, _: Vec<u8>) -> Result<Option<()>, FrameError> {
        Ok(None)
    }
}

/// `Bitmap`: the body as it is, for only who asked knows how many bits count.
pub enum Bitmap {}

impl Answer for Bitmap {
    type Value = Vec<u8>;

    fn encode(body: Vec<u8>) -> Result<Option<Reply>, FrameError> {
        Ok(Some((LocalReply::Bitmap, body)))
    }

    fn decode(reply: LocalReply, body: Vec<u8>) -> Result<Option<Vec<u8>>, FrameError> {
        Ok(matches!(reply, LocalReply::Bitmap).then_some(body))
    }
}

/// `Status` with its body.
pub enum StatusAnswer {}

impl Answer for StatusAnswer {
    type Value = StatusInfo;

    fn encode(value: StatusInfo) -> Result<Option<Reply>, FrameError> {
        Ok(Some((LocalReply::Status, encode_body(&value)?)))
    }

    fn decode(reply: LocalReply, body: Vec<u8>) -> Result<Option<StatusInfo>, FrameError> {
        match reply {
            LocalReply::Status => decode_body(&body).map(Some),
            _ => Ok(None),
        }
    }
}

/// `Info` with this in its body.
pub struct Info<T>(PhantomData<T>);

impl<T: Serialize + DeserializeOwned> Answer for Info<T> {
    type Value = T;

    fn encode(value: T) -> Result<Option<Reply>, FrameError> {
        Ok(Some((LocalReply::Info, encode_body(&value)?)))
    }

    fn decode(reply: LocalReply, body: Vec<u8>) -> Result<Option<T>, FrameError> {
        match reply {
            LocalReply::Info => decode_body(&body).map(Some),
            _ => Ok(None),
        }
    }
}

impl Answer for CommitAnswer {
    type Value = Self;

    fn encode(value: Self) -> Result<Option<Reply>, FrameError> {
        Ok(Some(match value {
            Self::Committed(committed) => (LocalReply::Committed(committed), Vec::new()),
            Self::Missing(ids) => {
                let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
                (LocalReply::Missing { count }, encode_ids(&ids))
            }
        }))
    }

    fn decode(reply: LocalReply, body: Vec<u8>) -> Result<Option<Self>, FrameError> {
        Ok(match reply {
            LocalReply::Committed(committed) => Some(Self::Committed(committed)),
            LocalReply::Missing { .. } => Some(Self::Missing(ids(&body)?)),
            _ => None,
        })
    }
}

fn ids(body: &[u8]) -> Result<Vec<ObjectId>, FrameError> {
    decode_ids(body, HAVE_IDS_MAX).map_err(|error| FrameError::Malformed(error.to_string().into()))
}

impl Answer for RecordPage {
    type Value = Self;

    fn encode(value: Self) -> Result<Option<Reply>, FrameError> {
        let RecordPage { more, last, body } = value;
        Ok(Some((LocalReply::Records { more, last }, body)))
    }

    fn decode(reply: LocalReply, body: Vec<u8>) -> Result<Option<Self>, FrameError> {
        Ok(match reply {
            LocalReply::Records { more, last } => Some(Self { more, last, body }),
            _ => None,
        })
    }
}
