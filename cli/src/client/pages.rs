//! Lists that come in pages, asked for as often as it takes to have all.

use std::collections::HashSet;

use packnback_proto::ids::{NodeId, OwnerId, SnapshotId};
use packnback_proto::wire::admin::{OwnerStats, PolicyInfo, RetentionInfo};

use super::ClientError;
use super::threads::Client;

impl Client {
    /// What retention says of each snapshot on this node, under the policy in force or another.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn retention(
        &self,
        device: Option<NodeId>,
        policy: Option<PolicyInfo>,
    ) -> Result<Vec<RetentionInfo>, ClientError> {
        let ask = |device, skip| self.retention_page(device, policy.clone(), skip);
        let mut infos = ask(device, 0)?;
        for info in &mut infos {
            let device = info.device;
            complete(
                info.total,
                &mut info.snaps,
                |snap| snap.snap,
                |skip| {
                    let page = ask(Some(device), skip)?.into_iter();
                    Ok(page.flat_map(|info| info.snaps).collect())
                },
            )?;
        }
        Ok(infos)
    }

    /// Sizes of an owner's data on this node (`None`: its own owner).
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn stats(&self, owner: Option<OwnerId>) -> Result<OwnerStats, ClientError> {
        let mut stats = self.stats_page(owner, 0)?;
        complete(
            stats.total,
            &mut stats.snaps,
            |snap| snap.snap,
            |skip| Ok(self.stats_page(owner, skip)?.snaps),
        )?;
        Ok(stats)
    }
}

/// Fetches the rest of a list of which `got` is the beginning, until there are `total` or no more
/// come. What moved down meanwhile, because something new came in front, is not listed twice.
fn complete<T>(
    total: u64,
    got: &mut Vec<T>,
    id: impl Fn(&T) -> SnapshotId,
    mut page: impl FnMut(u64) -> Result<Vec<T>, ClientError>,
) -> Result<(), ClientError> {
    let mut known: HashSet<SnapshotId> = got.iter().map(&id).collect();
    loop {
        let skip = u64::try_from(got.len()).unwrap_or(u64::MAX);
        if skip >= total {
            return Ok(());
        }
        let before = got.len();
        got.extend(
            page(skip)?
                .into_iter()
                .filter(|item| known.insert(id(item))),
        );
        if got.len() == before {
            return Ok(());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use packnback_proto::ids::RecordId;

    use super::*;

    fn ids(numbers: impl Iterator<Item = u8>) -> Vec<RecordId> {
        numbers.map(|n| RecordId([n; 32])).collect()
    }

    fn rest(total: u64, pages: &[Vec<RecordId>]) -> (Vec<RecordId>, Vec<u64>) {
        let (mut got, mut asked) = (ids(0..3), Vec::new());
        let mut pages = pages.iter();
        complete(
            total,
            &mut got,
            |id| *id,
            |skip| {
                asked.push(skip);
                Ok(pages.next().cloned().unwrap_or_default())
            },
        )
        .unwrap();
        (got, asked)
    }

    #[test]
    fn a_long_list_comes_in_pages() {
        assert_eq!(rest(3, &[]), (ids(0..3), vec![]));
        assert_eq!(rest(7, &[ids(3..6), ids(6..7)]), (ids(0..7), vec![3, 6]));
    }

    #[test]
    fn what_moved_is_listed_once_and_what_went_is_not_waited_for() {
        assert_eq!(rest(7, &[ids(2..5), ids(5..7)]), (ids(0..7), vec![3, 5]));
        assert_eq!(rest(9, &[ids(3..6)]), (ids(0..6), vec![3, 6]));
    }
}
