//! Reading from a host.

use std::sync::Arc;

use packnback_proto::ids::{ObjectId, RecordId};
use packnback_proto::wire::local::{RecordPage, RemoteOpened};
use packnback_proto::wire::{Bytes, ErrorCode, SecretBytes};
use tokio::sync::{Mutex, mpsc};

use crate::ports::{Failure, Network, Remote};

/// A conversation with one host after the other.
pub struct Reading {
    network: Arc<dyn Network>,
    remote: Mutex<Option<Box<dyn Remote>>>,
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
        let mut place = self.remote.lock().await;
        *place = None;
        let remote = self.network.remote_open(addr, recovery_seed).await?;
        let info = remote.info();
        *place = Some(remote);
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
        let mut remote = self.remote.lock().await;
        opened(&mut remote)?.grant(envelope).await
    }

    /// A page of records of the host, starting behind `after`.
    ///
    /// # Errors
    /// If none was opened, or it refuses.
    pub async fn records(&self, after: Option<RecordId>) -> Result<RecordPage, Failure> {
        let mut remote = self.remote.lock().await;
        let page = opened(&mut remote)?.records(after).await?;
        Ok(RecordPage {
            more: page.more,
            last: page.last,
            body: page.body,
        })
    }

    /// Fetches objects in the order of `ids`, and sends each to `out` as it arrives; `None` = not there, or not the
    /// bytes that were asked for. Ends early if `out` is closed.
    ///
    /// # Errors
    /// If none was opened, or the conversation breaks.
    pub async fn get(
        &self,
        ids: Vec<ObjectId>,
        out: mpsc::Sender<(ObjectId, Option<Vec<u8>>)>,
    ) -> Result<(), Failure> {
        let mut remote = self.remote.lock().await;
        opened(&mut remote)?.get(ids, out).await
    }
}

fn opened(remote: &mut Option<Box<dyn Remote>>) -> Result<&mut Box<dyn Remote>, Failure> {
    remote.as_mut().ok_or_else(|| {
        Failure::new(ErrorCode::NotOpen, "no connection to a host was opened")
            .safe("Nothing was changed.")
    })
}
