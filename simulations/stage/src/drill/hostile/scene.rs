//! A host, an honest friend, a friend gone bad, and a blank machine.

use std::path::PathBuf;

use packnback_cli::parts::{KeySource, Outcome, PassphraseSource, read_owner_key};
use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::ids::NodeId;
use serde_json::{Value, json};

use super::super::scene::{failed, shown};
use crate::staging::{Node, World, text};

/// What the host offers to the friend that goes bad.
pub(super) const QUOTA: u64 = 64 << 20;
/// Deletions are carried out at once, so that the drill sees them.
const NO_GRACE: (&str, &str) = ("PACKNBACK_GRACE_DAYS", "0");

/// The machines.
pub(super) struct Scene {
    /// The host under attack. An owner of its own too.
    pub(super) host: Node,
    /// The honest friend's machine.
    pub(super) ann: Node,
    /// A blank machine, to read with Ann's key. A new one for each look: it has to come in as a stranger.
    pub(super) paper: Node,
    /// Home of the friend gone bad; its node is stopped, its identity is the attacker's.
    mal: PathBuf,
    /// Its id at the host.
    mal_id: String,
    /// Ann's key.
    pub(super) key_file: PathBuf,
    pub(super) seed: OwnerSeed,
}

impl Scene {
    /// Starts the machines and makes them friends.
    pub(super) fn build(world: &mut World) -> Outcome<Self> {
        let host = world.start_with("hal", &[NO_GRACE])?;
        let ann = world.start_with("ann", &[NO_GRACE])?;
        let (mal, paper) = (world.start("mal")?, world.start("paper")?);
        let key_file = world.folder().join("ann.key");
        for (node, key) in [
            (&host, world.folder().join("hal.key")),
            (&ann, key_file.clone()),
        ] {
            let key = shown(&key);
            let words = [
                "init",
                "--label",
                &node.name,
                "--owner-key-out",
                &key,
                "--no-passphrase",
            ];
            world.command(node, &words, None)?;
        }
        befriend(world, &host, &ann, "1G")?;
        befriend(world, &host, &mal, "64M")?;
        befriend(world, &mal, &ann, "1G")?;
        let mal_id = Self::id(&mal)?.to_string();
        let home = mal.home().to_owned();
        drop(mal);
        let passphrase = PassphraseSource {
            file: None,
            none: false,
        };
        Ok(Self {
            seed: read_owner_key(&KeySource::File(key_file.clone()), &passphrase)?,
            mal: home,
            mal_id,
            host,
            ann,
            paper,
            key_file,
        })
    }

    /// Identity of a node.
    pub(super) fn id(node: &Node) -> Outcome<NodeId> {
        let id = node.client()?.hello().node;
        id.ok_or_else(|| failed("a node did not say who it is"))
    }

    /// What the friend gone bad has in hand.
    pub(super) fn describe(&self, schemes: &[String]) -> Outcome<Value> {
        let tcp = self
            .host
            .addresses()
            .iter()
            .find_map(|addr| tcp_socket(addr));
        let socket = tcp.ok_or_else(|| failed("the host does not listen on TCP"))?;
        Ok(json!({ "hostile-friend": {
            "home": shown(&self.mal),
            "host": self.host.address(),
            "socket": socket,
            "device": self.ann.address(),
            "owner": self.seed.owner_id().to_string(),
            "recovery": self.seed.recovery_id().to_string(),
            "schemes": schemes,
        }}))
    }

    /// The host has had enough.
    pub(super) fn end_friendship(&self, world: &World) -> Outcome<()> {
        let words = ["peer", "remove", &self.mal_id, "-y"];
        world.command(&self.host, &words, None).map(|_| ())
    }
}

fn befriend(world: &World, host: &Node, device: &Node, quota: &str) -> Outcome<()> {
    let words = ["peer", "invite", "--name", &device.name, "--quota", quota];
    let token = text(&world.command(host, &words, None)?, "token");
    let words = ["peer", "accept", &token, "--name", &host.name];
    world.command(device, &words, None).map(|_| ())
}

/// `127.0.0.1:4117` of `/ip4/127.0.0.1/tcp/4117/...`.
fn tcp_socket(addr: &str) -> Option<String> {
    let mut parts = addr.split('/').skip(1);
    match (parts.next()?, parts.next()?, parts.next()?, parts.next()?) {
        ("ip4", ip, "tcp", port) => Some(format!("{ip}:{port}")),
        _ => None,
    }
}
