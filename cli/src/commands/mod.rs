//! The commands, one per file.

pub mod alarm;
pub mod backup;
pub mod completions;
pub mod device;
pub mod export;
pub mod forget;
pub mod host;
pub mod init;
pub mod inside;
pub mod key;
pub mod keypart;
pub mod ls;
pub mod man;
pub mod node;
pub mod order;
pub mod patterns;
pub mod peer;
pub mod policy;
pub mod printed;
pub mod reading;
pub mod recover;
pub mod restore;
pub mod signing;
pub mod snapshots;
pub mod stats;
pub mod status;
pub mod verdict;
pub mod version;
pub mod wait;

use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::crypto::keyset::OwnerKey;
use packnback_proto::ids::OwnerId;

use crate::args::KeyArgs;
use crate::bundle::Bundle;
use crate::client::Client;
use crate::exit::{Failure, Outcome};
use crate::home::Home;
use crate::keys::ReaderKeys;
use crate::render::Voice;
use crate::secrets::read_key;
use crate::spawn::reach_node;

/// What every command gets.
#[derive(Debug, Clone)]
pub struct Context {
    /// The folders of this node.
    pub home: Home,
    /// How to talk.
    pub voice: Voice,
}

impl Context {
    /// The bundle and the node of this home, which must belong together.
    ///
    /// # Errors
    /// When there is no bundle, no node can be had, or they are of different owners or devices.
    pub fn device(&self) -> Outcome<(Bundle, Client)> {
        self.home.check_user()?;
        let bundle = Bundle::load(&self.home)?;
        let client = reach_node(&self.home)?;
        check_device(&bundle, &client)?;
        Ok((bundle, client))
    }

    /// The node of this home. One that has forgotten whose it is (its tables were damaged) is told again by
    /// the bundle.
    ///
    /// # Errors
    /// When no node can be had, or it is not that of the bundle.
    pub fn node(&self) -> Outcome<Client> {
        let client = reach_node(&self.home)?;
        if client.hello().owner.is_none()
            && let Ok(Some(bundle)) = Bundle::load_if_there(&self.home)
        {
            check_device(&bundle, &client)?;
        }
        Ok(client)
    }

    /// The full owner key, which must be that of this home if the home has an owner.
    ///
    /// # Errors
    /// When it is not named, wrong, of another owner, or only a part.
    pub fn owner_key(&self, args: &KeyArgs) -> Outcome<OwnerSeed> {
        Ok(self.any_key(args)?.into_seed()?)
    }

    /// The owner key or a part of it, which must be that of this home if the home has an owner.
    ///
    /// # Errors
    /// When it is not named, wrong, or of another owner.
    pub fn any_key(&self, args: &KeyArgs) -> Outcome<OwnerKey> {
        self.home.check_user()?;
        let source = args.required()?;
        let bundle = Bundle::load_if_there(&self.home)?;
        let key = read_key(&source, &args.passphrase())?;
        if let Some(bundle) = bundle {
            check_owner(bundle.owner(), key.owner_id())?;
        }
        Ok(key)
    }
}

/// Keys that open names and sizes, if a key was named that must be that of this home's owner.
fn reader_keys(context: &Context, args: &KeyArgs) -> Outcome<Option<ReaderKeys>> {
    if args.source().is_none() {
        return Ok(None);
    }
    context.any_key(args).map(ReaderKeys::new).map(Some)
}

fn check_owner(home: OwnerId, key: OwnerId) -> Outcome<()> {
    if home == key {
        return Ok(());
    }
    Err(Failure::refused(
        "other-owner",
        format!(
            "this home belongs to owner {}, the key is that of owner {}",
            home.short(),
            key.short()
        ),
    )
    .safe("Nothing was changed.")
    .next("Use the key of this home's owner, or another folder: --home DIR"))
}

fn check_device(bundle: &Bundle, client: &Client) -> Outcome<()> {
    let hello = client.hello();
    if let Some(owner) = hello.owner.filter(|owner| *owner != bundle.owner()) {
        return Err(Failure::refused(
            "other-owner",
            format!(
                "the node of this home belongs to owner {}, the device bundle is of owner {}",
                owner.short(),
                bundle.owner().short()
            ),
        )
        .safe("Nothing was changed; the backups of both owners are as they were.")
        .next("Use the right folder with --home DIR; one home has one owner."));
    }
    if hello.node.is_some_and(|node| node != bundle.device()) {
        return Err(Failure::refused("other-device", "the device bundle was made for another node than that of this home")
            .safe("Nothing was changed.")
            .next("Move the file device.bundle away and enrol this device: packnback init --owner-key FILE (or --words)"));
    }
    // A crash between the bundle and the node's own record of it: say it again.
    if hello.owner.is_none() {
        client.adopt(bundle.cert.envelope().into())?;
    }
    Ok(())
}
