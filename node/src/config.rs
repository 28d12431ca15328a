//! What the daemon is told at its start.

use std::path::PathBuf;

use clap::Parser;
use packnback_proto::limits::{GRACE_D, POLICY_DAYS_MAX};
use packnback_sys::homes::{self, Folders, HomeError};

/// The packnback node: keeps backups of this machine and of friends, and carries them between
/// machines. The program `packnback` starts it when needed.
#[derive(Debug, Clone, Parser)]
#[command(name = "packnback-node", version)]
pub struct Config {
    /// Folder of the node's data [default: as `packnback`]
    #[arg(long, value_name = "DIR", env = "PACKNBACK_HOME")]
    pub home: Option<PathBuf>,
    /// Address to listen on (multiaddress); may be repeated [default: port 4117 of all interfaces,
    /// TCP and QUIC]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<String>,
    /// Stay in the foreground (the node never detaches by itself; kept for scripts)
    #[arg(long)]
    pub foreground: bool,
    /// Store and serve locally only
    #[arg(long)]
    pub offline: bool,
    /// Days before what was deleted goes for good; an owner's policy may say longer
    #[arg(
        long,
        value_name = "DAYS",
        env = "PACKNBACK_GRACE_DAYS",
        default_value_t = GRACE_D,
        value_parser = clap::value_parser!(u64).range(0..=POLICY_DAYS_MAX)
    )]
    pub grace_days: u64,
    /// Days between two readings of everything stored, to find what the disk has lost; 0: at every start
    #[arg(
        long,
        value_name = "DAYS",
        env = "PACKNBACK_SCRUB_DAYS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(0..=POLICY_DAYS_MAX)
    )]
    pub scrub_days: u64,
    /// Serve one program, connected to standard input, from a home on a disk that cannot be written
    #[arg(long, hide = true)]
    pub read_only: bool,
    /// What to log: error, warn, info, debug, or a filter
    #[arg(
        long,
        value_name = "FILTER",
        env = "PACKNBACK_LOG",
        default_value = "info"
    )]
    pub log: String,
}

impl Config {
    /// The home: as told, else as the command line program finds it.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn folders(&self) -> Result<Folders, HomeError> {
        homes::find(self.home.as_deref(), |name| std::env::var_os(name))
    }
}
