//! One regular file being written.

use packnback_proto::format::entry::Entry;

use super::Done;
use crate::fs::error::WriteError;

/// A file being written. It gets its name and attributes in [`FileSink::finish`]; dropped before, it is removed.
/// Several threads may write different parts at once.
#[derive(Debug)]
pub struct FileSink {}

impl FileSink {
    /// Writes `bytes` at `off`.
    ///
    /// # Errors
    /// When that would pass the declared size, or the system refuses.
    pub fn write_at(&self, _off: u64, _bytes: &[u8]) -> Result<(), WriteError> {
        Ok(())
    }

    /// Leaves a hole of `len` bytes at `off`. Takes no space and no time.
    ///
    /// # Errors
    /// When that would pass the declared size.
    pub fn hole(&self, _off: u64, _len: u64) -> Result<(), WriteError> {
        Ok(())
    }

    /// Checks that every declared byte was written or left as a hole, sets the attributes and puts the file in place.
    ///
    /// # Errors
    /// When bytes are missing or the system refuses; the file is then removed.
    pub fn finish(self, _entry: &Entry) -> Result<Done, WriteError> {
        Ok(Done::Created)
    }
}
