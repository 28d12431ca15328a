//! Errors, said so that a person can act on them.

use packnback_proto::wire::ErrorCode;

use crate::ports::Failure;
use crate::service::Refusal;

/// Adds what is safe and what to do next.
pub(crate) fn failure(refusal: Refusal) -> Failure {
    let (safe, next) = advice(refusal.code);
    Failure::new(refusal.code, refusal.message)
        .safe(safe)
        .next(next)
}

/// The owner revoked the device of this node.
pub(super) fn revoked() -> Failure {
    Failure::new(
        ErrorCode::Certificate,
        "refused: the owner revoked this device, so it saves nothing new; no snapshot was made",
    )
    .safe("Every snapshot made before stays, here and on friends, and can be restored with the owner key.")
    .next(
        "To back up this machine again, enrol it anew as another device: with another --home, packnback init --join-request, then packnback device enroll REQUEST where the owner key is (--new-group if the old keys may be known to others). If you did not revoke it, ask whoever has the owner key; packnback order list shows the order.",
    )
}

const BEFORE: &str = "Every snapshot acknowledged before is untouched.";

fn advice(code: ErrorCode) -> (&'static str, &'static str) {
    match code {
        ErrorCode::DiskFull => (
            "Every snapshot acknowledged before is safe and can be restored; nothing was added.",
            "Free some space on the disk of the node's home, or move the home to a larger one, then run the backup again: it goes on where it stopped.",
        ),
        ErrorCode::Damaged => (
            "Nothing in doubt was freed. Everything else stored here and the copies on other machines are not affected; what needs the damaged part cannot be restored from this node until it is stored again.",
            "Stop and start the node: it mends what it can. Then run a backup: the damaged data is stored again if the files still exist. Check the disk.",
        ),
        ErrorCode::Object | ErrorCode::Protocol => (
            BEFORE,
            "This is a fault of the program or of the memory of this machine: run the backup again, and report it if it comes back.",
        ),
        ErrorCode::Version => (
            "Nothing was changed.",
            "Use programs of one version: stop the node, it is started anew when needed.",
        ),
        ErrorCode::NotOpen => (
            "Nothing was changed.",
            "Set this machine up first: packnback init.",
        ),
        ErrorCode::Certificate | ErrorCode::Record => (
            BEFORE,
            "Check the clock of this machine; if it is right, enrol the device again.",
        ),
        ErrorCode::Internal => (
            "What was acknowledged before was not given up by this request.",
            "Look into the node's log; then stop and start the node.",
        ),
        _ => (BEFORE, ""),
    }
}
