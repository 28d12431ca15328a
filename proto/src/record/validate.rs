//! Rules of records that concern more than the type of one field. Checked before signing and
//! after decoding.

use super::{Cert, Grant, Op, Order, PolicyArg, Receipt, RecordError, Scope, Snap, perms};
use crate::format::entry::DOM_PRIVATE;
use crate::ids::NodeId;
use crate::limits::{
    AUDIENCE_MAX, CERT_CLOCK_SKEW_S, GRANT_LIFETIME_MAX_S, POLICY_DAYS_MAX, POLICY_KEEP_MAX,
    REASON_MAX, RECORD_IDS_MAX, SEALED_LABEL_MAX,
};

/// Checks of a whole record.
pub trait Validate {
    /// Whether the value obeys the format.
    ///
    /// # Errors
    /// [`RecordError::Limit`], [`RecordError::Order`], [`RecordError::Invalid`] or
    /// [`RecordError::AudienceRequired`].
    fn validate(&self) -> Result<(), RecordError>;
}

/// Strictly ascending, and between `min` and `max` items.
fn list<T: Ord>(
    items: &[T],
    min: usize,
    max: usize,
    name: &'static str,
) -> Result<(), RecordError> {
    if items.len() < min || items.len() > max {
        return Err(RecordError::Limit(name));
    }
    if items.iter().zip(items.iter().skip(1)).all(|(a, b)| a < b) {
        Ok(())
    } else {
        Err(RecordError::Order(name))
    }
}

fn audience(hosts: Option<&[NodeId]>) -> Result<(), RecordError> {
    hosts.map_or(Ok(()), |hosts| list(hosts, 1, AUDIENCE_MAX, "audience"))
}

fn valid(ok: bool, name: &'static str) -> Result<(), RecordError> {
    if ok {
        Ok(())
    } else {
        Err(RecordError::Invalid(name))
    }
}

impl Validate for Cert {
    fn validate(&self) -> Result<(), RecordError> {
        valid(self.perms & !perms::ALL == 0, "perms")?;
        valid(self.not_before < self.expires, "expires")?;
        valid(self.group != DOM_PRIVATE, "group")?;
        if self.sealed_label.len() > SEALED_LABEL_MAX {
            return Err(RecordError::Limit("sealed_label"));
        }
        Ok(())
    }
}

impl Validate for Snap {
    fn validate(&self) -> Result<(), RecordError> {
        Ok(())
    }
}

impl Validate for Receipt {
    fn validate(&self) -> Result<(), RecordError> {
        Ok(())
    }
}

impl Validate for Order {
    fn validate(&self) -> Result<(), RecordError> {
        audience(self.audience.as_deref())?;
        let needs_audience = matches!(self.op, Op::Policy(_) | Op::DropOwner);
        if needs_audience && self.audience.is_none() {
            return Err(RecordError::AudienceRequired);
        }
        match &self.op {
            Op::DeleteIds(ids) | Op::Hold(ids) | Op::Unhold(ids) => {
                list(ids, 1, RECORD_IDS_MAX, "ids")
            }
            Op::DeleteRange {
                recv_from,
                recv_to,
                max_count,
                ..
            } => {
                valid(recv_from < recv_to, "recv_to")?;
                valid(*max_count > 0, "max_count")
            }
            Op::Policy(policy) => policy.validate(),
            Op::Revoke { reason, .. } if reason.len() > REASON_MAX => {
                Err(RecordError::Limit("reason"))
            }
            Op::Cancel(oids) => list(oids, 1, RECORD_IDS_MAX, "oids"),
            Op::Hosts { hosts, .. } => list(hosts, 0, AUDIENCE_MAX, "hosts"),
            Op::Revoke { .. } | Op::DropOwner => Ok(()),
        }
    }
}

/// Whether an order obeys the format, before it is signed.
///
/// # Errors
/// As [`Validate::validate`].
pub fn check_order(order: &Order) -> Result<(), RecordError> {
    order.validate()
}

impl Validate for PolicyArg {
    fn validate(&self) -> Result<(), RecordError> {
        valid(self.min_age_d <= POLICY_DAYS_MAX, "min_age_d")?;
        valid(self.grace_d <= POLICY_DAYS_MAX, "grace_d")?;
        valid(self.keep.iter().all(|n| *n <= POLICY_KEEP_MAX), "keep")?;
        valid(self.keep_last <= POLICY_KEEP_MAX, "keep_last")
    }
}

impl Validate for Grant {
    fn validate(&self) -> Result<(), RecordError> {
        audience(self.audience.as_deref())?;
        match &self.scope {
            Scope::All => {}
            Scope::Devices(devices) => list(devices, 1, RECORD_IDS_MAX, "scope")?,
            Scope::Snaps(snaps) => list(snaps, 1, RECORD_IDS_MAX, "scope")?,
        }
        let lifetime = self.expires.checked_sub(self.not_before);
        valid(
            lifetime.is_some_and(|s| s > 0 && s <= GRANT_LIFETIME_MAX_S),
            "expires",
        )
    }
}

impl Cert {
    /// Whether the certificate gives all of `wanted` (see [`perms`]).
    #[must_use]
    pub fn allows(&self, wanted: u64) -> bool {
        self.perms & wanted == wanted
    }

    /// Whether the certificate is in its window at `now`, give or take a day for wrong clocks.
    #[must_use]
    pub fn is_valid_at(&self, now: u64) -> bool {
        now.saturating_add(CERT_CLOCK_SKEW_S) >= self.not_before
            && now <= self.expires.saturating_add(CERT_CLOCK_SKEW_S)
    }
}

impl Order {
    /// Whether the order speaks to this host.
    #[must_use]
    pub fn is_for(&self, host: &NodeId) -> bool {
        self.audience
            .as_ref()
            .is_none_or(|hosts| hosts.contains(host))
    }
}

impl Grant {
    /// Whether the grant speaks to this host.
    #[must_use]
    pub fn is_for(&self, host: &NodeId) -> bool {
        self.audience
            .as_ref()
            .is_none_or(|hosts| hosts.contains(host))
    }

    /// Whether the grant is in its window at `now`, by the clock of the host.
    #[must_use]
    pub fn is_valid_at(&self, now: u64) -> bool {
        (self.not_before..=self.expires).contains(&now)
    }
}
