//! Why a round with a host failed, and what that says of the host.

use std::time::Duration;

use packnback_proto::wire::ErrorCode;

use super::carry::CarryError;
use super::client::ClientError;
use crate::peers::Heard;
use crate::ports::{Failure, NetError};

/// A round with a host failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoundError {
    #[error("{0}")]
    Net(#[from] NetError),
    #[error("{0}")]
    Carry(#[from] CarryError),
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("the local store failed: {0}")]
    Local(#[from] Failure),
    #[error("nothing moved for {} seconds", .0.as_secs())]
    Stalled(Duration),
}

impl RoundError {
    /// What it says of the host.
    pub(super) fn heard(&self) -> Heard {
        match self {
            Self::Net(NetError::Refused { .. }) => Heard::Refused {
                code: ErrorCode::Denied,
                text: "it does not let this node store there".to_owned(),
            },
            Self::Client(error) | Self::Carry(CarryError::Client(error)) => match error {
                ClientError::Refused {
                    // Goes by itself.
                    code: ErrorCode::Busy | ErrorCode::DayBudget | ErrorCode::Internal,
                    ..
                } => Heard::Failed(self.to_string()),
                ClientError::Refused { code, message, .. } => Heard::Refused {
                    code: *code,
                    text: message.to_string(),
                },
                ClientError::Stream(_) => Heard::Away(self.to_string()),
                ClientError::Protocol(_) => Heard::Failed(self.to_string()),
            },
            Self::Net(_) | Self::Stalled(_) => Heard::Away(self.to_string()),
            Self::Carry(_) | Self::Local(_) => Heard::Failed(self.to_string()),
        }
    }
}
