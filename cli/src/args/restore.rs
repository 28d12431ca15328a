//! `ls`, `restore`, `recover`, `export`.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{HandedArgs, KeyArgs};

/// `SNAP[:PATH]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapPath {
    /// `latest`, an id or the beginning of one.
    pub snap: String,
    /// Stored path: without leading and trailing slash.
    pub path: Option<Vec<u8>>,
    /// Whether it was given from the top, with a slash before it.
    pub from_top: bool,
}

impl SnapPath {
    /// Splits at the first colon; a path may hold more of them and any bytes.
    ///
    /// # Errors
    /// Never.
    pub fn parse(text: OsString) -> Result<Self, Infallible> {
        let bytes = text.into_vec();
        let mut parts = bytes.splitn(2, |b| *b == b':');
        let snap = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let path = parts.next();
        Ok(Self {
            snap,
            path: path.and_then(stored),
            from_top: path.is_some_and(|path| path.starts_with(b"/")),
        })
    }
}

/// A path as people write it, as it is stored; `None` for all.
#[must_use]
pub fn stored(path: &[u8]) -> Option<Vec<u8>> {
    let parts: Vec<&[u8]> = path
        .split(|b| *b == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    (!parts.is_empty()).then(|| parts.join(&b'/'))
}

fn snap_path() -> impl clap::builder::TypedValueParser {
    use clap::builder::TypedValueParser;
    clap::builder::OsStringValueParser::new().try_map(SnapPath::parse)
}

/// `ls`.
#[derive(Debug, Clone, Args)]
pub struct LsArgs {
    /// `latest`, or the first digits of its id
    pub snap: String,
    /// Only what is at or below this path; without a slash before it, as seen from here or from a saved folder, too
    pub path: Option<OsString>,
    /// `latest` of this backup set: its name, a path it saves, or the first digits of its id
    #[arg(long, value_name = "NAME")]
    pub set: Option<String>,
    /// Mode, owner, size and time as well
    #[arg(short, long)]
    pub long: bool,
    /// The key.
    #[command(flatten)]
    pub key: KeyArgs,
}

impl LsArgs {
    /// The path as stored.
    #[must_use]
    pub fn below(&self) -> Option<Vec<u8>> {
        self.path.as_ref().and_then(|path| stored(path.as_bytes()))
    }

    /// Whether it was given from the top, with a slash before it.
    #[must_use]
    pub fn is_from_top(&self) -> bool {
        let path = self.path.as_ref();
        path.is_some_and(|path| path.as_bytes().starts_with(b"/"))
    }
}

/// What happens to files that are already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OverwriteArg {
    /// Replace them
    Always,
    /// Replace them unless kind, size, time and mode are the same
    IfChanged,
    /// Leave them alone
    Never,
}

/// Options of everything that writes files back.
#[derive(Debug, Clone, Args)]
pub struct WriteArgs {
    /// Only what matches this pattern (as in `backup --exclude`), and what is below it; may be repeated
    #[arg(long, short = 'i', value_name = "GLOB")]
    pub include: Vec<OsString>,
    /// Not what matches this pattern; may be repeated
    #[arg(long, short = 'e', value_name = "GLOB")]
    pub exclude: Vec<OsString>,
    /// What to do with files that are already there; default: if-changed, and on a terminal it asks
    /// before it overwrites what is newer than in the snapshot
    #[arg(long, value_enum)]
    pub overwrite: Option<OverwriteArg>,
    /// Remove what is in the target and not in the snapshot, though the backup would have saved it
    #[arg(long)]
    pub delete: bool,
    /// Yes, --delete may remove files of the running system (--target /)
    #[arg(long, requires = "delete")]
    pub confirm_delete: bool,
    /// Say what would be done and name what would be removed, write nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Read back what was written and compare
    #[arg(long)]
    pub verify: bool,
    /// Use the numbers of users and groups, not their names on this machine
    #[arg(long)]
    pub numeric_ids: bool,
    /// Set-id bits, file capabilities, device nodes and labels of security also into a folder that
    /// others can enter
    #[arg(long)]
    pub privileges: bool,
    /// Leave all of these out, also as root
    #[arg(long, conflicts_with = "privileges")]
    pub no_privileges: bool,
    /// Start even if there seems to be too little room: the target compresses, or room is made meanwhile
    #[arg(long)]
    pub ignore_space: bool,
    /// Worker threads; default: one for each core
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub threads: usize,
}

/// `restore`.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// `latest`, or the first digits of its id; and what of it (a path as for `ls`)
    #[arg(value_name = "SNAP[:PATH]", value_parser = snap_path())]
    pub what: SnapPath,
    /// Folder to restore into: /etc/hosts comes back as DIR/etc/hosts
    #[arg(long, value_name = "DIR")]
    pub target: PathBuf,
    /// `latest` of this backup set: its name, a path it saves, or the first digits of its id
    #[arg(long, value_name = "NAME")]
    pub set: Option<String>,
    /// Of this friend's copy (name, id or address), not of this machine's
    #[arg(long, value_name = "PEER")]
    pub from: Option<String>,
    /// How to write.
    #[command(flatten)]
    pub write: WriteArgs,
    /// The key.
    #[command(flatten)]
    pub key: KeyArgs,
    /// What stands in for it.
    #[command(flatten)]
    pub handed: HandedArgs,
}

/// `recover`.
#[derive(Debug, Clone, Args)]
pub struct RecoverArgs {
    /// Address of a friend's node (on the sheet); may be repeated
    #[arg(long, value_name = "ADDR", required = true)]
    pub peer: Vec<String>,
    /// Folder to restore into; without it the snapshots are listed only
    #[arg(long, value_name = "DIR")]
    pub target: Option<PathBuf>,
    /// Which snapshot; default: the newest of each backup set of each device
    #[arg(long, value_name = "SNAP[:PATH]", value_parser = snap_path())]
    pub snapshot: Option<SnapPath>,
    /// Only of the device with this name
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// Only of this backup set: its name, a path it saves, or the first digits of its id
    #[arg(long, value_name = "NAME")]
    pub set: Option<String>,
    /// How to write.
    #[command(flatten)]
    pub write: WriteArgs,
    /// The key.
    #[command(flatten)]
    pub key: KeyArgs,
    /// What stands in for it.
    #[command(flatten)]
    pub handed: HandedArgs,
}

/// `export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// `latest`, the first digits of an id, or `all`
    pub snap: String,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: ExportFormat,
    /// Where to
    pub dir: PathBuf,
}

/// Form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum ExportFormat {
    /// DIR/objects/HH/ID and DIR/records/ID.cbor, sealed as they are
    #[default]
    Raw,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_and_a_path_with_colons_and_odd_bytes() {
        let parse = |bytes: &[u8]| SnapPath::parse(OsString::from_vec(bytes.to_vec()));
        assert_eq!(
            parse(b"latest"),
            Ok(SnapPath {
                snap: "latest".into(),
                path: None,
                from_top: false
            })
        );
        assert_eq!(
            parse(b"ab12:/home//x/a:b\xff/"),
            Ok(SnapPath {
                snap: "ab12".into(),
                path: Some(b"home/x/a:b\xff".to_vec()),
                from_top: true
            })
        );
        assert_eq!(
            parse(b"ab12:/"),
            Ok(SnapPath {
                snap: "ab12".into(),
                path: None,
                from_top: true
            })
        );
    }
}
