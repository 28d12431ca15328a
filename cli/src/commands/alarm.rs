//! Alarms: what a person has to look at, said so that it is not overlooked.

use packnback_proto::ids::NodeId;
use packnback_proto::wire::admin::{AlarmInfo, AlarmKind};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::render::{self, Voice};

/// Whether somebody else may be using the key of a device: exit code 6.
fn is_serious(alarm: &AlarmInfo) -> bool {
    matches!(alarm.kind, AlarmKind::UnknownHead | AlarmKind::Fork)
}

/// Whether an alarm is about this device, or about no device in particular.
#[must_use]
pub fn is_about(alarm: &AlarmInfo, device: NodeId) -> bool {
    alarm.device.is_none_or(|of| of == device)
}

/// The exit code of a run that would end with `exit`: a serious alarm comes before everything else,
/// since what else went wrong is said in words and comes again.
#[must_use]
pub fn exit_with(alarms: &[AlarmInfo], exit: Exit) -> Exit {
    if alarms.iter().any(is_serious) {
        Exit::Alarm
    } else {
        exit
    }
}

/// Says the alarms on standard error: the serious ones however quiet the command was told to be.
pub fn shout(voice: Voice, alarms: &[AlarmInfo]) {
    let is_grave = alarms.iter().any(is_serious);
    for line in lines(alarms) {
        if is_grave {
            voice.problem(&line);
        } else {
            voice.note(&line);
        }
    }
}

/// The alarms as lines, the serious ones first.
#[must_use]
pub fn lines(alarms: &[AlarmInfo]) -> Vec<String> {
    let mut sorted: Vec<&AlarmInfo> = alarms.iter().collect();
    sorted.sort_by_key(|alarm| (!is_serious(alarm), alarm.since));
    let mut lines = Vec::new();
    for alarm in sorted {
        let mark = if is_serious(alarm) {
            "!!! ALARM"
        } else {
            "  ! note"
        };
        lines.push(format!(
            "{mark} ({}, since {}): {}",
            alarm.kind,
            render::time(alarm.since),
            render::path(alarm.text.as_bytes())
        ));
        let about = about(alarm);
        if !about.is_empty() {
            lines.push(format!("          {about}"));
        }
        if is_serious(alarm) {
            lines.push("          If that was not you: revoke the device (packnback device revoke), set up a new one, and keep the snapshots of before (packnback order hold).".into());
        }
        if let Some(number) = alarm.number {
            lines.push(format!(
                "          Seen and understood: packnback status --ack {number}"
            ));
        }
    }
    lines
}

fn about(alarm: &AlarmInfo) -> String {
    let parts = [
        alarm.device.map(|id| format!("device {}", id.short())),
        alarm.snap.map(|id| format!("snapshot {}", id.short())),
        alarm.host.map(|id| format!("host {}", id.short())),
        alarm.order.map(|id| format!("order {}", id.short())),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}

/// An alarm for programs.
#[must_use]
pub fn alarm_json(alarm: &AlarmInfo) -> Value {
    json!({
        "kind": alarm.kind.as_str(),
        "serious": is_serious(alarm),
        "number": alarm.number,
        "since": render::time_utc(alarm.since),
        "host": alarm.host.map(|id| id.to_string()),
        "device": alarm.device.map(|id| id.to_string()),
        "snapshot": alarm.snap.map(|id| id.to_string()),
        "order": alarm.order.map(|id| id.to_string()),
        "text": alarm.text,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    fn alarm(kind: AlarmKind, since: u64) -> AlarmInfo {
        AlarmInfo {
            kind,
            number: Some(since),
            host: None,
            device: None,
            snap: None,
            order: None,
            since,
            text: "look\x1b[2J".into(),
        }
    }

    #[test]
    fn only_a_key_in_other_hands_changes_the_exit_code() {
        let quiet = [
            alarm(AlarmKind::Frozen, 1),
            alarm(AlarmKind::ForeignOrder, 2),
            alarm(AlarmKind::Withheld, 3),
            alarm(AlarmKind::Unknown, 4),
        ];
        assert_eq!(exit_with(&quiet, Exit::NotSafe), Exit::NotSafe);
        for kind in [AlarmKind::UnknownHead, AlarmKind::Fork] {
            assert_eq!(exit_with(&[alarm(kind, 1)], Exit::Done), Exit::Alarm);
            assert_eq!(exit_with(&[alarm(kind, 1)], Exit::Incomplete), Exit::Alarm);
        }
    }

    #[test]
    fn an_alarm_about_another_device_is_not_about_this_one() {
        let (own, other) = (NodeId([1; 32]), NodeId([2; 32]));
        let of = |device| AlarmInfo {
            device,
            ..alarm(AlarmKind::Fork, 1)
        };
        assert!(is_about(&of(Some(own)), own) && is_about(&of(None), own));
        assert!(!is_about(&of(Some(other)), own));
    }

    #[test]
    fn the_serious_ones_come_first_and_cannot_play_with_the_terminal() {
        let said = lines(&[alarm(AlarmKind::Frozen, 1), alarm(AlarmKind::Fork, 2)]);
        assert!(said[0].starts_with("!!! ALARM (fork"), "{said:?}");
        assert!(said.iter().all(|line| !line.contains('\x1b')));
        assert!(said.iter().any(|line| line.contains("--ack 2")));
    }
}
