//! Why a round with a host failed, and what that says of the host.

use std::time::Duration;

use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::blame::{Fault, Retry};

use super::carry::CarryError;
use super::client::ClientError;
use crate::peers::Heard;
use crate::ports::{Failure, NetError};
use crate::work::WorkError;

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

impl From<RoundError> for WorkError {
    fn from(error: RoundError) -> Self {
        match &error {
            RoundError::Net(net) => net.into(),
            RoundError::Carry(CarryError::Client(client)) | RoundError::Client(client) => {
                client.into()
            }
            RoundError::Carry(_) => Self::of(ErrorCode::Internal, error.to_string()),
            RoundError::Local(failure) => Self::of_own_disk(failure.code, error.to_string()),
            RoundError::Stalled(_) => Self::of(ErrorCode::Unreachable, error.to_string()),
        }
    }
}

impl From<&ClientError> for WorkError {
    fn from(error: &ClientError) -> Self {
        match error {
            ClientError::Stream(_) => Self::of(ErrorCode::Unreachable, error.to_string()),
            ClientError::Refused { code, .. } => Self::of(*code, error.to_string()),
            ClientError::Protocol(_) => Self::new("protocol", error.to_string())
                .blame(Fault::Theirs)
                .retrying(Retry::Slowly),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: ErrorCode) -> WorkError {
        let message = "no".into();
        let id = None;
        RoundError::Client(ClientError::Refused { code, message, id }).into()
    }

    #[test]
    fn a_revoked_or_over_budget_device_does_not_knock_every_five_minutes() {
        assert_eq!(refused(ErrorCode::Certificate).retry(), Retry::WhenWoken);
        assert_eq!(refused(ErrorCode::DayBudget).retry(), Retry::Slowly);
        assert_eq!(refused(ErrorCode::Quota).retry(), Retry::Slowly);
        assert_eq!(refused(ErrorCode::Busy).retry(), Retry::BackOff);
    }

    #[test]
    fn whose_fault_it_is_comes_through() {
        let own = Failure::new(ErrorCode::DiskFull, "full");
        let own: WorkError = RoundError::Local(own).into();
        assert_eq!((own.fault(), own.retry()), (Fault::Disk, Retry::BackOff));
        assert_eq!(refused(ErrorCode::DiskFull).fault(), Fault::Disk);
        let stalled: WorkError = RoundError::Stalled(Duration::from_secs(1)).into();
        assert_eq!(
            (stalled.fault(), stalled.retry()),
            (Fault::Line, Retry::BackOff)
        );
        let odd: WorkError = RoundError::Client(ClientError::Protocol("x")).into();
        assert_eq!(odd.fault(), Fault::Theirs);
    }
}
