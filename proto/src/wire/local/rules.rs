//! What holds of a request beside its fields.

use std::time::Duration;

/// Answers that need no more than a look at the node's tables.
pub const QUICK: Duration = Duration::from_secs(90);
/// Answers that write or read much on this machine's disk.
pub const WORK: Duration = Duration::from_secs(15 * 60);
/// Answers of other machines; the node itself gives them up sooner.
pub const FAR: Duration = Duration::from_secs(5 * 60);
/// Freeing space.
pub const LONG: Duration = Duration::from_secs(24 * 3600);

/// Which requests of a connection wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// For none: it is worked on as soon as it is there.
    Free,
    /// As `Free`, a few at once: looks at tables, whose answers may be large.
    Tables,
    /// As `Free`; objects of this node, of which a few are in memory at once.
    Objects,
    /// One backup: what is put before a sync is in it.
    Backup,
    /// Reading from a host: what is asked after a greeting is asked of that host.
    Reading,
}

impl Lane {
    /// Whether what is asked first is answered first, so that an answer in it is a step towards all behind it.
    #[must_use]
    pub const fn is_queue(self) -> bool {
        matches!(self, Self::Objects | Self::Backup | Self::Reading)
    }
}

/// What holds of a request beside its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// What the node is asked, to follow "it was asked".
    pub asked: &'static str,
    /// Longest wait for an answer, with signs of life.
    pub within: Duration,
    /// Whether it comes before the greeting, and not after.
    pub greets: bool,
    /// Whether it changes nothing and reaches nobody: a node on a disk that cannot be written answers it.
    pub is_question: bool,
    /// What it waits for.
    pub lane: Lane,
    /// Whether its refusal ends the connection.
    pub ends: bool,
}

impl Rule {
    /// Of a request that changes something, or reaches others.
    #[must_use]
    pub const fn deed(asked: &'static str, within: Duration) -> Self {
        Self {
            asked,
            within,
            greets: false,
            is_question: false,
            lane: Lane::Free,
            ends: false,
        }
    }

    /// Of a request that changes nothing and reaches nobody.
    #[must_use]
    pub const fn question(asked: &'static str, within: Duration) -> Self {
        Self {
            is_question: true,
            ..Self::deed(asked, within)
        }
    }

    /// Of a question to the tables of the node.
    #[must_use]
    pub const fn look(asked: &'static str, within: Duration) -> Self {
        Self::question(asked, within).in_lane(Lane::Tables)
    }

    /// The greeting.
    #[must_use]
    pub const fn greeting(self) -> Self {
        Self {
            greets: true,
            ..self
        }
    }

    /// In this lane.
    #[must_use]
    pub const fn in_lane(self, lane: Lane) -> Self {
        Self { lane, ..self }
    }

    /// The connection ends when it is refused.
    #[must_use]
    pub const fn or_end(self) -> Self {
        Self { ends: true, ..self }
    }
}
