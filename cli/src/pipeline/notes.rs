//! Remarks on single files: the first of them in full, of the rest the number.

/// Kept with texts.
const LISTED_MAX: usize = 4096;

/// Something about one file, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileNote {
    /// Stored path.
    pub path: Vec<u8>,
    /// What happened.
    pub reason: String,
}

/// Remarks that came up.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) listed: Vec<FileNote>,
    /// How many more.
    pub(crate) more: u64,
}

impl Notes {
    pub(crate) fn add(&mut self, path: &[u8], reason: String) {
        if self.listed.len() < LISTED_MAX {
            self.listed.push(FileNote {
                path: path.to_vec(),
                reason,
            });
        } else {
            self.add_more(1);
        }
    }

    /// Remarks of which only the number is known.
    pub(crate) fn add_more(&mut self, count: u64) {
        self.more = self.more.saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_counted() {
        let mut notes = Notes::default();
        for _ in 0..LISTED_MAX + 2 {
            notes.add(b"a", String::new());
        }
        notes.add_more(3);
        assert_eq!((notes.listed.len(), notes.more), (LISTED_MAX, 5));
    }
}
