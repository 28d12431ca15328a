//! `forget`, `order`, `policy`, and how an order is signed: here with the key, or elsewhere.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::KeyArgs;
use crate::units::{parse_days, parse_time};

/// The two ways of everything that needs the owner's signature.
#[derive(Debug, Clone, Args)]
pub struct SignArgs {
    /// Sign at once: the key.
    #[command(flatten)]
    pub key: KeyArgs,
    /// Do not sign here: write a request to FILE, for `order sign` on the machine that has the key
    #[arg(long, value_name = "FILE")]
    pub request_out: Option<PathBuf>,
    /// What is confirmed beforehand.
    #[command(flatten)]
    pub confirm: ConfirmArgs,
}

/// Confirmations given beforehand, for scripts.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfirmArgs {
    /// Do not ask whether to go on
    #[arg(short, long)]
    pub yes: bool,
    /// Yes, this newest snapshot of a device may go (at least 8 digits of its id); may be repeated
    #[arg(long, value_name = "ID")]
    pub confirm_newest: Vec<String>,
    /// Yes, everything of this owner may go (at least 8 digits of the owner; OWNER@HOST if several
    /// hosts are asked); may be repeated
    #[arg(long, value_name = "OWNER[@HOST]")]
    pub confirm_owner: Vec<String>,
    /// Exactly these snapshots may go (at least 8 digits each); anything else is refused. May be repeated
    #[arg(long, value_name = "ID")]
    pub expect: Vec<String>,
}

/// Retention rules.
#[derive(Debug, Clone, Default, Args)]
pub struct KeepArgs {
    /// Keep the N newest
    #[arg(long, value_name = "N")]
    pub keep_last: Option<u64>,
    /// Keep the first of each of the N newest hours that have one
    #[arg(long, value_name = "N")]
    pub keep_hourly: Option<u64>,
    /// The same for days
    #[arg(long, value_name = "N")]
    pub keep_daily: Option<u64>,
    /// The same for weeks
    #[arg(long, value_name = "N")]
    pub keep_weekly: Option<u64>,
    /// The same for months
    #[arg(long, value_name = "N")]
    pub keep_monthly: Option<u64>,
    /// The same for years
    #[arg(long, value_name = "N")]
    pub keep_yearly: Option<u64>,
}

impl KeepArgs {
    /// Hourly, daily, weekly, monthly, yearly.
    #[must_use]
    pub fn periods(&self) -> [u64; 5] {
        [
            self.keep_hourly,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_yearly,
        ]
        .map(Option::unwrap_or_default)
    }

    /// Whether any rule was given.
    #[must_use]
    pub fn any(&self) -> bool {
        self.keep_last.is_some() || self.periods() != [0; 5]
    }
}

/// `forget`.
#[derive(Debug, Clone, Args)]
pub struct ForgetArgs {
    /// Snapshots to remove: `latest`, or the first digits of their ids
    #[arg(value_name = "SNAP", conflicts_with_all = ["keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly", "keep_within", "keep_tag"])]
    pub snaps: Vec<String>,
    /// Rules: what none of them keeps goes.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Keep everything younger than D (30d, 8w): whole days
    #[arg(long, value_name = "D", value_parser = parse_days)]
    pub keep_within: Option<u64>,
    /// Keep snapshots with this tag (tags are sealed: needs a key that can list); may be repeated
    #[arg(long, value_name = "T")]
    pub keep_tag: Vec<String>,
    /// Only of this backup set: its name, a path it saves, or the first digits of its id. Rules keep
    /// what they say of each set for itself
    #[arg(long, value_name = "NAME")]
    pub set: Option<String>,
    /// Of this device (name, or first digits of its id); default: this machine
    #[arg(long, value_name = "D", conflicts_with = "all_devices")]
    pub device: Option<String>,
    /// Of every device of the owner
    #[arg(long)]
    pub all_devices: bool,
    /// Show what would go and what would remain, change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Show every snapshot with the rule that keeps it
    #[arg(long)]
    pub explain: bool,
    /// Who signs.
    #[command(flatten)]
    pub sign: SignArgs,
}

/// `order`.
#[derive(Debug, Clone, Subcommand)]
pub enum OrderCommand {
    /// Show a request and check it (needs no key, no node and no network)
    Show {
        /// The request
        file: PathBuf,
    },
    /// Check a request, show what goes and what remains, and sign it (needs no node and no network)
    Sign(OrderSignArgs),
    /// Hand signed orders to the node, which carries them to every host, also to those offline now
    Submit {
        /// What `order sign` wrote, or - for standard input (also the text of a QR code)
        file: PathBuf,
    },
    /// List the orders and where they stand
    List,
    /// Take orders back that still wait: nothing they name is lost
    Cancel {
        /// First digits of their ids (order list)
        #[arg(required = true, value_name = "ID")]
        orders: Vec<String>,
        /// Who signs.
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Keep snapshots whatever the policy says
    Hold {
        /// `latest`, or the first digits of their ids
        #[arg(required = true, value_name = "SNAP")]
        snaps: Vec<String>,
        /// Who signs.
        #[command(flatten)]
        sign: SignArgs,
    },
    /// End a hold
    Unhold {
        /// `latest`, or the first digits of their ids
        #[arg(required = true, value_name = "SNAP")]
        snaps: Vec<String>,
        /// Who signs.
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Say which hosts store for this owner: they may copy from each other, and their receipts count
    Hosts {
        /// Names of friends or node ids; default: this machine and all friends
        #[arg(value_name = "HOST")]
        hosts: Vec<String>,
        /// Add these to the hosts of the list in force
        #[arg(long, requires = "hosts")]
        add: bool,
        /// Who signs.
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Remove what hosts received from a device in a time: the way to clean up after a flood
    DeleteRange {
        /// The device (name, or first digits of its id)
        #[arg(long, value_name = "D")]
        device: String,
        /// Received at or after: 2026-11-01, 2026-11-01T08:00:00Z, or @seconds
        #[arg(long, value_name = "T", value_parser = parse_time)]
        from: u64,
        /// Received before
        #[arg(long, value_name = "T", value_parser = parse_time)]
        to: u64,
        /// A host refuses if more snapshots than this are in the range
        #[arg(long, value_name = "N")]
        max: u64,
        /// Who signs.
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Remove everything of this owner from hosts (after a grace of at least 30 days)
    DropOwner {
        /// From these hosts only (name, or first digits of the id); may be repeated
        #[arg(long = "host", required = true, value_name = "H")]
        hosts: Vec<String>,
        /// Who signs.
        #[command(flatten)]
        sign: SignArgs,
    },
}

/// `order sign`.
#[derive(Debug, Clone, Args)]
pub struct OrderSignArgs {
    /// The request
    pub request: PathBuf,
    /// Where to write the signed orders
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Draw each signed order as a QR code as well, if it fits one
    #[arg(long)]
    pub qr: bool,
    /// The key: a whole one or one that signs only.
    #[command(flatten)]
    pub key: KeyArgs,
    /// What is confirmed beforehand.
    #[command(flatten)]
    pub confirm: ConfirmArgs,
}

/// `policy`.
#[derive(Debug, Clone, Subcommand)]
pub enum PolicyCommand {
    /// Show the retention policy in force, and what it does
    Show {
        /// Every snapshot with the rule that keeps it, or the day it goes
        #[arg(long)]
        explain: bool,
        /// Only of this device (name, or first digits of its id)
        #[arg(long, value_name = "D")]
        device: Option<String>,
    },
    /// Set the retention policy: each host evaluates it by its own clock
    Set(Box<PolicySetArgs>),
}

/// `policy set`.
#[derive(Debug, Clone, Args)]
pub struct PolicySetArgs {
    /// Rules: what none of them keeps goes.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Nothing younger goes (30d, 8w): whole days
    #[arg(long, value_name = "D", value_parser = parse_days, default_value = "30d")]
    pub min_age: u64,
    /// Time between marking and removing (7d, 2w), in which `order cancel` or a new policy takes it back
    #[arg(long, value_name = "D", value_parser = parse_days, default_value = "7d")]
    pub grace: u64,
    /// Only for this device (name, or first digits of its id); default: for every device
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
    /// Only for this host (name, or first digits of the id); default: all hosts, this machine too
    #[arg(long = "host", value_name = "H")]
    pub hosts: Vec<String>,
    /// Who signs.
    #[command(flatten)]
    pub sign: SignArgs,
}
