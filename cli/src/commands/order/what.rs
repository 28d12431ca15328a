//! Operations in words and for programs.

use packnback_proto::ids::NodeId;
use packnback_proto::record::{Op, PolicyArg};
use packnback_proto::wire::admin::PolicyInfo;
use serde_json::{Value, json};

use crate::render;

/// Less than this and a compromised device outlives its honest history.
const SAFE_MIN_AGE_D: u64 = 30;
const PERIODS: [&str; 5] = ["hourly", "daily", "weekly", "monthly", "yearly"];

fn snapshots(count: usize) -> String {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    render::counted(count, "snapshot", "snapshots")
}

/// An operation in a few words.
#[must_use]
pub fn op_text(op: &Op) -> String {
    match op {
        Op::DeleteIds(ids) => format!("delete {}", snapshots(ids.len())),
        Op::DeleteRange {
            device,
            recv_from,
            recv_to,
            max_count,
        } => format!(
            "delete at most {} of device {} received from {} to {}",
            render::counted(*max_count, "snapshot", "snapshots"),
            device.short(),
            render::time(*recv_from),
            render::time(*recv_to)
        ),
        Op::Policy(policy) => {
            let of = policy.device.map_or_else(
                || "every device".to_owned(),
                |device| format!("device {}", device.short()),
            );
            format!("policy for {of}: {}", policy_text(&policy_info(policy)))
        }
        Op::Revoke { device, reason } if reason.is_empty() => {
            format!("revoke device {}", device.short())
        }
        Op::Revoke { device, reason } => format!(
            "revoke device {} ({})",
            device.short(),
            render::path(reason.as_bytes())
        ),
        Op::Hold(ids) => format!("hold {}", snapshots(ids.len())),
        Op::Unhold(ids) => format!("end the hold of {}", snapshots(ids.len())),
        Op::Cancel(oids) => format!(
            "take back {}",
            render::counted(
                u64::try_from(oids.len()).unwrap_or(u64::MAX),
                "order",
                "orders"
            )
        ),
        Op::Hosts { hosts, .. } => format!("hosts of this owner: {}", shorts(hosts)),
        Op::DropOwner => "delete everything of this owner".to_owned(),
    }
}

/// The hosts an order is for.
#[must_use]
pub(super) fn audience_text(audience: Option<&[NodeId]>) -> String {
    audience.map_or_else(
        || "on every host".to_owned(),
        |hosts| format!("on {}", shorts(hosts)),
    )
}

fn shorts(ids: &[NodeId]) -> String {
    if ids.is_empty() {
        return "none".to_owned();
    }
    let ids: Vec<String> = ids.iter().map(NodeId::short).collect();
    ids.join(", ")
}

/// A policy of an order as the local API names it.
#[must_use]
pub(super) fn policy_info(policy: &PolicyArg) -> PolicyInfo {
    PolicyInfo {
        pseq: policy.pseq,
        device: policy.device,
        min_age_d: policy.min_age_d,
        keep: policy.keep,
        keep_last: policy.keep_last,
        grace_d: policy.grace_d,
    }
}

/// A policy in words.
#[must_use]
pub fn policy_text(policy: &PolicyInfo) -> String {
    let mut parts = vec![format!("{} newest", render::count(policy.keep_last))];
    for (count, name) in policy.keep.iter().zip(PERIODS) {
        if *count > 0 {
            parts.push(format!("{} {name}", render::count(*count)));
        }
    }
    format!(
        "keep {}; nothing younger than {}; {} of grace",
        parts.join(", "),
        render::counted(policy.min_age_d, "day", "days"),
        render::counted(policy.grace_d, "day", "days")
    )
}

/// What is risky about a policy.
#[must_use]
pub fn policy_warnings(policy: &PolicyInfo) -> Vec<String> {
    let [.., monthly, yearly] = policy.keep;
    let mut warnings = Vec::new();
    if policy.min_age_d < SAFE_MIN_AGE_D {
        warnings.push(format!(
            "with --min-age below {SAFE_MIN_AGE_D} days, whoever takes over a device may outlast its honest snapshots before anybody notices."
        ));
    }
    if monthly == 0 && yearly == 0 {
        warnings.push("without --keep-monthly or --keep-yearly nothing old is kept: damage noticed late cannot be undone.".into());
    }
    if policy.grace_d == 0 {
        warnings.push(
            "without a grace of its own, only that of each host is left to take anything back."
                .into(),
        );
    }
    warnings
}

/// A policy for programs.
#[must_use]
pub fn policy_json(policy: &PolicyInfo) -> Value {
    let [hourly, daily, weekly, monthly, yearly] = policy.keep;
    json!({
        "sequence": policy.pseq,
        "device": policy.device.map(|device| device.to_string()),
        "keep_last": policy.keep_last,
        "keep_hourly": hourly,
        "keep_daily": daily,
        "keep_weekly": weekly,
        "keep_monthly": monthly,
        "keep_yearly": yearly,
        "min_age_days": policy.min_age_d,
        "grace_days": policy.grace_d,
    })
}

fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// An operation for programs.
#[must_use]
pub fn op_json(op: &Op) -> Value {
    match op {
        Op::DeleteIds(ids) => json!({ "op": "delete", "snapshots": texts(ids) }),
        Op::DeleteRange {
            device,
            recv_from,
            recv_to,
            max_count,
        } => json!({
            "op": "delete-range", "device": device.to_string(), "from": render::time_utc(*recv_from),
            "to": render::time_utc(*recv_to), "max": max_count,
        }),
        Op::Policy(policy) => {
            json!({ "op": "policy", "policy": policy_json(&policy_info(policy)) })
        }
        Op::Revoke { device, reason } => {
            json!({ "op": "revoke", "device": device.to_string(), "reason": reason })
        }
        Op::Hold(ids) => json!({ "op": "hold", "snapshots": texts(ids) }),
        Op::Unhold(ids) => json!({ "op": "unhold", "snapshots": texts(ids) }),
        Op::Cancel(oids) => {
            let oids: Vec<String> = oids
                .iter()
                .map(|oid| data_encoding::HEXLOWER.encode(oid))
                .collect();
            json!({ "op": "cancel", "orders": oids })
        }
        Op::Hosts { hseq, hosts } => {
            json!({ "op": "hosts", "sequence": hseq, "hosts": texts(hosts) })
        }
        Op::DropOwner => json!({ "op": "drop-owner" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reads_as_a_sentence() {
        let policy = PolicyInfo {
            pseq: 1,
            device: None,
            min_age_d: 30,
            keep: [0, 7, 0, 12, 1],
            keep_last: 3,
            grace_d: 1,
        };
        assert_eq!(
            policy_text(&policy),
            "keep 3 newest, 7 daily, 12 monthly, 1 yearly; nothing younger than 30 days; 1 day of grace"
        );
    }

    #[test]
    fn risky_policies_are_told() {
        let policy = |min_age_d, keep, grace_d| PolicyInfo {
            min_age_d,
            keep,
            grace_d,
            ..PolicyInfo::default()
        };
        assert!(policy_warnings(&policy(30, [0, 0, 0, 1, 0], 7)).is_empty());
        assert!(policy_warnings(&policy(30, [0, 0, 0, 0, 1], 1)).is_empty());
        assert_eq!(policy_warnings(&policy(29, [9, 9, 9, 0, 0], 0)).len(), 3);
    }

    #[test]
    fn a_reason_cannot_play_with_the_terminal() {
        let op = Op::Revoke {
            device: NodeId([1; 32]),
            reason: "a\x1b[2Jb".into(),
        };
        assert!(!op_text(&op).contains('\x1b'));
    }
}
