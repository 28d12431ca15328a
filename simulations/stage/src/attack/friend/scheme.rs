//! What a scheme is, and what the drill hands to the hostile friend.

use std::any::Any;
use std::path::PathBuf;

use futures::future::BoxFuture;
use packnback_proto::ids::{NodeId, OwnerId};
use serde::Deserialize;

use super::super::tried::Outcome;
use super::peer::Friend;

/// A file of JSON.
#[derive(Debug, Deserialize)]
pub(in crate::attack) struct Spec {
    /// Home of the node whose identity was invited. Its node does not run any more.
    pub(super) home: PathBuf,
    /// Address of the host under attack.
    pub(super) host: String,
    /// Its TCP socket, for who does not even speak the protocol.
    pub(super) socket: String,
    /// Address of the honest friend's machine, which backs up to both.
    pub(super) device: String,
    /// The honest friend's owner.
    pub(super) owner: OwnerId,
    /// The recovery key of that owner.
    pub(super) recovery: NodeId,
    /// Schemes to play; empty: all.
    #[serde(default)]
    pub(super) schemes: Vec<String>,
}

/// What a scheme still holds while the drill looks: connections, sessions, tasks. Let go when dropped.
pub(super) type Held = Box<dyn Any + Send>;

/// How a scheme went, and what it holds.
pub(super) type Played = (Outcome, Held);

/// One scheme.
pub(super) struct Scheme {
    /// Short name.
    pub(super) name: &'static str,
    /// What it tries, for people.
    pub(super) what: &'static str,
    /// Tries it.
    pub(super) run: for<'a> fn(&'a Friend) -> BoxFuture<'a, Played>,
}

/// A line of a table of schemes: name, what it tries, the function.
macro_rules! schemes {
    ($($name:literal, $what:literal, $run:path;)*) => {
        pub(super) const SCHEMES: &[$crate::attack::friend::scheme::Scheme] = &[
            $($crate::attack::friend::scheme::Scheme {
                name: $name,
                what: $what,
                run: |friend| Box::pin($run(friend)),
            },)*
        ];
    };
}

pub(super) use schemes;

/// A scheme that holds nothing.
pub(super) fn nothing_held(outcome: Outcome) -> Played {
    (outcome, Box::new(()))
}
