//! One backup: objects in, a snapshot out.

use std::sync::Arc;

use packnback_proto::ids::{ObjectId, SetId};
use packnback_proto::machine::commit::CommitRefusal;
use packnback_proto::machine::session::OpenRefusal;
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::local::{CommitAnswer, Committed, Opened};
use parking_lot::Mutex;

use super::advice::revoked;
use super::{Api, failure};
use crate::ports::Failure;
use crate::service::Puts;
use crate::store::{CommitOutcome, Intake, StoreError};

/// A backup of this machine. What was put is kept for it until it is dropped.
pub struct Backup {
    api: Arc<Api>,
    puts: tokio::sync::Mutex<Option<Puts>>,
    /// That of the puts: questions do not wait for a sync.
    intake: Mutex<Option<Arc<Intake>>>,
}

impl Backup {
    pub(super) fn new(api: Arc<Api>) -> Self {
        Self {
            api,
            puts: tokio::sync::Mutex::new(None),
            intake: Mutex::new(None),
        }
    }

    /// What the backup builds on. Refused to a device that may not save anything: before anything is read or
    /// stored for a snapshot that nobody would take.
    ///
    /// # Errors
    /// If this node belongs to nobody, or its device was revoked.
    pub async fn open(&self) -> Result<Opened, Failure> {
        let api = &self.api;
        let device = api.owner()?;
        let (owner, me) = (device.owner, api.node_id());
        if api
            .blocking(move |store| store.is_revoked(&owner, &me))
            .await?
        {
            return Err(revoked());
        }
        if let Some(last) = device.last {
            self.intake().await?.set_base(last.snap);
        }
        let pending_orders = api
            .blocking(move |store| store.pending_orders(&owner))
            .await?;
        let alarms = api.alarms().await?;
        Ok(Opened {
            base: device.last.map(|last| last.snap),
            last_seq: device.last.map_or(0, |last| last.seq),
            last_root: device.last.map(|last| last.root),
            pending_orders,
            cert: device.cert,
            alarms,
        })
    }

    /// Which of these are here, complete with all they refer to.
    ///
    /// # Errors
    /// If this node belongs to nobody, or its store fails.
    pub async fn have(&self, ids: Vec<ObjectId>) -> Result<Vec<bool>, Failure> {
        let intake = self.intake().await?;
        let now = self.api.now();
        self.api
            .blocking(move |store| store.have(&intake, &ids, now))
            .await
    }

    /// Takes an object. That it is refused may show in a later call.
    ///
    /// # Errors
    /// The refusal of this or an earlier object: the backup is over.
    pub async fn put(&self, id: ObjectId, object: Vec<u8>) -> Result<(), Failure> {
        let mut puts = self.puts.lock().await;
        let puts = self.puts_in(&mut puts)?;
        puts.put(id, object).await.map_err(failure)
    }

    /// Makes everything put before durable, and says how many objects that is.
    ///
    /// # Errors
    /// The refusal of an earlier object: the backup is over.
    pub async fn sync(&self) -> Result<u64, Failure> {
        let mut puts = self.puts.lock().await;
        let puts = self.puts_in(&mut puts)?;
        puts.sync().await.map_err(failure)
    }

    /// Commits a snapshot of `root`, started at `time` (unix seconds).
    ///
    /// # Errors
    /// If a put was refused, or the snapshot is.
    pub async fn commit(
        &self,
        root: ObjectId,
        set: SetId,
        time: u64,
    ) -> Result<CommitAnswer, Failure> {
        self.sync().await?;
        let api = &self.api;
        let now = api.now();
        let is_revoked = |error: &StoreError| {
            let refusal = CommitRefusal::Certificate(OpenRefusal::Revoked);
            matches!(error, StoreError::Commit(found) if *found == refusal)
        };
        let outcome = api
            .blocking(move |store| match store.commit_own(root, set, time, now) {
                Err(error) if is_revoked(&error) => Ok(None),
                outcome => outcome.map(Some),
            })
            .await?;
        match outcome.ok_or_else(revoked)? {
            CommitOutcome::Accepted(accepted) => {
                api.network.wake_replication();
                Ok(CommitAnswer::Committed(Committed {
                    snap: accepted.snap,
                    envelope: accepted.envelope.into(),
                    receipt: accepted.receipt.into(),
                }))
            }
            CommitOutcome::Missing(ids) => Ok(CommitAnswer::Missing(ids)),
        }
    }

    async fn intake(&self) -> Result<Arc<Intake>, Failure> {
        if let Some(intake) = self.intake.lock().clone() {
            return Ok(intake);
        }
        let mut puts = self.puts.lock().await;
        Ok(self.puts_in(&mut puts)?.shared_intake())
    }

    /// The puts, begun with the first request that needs them.
    fn puts_in<'a>(&self, puts: &'a mut Option<Puts>) -> Result<&'a mut Puts, Failure> {
        if puts.is_none() {
            let host = &self.api.host;
            let access = host.store.own_access(&self.api.owner()?.owner);
            let begun = Puts::new(Arc::clone(host), access);
            let begun = begun.map_err(|error| failure(error.into()))?;
            *self.intake.lock() = Some(begun.shared_intake());
            *puts = Some(begun);
        }
        puts.as_mut()
            .ok_or_else(|| Failure::new(ErrorCode::Internal, "no session"))
    }
}
