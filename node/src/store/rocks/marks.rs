//! What is known to be damaged, kept in a small file beside the databases, so that it is mended at the
//! next start and a start that was broken off goes on where it stopped.

use std::path::{Path, PathBuf};

use super::super::engine::{Damage, EngineError};
use super::files::{io_failed, sync_dir, write_file};

const NAMES: [&str; 4] = ["tables", "objects", "rows", "bytes"];

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
}

fn path(dir: &Path) -> PathBuf {
    dir.join("damaged")
}

impl Marks {
    pub(super) fn read(dir: &Path) -> Result<Self, EngineError> {
        let path = path(dir);
        match std::fs::read(&path) {
            Ok(text) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                let has = |name: &str| text.lines().any(|line| line == name);
                let [tables, objects, rows, bytes] = NAMES.map(has);
                let known = tables || objects || rows || bytes;
                // A mark that cannot be read is a mark.
                Ok(Self {
                    tables: tables || !known,
                    objects: objects || !known,
                    rows,
                    bytes,
                })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(io_failed(&path, error)),
        }
    }

    pub(super) fn save(self, dir: &Path) -> Result<(), EngineError> {
        let path = path(dir);
        if self == Self::default() {
            return match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(io_failed(&path, error))
                }
                _ => sync_dir(dir),
            };
        }
        let flags = [self.tables, self.objects, self.rows, self.bytes];
        let set = NAMES.iter().zip(flags).filter(|(_, set)| *set);
        let text: String = set.map(|(name, _)| format!("{name}\n")).collect();
        write_file(dir, "damaged", text.as_bytes())
    }

    pub(super) fn damage(self) -> Damage {
        Damage {
            rows: self.tables || self.rows,
            objects: self.objects || self.bytes,
        }
    }
}

/// Whether the machine has not been off since the store was last opened: then no write was cut short.
pub(super) fn kept_power(dir: &Path) -> bool {
    let now = boot_id();
    now.is_some() && now == std::fs::read(dir.join("boot")).ok()
}

/// From now on this start of the machine is the last one.
pub(super) fn note_boot(dir: &Path) -> Result<(), EngineError> {
    match boot_id() {
        Some(id) if !kept_power(dir) => write_file(dir, "boot", &id),
        _ => Ok(()),
    }
}

fn boot_id() -> Option<Vec<u8>> {
    std::fs::read("/proc/sys/kernel/random/boot_id").ok()
}
