//! How much a reader takes from a host it does not trust: one budget for everything listed to it.
//!
//! A host may withhold; it may not keep a reader busy. Pages come in order of record ids, each brings
//! something or is the last, and count, bytes and time are limited.

use std::time::Duration;

use crate::ids::RecordId;
use crate::limits::MIB;
use crate::record::{parse_envelope, record_id};
use crate::wire::ids::split_records;

/// Most bytes of records of one host.
pub const READ_BYTES_MAX: usize = 128 * MIB;
/// Most records of one host.
pub const READ_RECORDS_MAX: usize = 1_000_000;
/// Time for the first pages, whatever they bring.
const GRACE: Duration = Duration::from_secs(60);
/// From then on at least this much each second.
const PACE: u64 = 16 * 1024;
/// Longest in all.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Why nothing more is read from a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadRefusal {
    /// Its pages do not follow each other, or a page says there is more and brings nothing.
    #[error("the host lists its records out of order or without end")]
    Order,
    /// More than anybody has.
    #[error("the host lists more records than any owner has")]
    TooMuch,
    /// Too slow.
    #[error("the host takes too long to list its records")]
    TooSlow,
    /// A page does not decode.
    #[error("the host sent a page of records that does not decode")]
    Page,
}

/// What was read from a host so far.
#[derive(Debug, Clone, Default)]
pub struct ReadBudget {
    bytes: usize,
    records: usize,
    last: Option<RecordId>,
    ended: bool,
}

/// A page as it came.
#[derive(Debug, Clone, Copy)]
pub struct ReadPage<'a> {
    /// Whether there is more behind it.
    pub more: bool,
    /// Its last record.
    pub last: Option<RecordId>,
    /// The records, in the form of `wire::ids::push_record`.
    pub body: &'a [u8],
}

impl ReadBudget {
    /// How long the pages asked for so far may have taken.
    #[must_use]
    pub fn time_allowed(&self) -> Duration {
        let bytes = u64::try_from(self.bytes).unwrap_or(u64::MAX);
        GRACE
            .saturating_add(Duration::from_secs(bytes / PACE))
            .min(LONGEST)
    }

    /// Takes a page into account that was asked for behind `after`. Asking from the beginning begins
    /// anew, but gives nothing back.
    ///
    /// # Errors
    /// [`ReadRefusal`]: neither this page nor anything else is to be used.
    pub fn page(
        &mut self,
        after: Option<&RecordId>,
        page: ReadPage<'_>,
        elapsed: Duration,
    ) -> Result<(), ReadRefusal> {
        if after.is_none() {
            self.last = None;
            self.ended = false;
        }
        if self.ended || after.copied() < self.last {
            return Err(ReadRefusal::Order);
        }
        self.bytes = self.bytes.saturating_add(page.body.len().max(64));
        let envelopes = split_records(page.body).map_err(|_| ReadRefusal::Page)?;
        self.records = self.records.saturating_add(envelopes.len());
        if self.bytes > READ_BYTES_MAX || self.records > READ_RECORDS_MAX {
            return Err(ReadRefusal::TooMuch);
        }
        if elapsed > self.time_allowed() {
            return Err(ReadRefusal::TooSlow);
        }
        let mut before = after.copied();
        for envelope in &envelopes {
            // What is no record at all has no place; it is dropped by whoever verifies.
            let Ok(parsed) = parse_envelope(envelope) else {
                continue;
            };
            let id = record_id(parsed.kind, parsed.body);
            if before.is_some_and(|before| id <= before) {
                return Err(ReadRefusal::Order);
            }
            before = Some(id);
        }
        let last = page.last.or(before);
        if last < before || (page.more && (envelopes.is_empty() || last <= after.copied())) {
            return Err(ReadRefusal::Order);
        }
        self.last = last;
        self.ended = !page.more;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::crypto::keys::OwnerSeed;
    use crate::record::{Op, Order, Signed};
    use crate::wire::ids::push_record;

    const SOON: Duration = Duration::from_secs(1);

    fn records(count: u8) -> Vec<(RecordId, Vec<u8>)> {
        let seed = OwnerSeed::from_bytes([1; 32]);
        let mut records: Vec<(RecordId, Vec<u8>)> = (0..count)
            .map(|n| {
                let order = Order {
                    owner: seed.owner_id(),
                    oid: [n; 16],
                    issued: 1,
                    audience: None,
                    op: Op::Cancel(vec![[n; 16]]),
                    not_before: None,
                };
                let signed = Signed::sign(&order, &seed.sign_key()).unwrap();
                (signed.id(), signed.envelope().to_vec())
            })
            .collect();
        records.sort();
        records
    }

    fn body(records: &[(RecordId, Vec<u8>)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (_, envelope) in records {
            push_record(&mut body, envelope).unwrap();
        }
        body
    }

    fn page(body: &[u8], more: bool, last: Option<RecordId>) -> ReadPage<'_> {
        ReadPage { more, last, body }
    }

    #[test]
    fn n26_pages_follow_each_other_and_end() {
        let all = records(4);
        let (first, second) = all.split_at(2);
        let (front, back) = (body(first), body(second));
        let (mid, end) = (first.last().unwrap().0, second.last().unwrap().0);
        let mut good = ReadBudget::default();
        assert_eq!(good.page(None, page(&front, true, Some(mid)), SOON), Ok(()));
        let rest = page(&back, false, Some(end));
        assert_eq!(good.page(Some(&mid), rest, SOON), Ok(()));
        assert_eq!(
            good.page(Some(&end), page(&[], false, None), SOON),
            Err(ReadRefusal::Order),
            "it had ended"
        );
        // The same page again, an empty one that promises more, one that goes back.
        let begun = || {
            let mut budget = ReadBudget::default();
            let taken = budget.page(None, page(&front, true, Some(mid)), SOON);
            taken.map(|()| budget).unwrap()
        };
        for bad in [
            page(&front, true, Some(mid)),
            page(&front, true, Some(end)),
            page(&[], true, Some(end)),
            page(&[], true, None),
            page(&back, true, Some(mid)),
        ] {
            assert_eq!(
                begun().page(Some(&mid), bad, SOON),
                Err(ReadRefusal::Order),
                "{bad:?}"
            );
        }
        let mut swapped = all.clone();
        swapped.reverse();
        let swapped = body(&swapped);
        assert_eq!(
            ReadBudget::default().page(None, page(&swapped, false, Some(end)), SOON),
            Err(ReadRefusal::Order)
        );
    }

    #[test]
    fn n26_count_bytes_and_time_are_limited() {
        let junk = {
            let mut body = Vec::new();
            push_record(&mut body, &[0; 60_000]).unwrap();
            body.repeat(100)
        };
        let mut budget = ReadBudget::default();
        let mut taken = 0usize;
        let mut after: Option<RecordId> = None;
        let refused = loop {
            let last = RecordId([u8::try_from(taken + 1).unwrap(); 32]);
            match budget.page(after.as_ref(), page(&junk, true, Some(last)), SOON) {
                Ok(()) => taken += 1,
                Err(refusal) => break refusal,
            }
            after = Some(last);
        };
        assert_eq!(refused, ReadRefusal::TooMuch);
        assert!(taken * junk.len() <= READ_BYTES_MAX);
        let mut slow = ReadBudget::default();
        let late = GRACE + Duration::from_secs(2);
        let all = records(2);
        let bytes = body(&all);
        let one = page(&bytes, false, all.last().map(|(id, _)| *id));
        assert_eq!(slow.page(None, one, late), Err(ReadRefusal::TooSlow));
        let mut rich = ReadBudget {
            bytes: READ_BYTES_MAX / 2,
            ..ReadBudget::default()
        };
        assert_eq!(rich.page(None, one, late), Ok(()));
        assert_eq!(rich.time_allowed(), LONGEST);
        let mut many = ReadBudget {
            records: READ_RECORDS_MAX,
            ..ReadBudget::default()
        };
        assert_eq!(many.page(None, one, SOON), Err(ReadRefusal::TooMuch));
    }
}
