//! The drill from start to end.

use std::time::{Duration, Instant};

use packnback_cli::parts::{
    Exit, Outcome,
    render::{self, Voice},
};

use super::report::Report;
use super::safe::{self, Before, Check, check};
use super::scene::{Scene, failed, shown};
use super::{attack, readback, trees};
use crate::staging::{Setting, World, number};

/// What a drill says before and after it.
pub(super) struct Texts {
    /// Before anything is there.
    pub(super) opening: &'static str,
    /// When nothing is to be complained about.
    pub(super) passed: &'static str,
}

/// Plays the attack of somebody who has taken a device.
///
/// # Errors
/// When the world cannot be built. An attack that succeeds is no error but exit code 1.
pub(crate) fn ransomware(setting: Setting<'_>) -> Outcome {
    let texts = Texts {
        opening: "packnback drill ransomware: a laptop is taken over, with everything it knows.",
        passed: "Nothing was lost, nothing was read, and the other device goes on.",
    };
    show(setting, &texts, |world| play(setting.voice, world))
}

/// Announces a drill, plays it in a world of its own, and tells how it ended.
pub(super) fn show(
    setting: Setting<'_>,
    texts: &Texts,
    play: impl FnOnce(&mut World) -> Outcome<Report>,
) -> Outcome {
    let (started, voice) = (Instant::now(), setting.voice);
    voice.say(texts.opening)?;
    let mut world = World::make(setting, "drill")?;
    let outcome = play(&mut world);
    if setting.keep {
        voice.note(&format!(
            "The folders of the drill are in {}",
            world.folder().display()
        ));
    }
    let report = outcome?;
    let time = started.elapsed();
    voice.result(&report.json(time.as_secs_f64()))?;
    voice.say(&format!(
        "\n{} {}",
        report.summary(),
        render::duration(time)
    ))?;
    if report.passed() {
        voice.say(texts.passed)?;
        return Ok(Exit::Done);
    }
    voice.note("The drill FAILED: see the lines above. This should never happen.");
    Ok(Exit::Failed)
}

fn heading(voice: Voice, since: &mut Instant, text: &str) -> Outcome<()> {
    let time: Duration = since.elapsed();
    *since = Instant::now();
    voice.say(&format!("\n{text}  ({})", render::duration(time)))
}

fn play(voice: Voice, world: &mut World) -> Outcome<Report> {
    let mut since = Instant::now();
    let mut report = Report::default();
    let mut scene = Scene::build(world)?;
    for host in scene.hosts() {
        report.name(Scene::host_id(host)?.to_string(), &host.name);
    }
    scene.back_up(world)?;
    scene.orders(world)?;
    let before = Before::look(&scene)?;
    heading(
        voice,
        &mut since,
        "Laptop and desk are backed up to nas (the owner's) and ann (a friend's); the owner's policy is in force.",
    )?;
    let disk = readback::disk_of(world, &scene, &scene.ann)?;
    let stolen = attack::steal(world, &scene)?;
    let mut meanwhile = Vec::new();
    let attempts = attack::run(world, &scene, &stolen, |world, what| {
        meanwhile.push(backup_meanwhile(world, &scene, what)?);
        Ok(())
    })?;
    heading(
        voice,
        &mut since,
        "Root on the laptop tries everything it may and may not:",
    )?;
    report.attempts(voice, attempts)?;
    report.attempts(voice, readback::run(&scene, &stolen, &disk)?)?;
    meanwhile.push(take_down(world, &mut scene)?);
    let lost = scene.laptop.take();
    let lost = lost.ok_or_else(|| failed("the laptop is gone already"))?;
    world.lose(lost)?;
    heading(
        voice,
        &mut since,
        "Its files are encrypted, its home is deleted. What is left:",
    )?;
    report.checks(voice, meanwhile)?;
    report.checks(voice, before.compare(&scene)?)?;
    let tree = scene.tree(world, "desk");
    trees::work(&tree, "thursday").map_err(|e| failed(format!("cannot write files: {e}")))?;
    scene.save(world, "desk", 3)?;
    report.checks(
        voice,
        vec![check(
            "the desk's next backup reaches both hosts",
            true,
            "saved and compared",
        )],
    )?;
    report.checks(voice, safe::restore_all(world, &scene)?)?;
    Ok(report)
}

/// The other device backs up while the attacker holds what it can get.
fn backup_meanwhile(world: &World, scene: &Scene, what: &str) -> Outcome<Check> {
    let tree = scene.tree(world, "desk");
    let day = format!("wednesday-{}", what.len());
    trees::work(&tree, &day).map_err(|e| failed(format!("cannot write files: {e}")))?;
    let since = Instant::now();
    let path = shown(&tree);
    let words = ["backup", &path, "--wait", "2", "--wait-timeout", "60s"];
    let ran = world.run(&scene.desk, &words)?;
    let friends = ran.result.map_or(0, |saved| number(&saved, "friends"));
    Ok(check(
        format!("the desk's backup reaches both hosts while the attacker holds {what}"),
        ran.status.success() && friends == 2,
        format!(
            "{friends} of 2 hosts after {}",
            render::duration(since.elapsed())
        ),
    ))
}

/// The attacker's last act. The laptop's node is still the real one, and makes its next backup of the wreck: hosts take
/// it or not, by the day's budget; the owner learns of the attack.
fn take_down(world: &World, scene: &mut Scene) -> Outcome<Check> {
    let tree = scene.tree(world, "laptop");
    trees::encrypt(&tree).map_err(|e| failed(format!("cannot encrypt the files: {e}")))?;
    let path = shown(&tree);
    let words = ["backup", &path, "--wait", "2", "--wait-timeout", "5s"];
    world.run(scene.laptop()?, &words)?;
    safe::alarm(scene.laptop()?)
}
