//! Friends, and what this node says of itself to them.

use packnback_proto::ids::NodeId;
use packnback_proto::limits::PEER_ADDRS_MAX;
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::local::{Invited, NodeSettings, PeerInfo};

use super::Api;
use crate::net::canonical;
use crate::peers::clean_name;
use crate::ports::Failure;
use crate::settings::Settings;

/// Bytes offered to a friend if nobody says how much.
const USUAL_OFFER: u64 = 100 << 30;

/// What is offered: never more than is free.
fn offer(wanted: Option<u64>, free: u64) -> u64 {
    wanted.unwrap_or(USUAL_OFFER).min(free)
}

impl Api {
    /// Makes an invite. `quota`: bytes offered; `None`: as before if it is a friend already, else the usual.
    ///
    /// # Errors
    /// If there is no space to offer, or no network.
    pub async fn invite(
        &self,
        quota: Option<u64>,
        expires_s: u64,
        name: String,
    ) -> Result<Invited, Failure> {
        let bytes = self.offer(quota).await?;
        let token = match quota {
            Some(_) => self.network.invite(bytes, expires_s, name).await?,
            None => self.network.invite_as_usual(bytes, expires_s, name).await?,
        };
        Ok(Invited {
            token,
            quota: bytes,
        })
    }

    /// Accepts an invite. `quota` as of [`Api::invite`].
    ///
    /// # Errors
    /// If the invite is wrong, used or too old, or its maker cannot be reached.
    pub async fn accept(
        &self,
        token: String,
        quota: Option<u64>,
        name: String,
    ) -> Result<PeerInfo, Failure> {
        let bytes = self.offer(quota).await?;
        let peer = match quota {
            Some(_) => self.network.accept(token, bytes, name).await?,
            None => self.network.accept_as_usual(token, bytes, name).await?,
        };
        self.network.wake_replication();
        Ok(peer)
    }

    /// Ends a friendship. Says whether the other node knows.
    ///
    /// # Errors
    /// If it is no friend.
    pub async fn remove_peer(&self, node: NodeId) -> Result<bool, Failure> {
        self.network.remove_peer(node).await
    }

    /// Says where a friend can be dialled.
    ///
    /// # Errors
    /// If it is no friend, or this is no address.
    pub async fn peer_addrs(&self, node: NodeId, addrs: Vec<String>) -> Result<PeerInfo, Failure> {
        let peer = self.network.set_addrs(node, addrs)?;
        self.network.wake_replication();
        Ok(peer)
    }

    async fn offer(&self, wanted: Option<u64>) -> Result<u64, Failure> {
        let (free, reserve) = self.blocking(crate::store::Store::disk).await?;
        let bytes = offer(wanted, free.saturating_sub(reserve));
        if bytes == 0 && wanted != Some(0) {
            let message = "the disk is full: there is no space to offer to a friend";
            return Err(Failure::new(ErrorCode::DiskFull, message)
                .safe("Nothing was changed.")
                .next("Free some space, or offer none: --quota 0"));
        }
        Ok(bytes)
    }

    /// Changes the settings that are given, for good; returns all as they are now.
    ///
    /// # Errors
    /// If they are not fit to be settings, or cannot be kept.
    pub async fn configure(
        &self,
        listen: Option<Vec<String>>,
        name: Option<String>,
    ) -> Result<NodeSettings, Failure> {
        let refused =
            |code, message: String| Failure::new(code, message).safe("Nothing was changed.");
        let Some(own) = &self.own else {
            return Err(refused(
                ErrorCode::Internal,
                "this node has no settings".to_owned(),
            ));
        };
        let mut settings = own.settings.lock();
        let changed = changed(&settings, listen, name)
            .map_err(|message| refused(ErrorCode::Protocol, message))?;
        if changed != *settings {
            changed
                .save(&own.dir)
                .map_err(|error| refused(ErrorCode::Internal, error.to_string()))?;
            *settings = changed;
            self.network.set_name(&settings.shown_name());
        }
        Ok(NodeSettings {
            listen: settings.listen.clone(),
            name: settings.shown_name(),
            name_is_set: !settings.name.is_empty(),
        })
    }
}

/// The settings with what was said now; else what is wrong with it.
fn changed(
    settings: &Settings,
    listen: Option<Vec<String>>,
    name: Option<String>,
) -> Result<Settings, String> {
    let mut changed = settings.clone();
    if let Some(listen) = listen {
        if listen.len() > PEER_ADDRS_MAX {
            return Err(format!("at most {PEER_ADDRS_MAX} addresses to listen on"));
        }
        for addr in &listen {
            let is_fit = canonical(addr).is_some() && can_be_listened_on(addr);
            if !is_fit {
                return Err(format!(
                    "{addr:?} is no address to listen on: they look like /ip4/0.0.0.0/tcp/4117 or /ip4/0.0.0.0/udp/4117/quic-v1"
                ));
            }
        }
        changed.listen = listen;
    }
    if let Some(name) = name {
        changed.name = clean_name(&name);
    }
    Ok(changed)
}

fn can_be_listened_on(addr: &str) -> bool {
    let parts: Vec<&str> = addr.split('/').skip(1).collect();
    matches!(
        parts.as_slice(),
        ["ip4" | "ip6", _, "tcp", _] | ["ip4" | "ip6", _, "udp", _, "quic-v1"]
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_more_is_offered_than_is_free() {
        let gib = 1 << 30;
        assert_eq!(offer(Some(5 * gib), 7 * gib), 5 * gib);
        assert_eq!(offer(Some(8 * gib), 7 * gib), 7 * gib);
        assert_eq!(offer(None, 500 * gib), USUAL_OFFER);
        assert_eq!(offer(None, 7 * gib), 7 * gib);
        assert_eq!(offer(Some(0), 7 * gib), 0);
    }

    #[test]
    fn only_what_was_said_is_changed() {
        let before = Settings {
            listen: vec!["/ip4/0.0.0.0/tcp/1".to_owned()],
            name: "anna".to_owned(),
        };
        assert_eq!(changed(&before, None, None).unwrap(), before);
        let named = changed(&before, None, Some(" b\u{1b}ob ".to_owned())).unwrap();
        assert_eq!((named.name.as_str(), named.listen.len()), ("bob", 1));
        let moved = changed(
            &before,
            Some(vec!["/ip6/::/udp/7/quic-v1".to_owned()]),
            None,
        )
        .unwrap();
        assert_eq!((moved.name.as_str(), moved.listen.len()), ("anna", 1));
        assert!(
            changed(&before, Some(Vec::new()), None)
                .unwrap()
                .listen
                .is_empty()
        );
        for wrong in [
            "",
            "4117",
            "/ip4/0.0.0.0",
            "/dns4/x/tcp/1",
            "/ip4/0.0.0.0/tcp/1/p2p/x",
        ] {
            assert!(
                changed(&before, Some(vec![wrong.to_owned()]), None).is_err(),
                "{wrong}"
            );
        }
    }
}
