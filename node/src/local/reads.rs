//! Reading records and objects, here and from a remote host.

use packnback_proto::ids::{ObjectId, OwnerId, RecordId};
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::local::LocalReply;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;

use super::session::Session;
use super::{SIGN_OF_LIFE, replies, send};
use crate::frames::{StreamError, write_frame};
use crate::ports::{Failure, RecordPage};
use crate::service;
use crate::store::RecordFilter;

/// Objects of a remote host waiting for the program.
const WAITING: usize = 2;

impl Session {
    pub(super) async fn own_records(
        &mut self,
        owner: Option<OwnerId>,
        after: Option<RecordId>,
    ) -> Result<RecordPage, Failure> {
        let own = self.owner()?.owner;
        if owner.is_some_and(|owner| owner != own) {
            return Err(
                Failure::new(ErrorCode::OtherOwner, "this node belongs to another owner")
                    .safe("Nothing was changed."),
            );
        }
        self.blocking(move |store| store.records(&own, &RecordFilter::All, after.as_ref()))
            .await
    }

    pub(super) async fn send_objects<W: AsyncWrite + Unpin>(
        &mut self,
        ids: Vec<ObjectId>,
        output: &mut W,
    ) -> Result<(), StreamError> {
        let owner = match self.owner() {
            Ok(device) => device.owner,
            Err(failure) => return write_frame(output, &replies::error(failure), &[]).await,
        };
        let message = |id, found| LocalReply::Object { id, found };
        service::send_objects(&self.node.host, owner, ids, output, message).await
    }

    /// An error in place of an object ends the answer.
    pub(super) async fn send_remote<W: AsyncWrite + Unpin>(
        &mut self,
        ids: Vec<ObjectId>,
        output: &mut W,
    ) -> Result<(), StreamError> {
        let remote = match self.remote() {
            Ok(remote) => remote,
            Err(failure) => return write_frame(output, &replies::error(failure), &[]).await,
        };
        let (sender, mut objects) = mpsc::channel::<(ObjectId, Option<Vec<u8>>)>(WAITING);
        let write = async {
            loop {
                let next = tokio::time::timeout(SIGN_OF_LIFE, objects.recv()).await;
                let Ok(next) = next else {
                    send(output, &LocalReply::Working, &[]).await?;
                    continue;
                };
                let Some((id, object)) = next else { break };
                let reply = LocalReply::Object {
                    id,
                    found: object.is_some(),
                };
                send(output, &reply, &object.unwrap_or_default()).await?;
            }
            Ok::<_, StreamError>(())
        };
        let (fetched, written) = tokio::join!(remote.get(ids, sender), write);
        written?;
        match fetched {
            Ok(()) => Ok(()),
            Err(failure) => write_frame(output, &replies::error(failure), &[]).await,
        }
    }
}
