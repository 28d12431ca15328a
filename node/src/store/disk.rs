//! The ports to the disk: two kinds of storage, and nothing that decides.
//!
//! *Objects* are big and immutable: [`Objects::put`] may keep them in memory, [`Objects::flush`] makes
//! everything put before it durable. *Tables* are small: [`Tables::write`] applies a [`Batch`] as a
//! whole and returns when it is durable, [`Tables::note`] applies it and is durable with the next write.
//!
//! The two of one [`Disk`] belong together: what was noted is durable before any object that is put
//! after it. Whatever implements them passes the suite in `suite.rs`.

use std::sync::Arc;

/// A small table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// What is known of each object: `meta.rs`.
    Meta,
    /// References of each object above the leaves.
    Nodes,
    /// Envelopes of signed records.
    Records,
    /// Which objects were written together: `lots.rs`.
    Lots,
    /// Everything else: `keys.rs`.
    State,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 5] = [
        Self::Meta,
        Self::Nodes,
        Self::Records,
        Self::Lots,
        Self::State,
    ];

    /// Its stored name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta-1",
            Self::Nodes => "nodes-1",
            Self::Records => "records-1",
            Self::Lots => "lots-1",
            Self::State => "state-1",
        }
    }
}

/// Changes to tables, applied together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub(super) changes: Vec<Change>,
}

#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) table: Table,
    pub(super) key: Vec<u8>,
    /// `None` = delete.
    pub(super) value: Option<Vec<u8>>,
}

impl Batch {
    /// Adds the changes of another batch behind those of this one.
    pub fn append(&mut self, mut other: Self) {
        self.changes.append(&mut other.changes);
    }

    /// Sets a value.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push(Change {
            table,
            key: key.into(),
            value: Some(value.into()),
        });
    }

    /// Removes a value.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.changes.push(Change {
            table,
            key: key.into(),
            value: None,
        });
    }

    /// How many changes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// The disk failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// No space left. Nothing was changed; reads go on.
    #[error("the disk is full: No space left on device")]
    Full,
    /// The database says its files are damaged.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// Another node has it open.
    #[error("the store is in use by another node: {0}")]
    InUse(String),
    /// Any other failure of the disk.
    #[error("the disk failed: {0}")]
    Io(String),
}

/// What of a store may be damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Damage {
    /// Rows of the tables may be missing or old.
    pub rows: bool,
    /// Objects may be missing.
    pub objects: bool,
    /// Objects may be here although what was noted before them is lost: those of [`Keys::Unsure`].
    pub strays: bool,
}

impl Damage {
    /// Whether there is any.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.rows || self.objects || self.strays
    }

    /// What is damaged in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            rows: self.rows || other.rows,
            objects: self.objects || other.objects,
            strays: self.strays || other.strays,
        }
    }
}

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// The small tables.
pub trait Tables: Send + Sync + 'static {
    /// A value of a table.
    ///
    /// # Errors
    /// [`DiskError`].
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError>;

    /// Applies all changes or none, durable on return.
    ///
    /// # Errors
    /// [`DiskError`].
    fn write(&self, batch: Batch) -> Result<(), DiskError>;

    /// Applies all changes or none, in order with [`Tables::write`], but not durable before the next
    /// one, or before an object that is put after it. Survives the end of the process, not the loss of
    /// power.
    ///
    /// # Errors
    /// [`DiskError`].
    fn note(&self, batch: Batch) -> Result<(), DiskError>;

    /// At most `limit` rows whose key starts with `prefix` and is greater than `after`, in order.
    ///
    /// # Errors
    /// [`DiskError`].
    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, DiskError>;

    /// Bytes the tables take on the disk.
    ///
    /// # Errors
    /// [`DiskError`].
    fn used(&self) -> Result<u64, DiskError>;

    /// What was found damaged, at the start or since, and is not mended yet.
    fn damage(&self) -> Damage;

    /// The store has mended what [`Tables::damage`] told when it was opened.
    ///
    /// # Errors
    /// [`DiskError`].
    fn mended(&self) -> Result<(), DiskError>;
}

/// Which objects to visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// All.
    All,
    /// Those that may have become durable without what was noted before them: none after an orderly
    /// end, else those put since the store was last opened.
    Unsure,
}

/// What visits keys.
pub type Visit<'a> = dyn FnMut(&[u8]) -> Result<(), DiskError> + 'a;

/// The objects.
pub trait Objects: Send + Sync + 'static {
    /// Stores an object. Not claimed to be durable before [`Objects::flush`], but it may become so at
    /// any time; whatever was noted before it is durable first.
    ///
    /// # Errors
    /// [`DiskError`].
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), DiskError>;

    /// Returns once every object put (or deleted) before the call is durable, and everything noted
    /// before it.
    ///
    /// # Errors
    /// [`DiskError`]: then none of them may be claimed.
    fn flush(&self) -> Result<(), DiskError>;

    /// An object as stored: the caller checks its address.
    ///
    /// # Errors
    /// [`DiskError`].
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError>;

    /// Some objects as stored, in the order of the keys: what one of them fails with is not in the way
    /// of the others.
    fn get_many(&self, keys: &[Vec<u8>]) -> Vec<Result<Option<Vec<u8>>, DiskError>> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// An object that ought to be here and that [`Objects::get`] does not give as it should be: looks
    /// for it without what is damaged. The caller checks its address.
    ///
    /// # Errors
    /// [`DiskError`].
    fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        self.get(key)
    }

    /// Drops an object (replaced after damage, or freed). Durable with the next flush.
    ///
    /// # Errors
    /// [`DiskError`].
    fn delete(&self, key: &[u8]) -> Result<(), DiskError>;

    /// Gives the space of dropped and replaced objects back to the file system, as far as whole files
    /// hold nothing else. Returns when it is done; reads and writes go on meanwhile.
    ///
    /// # Errors
    /// [`DiskError`]: then the space comes back later.
    fn reclaim(&self) -> Result<(), DiskError>;

    /// Visits the key of every object whose bytes may be here; some may be visited twice, and some that
    /// were dropped as well.
    ///
    /// # Errors
    /// [`DiskError`], and those of the visitor.
    fn each_key(&self, which: Keys, visit: &mut Visit<'_>) -> Result<(), DiskError>;

    /// Bytes the objects take on the disk.
    ///
    /// # Errors
    /// [`DiskError`].
    fn used(&self) -> Result<u64, DiskError>;

    /// Free bytes on the disk.
    ///
    /// # Errors
    /// [`DiskError`].
    fn free(&self) -> Result<u64, DiskError>;

    /// What was found damaged, at the start or since, and is not mended yet.
    fn damage(&self) -> Damage;

    /// The store has mended what [`Objects::damage`] told when it was opened.
    ///
    /// # Errors
    /// [`DiskError`].
    fn mended(&self) -> Result<(), DiskError>;
}

/// Where a store is: both ports, of one disk.
#[derive(Clone)]
pub struct Disk {
    /// The small tables.
    pub tables: Arc<dyn Tables>,
    /// The objects.
    pub objects: Arc<dyn Objects>,
}

impl Disk {
    /// Bytes of the files of the store.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn used(&self) -> Result<u64, DiskError> {
        Ok(self.objects.used()?.saturating_add(self.tables.used()?))
    }

    /// What of it is damaged and not mended yet.
    #[must_use]
    pub fn damage(&self) -> Damage {
        self.tables.damage().or(self.objects.damage())
    }

    /// What was told when it was opened is mended. The rows last: until then all is done again.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn mended(&self) -> Result<(), DiskError> {
        self.objects.mended()?;
        self.tables.mended()
    }
}
