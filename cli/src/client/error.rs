//! Why a conversation with the node failed.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::frame::FrameError;
use packnback_proto::wire::ids::BodyError;

/// A request to the local node failed. Cloneable: one broken connection fails every caller.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers at the socket: the node is not running (or its socket is left from a crash).
    #[error("no node answers at {}: {source}", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The connection broke.
    #[error("the connection to the node broke: {0}")]
    Io(Arc<io::Error>),
    /// The node closed the connection.
    #[error("the node closed the connection")]
    Closed,
    /// The node is there and says nothing: it is stopped, or its disk does not answer.
    #[error("the node of this home has not answered for {} s (it was asked {asked}){}", waited.as_secs(), pid.map_or_else(String::new, |pid| format!("; its process is {pid}")))]
    Silent {
        /// What for.
        asked: &'static str,
        /// How long.
        waited: Duration,
        /// Process of the node, if the system tells.
        pid: Option<i32>,
    },
    /// The node sent something that is not a message.
    #[error("the node sent a bad message: {0}")]
    Frame(#[from] FrameError),
    /// The node sent a bad list.
    #[error("the node sent a bad list: {0}")]
    Body(#[from] BodyError),
    /// The node answered with another message than the request asks for.
    #[error("the node answered out of turn to {0}")]
    OutOfTurn(&'static str),
    /// The node speaks another version of the local API.
    #[error(
        "the node speaks version {node} of the local API, this program {ours}: stop the old node and try again"
    )]
    Version {
        /// Of the node.
        node: u32,
        /// Of this program.
        ours: u32,
    },
    /// The node refused: what happened, what is safe, what to do next.
    #[error("{message}")]
    Refused {
        /// Kind.
        code: ErrorCode,
        /// What happened.
        message: String,
        /// What is safe in spite of it.
        safe: String,
        /// What to do next.
        next: String,
    },
}

impl ClientError {
    /// The code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether starting the node and connecting again may help.
    #[must_use]
    pub fn is_not_running(&self) -> bool {
        matches!(self, Self::NotRunning { .. })
    }
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Closed;
        }
        // One of ours, which went through a reader.
        match error.downcast::<Self>() {
            Ok(ours) => ours,
            Err(error) => Self::Io(Arc::new(error)),
        }
    }
}
