//! `packnback node`: the daemon of this home.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Context, workers};
use crate::args::NodeCommand;
use crate::exit::{Exit, Failure, Outcome};
use crate::render;
use crate::spawn::{lock_is_held, log_tail, reach_node, running_node, start_node};

const STOP_DEADLINE: Duration = Duration::from_secs(30);
const NEXT_START: &str =
    "The addresses count from its next start on: packnback node stop, then packnback node start.";
const POLL: Duration = Duration::from_millis(20);

/// Runs the command.
///
/// # Errors
/// When the node cannot be started or does not end.
pub fn run(context: &Context, command: NodeCommand) -> Outcome {
    context.home.check_user()?;
    match command {
        NodeCommand::Start { listen } => start(context, &listen),
        NodeCommand::Set { listen, name } => set(context, &listen, name),
        NodeCommand::Stop => stop(context),
        NodeCommand::Log => log(context),
        NodeCommand::Workers => workers::run(context),
    }
}

fn start(context: &Context, listen: &[String]) -> Outcome {
    let running = running_node(&context.home)?;
    let was_running = running.is_some();
    let client = match running {
        Some(client) => client,
        None => start_node(&context.home, listen)?,
    };
    let hello = client.hello();
    context.voice.result(&json!({
        "node": hello.node.map(|n| n.to_string()), "listen": hello.listen, "was_running": was_running,
    }))?;
    let how = if was_running {
        "was running already"
    } else {
        "started"
    };
    context.voice.say(&format!("The node {how}."))?;
    if was_running && !listen.is_empty() {
        client.configure(Some(listen.to_vec()), None)?;
        context.voice.note(NEXT_START);
    }
    for address in &hello.listen {
        context.voice.say(&format!("  {address}"))?;
    }
    Ok(Exit::Done)
}

fn set(context: &Context, listen: &[String], name: Option<String>) -> Outcome {
    let client = reach_node(&context.home)?;
    let wanted = match listen {
        [] => None,
        [one] if one == "default" => Some(Vec::new()),
        all => Some(all.to_vec()),
    };
    let is_moved = wanted.is_some();
    let now = client.configure(wanted, name)?;
    context.voice.result(&json!({
        "listen": now.listen, "name": now.name, "name_is_set": now.name_is_set,
    }))?;
    let listens = if now.listen.is_empty() {
        "a port of its own on all interfaces, chosen once".to_owned()
    } else {
        now.listen.join(", ")
    };
    let named = if now.name_is_set {
        ""
    } else {
        " (the name of this machine)"
    };
    context.voice.say(&format!(
        "Listens on    {}",
        render::path(listens.as_bytes())
    ))?;
    context.voice.say(&format!(
        "Friends see   {}{named}",
        render::path(now.name.as_bytes())
    ))?;
    if is_moved {
        context.voice.note(NEXT_START);
    }
    Ok(Exit::Done)
}

fn stop(context: &Context) -> Outcome {
    let Some(client) = running_node(&context.home)? else {
        context.voice.result(&json!({ "was_running": false }))?;
        context.voice.say("No node is running.")?;
        return Ok(Exit::Done);
    };
    client.shutdown()?;
    drop(client);
    let asked = Instant::now();
    // Until it has let go of its lock it may still be writing to its folder.
    while lock_is_held(&context.home) {
        if asked.elapsed() > STOP_DEADLINE {
            return Err(
                Failure::failed("node-stop", "the node was asked to end, but still runs")
                    .safe("What it acknowledged is on disk.")
                    .next("Look at its log: packnback node log"),
            );
        }
        std::thread::sleep(POLL);
    }
    context.voice.result(&json!({ "was_running": true }))?;
    context.voice.say(
        "The node has stopped. Friends cannot reach their backups here until it runs again.",
    )?;
    Ok(Exit::Done)
}

fn log(context: &Context) -> Outcome {
    let path = context.home.log();
    let tail = log_tail(&path).map_err(|e| Failure::file("read", &path, &e))?;
    context
        .voice
        .result(&json!({ "path": path, "tail": tail }))?;
    context.voice.say(&format!(
        "{}\n\nAll of it: {}",
        render::path(tail.as_bytes()).replace("\\n", "\n"),
        path.display()
    ))?;
    Ok(Exit::Done)
}
