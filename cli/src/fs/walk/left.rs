//! What a walk leaves out for a reason that its options do not tell by themselves: single paths, for the record.

use packnback_proto::limits::{PATH_LEN_MAX, ROOT_LEFT_BYTES_MAX, ROOT_LEFT_PATHS_MAX};

/// Paths left out: larger files, other file systems, homes of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftPaths {
    /// Stored paths, as many as there is room for.
    pub paths: Vec<Vec<u8>>,
    /// Whether these are all.
    pub complete: bool,
    bytes: usize,
}

impl Default for LeftPaths {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            complete: true,
            bytes: 0,
        }
    }
}

impl LeftPaths {
    /// Takes a path.
    pub fn add(&mut self, path: Vec<u8>) {
        let bytes = self.bytes.saturating_add(path.len());
        let fits = bytes <= ROOT_LEFT_BYTES_MAX
            && self.paths.len() < ROOT_LEFT_PATHS_MAX
            && (1..=PATH_LEN_MAX).contains(&path.len());
        if fits {
            self.bytes = bytes;
            self.paths.push(path);
        } else {
            self.complete = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_not_passed_over_in_silence() {
        let mut left = LeftPaths::default();
        for _ in 0..ROOT_LEFT_PATHS_MAX {
            left.add(b"p".to_vec());
        }
        assert!(left.complete);
        left.add(b"p".to_vec());
        assert!(!left.complete && left.paths.len() == ROOT_LEFT_PATHS_MAX);
        let mut left = LeftPaths::default();
        for _ in 0..ROOT_LEFT_BYTES_MAX / PATH_LEN_MAX {
            left.add(vec![b'p'; PATH_LEN_MAX]);
        }
        assert!(left.complete);
        left.add(b"p".to_vec());
        assert!(!left.complete);
    }
}
