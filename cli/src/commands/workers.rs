//! `packnback node workers`: what the node does by itself.

use std::time::Duration;

use packnback_proto::ids::NodeId;
use packnback_proto::wire::work::{Progress, WorkState, WorkerInfo};
use serde_json::{Value, json};

use super::Context;
use crate::exit::{Exit, Outcome};
use crate::render;
use crate::spawn::running_node;
use crate::system;

/// Runs the command. Starts no node: what a node that does not run does by itself is nothing.
///
/// # Errors
/// A node that refuses.
pub fn run(context: &Context) -> Outcome {
    let Some(client) = running_node(&context.home)? else {
        context
            .voice
            .result(&json!({ "running": false, "workers": [] }))?;
        context.voice.say("No node is running.")?;
        return Ok(Exit::Done);
    };
    let workers = client.workers()?;
    let all: Vec<Value> = workers.iter().map(worker_json).collect();
    context
        .voice
        .result(&json!({ "running": true, "workers": all }))?;
    let now = system::now();
    context.voice.say(&table(&workers, now))?;
    for line in errors(&workers, now) {
        context.voice.say(&line)?;
    }
    Ok(Exit::Done)
}

fn worker_json(worker: &WorkerInfo) -> Value {
    let errors: serde_json::Map<String, Value> = worker
        .errors
        .iter()
        .map(|errors| (errors.kind.clone(), errors.count.into()))
        .collect();
    json!({
        "name": worker.name,
        "state": worker.state.as_str(),
        "last_run": worker.last_run.map(render::time_utc),
        "next_run": worker.next_run.map(render::time_utc),
        "runs": worker.runs,
        "errors": errors,
        "last_error": worker.last_error.as_ref().map(|error| json!({
            "kind": error.kind,
            "fault": error.fault.as_str(),
            "retry": error.retry.as_str(),
            "text": error.text,
            "at": render::time_utc(error.at),
        })),
        "queue": worker.queue,
        "progress": worker.progress.map(|p| json!({ "done": p.done, "total": p.total })),
        "note": worker.note,
    })
}

fn table(workers: &[WorkerInfo], now: u64) -> String {
    let head = [
        "worker", "state", "last run", "next run", "runs", "errors", "what",
    ];
    let mut rows = vec![head.iter().map(ToString::to_string).collect::<Vec<_>>()];
    for worker in workers {
        let errors = worker.errors.iter().map(|errors| errors.count);
        rows.push(vec![
            shown(&worker.name),
            worker.state.to_string(),
            worker
                .last_run
                .map_or_else(|| "never".into(), |at| render::ago(at, now)),
            next(worker, now),
            render::count(worker.runs),
            render::count(errors.fold(0, u64::saturating_add)),
            what(worker),
        ]);
    }
    render::table(&rows, &[4, 5])
}

/// A worker of one node is called after it: the first digits are enough.
fn shown(name: &str) -> String {
    let word = |word: &str| {
        word.parse()
            .map_or_else(|_| word.to_owned(), |id: NodeId| id.short())
    };
    let words: Vec<String> = name.split(' ').map(word).collect();
    render::path(words.join(" ").as_bytes())
}

fn next(worker: &WorkerInfo, now: u64) -> String {
    match (worker.state, worker.next_run) {
        (WorkState::Running | WorkState::Stalled, _) => "now".to_owned(),
        (WorkState::Done, _) => "never".to_owned(),
        (_, Some(at)) if at > now => {
            let left = Duration::from_secs(at.saturating_sub(now));
            format!("in {}", render::duration(left))
        }
        (_, Some(_)) => "now".to_owned(),
        (_, None) => "when woken".to_owned(),
    }
}

fn what(worker: &WorkerInfo) -> String {
    let progress = worker.progress.map(|Progress { done, total }| match total {
        Some(total) => format!("{} of {}", render::count(done), render::count(total)),
        None => render::count(done),
    });
    let queue = worker
        .queue
        .map(|queue| format!("{} waiting", render::count(queue)));
    let note = (!worker.note.is_empty()).then(|| render::path(worker.note.as_bytes()));
    let parts: Vec<String> = [progress, queue, note].into_iter().flatten().collect();
    parts.join("; ")
}

/// The last error of each worker that waits because of it, or had one.
fn errors(workers: &[WorkerInfo], now: u64) -> Vec<String> {
    let lines = workers.iter().filter_map(|worker| {
        let error = worker.last_error.as_ref()?;
        Some(format!(
            "{}: {} ({}, {}): {}",
            shown(&worker.name),
            render::path(error.kind.as_bytes()),
            error.fault,
            render::ago(error.at, now),
            render::path(error.text.as_bytes())
        ))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use packnback_proto::wire::blame::{Fault, Retry};
    use packnback_proto::wire::work::{WorkErrorInfo, WorkErrors};

    use super::*;

    fn worker(state: WorkState, next_run: Option<u64>) -> WorkerInfo {
        WorkerInfo {
            name: "scrub\x1b[2J".into(),
            state,
            last_run: Some(1000),
            next_run,
            runs: 12_345,
            errors: vec![
                WorkErrors {
                    kind: "disk-full".into(),
                    count: 2,
                },
                WorkErrors {
                    kind: "panic".into(),
                    count: 1,
                },
            ],
            last_error: Some(WorkErrorInfo {
                kind: "disk-full".into(),
                fault: Fault::Disk,
                retry: Retry::BackOff,
                text: "no\x1b room".into(),
                at: 1000,
            }),
            queue: Some(3),
            progress: Some(Progress {
                done: 1,
                total: Some(2),
            }),
            note: "reads".into(),
        }
    }

    #[test]
    fn what_a_worker_does_is_said_in_a_line() {
        let workers = [worker(WorkState::Waiting, Some(4600))];
        let said = table(&workers, 1000);
        for part in ["waiting", "12,345", "3", "1 of 2; 3 waiting; reads"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let errors = errors(&workers, 1060);
        assert!(errors.iter().all(|line| line.contains("disk-full (disk,")));
        assert!(!said.contains('\x1b') && !errors.iter().any(|line| line.contains('\x1b')));
    }

    #[test]
    fn when_it_runs_next_is_said_in_words() {
        let said = |state, at| next(&worker(state, at), 1000);
        assert!(said(WorkState::Waiting, Some(4600)).starts_with("in "));
        assert_eq!(said(WorkState::Waiting, Some(900)), "now");
        assert_eq!(said(WorkState::Idle, None), "when woken");
        assert_eq!(said(WorkState::Running, None), "now");
        assert_eq!(said(WorkState::Done, None), "never");
    }

    #[test]
    fn a_worker_about_a_node_is_shown_with_its_first_digits() {
        let id = NodeId([0xab; 32]);
        assert_eq!(
            shown(&format!("replicate {id}")),
            format!("replicate {}", id.short())
        );
        assert_eq!(shown("keep friends"), "keep friends");
    }

    #[test]
    fn programs_get_all_of_it() {
        let json = worker_json(&worker(WorkState::Failed, None));
        assert_eq!(json["state"], "failed");
        assert_eq!(json["errors"]["disk-full"], 2);
        assert_eq!(json["last_error"]["retry"], "back-off");
        assert_eq!(json["progress"]["total"], 2);
        assert!(json["next_run"].is_null());
    }
}
