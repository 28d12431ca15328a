//! Whose fault an error is, and whether trying again helps: of every error that crosses an edge.

use super::ErrorCode;
use super::types::text_enum;

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

text_enum! {
    /// Whether the same thing may succeed later.
    Retry, Unknown, {
        /// No: something has to be asked differently.
        Never = "never",
        /// Once something changes that this node is told of: a certificate, an order, the other node coming back.
        WhenWoken = "when-woken",
        /// By itself or by a person elsewhere, in hours rather than seconds: pauses grow long.
        Slowly = "slowly",
        /// By itself: after growing pauses.
        BackOff = "back-off",
    }
}

text_enum! {
    /// Whose fault an error is, seen from the node that asked.
    Fault, Unknown, {
        /// Of this node: what it asked, or what it is.
        Ours = "ours",
        /// Of the other node.
        Theirs = "theirs",
        /// A disk failed, is full, or holds damaged bytes.
        Disk = "disk",
        /// The line between two nodes.
        Line = "line",
    }
}

impl ErrorCode {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn retry(self) -> Retry {
        match self {
            Self::Invite => Retry::Never,
            // A new certificate, a new program, a new friendship: each wakes whoever waits for it.
            Self::Protocol
            | Self::Version
            | Self::NotOpen
            | Self::Certificate
            | Self::OtherOwner => Retry::WhenWoken,
            // Space, a quota, another day, a friend that admits again: nobody tells this node.
            Self::Denied
            | Self::Record
            | Self::Object
            | Self::Quota
            | Self::DayBudget
            | Self::DiskFull
            | Self::Damaged
            | Self::NotFound => Retry::Slowly,
            Self::Unreachable | Self::Busy | Self::Internal | Self::Unknown => Retry::BackOff,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn fault(self) -> Fault {
        match self {
            Self::Protocol
            | Self::NotOpen
            | Self::Certificate
            | Self::Record
            | Self::Object
            | Self::OtherOwner
            | Self::Invite => Fault::Ours,
            Self::DiskFull | Self::Damaged => Fault::Disk,
            Self::Unreachable => Fault::Line,
            Self::Version
            | Self::Denied
            | Self::Quota
            | Self::DayBudget
            | Self::NotFound
            | Self::Busy
            | Self::Internal
            | Self::Unknown => Fault::Theirs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_person_can_change_is_not_asked_again_and_again() {
        for code in [
            ErrorCode::Certificate,
            ErrorCode::OtherOwner,
            ErrorCode::Version,
        ] {
            assert_eq!(code.retry(), Retry::WhenWoken, "{code}");
        }
        for code in [ErrorCode::DayBudget, ErrorCode::Quota, ErrorCode::DiskFull] {
            assert_eq!(code.retry(), Retry::Slowly, "{code}");
        }
        for code in [ErrorCode::Unreachable, ErrorCode::Busy, ErrorCode::Unknown] {
            assert_eq!(code.retry(), Retry::BackOff, "{code}");
        }
        assert_eq!(ErrorCode::Invite.retry(), Retry::Never);
        assert_eq!(ErrorCode::DiskFull.fault(), Fault::Disk);
        assert_eq!(ErrorCode::Unreachable.fault(), Fault::Line);
        assert_eq!(ErrorCode::Certificate.fault(), Fault::Ours);
        assert_eq!(ErrorCode::Quota.fault(), Fault::Theirs);
    }
}
