//! What is heard of other nodes: when they were last there, why they cannot be reached or refuse, where they are now,
//! and that a friendship has ended on the other side.

use std::collections::BTreeMap;

use packnback_proto::ids::NodeId;
use packnback_proto::wire::contact::Bond;
use packnback_proto::wire::{ErrorCode, Role};
use serde::{Deserialize, Serialize};

use super::invite::clean_name;
use super::replicas::merge;
use super::rows::{self, FAREWELL, Farewell, Friend, PEER, SEEN};
use super::state::Change;
use super::table::{PeerTable, bad_key};
use crate::ports::{Failure, PeerBook as _};

/// How long a removed friend is let in to be told that the friendship has ended.
const FAREWELL_S: u64 = 30 * 86_400;
/// The same once it was told: it may have been in the middle of a greeting.
const FAREWELL_TOLD_S: u64 = 3600;
/// Most removed friends that are waited for.
const FAREWELLS_MAX: usize = 256;
/// The time a friend was last seen is written this often while it stays.
const WRITE_EVERY_S: u64 = 3600;
/// When it leaves, it is written if it is news of more than this.
const WRITE_LEFT_S: u64 = 60;

/// Why a friend refuses what is sent to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Kind.
    pub code: ErrorCode,
    /// In its words.
    pub text: String,
    /// Unix seconds since when.
    pub since: u64,
}

/// What was last heard of another node. Of friends it is kept over restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Unix seconds.
    pub last_seen: Option<u64>,
    /// Why the last try failed, if it did.
    #[serde(skip)]
    pub last_error: Option<String>,
    /// Whether it could not be reached then.
    #[serde(skip)]
    pub is_away: bool,
    /// Why it refuses, as long as it does.
    #[serde(default)]
    pub refusal: Option<Refusal>,
}

/// Something was heard of another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It is there.
    Seen,
    /// It is there, and has taken everything that is for it.
    Served,
    /// It was there until now.
    Left,
    /// It cannot be reached.
    Away(String),
    /// It refuses.
    Refused {
        /// Kind.
        code: ErrorCode,
        /// In its words.
        text: String,
    },
    /// Something else went wrong.
    Failed(String),
}

impl Contact {
    /// After something was heard.
    #[must_use]
    fn after(&self, heard: Heard, now: u64) -> Self {
        let seen = Self {
            last_seen: Some(now),
            last_error: None,
            is_away: false,
            refusal: self.refusal.clone(),
        };
        match heard {
            Heard::Seen => Self {
                last_error: self.last_error.clone().filter(|_| !self.is_away),
                ..seen
            },
            Heard::Left => Self {
                last_error: self.last_error.clone(),
                is_away: self.is_away,
                ..seen
            },
            Heard::Served => Self {
                refusal: None,
                ..seen
            },
            Heard::Refused { code, text } => {
                let same = self.refusal.as_ref().filter(|known| known.code == code);
                let since = same.map_or(now, |known| known.since);
                let last_error = Some(text.clone());
                Self {
                    last_error,
                    refusal: Some(Refusal { code, text, since }),
                    ..seen
                }
            }
            Heard::Away(error) => Self {
                last_error: Some(error),
                is_away: true,
                ..self.clone()
            },
            Heard::Failed(error) => Self {
                last_error: Some(error),
                is_away: false,
                ..self.clone()
            },
        }
    }

    /// Whether it is worth a write to the disk, after what was written last.
    fn is_news(&self, written: &Self, has_left: bool) -> bool {
        let patience = if has_left {
            WRITE_LEFT_S
        } else {
            WRITE_EVERY_S
        };
        let later = match (self.last_seen, written.last_seen) {
            (Some(now), Some(then)) => now.saturating_sub(then) >= patience,
            (now, then) => now != then,
        };
        let code = |contact: &Self| contact.refusal.as_ref().map(|refusal| refusal.code);
        later || code(self) != code(written)
    }
}

/// What was heard, and what of it is on disk.
#[derive(Debug, Default)]
pub(super) struct Contacts(BTreeMap<NodeId, (Contact, Contact)>);

impl Contacts {
    pub(super) fn load(&mut self, node: NodeId, contact: Contact) {
        self.0.insert(node, (contact.clone(), contact));
    }

    pub(super) fn forget(&mut self, node: &NodeId) {
        self.0.remove(node);
    }
}

impl PeerTable {
    /// What was last heard of another node.
    #[must_use]
    pub fn contact(&self, node: &NodeId) -> Contact {
        let contacts = self.contacts.read();
        contacts
            .0
            .get(node)
            .map(|(now, _)| now.clone())
            .unwrap_or_default()
    }

    /// Notes what was heard of another node.
    pub fn note(&self, node: NodeId, now: u64, heard: Heard) {
        let is_friend = self.rows.read().friends.contains_key(&node);
        let mut contacts = self.contacts.write();
        let (contact, written) = contacts.0.entry(node).or_default();
        let has_left = heard == Heard::Left;
        *contact = contact.after(heard, now);
        if !is_friend || !contact.is_news(written, has_left) {
            return;
        }
        let change = rows::put(SEEN, &node, contact);
        match change.and_then(|change| self.state.apply(vec![change])) {
            Ok(()) => written.clone_from(contact),
            Err(error) => tracing::warn!(%error, "when a friend was last seen is not written down"),
        }
    }

    /// Says where a friend can be dialled: these first, then what was known.
    ///
    /// # Errors
    /// Not a friend, or the disk failed.
    pub fn set_addrs(&self, node: &NodeId, addrs: Vec<String>) -> Result<Friend, Failure> {
        let change = |friend: Friend| Friend {
            fresh: addrs.len(),
            addrs: merge(addrs, &friend.addrs),
            ..friend
        };
        self.change_friend(node, change)?.ok_or_else(|| {
            Failure::new(ErrorCode::NotFound, format!("no friend {}", node.short()))
                .safe("Nothing was changed.")
                .next("See who is there: packnback peer list")
        })
    }

    /// A friend says what it calls itself, and what this node is to it. No effect on others.
    ///
    /// # Errors
    /// The disk failed.
    pub fn greeted(&self, node: &NodeId, name: &str, bond: Bond, now: u64) -> Result<(), Failure> {
        let change = |friend: Friend| Friend {
            told_name: match clean_name(name) {
                empty if empty.is_empty() => friend.told_name.clone(),
                name => name,
            },
            ended: match bond {
                Bond::Ended => friend.ended.or(Some(now)),
                Bond::Friend => None,
                Bond::Host | Bond::Unknown => friend.ended,
            },
            ..friend
        };
        let before = self.friend(node).and_then(|friend| friend.ended);
        let after = self.change_friend(node, change)?;
        match after.map(|friend| friend.ended) {
            Some(Some(_)) if before.is_none() => {
                tracing::warn!(?node, "a friend has ended the friendship");
            }
            Some(None) if before.is_some() => tracing::info!(?node, "a friend is back"),
            _ => {}
        }
        Ok(())
    }

    /// Changes the row of a friend, if there is one and it is a change at all.
    pub(super) fn change_friend(
        &self,
        node: &NodeId,
        change: impl FnOnce(Friend) -> Friend,
    ) -> Result<Option<Friend>, Failure> {
        let _one = self.writer.lock();
        let Some(friend) = self.friend(node) else {
            return Ok(None);
        };
        let changed = change(friend.clone());
        if changed != friend {
            self.state.apply(vec![rows::put(PEER, node, &changed)?])?;
            self.rows.write().friends.insert(*node, changed.clone());
            self.changed.send_modify(|n| *n = n.wrapping_add(1));
        }
        Ok(Some(changed))
    }

    /// How another node is let in. For the storage service a removed friend is a stranger.
    pub(super) fn role_of(&self, node: &NodeId) -> Option<Role> {
        let standing = self.standing(node).map(|standing| standing.role);
        let is_former = || self.rows.read().farewells.contains_key(node);
        standing.or_else(|| is_former().then_some(Role::Former))
    }

    /// What another node is to this one, for the greeting.
    #[must_use]
    pub fn bond(&self, node: &NodeId) -> Option<Bond> {
        match self.role_of(node)? {
            Role::Friend => Some(Bond::Friend),
            Role::Replica => Some(Bond::Host),
            Role::Former => Some(Bond::Ended),
            _ => None,
        }
    }

    /// The rows that keep a removed friend known until it was told. `told`: it was, or has ended it itself.
    pub(super) fn farewell(
        &self,
        node: &NodeId,
        now: u64,
    ) -> Result<Option<(Change, u64)>, Failure> {
        if self.rows.read().farewells.len() >= FAREWELLS_MAX {
            return Ok(None);
        }
        let until = now.saturating_add(FAREWELL_S);
        Ok(Some((
            rows::put(FAREWELL, node, &Farewell { until })?,
            until,
        )))
    }

    /// A removed friend knows now that it is one: soon it is a stranger.
    ///
    /// # Errors
    /// The disk failed.
    pub fn was_told(&self, node: &NodeId, now: u64) -> Result<(), Failure> {
        let _one = self.writer.lock();
        let until = now.saturating_add(FAREWELL_TOLD_S);
        let known = self.rows.read().farewells.get(node).copied();
        if known.is_none_or(|known| known <= until) {
            return Ok(());
        }
        let change = rows::put(FAREWELL, node, &Farewell { until })?;
        self.state.apply(vec![change])?;
        self.rows.write().farewells.insert(*node, until);
        self.readmit(node)
    }

    /// Drops removed friends that were not told in time.
    pub(super) fn open_farewells(&self, now: u64) -> Result<(), Failure> {
        let mut over = Vec::new();
        for row in self.state.rows(FAREWELL)? {
            let (node, farewell) = rows::parse::<Farewell>(FAREWELL, &row.0, &row.1)?;
            if farewell.until <= now {
                over.push(rows::delete(FAREWELL, &node));
                continue;
            }
            self.rows.write().farewells.insert(node, farewell.until);
            if self.role_of(&node) == Some(Role::Former) {
                self.gate
                    .admit(node, Role::Former, Some(farewell.until))
                    .map_err(bad_key)?;
            }
        }
        if !over.is_empty()
            && let Err(error) = self.state.apply(over)
        {
            // On a full disk the node starts all the same.
            tracing::warn!(%error, "farewells that are over stay");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refused(code: ErrorCode) -> Heard {
        Heard::Refused {
            code,
            text: "no".to_owned(),
        }
    }

    #[test]
    fn what_was_heard_last_is_what_is_said() {
        let contact = Contact::default().after(Heard::Served, 100);
        assert_eq!(contact.last_seen, Some(100));
        let away = contact.after(Heard::Away("timeout".to_owned()), 200);
        assert_eq!((away.last_seen, away.is_away), (Some(100), true));
        assert_eq!(away.last_error.as_deref(), Some("timeout"));
        let back = away.after(Heard::Seen, 300);
        assert_eq!(
            (back.last_seen, back.is_away, back.last_error),
            (Some(300), false, None)
        );
        let left = away.after(Heard::Left, 300);
        assert_eq!((left.last_seen, left.is_away), (Some(300), true));
    }

    #[test]
    fn a_refusal_stays_until_everything_was_taken() {
        let full = Contact::default().after(refused(ErrorCode::Quota), 100);
        let again = full
            .after(Heard::Seen, 200)
            .after(refused(ErrorCode::Quota), 300);
        let refusal = again.refusal.clone().unwrap();
        assert_eq!((refusal.code, refusal.since), (ErrorCode::Quota, 100));
        let other = again.after(refused(ErrorCode::Certificate), 400).refusal;
        assert_eq!(other.unwrap().since, 400);
        let off = again.after(Heard::Away("timeout".to_owned()), 500);
        assert!(off.refusal.is_some());
        assert_eq!(off.after(Heard::Served, 600).refusal, None);
    }

    #[test]
    fn it_is_written_down_now_and_then() {
        let at = |last_seen| Contact {
            last_seen: Some(last_seen),
            ..Contact::default()
        };
        assert!(at(5).is_news(&Contact::default(), false));
        assert!(!at(1005).is_news(&at(5), false));
        assert!(at(1005).is_news(&at(5), true));
        assert!(!at(50).is_news(&at(5), true));
        assert!(at(5 + WRITE_EVERY_S).is_news(&at(5), false));
        let refused = at(5).after(refused(ErrorCode::Quota), 6);
        assert!(refused.is_news(&at(5), false));
        assert!(at(7).is_news(&refused, false));
        assert!(!refused.after(Heard::Seen, 7).is_news(&refused, false));
    }
}
