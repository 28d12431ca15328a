//! `init`, `key`, and how any command is given the owner key.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ExportKeyArgs, GrantArgs, UnsealArgs};
use crate::exit::{Failure, Outcome};
use crate::secrets::{KeySource, OWNER_KEY_VARIABLE, PassphraseSource};

/// Where the owner key comes from.
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// File with the owner key
    #[arg(long, value_name = "FILE", env = OWNER_KEY_VARIABLE)]
    pub owner_key: Option<PathBuf>,
    /// Type the 24 words of the recovery sheet (or send them through a pipe)
    #[arg(long)]
    pub words: bool,
    /// File whose first line is the passphrase of the key file
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

impl KeyArgs {
    /// The source, if one was named.
    #[must_use]
    pub fn source(&self) -> Option<KeySource> {
        if self.words {
            return Some(KeySource::Words);
        }
        self.owner_key.clone().map(KeySource::File)
    }

    /// The source.
    ///
    /// # Errors
    /// When none was named.
    pub fn required(&self) -> Outcome<KeySource> {
        self.source().ok_or_else(|| {
            Failure::usage("this needs the owner key")
                .safe("Nothing was changed.")
                .next(format!(
                    "Add --owner-key FILE or --words, or set {OWNER_KEY_VARIABLE}=FILE."
                ))
        })
    }

    /// How its passphrase is found.
    #[must_use]
    pub fn passphrase(&self) -> PassphraseSource {
        PassphraseSource {
            file: self.passphrase_file.clone(),
            none: false,
        }
    }
}

/// How a new key file is protected.
#[derive(Debug, Clone, Args)]
pub struct PassphraseArgs {
    /// File whose first line is the passphrase of the new key file
    #[arg(long, value_name = "FILE", conflicts_with = "no_passphrase")]
    pub passphrase_file: Option<PathBuf>,
    /// Write the new key file without a passphrase: whoever reads it is the owner
    #[arg(long)]
    pub no_passphrase: bool,
}

impl From<&PassphraseArgs> for PassphraseSource {
    fn from(args: &PassphraseArgs) -> Self {
        Self {
            file: args.passphrase_file.clone(),
            none: args.no_passphrase,
        }
    }
}

/// `init`.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// Name of this device; default: the name of the machine
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Write the new owner key to FILE: a stick or another machine's disk, never below the home
    #[arg(long, value_name = "FILE")]
    pub owner_key_out: Option<PathBuf>,
    /// Print the recovery sheet with the 24 words, without asking
    #[arg(long)]
    pub owner_words: bool,
    /// How the new key file is protected, or the passphrase of --owner-key.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Make this machine one more device of the owner of this key
    #[arg(long, value_name = "FILE", conflicts_with_all = ["owner_key_out", "owner_words"])]
    pub owner_key: Option<PathBuf>,
    /// The same, with the 24 words
    #[arg(long, conflicts_with_all = ["owner_key_out", "owner_words", "owner_key"])]
    pub words: bool,
    /// Ask to become a device of an owner whose key is elsewhere: write the request to FILE (or `-`)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["owner_key_out", "owner_words", "owner_key", "words"])]
    pub join_request: Option<String>,
    /// Become that device: the owner's answer, or a new certificate (file, `-`, or the text itself)
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["owner_key_out", "owner_words", "owner_key", "words", "join_request"])]
    pub join: Option<String>,
    /// With --join: first digits the owner's id must have
    #[arg(long, value_name = "DIGITS", requires = "join")]
    pub owner: Option<String>,
    /// With --join-request: draw a QR code, too
    #[arg(long, requires = "join_request")]
    pub qr: bool,
    /// Do not draw the QR code on the sheet
    #[arg(long)]
    pub no_qr: bool,
}

/// `key new`.
#[derive(Debug, Clone, Args)]
pub struct NewKeyArgs {
    /// Where to write it
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// How it is protected.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// `key`.
#[derive(Debug, Clone, Subcommand)]
pub enum KeyCommand {
    /// Make an owner key without setting up this machine (for an offline machine)
    New(NewKeyArgs),
    /// Print the recovery sheet of an owner key
    Sheet {
        /// The key.
        #[command(flatten)]
        key: KeyArgs,
        /// Do not draw the QR code
        #[arg(long)]
        no_qr: bool,
    },
    /// Check 24 words, as written down, against their checksum and this home's owner
    VerifyWords {
        /// First 8 digits of the owner, as on the sheet
        #[arg(long, value_name = "DIGITS")]
        owner: Option<String>,
    },
    /// Write a part of the key for a machine that needs no more: sign, list or read
    Export(ExportKeyArgs),
    /// Sign a permission to read from friends, for a machine that cannot sign
    Grant(GrantArgs),
    /// Answer a restoring machine that never sees the key: the keys of one snapshot's sessions
    Unseal(UnsealArgs),
    /// Change the passphrase of a key file
    Passwd {
        /// The key file; default: $PACKNBACK_OWNER_KEY
        #[arg(long, value_name = "FILE", env = OWNER_KEY_VARIABLE)]
        owner_key: PathBuf,
        /// File whose first line is the passphrase it has now
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// File whose first line is the new passphrase
        #[arg(long, value_name = "FILE", conflicts_with = "no_passphrase")]
        new_passphrase_file: Option<PathBuf>,
        /// Take the passphrase off: whoever reads the file is the owner
        #[arg(long)]
        no_passphrase: bool,
    },
}
