//! `host` and `stats`.

use clap::{Args, Subcommand};

use super::KeyArgs;
use crate::units::parse_size;

/// `host`.
#[derive(Debug, Clone, Subcommand)]
pub enum HostCommand {
    /// List whose backups this machine stores
    Owners,
    /// Set the most an owner may store here
    Quota {
        /// First digits of the owner (host owners)
        owner: String,
        /// A size such as 500G, or `none` for no limit
        #[arg(value_name = "S", value_parser = parse_quota)]
        size: Quota,
    },
    /// Announce the end of storing for an owner: warning, then no more writes, then everything goes
    Evict {
        /// First digits of the owner (host owners)
        owner: String,
        /// Days until writes end
        #[arg(long, value_name = "N", default_value_t = 30)]
        warn_days: u32,
        /// Days after that until everything goes
        #[arg(long, value_name = "N", default_value_t = 60)]
        freeze_days: u32,
        /// Take the announcement back
        #[arg(long)]
        cancel: bool,
        /// Do not ask whether to go on
        #[arg(short, long)]
        yes: bool,
    },
    /// Carry out what is due and free space now, instead of at the next regular time
    Collect,
}

/// A quota, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota(pub Option<u64>);

fn parse_quota(text: &str) -> Result<Quota, String> {
    if text == "none" {
        return Ok(Quota(None));
    }
    parse_size(text).map(|bytes| Quota(Some(bytes)))
}

/// `stats`.
#[derive(Debug, Clone, Args)]
pub struct StatsArgs {
    /// Of this owner (first digits, see host owners); default: the owner of this machine
    #[arg(long, value_name = "O")]
    pub owner: Option<String>,
    /// The key: with one that can list, sizes before compression are shown too.
    #[command(flatten)]
    pub key: KeyArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_a_size_or_none() {
        assert_eq!(parse_quota("none"), Ok(Quota(None)));
        assert_eq!(parse_quota("2G"), Ok(Quota(Some(2 << 30))));
        assert!(parse_quota("much").is_err());
    }
}
