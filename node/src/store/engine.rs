//! The port to the disk: two kinds of storage and nothing that decides.
//!
//! *Objects* are big and immutable: [`Engine::put_object`] may keep them in memory,
//! [`Engine::flush_objects`] makes everything put before it durable. *Tables* are small:
//! [`Engine::write`] applies a [`Batch`] as a whole and returns when it is durable.
//! An implementation passes the suite in `conformance.rs`.

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
#[derive(Debug, Default)]
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
pub enum EngineError {
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
}

impl Damage {
    /// Whether there is any.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.rows || self.objects
    }
}

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// See the module.
pub trait Engine: Send + Sync + 'static {
    /// Stores an object. Not claimed to be durable before [`Engine::flush_objects`], but it may become
    /// so at any time; whatever was noted before it is durable first.
    ///
    /// # Errors
    /// [`EngineError`].
    fn put_object(&self, key: &[u8], value: &[u8]) -> Result<(), EngineError>;

    /// Returns once every object put before the call is durable, and everything noted before it.
    ///
    /// # Errors
    /// [`EngineError`]: then none of them may be claimed.
    fn flush_objects(&self) -> Result<(), EngineError>;

    /// An object as stored: the caller checks its address.
    ///
    /// # Errors
    /// [`EngineError`].
    fn get_object(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// An object that ought to be here and that [`Engine::get_object`] does not give as it should be:
    /// looks for it without what is damaged. The caller checks its address.
    ///
    /// # Errors
    /// [`EngineError`].
    fn find_object(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// Drops an object (replaced after damage, or collected).
    ///
    /// # Errors
    /// [`EngineError`].
    fn delete_object(&self, key: &[u8]) -> Result<(), EngineError>;

    /// A value of a table.
    ///
    /// # Errors
    /// [`EngineError`].
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// Applies all changes or none, durable on return.
    ///
    /// # Errors
    /// [`EngineError`].
    fn write(&self, batch: Batch) -> Result<(), EngineError>;

    /// Applies all changes or none, in order with [`Engine::write`], but not durable before the next
    /// one, or before an object that is put after it. Survives the end of the process, not the loss of
    /// power.
    ///
    /// # Errors
    /// [`EngineError`].
    fn note(&self, batch: Batch) -> Result<(), EngineError>;

    /// At most `limit` rows whose key starts with `prefix` and is greater than `after`, in order.
    ///
    /// # Errors
    /// [`EngineError`].
    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, EngineError>;

    /// Gives the space of dropped and replaced objects back to the file system, as far as whole
    /// files hold nothing else. Returns when it is done; reads and writes go on meanwhile.
    ///
    /// # Errors
    /// [`EngineError`]: then the space comes back later.
    fn reclaim(&self) -> Result<(), EngineError>;

    /// What was found damaged, at the start or since, and is not mended yet.
    fn damage(&self) -> Damage;

    /// The store has mended what [`Engine::damage`] told when it was opened.
    ///
    /// # Errors
    /// [`EngineError`].
    fn mended(&self) -> Result<(), EngineError>;

    /// Visits the key of every object whose bytes may be here; some may be visited twice.
    ///
    /// # Errors
    /// [`EngineError`], and those of the visitor.
    fn object_keys(
        &self,
        visit: &mut dyn FnMut(&[u8]) -> Result<(), EngineError>,
    ) -> Result<(), EngineError>;

    /// Bytes of the files of the store.
    ///
    /// # Errors
    /// [`EngineError`].
    fn disk_size(&self) -> Result<u64, EngineError>;

    /// Free bytes on the disk.
    ///
    /// # Errors
    /// [`EngineError`].
    fn free_space(&self) -> Result<u64, EngineError>;
}
