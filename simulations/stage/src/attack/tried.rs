//! What an attack is, and what comes of it.

use futures::future::BoxFuture;
use packnback_node::net::NetError;
use packnback_node::replicate::ClientError;
use packnback_proto::wire::store::StoreReply;

use super::attacker::{Attacker, Target};
use super::spec::Ended;

/// One attack.
pub(super) struct Attack {
    /// Short name.
    pub(super) name: &'static str,
    /// What it tries, for people.
    pub(super) what: &'static str,
    /// Tries it.
    pub(super) run: Run,
}

/// The function of an attack.
pub(super) type Run = for<'a> fn(&'a Attacker, &'a Target) -> BoxFuture<'a, Outcome>;

/// An error means that the attack could not be tried as meant; the drill counts that as a failure.
pub(super) type Outcome = Result<Tried, String>;

/// What came of an attack.
#[derive(Debug)]
pub(super) enum Tried {
    /// The other side said no, in these words.
    Refused(String),
    /// The other side did it.
    Worked(String),
    /// The other side did it, as it should; why that is harmless.
    Allowed(String),
}

/// A line of a table of attacks: name, what it tries, the function.
macro_rules! attacks {
    ($($name:literal, $what:literal, $run:path;)*) => {
        pub(super) const ATTACKS: &[$crate::attack::tried::Attack] = &[
            $($crate::attack::tried::Attack {
                name: $name,
                what: $what,
                run: |attacker, target| Box::pin($run(attacker, target)),
            },)*
        ];
    };
}

pub(super) use attacks;

/// What a host answered to something it must not do. Objects it misses are a refusal too.
pub(super) fn judge(answer: Result<(StoreReply, Vec<u8>), ClientError>) -> Outcome {
    match answer {
        Ok((StoreReply::Missing { count }, _)) => Ok(Tried::Refused(format!(
            "not committed: {count} objects are not here"
        ))),
        Ok((reply, _)) => Ok(Tried::Worked(format!("it answered {reply:?}"))),
        Err(ClientError::Refused { code, message, .. }) => {
            Ok(Tried::Refused(format!("{code}: {message}")))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// What a host answered to something every device may do.
pub(super) fn allow(answer: Result<(StoreReply, Vec<u8>), ClientError>, because: &str) -> Outcome {
    match judge(answer)? {
        Tried::Worked(_) => Ok(Tried::Allowed(because.to_owned())),
        refused => Ok(refused),
    }
}

/// The gate of a host let somebody in, or not.
pub(super) fn judge_connection<T>(opened: Result<T, NetError>) -> Outcome {
    match opened {
        Ok(_) => Ok(Tried::Worked("the connection stands".to_owned())),
        Err(error @ (NetError::Down | NetError::BadKey(_) | NetError::Setup(_))) => {
            Err(error.to_string())
        }
        Err(error) => Ok(Tried::Refused(error.to_string())),
    }
}

impl Tried {
    /// The first of several that was not refused, else the last refusal.
    pub(super) fn worst(all: Vec<Self>) -> Outcome {
        let mut last = Err("nothing was tried".to_owned());
        for tried in all {
            let refused = matches!(tried, Self::Refused(_));
            last = Ok(tried);
            if !refused {
                break;
            }
        }
        last
    }

    pub(super) fn told(outcome: Outcome) -> (Ended, String) {
        match outcome {
            Ok(Self::Refused(text)) => (Ended::Refused, text),
            Ok(Self::Allowed(text)) => (Ended::Allowed, text),
            Ok(Self::Worked(text)) => (Ended::Succeeded, text),
            Err(text) => (Ended::Error, text),
        }
    }
}
