//! What can be said on the command line. The help texts are the first thing a person reads.

mod backup;
mod devices;
mod grammar;
mod hosting;
mod keys;
mod orders;
mod peers;
mod restore;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use backup::{BackupArgs, DedupArg, WaitFor};
pub use devices::{
    DeviceCommand, EnrollArgs, ExportKeyArgs, GrantArgs, HandedArgs, LimitArgs, LimitsArgs,
    RequestArgs, RevokeArgs, UnsealArgs,
};
pub use grammar::{FIRST_STEPS, grammar, parse};
pub use hosting::{HostCommand, StatsArgs};
pub use keys::{InitArgs, KeyArgs, KeyCommand, NewKeyArgs};
pub use orders::{
    ConfirmArgs, ForgetArgs, OrderCommand, OrderSignArgs, PolicyCommand, PolicySetArgs, SignArgs,
};
pub use peers::{DrillCommand, NodeCommand, PeerCommand};
pub use restore::{ExportArgs, LsArgs, OverwriteArg, RecoverArgs, RestoreArgs, WriteArgs, stored};

/// Backs up to friends' machines: encrypted, deduplicated, and nothing on this machine can delete it.
#[derive(Debug, Parser)]
#[command(
    name = "packnback",
    version,
    max_term_width = 100,
    after_help = grammar::after_help()
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Keep everything of this node below DIR (several nodes on one machine)
    #[arg(long, global = true, env = "PACKNBACK_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Print one line of JSON instead of text (docs/cli.md has the fields)
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set up: make an owner key, its recovery sheet, and make this machine a device of that owner
    Init(InitArgs),
    /// Save files and folders as a new snapshot
    Backup(BackupArgs),
    /// List the snapshots and where they are (needs no key)
    Snapshots {
        /// Only those of this backup set: its name, a path it saves, or the first digits of its id
        #[arg(long, value_name = "NAME")]
        set: Option<String>,
        /// Show those of every device of the owner, not of this one only
        #[arg(long)]
        all: bool,
    },
    /// List the files of a snapshot
    Ls(LsArgs),
    /// Bring files back from a snapshot that this machine's node holds
    Restore(RestoreArgs),
    /// Bring everything back on a blank machine, with the owner key and one friend's address
    Recover(RecoverArgs),
    /// Say whether the backups are safe, and show the node, the friends, and which snapshots are where
    Status {
        /// End with 4 if the newest snapshot is on fewer than N friends
        #[arg(long, value_name = "N")]
        require: Option<u32>,
        /// I have seen the alarm with this number; may be repeated
        #[arg(long, value_name = "N")]
        ack: Vec<u64>,
        /// Show where this node and its friends can be dialled
        #[arg(long)]
        addresses: bool,
    },
    /// Remove snapshots: those named, or those no rule keeps (the owner signs; hosts wait a grace)
    Forget(ForgetArgs),
    /// Requests for the owner's signature, signed orders, and taking them back
    #[command(subcommand)]
    Order(OrderCommand),
    /// The retention policy: what hosts keep by themselves
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Sizes: stored, unique, and how much deduplication and compression save
    Stats(StatsArgs),
    /// Storing for others on this machine: who, how much, and how it ends
    #[command(subcommand)]
    Host(HostCommand),
    /// Devices of the owner: enrol, list, limit, revoke
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Make and check owner keys and their recovery sheets; parts of a key for other machines
    #[command(subcommand)]
    Key(KeyCommand),
    /// Write snapshots as stored: the seed disk, and what an independent reader needs
    Export(ExportArgs),
    /// Invite friends, accept invites, see who is there
    #[command(subcommand)]
    Peer(PeerCommand),
    /// Start and stop the node of this home (commands that need it start it by themselves)
    #[command(subcommand)]
    Node(NodeCommand),
    /// Three nodes, one lost machine, everything back: watch it work on this machine
    Demo {
        /// What to back up; default: a real folder of this machine
        dir: Option<PathBuf>,
        /// Leave the folders of the demo behind
        #[arg(long)]
        keep: bool,
    },
    /// Play an attack on a small world of this machine, and see what stops it
    #[command(subcommand)]
    Drill(DrillCommand),
    /// Print the versions of the program, its formats and protocols
    Version,
    /// Print completions for a shell
    #[command(
        after_help = "Where it goes, then open a new shell:\n  bash  packnback completions bash > ~/.local/share/bash-completion/completions/packnback\n  fish  packnback completions fish > ~/.config/fish/completions/packnback.fish\n  zsh   packnback completions zsh > FOLDER/_packnback   (FOLDER: one of `echo $fpath`)"
    )]
    Completions {
        /// Which one
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, one for each command, into a folder
    Man {
        /// The folder; `man` finds those in ~/.local/share/man/man1 by itself
        dir: PathBuf,
    },
}
