//! `device`, and the parts of `key` for machines that do not hold the whole owner key.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use packnback_proto::crypto::keyset::KeyKind;
use packnback_proto::ids::NodeId;
use packnback_proto::record::perms;

use super::KeyArgs;
use crate::units::{parse_number_of_days, parse_size};

/// `A..B`, both included, or one number.
fn parse_range(text: &str) -> Result<RangeInclusive<u32>, String> {
    let number = |text: &str| {
        text.trim()
            .parse::<u32>()
            .map_err(|_| format!("{text:?} is not a number"))
    };
    let (first, last) = match text.split_once("..") {
        Some((first, last)) => (number(first)?, number(last.trim_start_matches('='))?),
        None => (number(text)?, number(text)?),
    };
    if first > last {
        return Err(format!("{text} goes backwards"));
    }
    Ok(first..=last)
}

/// `put,dedup,list,audit`.
fn parse_perms(text: &str) -> Result<u64, String> {
    let bit = |word: &str| match word.trim() {
        "put" => Ok(perms::PUT),
        "dedup" => Ok(perms::DEDUP),
        "list" => Ok(perms::LIST),
        "audit" => Ok(perms::AUDIT),
        other => Err(format!("{other:?} is none of put, dedup, list, audit")),
    };
    text.split(',')
        .try_fold(0, |all, word| Ok(all | bit(word)?))
}

/// What a device may store.
#[derive(Debug, Clone, Default, Args)]
pub struct LimitArgs {
    /// Most bytes the device may have stored
    #[arg(long, value_name = "S", value_parser = parse_size)]
    pub quota: Option<u64>,
    /// Most new bytes a day
    #[arg(long, value_name = "S", value_parser = parse_size)]
    pub per_day: Option<u64>,
    /// Most snapshots a day
    #[arg(long, value_name = "N")]
    pub snaps_per_day: Option<u64>,
    /// What it may do: some of put,dedup,list,audit
    #[arg(long, value_name = "LIST", value_parser = parse_perms)]
    pub perms: Option<u64>,
    /// Days the certificate is valid from now
    #[arg(long, value_name = "N", value_parser = parse_number_of_days)]
    pub days: Option<u64>,
}

/// `device request`.
#[derive(Debug, Clone, Args)]
pub struct RequestArgs {
    /// Where to write it; `-` prints it only
    #[arg(default_value = "-", value_name = "FILE")]
    pub out: String,
    /// Name of this device; default: the name of the machine
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Draw it as a QR code, too
    #[arg(long)]
    pub qr: bool,
}

/// `device enroll`.
#[derive(Debug, Clone, Args)]
pub struct EnrollArgs {
    /// The request of the new device: a file, `-`, or the text itself
    pub request: String,
    /// Where to write the bundle; `-` prints it
    #[arg(long, value_name = "BUNDLE")]
    pub out: String,
    /// Name of the device; default: the one it asks for
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// What it may store.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Dedup group: devices of one group store equal content once
    #[arg(long, value_name = "G")]
    pub group: Option<u32>,
    /// A group of its own, above all known ones: after a machine was broken into
    #[arg(long, conflicts_with = "group")]
    pub new_group: bool,
    /// What its fingerprint must be, as the new device shows it
    #[arg(long, value_name = "DIGITS")]
    pub fingerprint: Option<String>,
    /// Draw the bundle as a QR code, too, if it fits one
    #[arg(long)]
    pub qr: bool,
    /// The key (the full one: a part of it cannot enrol).
    #[command(flatten)]
    pub key: KeyArgs,
}

/// `device limits`.
#[derive(Debug, Clone, Args)]
pub struct LimitsArgs {
    /// Name of the device, or the first digits of its id
    pub device: String,
    /// The new limits; those not named stay.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Where to write the certificate for another device; `-` prints it
    #[arg(long, value_name = "FILE")]
    pub out: Option<String>,
    /// The device's certificate, instead of asking this machine's node for it
    #[arg(long, value_name = "FILE")]
    pub cert: Option<String>,
    /// The key (full or sign-only).
    #[command(flatten)]
    pub key: KeyArgs,
}

/// `device revoke`.
#[derive(Debug, Clone, Args)]
pub struct RevokeArgs {
    /// Name of the device, or the first digits of its id
    pub device: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// Write the order to FILE instead of handing it to this machine's node
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The key (full or sign-only).
    #[command(flatten)]
    pub key: KeyArgs,
}

/// `device`.
#[derive(Debug, Clone, Subcommand)]
pub enum DeviceCommand {
    /// On a new machine: ask to become a device of an owner
    Request(RequestArgs),
    /// Answer such a request: certificate and keys, sealed to that machine (works offline)
    Enroll(EnrollArgs),
    /// List the devices of the owner (names of others only with a key)
    List {
        /// The key, for names of devices.
        #[command(flatten)]
        key: KeyArgs,
    },
    /// Stop a device: nothing new of it is taken in; what it stored stays
    Revoke(RevokeArgs),
    /// Change what a device may store
    Limits(LimitsArgs),
}

/// Which part of the owner key.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct PartArgs {
    /// Everything: a second copy
    #[arg(long)]
    pub full: bool,
    /// Signs orders, limits and grants, opens names of devices; reads nothing
    #[arg(long)]
    pub sign_only: bool,
    /// Lists names and sizes of files; opens no content, signs nothing
    #[arg(long)]
    pub list_only: bool,
    /// Reads everything, for a restore box; signs nothing
    #[arg(long)]
    pub read_only: bool,
}

impl PartArgs {
    /// Which.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match (self.sign_only, self.list_only, self.read_only) {
            (true, _, _) => KeyKind::SignOnly,
            (_, true, _) => KeyKind::ListOnly,
            (_, _, true) => KeyKind::ReadOnly,
            _ => KeyKind::Full,
        }
    }
}

/// `key export`.
#[derive(Debug, Clone, Args)]
pub struct ExportKeyArgs {
    /// Which part.
    #[command(flatten)]
    pub part: PartArgs,
    /// Where to write it
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Key epochs it is for, both ends included
    #[arg(long, value_name = "A..B", value_parser = parse_range, default_value = "0..0")]
    pub epochs: RangeInclusive<u32>,
    /// Dedup groups it is for (read-only)
    #[arg(long, value_name = "A..B", value_parser = parse_range, default_value = "0..63")]
    pub groups: RangeInclusive<u32>,
    /// The key it is a part of.
    #[command(flatten)]
    pub key: KeyArgs,
    /// File whose first line is the passphrase of the new file
    #[arg(long, value_name = "FILE", conflicts_with = "no_passphrase")]
    pub new_passphrase_file: Option<PathBuf>,
    /// Write the new file without a passphrase: whoever reads it can use it
    #[arg(long)]
    pub no_passphrase: bool,
}

/// `key grant`.
#[derive(Debug, Clone, Args)]
pub struct GrantArgs {
    /// Node that may read; default: the owner's recovery machine (a read-only key can be it)
    #[arg(long, value_name = "NODE")]
    pub reader: Option<NodeId>,
    /// Only from this host; may be repeated
    #[arg(long, value_name = "NODE")]
    pub host: Vec<NodeId>,
    /// Only snapshots of this device; may be repeated
    #[arg(long, value_name = "NODE")]
    pub device: Vec<NodeId>,
    /// Days it is valid (at most 30)
    #[arg(long, value_name = "N", value_parser = parse_number_of_days, default_value = "14")]
    pub days: u64,
    /// Most bytes that may be read from each host
    #[arg(long, value_name = "S", value_parser = parse_size)]
    pub max_bytes: Option<u64>,
    /// Where to write it
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The key (full or sign-only).
    #[command(flatten)]
    pub key: KeyArgs,
}

/// `key unseal`.
#[derive(Debug, Clone, Args)]
pub struct UnsealArgs {
    /// The request of the restoring machine
    pub request: PathBuf,
    /// Where to write the answer
    #[arg(long, value_name = "ANSWER")]
    pub out: PathBuf,
    /// The key (full or read-only).
    #[command(flatten)]
    pub key: KeyArgs,
}

/// What stands in for the owner key on a machine that never sees it.
#[derive(Debug, Clone, Default, Args)]
pub struct HandedArgs {
    /// Permission to read from friends, signed elsewhere: packnback key grant
    #[arg(long, value_name = "FILE")]
    pub grant: Option<PathBuf>,
    /// Write a request for the keys of this snapshot to FILE, for packnback key unseal
    #[arg(long, value_name = "FILE")]
    pub unseal_request: Option<PathBuf>,
    /// Answer to such a request; may be repeated
    #[arg(long, value_name = "ANSWER")]
    pub unsealed: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ranges_and_permissions() {
        assert_eq!(parse_range("3").unwrap(), 3..=3);
        assert_eq!(parse_range("0..15").unwrap(), 0..=15);
        assert_eq!(parse_range("0..=15").unwrap(), 0..=15);
        for bad in ["", "a", "2..1", "0..4294967296", "-1..2"] {
            assert!(parse_range(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_perms("put, list").unwrap(), perms::PUT | perms::LIST);
        assert!(parse_perms("put,get").is_err());
    }
}
