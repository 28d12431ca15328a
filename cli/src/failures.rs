//! What a person is told when one of the rooms fails: exit code, name for programs, what is safe, what to do next.

use packnback_proto::crypto::keyset::KeyLack;
use packnback_proto::wire::ErrorCode;

use crate::backup::BackupError;
use crate::client::ClientError;
use crate::exit::{Exit, Failure};
use crate::restore::RestoreError;
use crate::snapshot::Fault;

/// Exit code and stable name for a refusal of the node.
fn refusal(code: ErrorCode) -> (Exit, &'static str) {
    let exit = match code {
        ErrorCode::Denied
        | ErrorCode::Certificate
        | ErrorCode::Record
        | ErrorCode::Quota
        | ErrorCode::DayBudget
        | ErrorCode::OtherOwner
        | ErrorCode::Invite => Exit::Refused,
        _ => Exit::Failed,
    };
    (exit, code.as_str())
}

const RERUN: &str =
    "Run the same command again; the log of the node says more (packnback node log).";

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let what = error.to_string();
        match error {
            ClientError::Refused {
                code,
                message,
                safe,
                next,
            } => {
                let (exit, code) = refusal(code);
                Self {
                    exit,
                    code,
                    what: message,
                    safe,
                    next,
                }
            }
            ClientError::NotRunning { .. } => Self::failed("node-not-running", what)
                .safe("Everything acknowledged before is on disk.")
                .next("Start it with: packnback node start"),
            ClientError::Silent { pid, .. } => Self::failed("node-silent", what)
                .safe("Everything acknowledged before is on disk; nobody knows whether what was asked last is done.")
                .next(match pid {
                    Some(pid) => format!("Its disk may hang, or it was stopped: wake it with `kill -CONT {pid}`, or end it with `kill -9 {pid}` (nothing acknowledged is lost), then run the command again."),
                    None => "Its disk may hang, or it was stopped. Look at its log: packnback node log".to_owned(),
                }),
            ClientError::Version { .. } => Self::failed("node-version", what)
                .safe("Nothing was changed.")
                .next(
                    "Run: packnback node stop. The next command starts the node of this version.",
                ),
            ClientError::Io(_) | ClientError::Closed => Self::failed("node-lost", what)
                .safe("Every snapshot acknowledged before is safe; this one was not acknowledged.")
                .next(RERUN),
            ClientError::Frame(_) | ClientError::Body(_) | ClientError::OutOfTurn(_) => {
                Self::failed("node-protocol", what)
                    .safe("Every snapshot acknowledged before is safe.")
                    .next(RERUN)
            }
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let what = error.to_string();
        let older = "Earlier snapshots are untouched.";
        match error {
            BackupError::Node(error) => error.into(),
            BackupError::Cancelled => Self {
                exit: Exit::Interrupted,
                ..Self::failed("interrupted", "interrupted: no snapshot was made")
            }
            .safe("Earlier snapshots are untouched, and what was sent is kept for a while.")
            .next("Run the same backup again: it continues where this one stopped."),
            BackupError::Nothing(_) => Self { exit: Exit::Incomplete, ..Self::failed("nothing", what) }
                .safe("No snapshot was made; earlier ones are untouched.")
                .next("Check the paths, whether their disk is there, whether this user may read them, and the patterns."),
            BackupError::Paths(_) => Self::usage(what)
                .safe("No snapshot was made; earlier ones are untouched.")
                .next("Name the folder they are in, and leave out the rest with --exclude."),
            BackupError::Name { .. } => Self::usage(what)
                .safe("Nothing was read, no snapshot was made.")
                .next("Choose another name: --stdin-filename NAME"),
            BackupError::Pipe { .. } => Self::failed("pipe", what)
                .safe("No snapshot was made; earlier ones are untouched.")
                .next("Run the command that makes it by itself to see what is wrong with it."),
            BackupError::Keys(_) => Self::failed("device-keys", what)
                .safe(older)
                .next("Enrol this device again: packnback init --owner-key FILE"),
            _ => Self::failed("backup", what).safe(older).next(RERUN),
        }
    }
}

impl From<KeyLack> for Failure {
    fn from(lack: KeyLack) -> Self {
        let next = match lack {
            KeyLack::Ability { .. } => {
                "Use the full owner key, or a part of it that can do this (packnback key export)."
            }
            KeyLack::Epoch { .. } | KeyLack::Group { .. } => {
                "Export the part again for more epochs or groups: packnback key export --epochs A..B --groups A..B"
            }
            KeyLack::NotUnsealed => {
                "Ask for the rest: the same command with --unseal-request FILE beside --unsealed ANSWER."
            }
            KeyLack::Crypto(_) => "Try another copy.",
        };
        Self::refused("key-lacks", lack.to_string())
            .safe("Nothing was changed.")
            .next(next)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        RestoreError::from(fault).into()
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        let what = error.to_string();
        let source = "The backup itself was only read.";
        match error {
            RestoreError::Node(error) => error.into(),
            RestoreError::Key(lack) => lack.into(),
            RestoreError::NoSnapshot => Self::failed("no-snapshot", what)
                .next("List what there is: packnback snapshots"),
            RestoreError::NoPath(_) => Self::failed("no-path", what)
                .safe("Nothing was written.")
                .next("List what is in it: packnback ls SNAP"),
            RestoreError::Object { .. } => Self::failed("object", what)
                .safe("Nothing wrong was written; files restored so far are complete.")
                .next("Restore from a friend's copy: packnback recover --peer ADDR"),
            RestoreError::Excess(_) => Self::failed("excess", what)
                .safe("It was stopped before more was written; files restored so far are as they were saved.")
                .next("Restore another snapshot: packnback snapshots"),
            RestoreError::Space { .. } => Self::failed("space", what)
                .safe("Nothing was written.")
                .next("Make room, or choose another --target; where the target compresses: --ignore-space"),
            RestoreError::Untold(_) => Self::refused("untold", what)
                .safe("Nothing was written and nothing was removed.")
                .next("Restore without --delete, or a newer snapshot."),
            RestoreError::Target { .. } => Self::failed("target", what)
                .safe(source)
                .next("Choose another --target, or make room there, and run it again: it goes on where it stopped."),
            RestoreError::Cancelled => Self { exit: Exit::Interrupted, ..Self::failed("interrupted", "interrupted") }
                .safe("Every file restored so far is complete.")
                .next("Run the same command again: it goes on where it stopped."),
            RestoreError::Internal(_) => Self::failed("restore", what).safe(source).next(RERUN),
        }
    }
}
