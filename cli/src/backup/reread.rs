//! Reading again what looks unchanged.
//!
//! A file whose attributes are as they were is taken over from the last run unread. That goes wrong
//! where content changes without a trace: a failing disk, a program that writes through a memory
//! map, a cache somebody has altered. So the runs of entries that become segments have a turn each,
//! one day in [`PERIOD_DAYS`], fixed by the keyed hash of their first path; on that day they are
//! read and described as if they were new. About 2 % of what is saved is read again each day.
//!
//! The only state is the day up to which turns were taken. Whoever can write the cache can make
//! turns be left out once; they come again after [`PERIOD_DAYS`].

use super::stage::Content;
use crate::cache::{DataRef, PartRef, PathHash};
use crate::render;

/// Every run of entries has its turn once in this many days.
pub(super) const PERIOD_DAYS: u32 = 50;

/// Most turns of one backup, in days: after a long pause they are caught up in several, each of
/// which reads a fifth of what is saved at most.
const TURNS_MAX: u32 = 10;

/// The turns of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Turns {
    first: u32,
    days: u32,
}

impl Turns {
    /// None: everything unchanged is taken over.
    pub(super) const NONE: Self = Self { first: 0, days: 0 };

    /// Days since 1970: `last` up to which turns were taken, if known, and `today`. A day that is
    /// still to come (a clock that was wrong, or somebody's doing) counts for as much as none.
    pub(super) fn since(last: Option<u32>, today: u32) -> Self {
        let yesterday = today.saturating_sub(1);
        let last = last.filter(|last| *last <= today).unwrap_or(yesterday);
        let last = last.max(today.saturating_sub(PERIOD_DAYS));
        Self {
            first: last.saturating_add(1),
            days: today.saturating_sub(last).min(TURNS_MAX),
        }
    }

    /// Whether a run of entries that starts with this path is to be read.
    pub(super) fn include(self, first: &PathHash) -> bool {
        let turn = first.turn(PERIOD_DAYS);
        let wait = turn
            .saturating_add(PERIOD_DAYS)
            .saturating_sub(self.first % PERIOD_DAYS)
            % PERIOD_DAYS;
        wait < self.days
    }

    /// The day up to which turns are taken once this backup is through; `None` if it takes none.
    pub(super) fn taken(self) -> Option<u32> {
        let last = self.first.saturating_add(self.days).saturating_sub(1);
        (self.days > 0).then_some(last)
    }
}

/// Whether a file that was read holds what the cache said, as far as can be told. Maps tell nothing:
/// they are sealed anew each time. Nor do parts whose holes lie elsewhere: room that was allocated and
/// not written is a hole at one time and zeros at another, without any change.
pub(super) fn agrees(said: &DataRef, read: &Content) -> bool {
    match (said, read) {
        (DataRef::None, Content::None | Content::Stored(DataRef::None)) => true,
        (DataRef::Small { content, .. }, Content::Pending { content: read, .. }) => content == read,
        (DataRef::Small { content, .. }, Content::Stored(DataRef::Small { content: read, .. })) => {
            content == read
        }
        (DataRef::Chunks { parts, .. }, Content::Stored(DataRef::Chunks { parts: read, .. })) => {
            holes(parts) != holes(read) || parts == read
        }
        (DataRef::Chunks { parts, .. }, Content::Pending { .. })
        | (DataRef::Chunks { parts, .. }, Content::Stored(DataRef::Small { .. }))
        | (DataRef::Small { .. }, Content::Stored(DataRef::Chunks { parts, .. })) => {
            !holes(parts).is_empty()
        }
        (DataRef::Maps(_), Content::Stored(DataRef::Maps(_))) => true,
        _ => false,
    }
}

/// Where the holes are: offset and length.
fn holes(parts: &[PartRef]) -> Vec<(u64, u64)> {
    let (mut at, mut holes) = (0u64, Vec::new());
    for part in parts {
        let len = match part {
            PartRef::Chunk { len, .. } => u64::from(*len),
            PartRef::Hole { len } => {
                holes.push((at, *len));
                *len
            }
        };
        at = at.saturating_add(len);
    }
    holes
}

/// What a person is told when files had other content than at the last run though nothing showed it.
pub(super) fn differ_text(files: u64, first: &[u8]) -> String {
    let first = format!("/{}", render::path(first));
    let which = match files {
        1 => format!("{first} has"),
        n => format!("{} files (the first: {first}) have", render::count(n)),
    };
    format!(
        "{which} other content than at an earlier backup, though neither size nor times nor inode \
         show a change: a failing disk, a file system that does not tell, a program that writes \
         through a memory map, or a local cache that somebody has altered. This snapshot holds what is on the disk now, earlier \
         ones what was there then: compare before the earlier ones are forgotten, and run \
         `packnback backup --full` if you cannot explain it."
    )
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use packnback_proto::crypto::secret::Secret32;
    use proptest::prelude::*;

    use super::*;
    use crate::cache::CacheKey;

    fn hash(n: u32) -> PathHash {
        CacheKey::new(Secret32::new([5; 32])).path(&n.to_le_bytes())
    }

    /// A path for each turn.
    fn paths() -> Vec<PathHash> {
        let with = |turn: u32| (0..).map(hash).find(|h| h.turn(PERIOD_DAYS) == turn);
        (0..PERIOD_DAYS).filter_map(with).collect()
    }

    #[test]
    fn a_day_is_one_turn_and_a_second_run_that_day_none() {
        let paths = paths();
        let mut last = None;
        let mut times = vec![0; paths.len()];
        for today in 20_000..20_000 + PERIOD_DAYS {
            let turns = Turns::since(last, today);
            let read: Vec<_> = (0..paths.len())
                .filter(|i| turns.include(&paths[*i]))
                .collect();
            assert_eq!(read.len(), 1);
            times[read[0]] += 1;
            last = turns.taken();
            assert_eq!(last, Some(today));
            let again = Turns::since(last, today);
            assert!(paths.iter().all(|path| !again.include(path)));
            assert_eq!(again.taken(), None);
        }
        assert!(times.iter().all(|n| *n == 1));
    }

    #[test]
    fn a_day_to_come_is_not_believed() {
        assert_eq!(
            Turns::since(Some(u32::MAX), 20_000),
            Turns::since(None, 20_000)
        );
        assert_eq!(
            Turns::since(Some(20_001), 20_000),
            Turns::since(None, 20_000)
        );
        assert_eq!(Turns::since(None, 20_000).taken(), Some(20_000));
        assert!(paths().iter().all(|path| !Turns::NONE.include(path)));
    }

    fn chunk(n: u8, len: u32) -> PartRef {
        let id = packnback_proto::ids::ObjectId([n; 32]);
        PartRef::Chunk { id, len }
    }

    fn chunks(parts: &[PartRef]) -> DataRef {
        DataRef::Chunks {
            dom: 0,
            session: ([0; 32], 0),
            parts: parts.to_vec(),
            kb: Vec::new(),
        }
    }

    fn small(n: u8) -> DataRef {
        let pack = packnback_proto::ids::ObjectId([9; 32]);
        let (off, len) = (0, 5);
        DataRef::Small {
            content: [n; 16],
            at: crate::cache::SmallRef { pack, off, len },
        }
    }

    #[test]
    fn other_content_is_told_and_other_holes_are_not() {
        let agrees = |said: &DataRef, read: &DataRef| agrees(said, &Content::Stored(read.clone()));
        let hole = PartRef::Hole { len: 10 };
        let solid = chunks(&[chunk(1, 20), chunk(2, 20)]);
        assert!(agrees(&solid, &solid) && agrees(&small(1), &small(1)));
        assert!(agrees(&DataRef::None, &DataRef::None));
        assert!(!agrees(&solid, &chunks(&[chunk(1, 20), chunk(3, 20)])));
        assert!(!agrees(&solid, &chunks(&[chunk(1, 20)])));
        assert!(!agrees(&small(1), &small(2)));
        assert!(!agrees(&small(1), &DataRef::None) && !agrees(&solid, &small(1)));
        // The same holes, other content beside them.
        let sparse = chunks(&[chunk(1, 20), hole, chunk(2, 20)]);
        assert!(!agrees(
            &sparse,
            &chunks(&[chunk(1, 20), hole, chunk(3, 20)])
        ));
        // Holes that became zeros, or the other way round.
        assert!(agrees(&sparse, &chunks(&[chunk(4, 50)])));
        assert!(agrees(&chunks(&[chunk(4, 50)]), &sparse));
        assert!(agrees(
            &sparse,
            &chunks(&[hole, chunk(1, 20), chunk(2, 20)])
        ));
        assert!(agrees(&sparse, &small(1)) && agrees(&small(1), &sparse));
    }

    #[test]
    fn after_a_long_pause_turns_are_caught_up_in_parts() {
        let paths = paths();
        let mut last = Some(19_000);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..PERIOD_DAYS / TURNS_MAX {
            let turns = Turns::since(last, 20_000);
            let read = (0..paths.len()).filter(|i| turns.include(&paths[*i]));
            seen.extend(read);
            last = turns.taken();
        }
        assert_eq!(seen.len(), paths.len());
        assert_eq!(Turns::since(last, 20_000).taken(), None);
    }

    proptest! {
        /// However irregular the runs are, and whatever was planted once: no path waits for longer
        /// than the period and the pause before the run that reads it, if pauses are not longer
        /// than the turns of one run.
        #[test]
        fn nobody_is_left_out(
            pauses in prop::collection::vec(0..=TURNS_MAX, 1..200),
            planted in prop::option::of(any::<u32>()),
        ) {
            let paths = paths();
            let (start, mut today, mut last) = (20_000u32, 20_000u32, planted);
            let mut read_on = vec![start; paths.len()];
            for pause in pauses {
                today += pause;
                let turns = Turns::since(last, today);
                for (path, read_on) in paths.iter().zip(&mut read_on) {
                    if turns.include(path) {
                        *read_on = today;
                    }
                    prop_assert!(today - *read_on <= PERIOD_DAYS + TURNS_MAX);
                }
                last = turns.taken().or(last);
            }
        }
    }
}
