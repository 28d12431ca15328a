//! `peer`, `node` and `drill`.

use clap::Subcommand;

use crate::units::{parse_duration, parse_size};

/// `peer`.
#[derive(Debug, Clone, Subcommand)]
pub enum PeerCommand {
    /// Make an invite: one line to send to a friend
    Invite {
        /// Space for the friend's backups on this machine [default: 100G; who is a friend already keeps what it has]
        #[arg(long, value_name = "S", value_parser = parse_size)]
        quota: Option<u64>,
        /// How long it is valid
        #[arg(long, value_name = "D", value_parser = parse_duration, default_value = "7d")]
        expires: u64,
        /// Name to show for the friend [default: what it calls itself]
        #[arg(
            long,
            value_name = "NAME",
            default_value = "",
            hide_default_value = true
        )]
        name: String,
    },
    /// Accept a friend's invite
    Accept {
        /// The line the friend sent; without it, or with `-`, it is asked for or read from standard input
        invite: Option<String>,
        /// Space for the friend's backups on this machine, at most what is free [default: asked for, else 100G]
        #[arg(long, value_name = "S", value_parser = parse_size)]
        quota: Option<u64>,
        /// Name to show for the friend [default: what it calls itself]
        #[arg(
            long,
            value_name = "NAME",
            default_value = "",
            hide_default_value = true
        )]
        name: String,
    },
    /// List the friends
    List {
        /// Show where each can be dialled
        #[arg(long)]
        addresses: bool,
    },
    /// End a friendship; the friend is told, and what is stored stays until its owner orders otherwise
    Remove {
        /// Name, or first digits of the id
        peer: String,
        /// Do not ask whether to go on
        #[arg(short, long)]
        yes: bool,
    },
    /// Say where a friend can be dialled, if the two do not find each other by themselves
    Address {
        /// Name, or first digits of the id
        peer: String,
        /// Such as 192.0.2.7:4117 or /ip4/192.0.2.7/udp/4117/quic-v1
        #[arg(required = true, value_name = "ADDR")]
        addresses: Vec<String>,
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
        /// Address to listen on from now on, such as /ip4/0.0.0.0/tcp/4801; may be repeated [default: as before, else
        /// a port of its own on all interfaces, chosen once]
        #[arg(long, value_name = "ADDR")]
        listen: Vec<String>,
    },
    /// Show or change the settings of the node; they stay
    Set {
        /// Address to listen on, such as /ip4/0.0.0.0/tcp/4801, may be repeated; `default` takes the setting back
        #[arg(long, value_name = "ADDR")]
        listen: Vec<String>,
        /// What this machine calls itself to friends; empty: as the system calls it
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Stop the node; every snapshot it acknowledged is on disk
    Stop,
    /// Show the end of the node's log
    Log,
    /// List what the node does by itself: since when, until when, and what went wrong
    Workers,
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
