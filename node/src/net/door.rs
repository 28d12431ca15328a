//! Who waits at the door: connections whose handshake is not over.
//!
//! A stranger can open as many sockets as it likes and say nothing. So there is always room for one more:
//! when there are too many, the oldest that has said nothing goes first, then the oldest stranger, and those
//! from where friends are last. A socket that says nothing within seconds goes anyway.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{AbortHandle, Abortable, BoxFuture};
use libp2p::Multiaddr;
use libp2p::core::ConnectedPoint;
use libp2p::core::multiaddr::Protocol as Part;
use libp2p::core::transport::{
    Boxed, DialOpts, ListenerId, Transport, TransportError, TransportEvent,
};
use libp2p::tcp;
use parking_lot::Mutex;

/// Handshakes in progress.
const WAITING_MAX: usize = 64;
/// Of these, from one address (or IPv6 /64). A household has a few nodes; each needs one or two at a time.
const PER_ADDRESS_MAX: usize = 16;
/// A socket that sends nothing for this long is closed.
const FIRST_BYTES: Duration = Duration::from_secs(3);
/// Addresses of friends remembered.
const KNOWN_MAX: usize = 512;

/// The address a limit is kept for: IPv6 customers get a /64, so that is one address.
fn limit_key(addr: &Multiaddr) -> Option<IpAddr> {
    addr.iter().find_map(|part| match part {
        Part::Ip4(ip) => Some(IpAddr::V4(ip)),
        Part::Ip6(ip) => Some(IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into())),
        _ => None,
    })
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    remote: Multiaddr,
    key: Option<IpAddr>,
    is_known: bool,
    has_spoken: bool,
    abort: AbortHandle,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    waiters: Vec<Waiter>,
    known: VecDeque<IpAddr>,
}

impl State {
    /// Who goes so that one more from `key` has room: nobody, if there is room.
    fn victim(&self, key: Option<IpAddr>) -> Option<usize> {
        let same = |waiter: &Waiter| key.is_some() && waiter.key == key;
        let of_address = self.waiters.iter().filter(|w| same(w)).count();
        let only_same = of_address >= PER_ADDRESS_MAX;
        if !only_same && self.waiters.len() < WAITING_MAX {
            return None;
        }
        let all = self.waiters.iter().enumerate();
        let candidates = all.filter(|(_, waiter)| !only_same || same(waiter));
        let first = candidates.min_by_key(|(_, w)| (w.is_known, w.has_spoken, w.number));
        first.map(|(index, _)| index)
    }
}

/// All who wait. Clones share it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Waiting(Arc<Mutex<State>>);

/// One who waits, until dropped.
struct Entry(Waiting, u64);

impl Drop for Entry {
    fn drop(&mut self) {
        let number = self.1;
        self.0.0.lock().waiters.retain(|w| w.number != number);
    }
}

impl Waiting {
    /// A friend is, or may be, at this address.
    pub(crate) fn note_known(&self, addr: &Multiaddr) {
        let Some(key) = limit_key(addr) else { return };
        let mut state = self.0.lock();
        state.known.retain(|known| *known != key);
        state.known.push_front(key);
        state.known.truncate(KNOWN_MAX);
    }

    /// A socket sent something.
    fn has_spoken(&self, remote: &Multiaddr) {
        let mut state = self.0.lock();
        for waiter in state.waiters.iter_mut().filter(|w| w.remote == *remote) {
            waiter.has_spoken = true;
        }
    }

    /// Lets one more wait, and makes room for it; `None`: all places are taken by better known ones.
    fn arrive(&self, remote: &Multiaddr) -> Option<(Entry, futures::future::AbortRegistration)> {
        let key = limit_key(remote);
        let mut state = self.0.lock();
        let is_known = key.is_some_and(|key| state.known.contains(&key));
        if let Some(index) = state.victim(key) {
            if state.waiters.get(index).is_some_and(|w| w.is_known) && !is_known {
                return None;
            }
            state.waiters.remove(index).abort.abort();
        }
        let number = state.next;
        state.next = state.next.wrapping_add(1);
        let (abort, registration) = AbortHandle::new_pair();
        state.waiters.push(Waiter {
            number,
            remote: remote.clone(),
            key,
            is_known,
            has_spoken: false,
            abort,
        });
        drop(state);
        Some((Entry(self.clone(), number), registration))
    }
}

/// Waits until an incoming socket says something.
pub(crate) async fn first_bytes(
    stream: tcp::tokio::TcpStream,
    endpoint: ConnectedPoint,
    waiting: Waiting,
) -> io::Result<tcp::tokio::TcpStream> {
    if let ConnectedPoint::Listener { send_back_addr, .. } = &endpoint {
        match tokio::time::timeout(FIRST_BYTES, stream.0.readable()).await {
            Ok(ready) => ready?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
        waiting.has_spoken(send_back_addr);
    }
    Ok(stream)
}

/// A transport with a door.
pub(crate) struct Door<O> {
    inner: Boxed<O>,
    waiting: Waiting,
}

impl<O> Door<O> {
    pub(crate) const fn new(inner: Boxed<O>, waiting: Waiting) -> Self {
        Self { inner, waiting }
    }
}

impl<O: Send + 'static> Transport for Door<O> {
    type Output = O;
    type Error = io::Error;
    type ListenerUpgrade = BoxFuture<'static, io::Result<O>>;
    type Dial = <Boxed<O> as Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        addr: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, addr)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        addr: Multiaddr,
        opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        self.inner.dial(addr, opts)
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let this = self.get_mut();
        let waiting = this.waiting.clone();
        let event = Pin::new(&mut this.inner).poll(cx);
        event.map(|event| match event {
            TransportEvent::Incoming {
                listener_id,
                upgrade,
                local_addr,
                send_back_addr,
            } => {
                let place = waiting.arrive(&send_back_addr);
                let upgrade = async move {
                    let full = || io::Error::other("too many handshakes in progress");
                    let (entry, registration) = place.ok_or_else(full)?;
                    let done = Abortable::new(upgrade, registration).await;
                    drop(entry);
                    done.unwrap_or_else(|_| Err(full()))
                };
                TransportEvent::Incoming {
                    listener_id,
                    upgrade: upgrade.boxed(),
                    local_addr,
                    send_back_addr,
                }
            }
            other => other.map_upgrade(|upgrade| upgrade.boxed()),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn addr(net: usize, port: usize) -> Multiaddr {
        format!("/ip6/2001:db8:{net:x}::1/tcp/{port}")
            .parse()
            .unwrap()
    }

    fn numbers(waiting: &Waiting) -> Vec<u64> {
        let state = waiting.0.lock();
        state.waiters.iter().map(|w| w.number).collect()
    }

    #[test]
    fn n25_the_oldest_silent_socket_makes_room() {
        let waiting = Waiting::default();
        let mut entries: Vec<_> = (0..WAITING_MAX)
            .map(|n| waiting.arrive(&addr(n, 1)).unwrap())
            .collect();
        waiting.has_spoken(&addr(0, 1));
        entries.push(waiting.arrive(&addr(1000, 1)).unwrap());
        let left = numbers(&waiting);
        assert_eq!(left.len(), WAITING_MAX);
        // The first has said something, so the second went.
        assert!(left.contains(&0) && !left.contains(&1));
        drop(entries);
        assert!(numbers(&waiting).is_empty());
    }

    #[test]
    fn n25_one_address_cannot_hold_all_handshakes_nor_keep_out_a_neighbour() {
        let waiting = Waiting::default();
        let entries: Vec<_> = (0..500)
            .map(|port| waiting.arrive(&addr(1, port)).unwrap())
            .collect();
        assert_eq!(numbers(&waiting).len(), PER_ADDRESS_MAX);
        // The last that came is there: a friend behind the same address gets its turn.
        assert!(numbers(&waiting).contains(&499));
        drop(entries);
    }

    #[test]
    fn n25_strangers_do_not_push_out_those_from_where_friends_are() {
        let waiting = Waiting::default();
        waiting.note_known(&addr(7, 9));
        let friend = waiting.arrive(&addr(7, 1)).unwrap();
        let strangers: Vec<_> = (100..1000).map(|n| waiting.arrive(&addr(n, 1))).collect();
        assert!(numbers(&waiting).contains(&0));
        assert_eq!(numbers(&waiting).len(), WAITING_MAX);
        drop((friend, strangers));
    }
}
