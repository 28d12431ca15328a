//! What a node can be asked for, as typed functions. The local socket is one way to them; tests and simulations call
//! them without one, and a page or another socket will.
//!
//! | to be had from | holds |
//! |---|---|
//! | [`Api`] | everything that needs no conversation: the store's tables, friends, orders, hosting, space |
//! | [`Backup`] | one backup: what is put, synced and committed |
//! | [`Reading`] | reading from a host |
//! | [`Watch`] | where a snapshot is, and waiting for that to change |
//!
//! Every failure says what happened, what is safe and what to do next ([`Failure`]).

mod admin;
mod advice;
mod alarms;
mod backup;
mod device;
mod friends;
mod reading;
mod status;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use packnback_proto::ids::NodeId;
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::local::{API_VERSION, Hello};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use backup::Backup;
pub use reading::Reading;
pub use watch::Watch;

pub(crate) use advice::failure;

use crate::ports::{Failure, Network};
use crate::service::{Host, Refusal};
use crate::settings::Settings;
use crate::store::stored::DeviceRow;
use crate::store::{Store, StoreError};

/// A node, to be asked.
pub struct Api {
    host: Arc<Host>,
    network: Arc<dyn Network>,
    /// Told when somebody asks the node to end.
    stop: Arc<Notify>,
    /// The disk cannot be written.
    read_only: bool,
    started: Instant,
    own: Option<Own>,
}

/// What this node has of its own beside the store.
struct Own {
    dir: PathBuf,
    settings: Mutex<Settings>,
    /// What a person has to know of how it listens.
    listen_note: Option<String>,
}

impl Api {
    /// Puts the parts together. `stop` is told when the node is to end.
    #[must_use]
    pub fn new(host: Arc<Host>, network: Arc<dyn Network>, stop: Arc<Notify>) -> Self {
        let started = host.env.clock.instant();
        Self {
            host,
            network,
            stop,
            read_only: false,
            started,
            own: None,
        }
    }

    /// With settings that can be changed, in this folder, and what a person has to know of how it listens.
    #[must_use]
    pub fn with_settings(
        self,
        dir: &Path,
        settings: Settings,
        listen_note: Option<String>,
    ) -> Self {
        let own = Own {
            dir: dir.to_owned(),
            settings: Mutex::new(settings),
            listen_note,
        };
        Self {
            own: Some(own),
            ..self
        }
    }

    /// The same, answering questions only.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self {
            read_only: true,
            ..self
        }
    }

    /// Whether it answers questions only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Who this node is, for a program that speaks this version of the messages.
    ///
    /// # Errors
    /// If the versions differ, or the store cannot be read.
    pub fn hello(&self, api: u32) -> Result<Hello, Failure> {
        if api != API_VERSION {
            let message = format!("the program speaks API {api}, this node {API_VERSION}");
            return Err(failure(Refusal::new(ErrorCode::Version, message)));
        }
        Ok(Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            api: API_VERSION,
            node: self.node_id(),
            owner: self.device()?.map(|device| device.owner),
            listen: self.network.listen_addrs(),
        })
    }

    /// The identity of this node.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.host.store.node_id()
    }

    /// Ends the node.
    pub fn shutdown(&self) {
        self.stop.notify_one();
    }

    /// A backup of this machine.
    #[must_use]
    pub fn backup(self: &Arc<Self>) -> Backup {
        Backup::new(Arc::clone(self))
    }

    /// Reading from hosts.
    #[must_use]
    pub fn reading(self: &Arc<Self>) -> Reading {
        Reading::new(Arc::clone(&self.network))
    }

    /// Follows where snapshots are.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch::new(Arc::clone(&self.network))
    }

    fn now(&self) -> u64 {
        self.host.env.clock.now()
    }

    fn device(&self) -> Result<Option<DeviceRow>, Failure> {
        self.host
            .store
            .device()
            .map_err(|error| failure(error.into()))
    }

    /// The owner of this node.
    fn owner(&self) -> Result<DeviceRow, Failure> {
        self.device()?.ok_or_else(|| {
            failure(Refusal::new(
                ErrorCode::NotOpen,
                "this node belongs to no owner yet",
            ))
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Failure> {
        self.host.blocking(work).await.map_err(failure)
    }
}
