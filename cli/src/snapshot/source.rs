//! Where sealed objects come from.

use packnback_proto::ids::{ObjectId, OwnerId};

use crate::client::{Client, ClientError};
use crate::records::Viewpoint;
use crate::system;

/// Objects on their way, in the order they were asked for. `None` for one that is not there. Dropped early,
/// what still comes is thrown away.
pub type Coming<'a> = Box<dyn Iterator<Item = Result<Option<Vec<u8>>, ClientError>> + Send + 'a>;

/// Where objects and records are read from. Nothing it says is believed: who reads checks every record's
/// signatures and every object's address.
pub trait ObjectSource: Send + Sync {
    /// Every record of the owner this source holds (envelopes), unchecked.
    ///
    /// # Errors
    /// [`ClientError`].
    fn records(&self, owner: Option<OwnerId>) -> Result<Vec<Vec<u8>>, ClientError>;

    /// The objects with these ids, in order, at most [`packnback_proto::limits::GET_IDS_MAX`];
    /// `None` for those not there. Unchecked.
    ///
    /// # Errors
    /// [`ClientError`].
    fn get(&self, ids: &[ObjectId]) -> Result<Vec<Option<Vec<u8>>>, ClientError>;

    /// As [`ObjectSource::get`], without waiting for them where the source can do that: several such
    /// questions may be under way at once, and what arrives waits in memory until it is taken.
    ///
    /// # Errors
    /// [`ClientError`], now or in place of an object; behind such an error nothing more comes.
    fn ask(&self, ids: &[ObjectId]) -> Result<Coming<'_>, ClientError> {
        Ok(Box::new(self.get(ids)?.into_iter().map(Ok)))
    }

    /// An object did not come, or its bytes were not those of its address: asks whoever else there is.
    /// `None` if there is nobody else.
    ///
    /// # Errors
    /// [`ClientError`] when nobody can be asked any more.
    fn again(&self, id: &ObjectId) -> Result<Option<Vec<u8>>, ClientError> {
        // One place, one answer.
        let _ = id;
        Ok(None)
    }

    /// Whose word counts for what is read here.
    fn viewpoint(&self) -> Viewpoint {
        Viewpoint {
            now: system::now(),
            ..Viewpoint::default()
        }
    }
}

fn coming(client: &Client, ids: &[ObjectId], remote: bool) -> Result<Coming<'static>, ClientError> {
    let pending = client.start_get(ids, remote)?;
    Ok(Box::new(pending.map(|object| Ok(object?.1))))
}

/// What the local node itself holds.
impl ObjectSource for Client {
    fn records(&self, owner: Option<OwnerId>) -> Result<Vec<Vec<u8>>, ClientError> {
        self.all_records(owner, false)
    }

    fn get(&self, ids: &[ObjectId]) -> Result<Vec<Option<Vec<u8>>>, ClientError> {
        self.get_objects(ids, false)
    }

    fn ask(&self, ids: &[ObjectId]) -> Result<Coming<'_>, ClientError> {
        coming(self, ids, false)
    }

    fn viewpoint(&self) -> Viewpoint {
        self.view()
    }
}

/// What the host of the last [`Client::remote_open`] holds.
pub struct Remote<'a>(pub &'a Client);

impl ObjectSource for Remote<'_> {
    fn records(&self, owner: Option<OwnerId>) -> Result<Vec<Vec<u8>>, ClientError> {
        self.0.all_records(owner, true)
    }

    fn get(&self, ids: &[ObjectId]) -> Result<Vec<Option<Vec<u8>>>, ClientError> {
        self.0.get_objects(ids, true)
    }

    fn ask(&self, ids: &[ObjectId]) -> Result<Coming<'_>, ClientError> {
        coming(self.0, ids, true)
    }

    /// This machine's node counts as well: what it receipted itself it had.
    fn viewpoint(&self) -> Viewpoint {
        let mut view = self.0.view();
        if let Some(host) = self.0.remote_host() {
            view.besides.push(host.host);
            view.host_time = Some(host.time);
        }
        view
    }
}
