//! What is known to be damaged, kept in a small file beside the databases, so that it is mended at the
//! next start and a start that was broken off goes on where it stopped.

use std::path::{Path, PathBuf};

use super::super::disk::DiskError;
use super::files::{files_of, io_failed, numbered, sync_dir, write_file};

const NAMES: [&str; 5] = ["tables", "objects", "rows", "bytes", "strays"];
/// Beside the databases while they are open: from which file on objects may be durable without what was
/// noted before them, if the power goes.
const OPENED: &str = "opened";

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Marks {
    /// The files of the tables cannot be trusted.
    pub(super) tables: bool,
    /// The files of the objects cannot be trusted.
    pub(super) objects: bool,
    /// Rows may be missing, or say what is not so: for the store to mend.
    pub(super) rows: bool,
    /// Objects may be missing: for the store to find out which.
    pub(super) bytes: bool,
    /// The power went while the store was open: objects may be here that nothing claims.
    pub(super) strays: bool,
    /// The first file such objects can be in.
    pub(super) unsure_from: u64,
}

fn path(dir: &Path) -> PathBuf {
    dir.join("damaged")
}

impl Marks {
    pub(super) fn read(dir: &Path) -> Result<Self, DiskError> {
        let path = path(dir);
        match std::fs::read(&path) {
            Ok(text) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                let has = |name: &str| text.lines().any(|line| line == name);
                let [tables, objects, rows, bytes, strays] = NAMES.map(has);
                let known = tables || objects || rows || bytes || strays;
                // A mark that cannot be read is a mark.
                Ok(Self {
                    tables: tables || !known,
                    objects: objects || !known,
                    rows,
                    bytes,
                    strays,
                    unsure_from: 0,
                })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(io_failed(&path, error)),
        }
    }

    pub(super) fn save(self, dir: &Path) -> Result<(), DiskError> {
        let path = path(dir);
        let flags = [
            self.tables,
            self.objects,
            self.rows,
            self.bytes,
            self.strays,
        ];
        if !flags.contains(&true) {
            return match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(io_failed(&path, error))
                }
                _ => sync_dir(dir),
            };
        }
        let set = NAMES.iter().zip(flags).filter(|(_, set)| *set);
        let text: String = set.map(|(name, _)| format!("{name}\n")).collect();
        write_file(dir, "damaged", text.as_bytes())
    }
}

/// Whether the machine has not been off since the store was last opened: then no write was cut short.
pub(super) fn kept_power(dir: &Path) -> bool {
    let now = boot_id();
    now.is_some() && now == std::fs::read(dir.join("boot")).ok()
}

/// The store is open from now on. If the power went while it was open before, what was noted last may be
/// lost and objects put after it may be here: that is marked. Not if only the process went.
pub(super) fn begin(dir: &Path, marks: &mut Marks) -> Result<(), DiskError> {
    let path = dir.join(OPENED);
    let before = match std::fs::read_to_string(&path) {
        // A number that cannot be read is none: everything is looked at.
        Ok(number) => Some(number.trim().parse().unwrap_or(0)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(io_failed(&path, error)),
    };
    if before.is_some() && !kept_power(dir) && !marks.strays {
        marks.strays = true;
        marks.save(dir)?;
    }
    let newest = files_of(&dir.join("objects"), "blob")?;
    let newest = newest.iter().filter_map(|file| numbered(file)).max();
    marks.unsure_from = before.unwrap_or(newest.map_or(0, |newest| newest.saturating_add(1)));
    if before != Some(marks.unsure_from) {
        write_file(dir, OPENED, marks.unsure_from.to_string().as_bytes())?;
    }
    // From now on this start of the machine is the last one.
    match boot_id() {
        Some(id) if !kept_power(dir) => write_file(dir, "boot", &id),
        _ => Ok(()),
    }
}

/// An orderly end: everything noted is durable, and so are the objects.
pub(super) fn end(dir: &Path) {
    if let Err(error) = std::fs::remove_file(dir.join(OPENED)) {
        tracing::warn!(%error, "the orderly end of the store could not be noted");
    }
}

fn boot_id() -> Option<Vec<u8>> {
    std::fs::read("/proc/sys/kernel/random/boot_id").ok()
}
