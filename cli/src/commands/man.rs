//! `packnback man DIR`: the manual pages.

use std::path::Path;

use clap_mangen::Man;
use serde_json::json;

use crate::args::grammar;
use crate::exit::{Exit, Failure, Outcome};
use crate::render::{self, Voice};

/// Runs the command: a page for each command, made from the same definitions as its help.
///
/// # Errors
/// When a page cannot be written.
pub fn run(voice: Voice, dir: &Path) -> Outcome {
    std::fs::create_dir_all(dir).map_err(|e| Failure::file("make", dir, &e))?;
    let mut top = grammar().disable_help_subcommand(true);
    top.build();
    let pages = write(&top, dir)?;
    voice.result(&json!({ "dir": dir, "pages": pages }))?;
    voice.say(&format!(
        "{} in {}. To read one: man -l {}",
        render::counted(pages, "page is", "pages are"),
        dir.display(),
        dir.join("packnback.1").display()
    ))?;
    Ok(Exit::Done)
}

fn write(command: &clap::Command, dir: &Path) -> Outcome<u64> {
    let man = Man::new(command.clone());
    let path = dir.join(man.get_filename());
    let mut page = Vec::new();
    man.render(&mut page)
        .and_then(|()| std::fs::write(&path, &page))
        .map_err(|e| Failure::file("write", &path, &e))?;
    let mut pages = 1u64;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        pages = pages.saturating_add(write(sub, dir)?);
    }
    Ok(pages)
}
