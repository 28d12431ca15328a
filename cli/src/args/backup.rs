//! `backup`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use packnback_proto::limits::SET_NAME_MAX;

use crate::units::{parse_duration, parse_size};

/// Enough friends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// This many.
    Hosts(u32),
    /// Every one.
    All,
}

impl FromStr for WaitFor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        text.parse()
            .map(Self::Hosts)
            .map_err(|_| format!("{text} is neither a number nor `all`"))
    }
}

/// How far content is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum DedupArg {
    /// With every machine of the owner
    #[default]
    Owner,
    /// With nothing outside this run
    Session,
}

/// The name of a backup set: something a person can type again.
pub(super) fn set_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("a name has at least one character and no control characters".to_owned());
    }
    if text.len() > SET_NAME_MAX {
        return Err(format!("a name has at most {SET_NAME_MAX} bytes"));
    }
    Ok(text.to_owned())
}

/// `backup`.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// Files and folders
    #[arg(value_name = "PATH", required_unless_present_any = ["stdin", "exec"], conflicts_with_all = ["stdin", "exec"])]
    pub paths: Vec<PathBuf>,
    /// Name of this snapshot; default: the name of the device
    #[arg(long, value_name = "T")]
    pub tag: Option<String>,
    /// Name of the backup set this belongs to; default: it goes by the paths. Snapshots of one set
    /// follow each other: `latest`, the keep rules and `forget` work on each set for itself
    #[arg(long, value_name = "NAME", value_parser = set_name)]
    pub set: Option<String>,
    /// Leave out what matches this pattern (as in .gitignore, below the given paths); may be repeated
    #[arg(long, short = 'e', value_name = "GLOB")]
    pub exclude: Vec<OsString>,
    /// File with one pattern in each line; may be repeated
    #[arg(long, value_name = "F")]
    pub exclude_file: Vec<PathBuf>,
    /// Leave out folders marked by a CACHEDIR.TAG
    #[arg(long)]
    pub exclude_caches: bool,
    /// Leave out files larger than this (500M, 10G)
    #[arg(long, value_name = "S", value_parser = parse_size)]
    pub exclude_larger_than: Option<u64>,
    /// Stay on the file systems of the given paths
    #[arg(long, short = 'x')]
    pub one_file_system: bool,
    /// Walk and read, but store nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Save what comes through standard input as one file
    #[arg(long, conflicts_with = "exec")]
    pub stdin: bool,
    /// Name of that file, also with --exec; default: stdin
    #[arg(long, value_name = "N", conflicts_with = "paths")]
    pub stdin_filename: Option<PathBuf>,
    /// Save what this shell command prints as one file; no snapshot if it fails
    #[arg(long, value_name = "CMD")]
    pub exec: Option<String>,
    /// Read everything again, believe nothing of the last run
    #[arg(long)]
    pub full: bool,
    /// Put off the daily reading of a fiftieth of what looks unchanged to a later backup
    #[arg(long, conflicts_with = "full")]
    pub no_reread: bool,
    /// How far content is shared
    #[arg(long, value_enum, default_value_t)]
    pub dedup: DedupArg,
    /// Return only when N friends (or all) have it; exit code 4 if not in time
    #[arg(long, value_name = "N|all")]
    pub wait: Option<WaitFor>,
    /// Longest wait (90s, 30m, 12h)
    #[arg(long, value_name = "D", value_parser = parse_duration, default_value = "1h")]
    pub wait_timeout: u64,
    /// Worker threads; default: one for each core
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub threads: usize,
}
