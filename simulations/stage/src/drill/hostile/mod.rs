//! `packnback drill hostile-friend`: a friend gone bad against a host with an honest second friend.
//!
//! | Module | Does |
//! |---|---|
//! | [`scene`] | the host, the honest friend, the friend gone bad, a blank machine |
//! | [`honest`] | after each scheme: does the honest friend go on, and what did the host pay |
//! | [`after`] | what has to work when all is over: deletion, administration, recovery |
//! | [`thief`] | snapshots under the honest friend's key, dated as a thief likes |
//! | [`requests`] | request files that lie to whoever signs them |

mod after;
mod honest;
mod requests;
mod scene;
mod thief;

use packnback_cli::parts::{Outcome, render::Voice};

use self::honest::Honest;
use self::scene::Scene;
use super::attack;
use super::play::{Texts, show};
use super::report::Report;
use super::scene::failed;
use crate::staging::{Setting, World};

/// Plays it.
///
/// # Errors
/// When the world cannot be built. A scheme that succeeds is no error but exit code 1.
pub(crate) fn run(setting: Setting<'_>, schemes: &[String]) -> Outcome {
    let texts = Texts {
        opening: "packnback drill hostile-friend: a friend goes bad, with an honest second friend beside.",
        passed: "The honest friend goes on, and the host paid no more than it offered.",
    };
    show(setting, &texts, |world| play(setting.voice, world, schemes))
}

fn play(voice: Voice, world: &mut World, schemes: &[String]) -> Outcome<Report> {
    let mut report = Report::default();
    let mut scene = Scene::build(world)?;
    report.name(Scene::id(&scene.host)?.to_string(), "hal");
    voice.say("Hal stores for Ann and for Mal. Mal goes bad, and stores for Ann too:\n")?;
    let mut honest = Honest::begin(world, &mut scene)?;
    let spec = scene.describe(schemes)?;
    let attempts = attack::converse(world, &spec, |world, said| {
        let (what, about) = said.split_once(' ').unwrap_or((said, ""));
        match what {
            "look" => report.checks(voice, vec![honest.look(world, &mut scene, about)?])?,
            "back-up" => honest.give_work(world, &scene)?,
            "recover-from" => {
                report.checks(voice, vec![after::recover_from_mal(world, &scene, about)?])?;
            }
            "end-friendship" => scene.end_friendship(world)?,
            other => return Err(failed(format!("the hostile friend wants {other}"))),
        }
        Ok(())
    })?;
    voice.say("\nWhat Mal saw of it:")?;
    report.attempts(voice, attempts)?;
    voice.say("\nMal makes request files of what it stores, and Ann is asked to sign them:")?;
    report.checks(voice, requests::all(world, &scene)?)?;
    voice.say("\nWhen all is over:")?;
    report.checks(voice, after::all(world, &scene, &honest)?)?;
    voice.say("\nSomebody who held Ann's machine once dates snapshots as it likes:")?;
    report.attempts(voice, thief::attack(world, &scene)?)?;
    report.checks(voice, vec![thief::newest(world, &scene, &mut honest)?])?;
    Ok(report)
}
