//! Runs the attacks, family by family, and tells of each on standard output: one line of JSON.

use std::path::Path;

use anyhow::Context as _;

use super::attacker::{Attacker, Target};
use super::spec::{Attempt, Part};
use super::tried::{Attack, Tried};
use super::{
    alter, dates, delete, displace, flood, forge, friend, local, poison, read, replay, starve,
};

/// A family of attacks. Those that use up the day of the device come last.
struct Family {
    name: &'static str,
    attacks: &'static [Attack],
    /// Against the own node, once, and not against every host.
    own: bool,
}

const fn family(name: &'static str, attacks: &'static [Attack]) -> Family {
    let own = false;
    Family { name, attacks, own }
}

const FAMILIES: &[Family] = &[
    Family {
        name: "local",
        attacks: local::ATTACKS,
        own: true,
    },
    family("delete", delete::ATTACKS),
    family("alter", alter::ATTACKS),
    family("forge", forge::ATTACKS),
    family("replay", replay::ATTACKS),
    family("read", read::ATTACKS),
    family("poison", poison::ATTACKS),
    family("starve", starve::ATTACKS),
    family("dates", dates::ATTACKS),
    family("displace", displace::ATTACKS),
    family("flood", flood::ATTACKS),
];

/// Plays the attacker described in a file.
///
/// # Errors
/// When it cannot begin. That attacks are refused, or succeed, is no error: it is what is told.
pub(crate) fn run(spec: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(spec).with_context(|| format!("cannot read {}", spec.display()))?;
    let part: Part = serde_json::from_slice(&text).context("the description of the drill")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match part {
            Part::HostileFriend(spec) => friend::run(spec).await,
            Part::Ransomware(spec) => ransomware(Attacker::start(spec).await?).await,
        }
    })
}

async fn ransomware(attacker: Attacker) -> anyhow::Result<()> {
    let targets = attacker.targets()?;
    for family in FAMILIES {
        let wanted = &attacker.spec.families;
        if !wanted.is_empty() && !wanted.iter().any(|name| name == family.name) {
            continue;
        }
        let against = if family.own { 1 } else { targets.len() };
        for target in targets.iter().take(against) {
            attack(&attacker, target, family).await?;
        }
    }
    attacker.net.shutdown().await;
    Ok(())
}

/// Tells of an attempt: a line of JSON.
pub(super) fn tell(attempt: &Attempt<'_>) -> anyhow::Result<()> {
    Ok(packnback_sys::say::line(&serde_json::to_string(attempt)?)?)
}

async fn attack(attacker: &Attacker, target: &Target, family: &Family) -> anyhow::Result<()> {
    for attack in family.attacks {
        let outcome = (attack.run)(attacker, target).await;
        let (outcome, refusal) = Tried::told(outcome);
        let host = if family.own {
            String::new()
        } else {
            target.host.to_string()
        };
        let attempt = Attempt {
            name: attack.name,
            family: family.name,
            host,
            what_was_tried: attack.what,
            outcome,
            refusal,
        };
        tell(&attempt)?;
    }
    Ok(())
}
