//! `packnback export`: snapshots as stored.

use packnback_proto::ids::SnapshotId;
use serde_json::json;

use super::Context;
use crate::args::ExportArgs;
use crate::choice::chosen_text;
use crate::exit::{Exit, Outcome};
use crate::meter::Meter;
use crate::records::choose;
use crate::render;
use crate::restore::export_raw;

/// Runs the command. Needs no key: everything stays sealed.
///
/// # Errors
/// No such snapshot, a folder that cannot be written.
pub fn run(context: &Context, args: &ExportArgs) -> Outcome {
    let (bundle, client) = context.device()?;
    let catalog = client.catalog(bundle.owner())?;
    let snaps: Vec<SnapshotId> = if args.snap == "all" {
        Vec::new()
    } else {
        let chosen = choose(&catalog.snaps, &args.snap, Some(bundle.device()))?;
        if args.snap == "latest" {
            let device = chosen.snap.value().device;
            let device = if device == bundle.device() {
                bundle.label.clone()
            } else {
                device.short()
            };
            context.voice.say(&chosen_text(chosen, &device))?;
        }
        vec![chosen.snap.id()]
    };
    let meter = Meter::start(context.voice, "export");
    let report = export_raw(&client, Some(bundle.owner()), &snaps, &args.dir, &meter)?;
    drop(meter);
    context.voice.result(&json!({
        "dir": args.dir, "records": report.records, "objects": report.objects, "bytes": report.bytes, "missing": report.missing,
    }))?;
    context.voice.say(&format!(
        "{} and {} ({}) are in {}.",
        render::counted(report.objects, "object", "objects"),
        render::counted(report.records, "record", "records"),
        render::bytes(report.bytes),
        args.dir.display()
    ))?;
    if report.missing == 0 {
        return Ok(Exit::Done);
    }
    context.voice.note(&format!(
        "{} are missing or damaged on this machine. The rest was written. Friends may hold them: packnback recover --peer ADDR",
        render::counted(report.missing, "object", "objects")
    ));
    Ok(Exit::Incomplete)
}
