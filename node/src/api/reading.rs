//! Reading from a host.

use std::sync::Arc;

use packnback_proto::ids::{ObjectId, RecordId};
use packnback_proto::wire::local::{RecordPage, RemoteOpened};
use packnback_proto::wire::{Bytes, ErrorCode, SecretBytes};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::ports::{Failure, Network, Remote};

/// A conversation with one host after the other.
pub struct Reading {
    network: Arc<dyn Network>,
    /// The host last opened. Who reads from one goes on with it when another is opened.
    remote: Mutex<Option<Arc<dyn Remote>>>,
}

impl Reading {
    pub(super) fn new(network: Arc<dyn Network>) -> Self {
        Self {
            network,
            remote: Mutex::new(None),
        }
    }

    /// Connects to a host: by multiaddress or by the id of a known peer. With a recovery seed, as the owner's
    /// recovery peer. From now on it is this host that is read from.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub async fn open(
        &self,
        addr: String,
        recovery_seed: Option<SecretBytes>,
    ) -> Result<RemoteOpened, Failure> {
        *self.remote.lock() = None;
        let remote = self.network.remote_open(addr, recovery_seed).await?;
        let info = remote.info();
        *self.remote.lock() = Some(Arc::from(remote));
        Ok(RemoteOpened {
            host: info.host,
            time: info.time,
            nonce: info.nonce,
            reader: info.reader,
        })
    }

    /// Presents a grant to the host.
    ///
    /// # Errors
    /// If none was opened, or it refuses.
    pub async fn grant(&self, envelope: Bytes) -> Result<(), Failure> {
        self.opened()?.grant(envelope).await
    }

    /// A page of records of the host, starting behind `after`.
    ///
    /// # Errors
    /// If none was opened, or it refuses.
    pub async fn records(&self, after: Option<RecordId>) -> Result<RecordPage, Failure> {
        let page = self.opened()?.records(after).await?;
        Ok(RecordPage {
            more: page.more,
            last: page.last,
            body: page.body,
        })
    }

    /// Fetches objects in the order of `ids`, and sends each to `out` as it arrives; `None` = not there, or not the
    /// bytes that were asked for. Ends early if `out` is closed. Several may be under way at once: the host is asked
    /// in the order in which they are first polled.
    ///
    /// # Errors
    /// If none was opened, or the conversation breaks.
    pub async fn get(
        &self,
        ids: Vec<ObjectId>,
        out: mpsc::Sender<(ObjectId, Option<Vec<u8>>)>,
    ) -> Result<(), Failure> {
        self.opened()?.get(ids, out).await
    }

    fn opened(&self) -> Result<Arc<dyn Remote>, Failure> {
        self.remote.lock().clone().ok_or_else(|| {
            Failure::new(ErrorCode::NotOpen, "no connection to a host was opened")
                .safe("Nothing was changed.")
        })
    }
}
