//! What is said about the snapshot that was chosen, and about those that were passed over.

use packnback_proto::newest::{self, Candidate, Line, Place, Rival, Standing};
use packnback_proto::record::Snap;

use crate::records::{Catalog, Snapshot, standing_text};
use crate::render;

/// What speaks against taking `chosen` for the newest of its line: a sentence for each other one
/// that is newer by something.
#[must_use]
pub fn doubts<S: Snapshot>(snaps: &[S], chosen: &S) -> Vec<String> {
    let candidate = |snap: &'_ S| Place {
        at: 0,
        id: snap.id(),
        received: snap.received(),
        standing: snap.standing(),
    };
    let mut candidates = Vec::with_capacity(snaps.len());
    let mut places = Vec::with_capacity(snaps.len());
    for (at, snap) in snaps.iter().enumerate() {
        candidates.push(Candidate {
            id: snap.id(),
            snap: snap.snap(),
            stamps: Vec::new(),
        });
        places.push(Place {
            at,
            ..candidate(snap)
        });
    }
    let Some(place) = places.iter().find(|place| place.id == chosen.id()) else {
        return Vec::new();
    };
    let found = newest::rivals(&candidates, &places, place);
    let more = found.len().saturating_sub(DOUBTS_SHOWN);
    let mut lines: Vec<String> = found
        .iter()
        .take(DOUBTS_SHOWN)
        .filter_map(|rival| Some(doubt(rival, candidates.get(rival.place.at)?.snap)))
        .collect();
    if more > 0 {
        lines.push(format!("and {more} more like these"));
    }
    lines
}

fn doubt(rival: &Rival, snap: &Snap) -> String {
    let id = rival.place.id.short();
    if !rival.place.is_good() {
        return format!(
            "{id}, dated {}, was passed over: it {}",
            render::time(snap.time),
            standing_text(rival.place.standing)
        );
    }
    let received = rival.place.received.map_or_else(
        || "nobody says when it was received".to_owned(),
        |at| format!("hosts had it on {}", render::time(at)),
    );
    if rival.twin {
        return format!(
            "{id}, dated {}, claims the same place in the line of its device ({received}): its key is in use twice, or its state was set back",
            render::time(snap.time)
        );
    }
    let by = if rival.by_clock { "clock" } else { "count" };
    format!(
        "{id}, dated {}, would be newer by the {by} of its device, but {received}, before the one chosen",
        render::time(snap.time)
    )
}

/// A snapshot this machine knows of that is newer than the one chosen, in the same line, and that
/// those who were asked do not show.
#[must_use]
pub fn known_newer<S: Snapshot>(known: &Catalog, shown: &[S], chosen: &S) -> Option<String> {
    let line = Line::of(chosen.snap());
    let newest = known.snaps.iter().find(|listed| {
        listed.standing == Standing::Good && Line::of(listed.snap.value()) == line
    })?;
    let id = newest.snap.id();
    let hidden = id != chosen.id() && !shown.iter().any(|snap| snap.id() == id);
    (hidden && newest.received > chosen.received()).then(|| {
        format!(
            "this machine knows a newer one, {} of {}, which is not shown there: it was not brought there yet, or is held back",
            id.short(),
            render::time(newest.snap.value().time)
        )
    })
}

/// Which snapshot was chosen, in a sentence: id, device, when it was made and when hosts had it.
#[must_use]
pub fn chosen_text<S: Snapshot>(chosen: &S, device: &str) -> String {
    let received = chosen.received().map_or_else(
        || "no host that counts says when it was received".to_owned(),
        |at| format!("received {}", render::time(at)),
    );
    format!(
        "Snapshot {} of {device}, made {} by the clock of that machine, {received}.",
        chosen.id().short(),
        render::time(chosen.snap().time)
    )
}

/// Most others told of.
const DOUBTS_SHOWN: usize = 5;
