//! Objects on their way from a connection into the store.

use std::sync::Arc;

use packnback_proto::ids::ObjectId;
use packnback_proto::wire::ErrorCode;
use tokio::task::JoinSet;

use super::{Host, Refusal};
use crate::ports::Stopped;
use crate::store::{Access, Intake, StoreError};

/// Objects of one session being stored at the same time.
const AT_ONCE: usize = 4;

/// The puts of one session. Objects are checked and stored on blocking threads, several at a time;
/// the bytes waiting are bounded over all sessions of the node.
pub(crate) struct Puts {
    host: Arc<Host>,
    intake: Arc<Intake>,
    tasks: JoinSet<Result<Result<(), StoreError>, Stopped>>,
}

impl Puts {
    pub(crate) fn new(host: Arc<Host>, access: Access) -> Result<Self, StoreError> {
        let intake = Arc::new(host.store.intake(access)?);
        Ok(Self {
            host,
            intake,
            tasks: JoinSet::new(),
        })
    }

    pub(crate) fn intake(&self) -> &Intake {
        &self.intake
    }

    pub(crate) fn shared_intake(&self) -> Arc<Intake> {
        Arc::clone(&self.intake)
    }

    /// Takes one object. Reports the refusal of any earlier one.
    pub(crate) async fn put(&mut self, id: ObjectId, body: Vec<u8>) -> Result<(), Refusal> {
        while let Some(done) = self.tasks.try_join_next() {
            check(done)?;
        }
        // Threads are few: no session holds all of them.
        while self.tasks.len() >= AT_ONCE {
            if let Some(done) = self.tasks.join_next().await {
                check(done)?;
            }
        }
        // First: what waits for its owner holds no bytes that others could use.
        let lane = self.host.lanes.enter_to_put(&self.intake.access().owner);
        let lane = lane.await?;
        // At least one permit, so that a crowd of empty bodies is bounded too.
        let permits = u32::try_from(body.len().max(4096)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.host.in_flight)
            .acquire_many_owned(permits)
            .await;
        let permit = permit.map_err(|_| Refusal::new(ErrorCode::Busy, "the node is stopping"))?;
        let (host, intake) = (Arc::clone(&self.host), Arc::clone(&self.intake));
        let now = host.env.clock.now();
        let blocking = self.host.env.blocking;
        blocking.start(&mut self.tasks, move || {
            let done = host.store.put(&intake, &id, &body, now);
            drop(body);
            drop((permit, lane));
            done
        });
        Ok(())
    }

    /// Waits for all objects taken so far; reports the first refusal.
    pub(crate) async fn settle(&mut self) -> Result<(), Refusal> {
        let mut first = Ok(());
        while let Some(done) = self.tasks.join_next().await {
            first = first.and(check(done));
        }
        first
    }

    /// Makes all objects taken so far durable.
    pub(crate) async fn sync(&mut self) -> Result<u64, Refusal> {
        self.settle().await?;
        let intake = Arc::clone(&self.intake);
        let now = self.host.env.clock.now();
        let lane = self.host.lanes.enter(&intake.access().owner).await?;
        let sync = self.host.blocking(move |store| {
            let done = store.sync(&intake, now);
            drop(lane);
            done
        });
        sync.await
    }
}

type Done = Result<Result<Result<(), StoreError>, Stopped>, tokio::task::JoinError>;

fn check(done: Done) -> Result<(), Refusal> {
    match done {
        Ok(Ok(stored)) => stored.map_err(Refusal::from),
        Ok(Err(Stopped)) | Err(_) => {
            Err(Refusal::new(ErrorCode::Internal, "the node failed inside"))
        }
    }
}
