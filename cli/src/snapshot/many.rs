//! Many hosts as one source: the next is asked where one lacks an object, gives other bytes, or is gone.

use std::collections::BTreeSet;

use packnback_proto::crypto::hash::object_id;
use packnback_proto::ids::{ObjectId, OwnerId};
use parking_lot::Mutex;

use super::source::{Coming, ObjectSource};
use crate::client::ClientError;
use crate::records::Viewpoint;

/// One of many hosts.
pub struct Host<'a> {
    /// As people know it.
    pub name: String,
    /// What it holds.
    pub source: Box<dyn ObjectSource + 'a>,
}

/// Told of a host that is not asked any more, and why.
pub type Dropped<'a> = Box<dyn Fn(&str, &str) + Send + Sync + 'a>;

/// Hosts, asked in their order.
pub struct Many<'a> {
    hosts: Vec<Host<'a>>,
    /// Those that are not asked any more, by their place.
    gone: Mutex<BTreeSet<usize>>,
    /// Why the last of them is not.
    last: Mutex<Option<ClientError>>,
    dropped: Dropped<'a>,
}

impl<'a> Many<'a> {
    /// These hosts; `dropped` is told of each that lies or dies, once.
    #[must_use]
    pub fn new(hosts: Vec<Host<'a>>, dropped: Dropped<'a>) -> Self {
        Self {
            hosts,
            gone: Mutex::default(),
            last: Mutex::default(),
            dropped,
        }
    }

    /// Names of the hosts that are not asked any more.
    #[must_use]
    pub fn gone(&self) -> Vec<String> {
        let gone = self.gone.lock();
        let names = gone.iter().filter_map(|at| self.hosts.get(*at));
        names.map(|host| host.name.clone()).collect()
    }

    fn left(&self) -> impl Iterator<Item = (usize, &Host<'a>)> {
        let hosts = self.hosts.iter().enumerate();
        hosts.filter(|(at, _)| !self.gone.lock().contains(at))
    }

    fn drop_host(&self, at: usize, why: &str) {
        let is_new = self.gone.lock().insert(at);
        if let Some(host) = self.hosts.get(at).filter(|_| is_new) {
            (self.dropped)(&host.name, why);
        }
    }

    fn died(&self, at: usize, error: ClientError) {
        self.drop_host(at, &error.to_string());
        *self.last.lock() = Some(error);
    }

    fn nobody(&self) -> ClientError {
        self.last.lock().clone().unwrap_or(ClientError::Closed)
    }

    /// What the first host says that can be talked to.
    fn first<T>(
        &self,
        ask: impl Fn(usize, &'_ Host<'a>) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        for (at, host) in self.left() {
            match ask(at, host) {
                Ok(answer) => return Ok(answer),
                Err(error) => self.died(at, error),
            }
        }
        Err(self.nobody())
    }
}

impl ObjectSource for Many<'_> {
    /// What any of them lists.
    fn records(&self, owner: Option<OwnerId>) -> Result<Vec<Vec<u8>>, ClientError> {
        let mut all = BTreeSet::new();
        for (at, host) in self.left() {
            match host.source.records(owner) {
                Ok(records) => all.extend(records),
                Err(error) => self.died(at, error),
            }
        }
        if self.left().next().is_none() {
            return Err(self.nobody());
        }
        Ok(all.into_iter().collect())
    }

    fn get(&self, ids: &[ObjectId]) -> Result<Vec<Option<Vec<u8>>>, ClientError> {
        self.first(|_, host| host.source.get(ids))
    }

    fn ask(&self, ids: &[ObjectId]) -> Result<Coming<'_>, ClientError> {
        for (at, host) in self.left() {
            match host.source.ask(ids) {
                Ok(coming) => {
                    return Ok(Box::new(Answer {
                        many: self,
                        at,
                        coming,
                        left: ids.to_vec().into(),
                    }));
                }
                Err(error) => self.died(at, error),
            }
        }
        Err(self.nobody())
    }

    /// Everybody is asked, the one that gave nothing or something else as well: it may have been the line.
    fn again(&self, id: &ObjectId) -> Result<Option<Vec<u8>>, ClientError> {
        for (at, host) in self.left() {
            match host.source.get(&[*id]) {
                Ok(objects) => match objects.into_iter().next().flatten() {
                    Some(bytes) if object_id(&bytes) == *id => return Ok(Some(bytes)),
                    Some(_) => self.drop_host(at, &lied(id)),
                    None => {}
                },
                Err(error) => self.died(at, error),
            }
        }
        if self.left().next().is_none() && self.last.lock().is_some() {
            return Err(self.nobody());
        }
        Ok(None)
    }

    fn viewpoint(&self) -> Viewpoint {
        let mut all = Viewpoint::default();
        for (_, host) in self.left() {
            let view = host.source.viewpoint();
            all.besides.extend(view.besides);
            all.now = all.now.max(view.now);
            all.host_time = all.host_time.max(view.host_time);
        }
        all.besides.sort_unstable();
        all.besides.dedup();
        all
    }
}

fn lied(id: &ObjectId) -> String {
    format!("what it gives as object {} is something else", id.short())
}

/// Objects on their way from one host; should it die, the next ones give the rest.
struct Answer<'m, 'a> {
    many: &'m Many<'a>,
    at: usize,
    coming: Coming<'m>,
    left: std::collections::VecDeque<ObjectId>,
}

impl Iterator for Answer<'_, '_> {
    type Item = Result<Option<Vec<u8>>, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let next = self.coming.next().unwrap_or(Err(ClientError::Closed));
        let object = match next {
            Ok(object) => object,
            Err(error) => {
                self.many.died(self.at, error);
                let rest: Vec<ObjectId> = self.left.iter().copied().collect();
                match self.many.get(&rest) {
                    Ok(objects) => self.coming = Box::new(objects.into_iter().map(Ok)),
                    Err(error) => {
                        self.left.clear();
                        return Some(Err(error));
                    }
                }
                self.coming.next()?.unwrap_or(None)
            }
        };
        self.left.pop_front();
        Some(Ok(object))
    }
}
