//! `peer`, `node` and `drill`.

use clap::Subcommand;

use crate::units::{parse_duration, parse_size};

/// `peer`.
#[derive(Debug, Clone, Subcommand)]
pub enum PeerCommand {
    /// Make an invite: one line to send to a friend
    Invite {
        /// Space for the friend's backups on this machine
        #[arg(long, value_name = "S", value_parser = parse_size, default_value = "100G")]
        quota: u64,
        /// How long it is valid
        #[arg(long, value_name = "D", value_parser = parse_duration, default_value = "7d")]
        expires: u64,
        /// Name to show for the friend
        #[arg(long, value_name = "NAME", default_value = "")]
        name: String,
    },
    /// Accept a friend's invite
    Accept {
        /// The line the friend sent
        invite: String,
        /// Space for the friend's backups on this machine
        #[arg(long, value_name = "S", value_parser = parse_size, default_value = "100G")]
        quota: u64,
        /// Name to show for the friend
        #[arg(long, value_name = "NAME", default_value = "")]
        name: String,
    },
    /// List the friends
    List,
    /// End a friendship; what is stored stays until its owner orders otherwise
    Remove {
        /// Name, or first digits of the id
        peer: String,
    },
    /// Try to reach a friend
    Ping {
        /// Name, first digits of the id, or an address
        peer: String,
    },
}

/// `node`.
#[derive(Debug, Clone, Subcommand)]
pub enum NodeCommand {
    /// Start the node in the background
    Start {
        /// Address to listen on, such as /ip4/0.0.0.0/tcp/4801; may be repeated
        #[arg(long, value_name = "ADDR")]
        listen: Vec<String>,
    },
    /// Stop the node; every snapshot it acknowledged is on disk
    Stop,
    /// Show the end of the node's log
    Log,
}

/// `drill`.
#[derive(Debug, Clone, Subcommand)]
pub enum DrillCommand {
    /// A laptop is taken over with everything it knows: who stops the attacker, and what is left
    Ransomware {
        /// Leave the folders of the drill behind
        #[arg(long)]
        keep: bool,
    },
    /// A friend goes bad: what it can do to its host and to others, and what is left
    HostileFriend {
        /// Play only this scheme (docs/drill.md); may be repeated
        #[arg(long, value_name = "NAME")]
        scheme: Vec<String>,
        /// Leave the folders of the drill behind
        #[arg(long)]
        keep: bool,
    },
}
