//! Where this node listens: a port is chosen once and kept, so that friends find it again after a restart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use serde::{Deserialize, Serialize};

use crate::net::{DEFAULT_PORT, Multiaddr, default_listen};
use crate::peers::StatePort;
use crate::ports::Failure;

/// Ports tried one after the other by a node that was told nothing.
const TRIED: u16 = 64;
/// Ports remembered for one way of listening, the first chosen first.
const KEPT_MAX: usize = 4;
/// Prefix of the rows that keep them.
const PORT: &[u8] = b"port-1/";
/// How a node listens that was told nothing.
const USUAL: &str = "usual";

/// Where to listen, as far as it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Nothing was said: a port of its own, on all interfaces.
    Usual,
    /// These, said at this start: if it cannot be, the start fails.
    Now(Vec<Multiaddr>),
    /// These, set some time ago: what cannot be is left out, so that the node starts in a new place too.
    Set(Vec<Multiaddr>),
}

/// One try: addresses, and the ports in them that are to be kept if it succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// Where to listen.
    pub addrs: Vec<Multiaddr>,
    /// Whether it is enough if one of them works.
    pub some: bool,
    /// How it was asked for, and the port chosen.
    chosen: Vec<(String, u16)>,
    /// What a person has to know if it comes to this.
    pub note: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept(Vec<u16>);

/// The ports this node has chosen before.
pub struct Ports<'a>(&'a dyn StatePort);

impl<'a> Ports<'a> {
    /// In this store.
    #[must_use]
    pub fn new(state: &'a dyn StatePort) -> Self {
        Self(state)
    }

    fn kept(&self, asked: &str) -> Result<Vec<u16>, Failure> {
        let key = [PORT, asked.as_bytes()].concat();
        let rows = self.0.rows(&key)?;
        let row = rows.into_iter().find(|(found, _)| *found == key);
        // A damaged row is one port forgotten: another is chosen.
        let kept = row.and_then(|(_, value)| serde_cbor::from_slice::<Kept>(&value).ok());
        Ok(kept.unwrap_or_default().0)
    }

    /// Keeps the ports of a try that worked.
    ///
    /// # Errors
    /// If the disk failed.
    pub fn keep(&self, done: &Try) -> Result<(), Failure> {
        for (asked, port) in &done.chosen {
            let mut kept = self.kept(asked)?;
            if kept.contains(port) {
                continue;
            }
            kept.truncate(KEPT_MAX - 1);
            kept.push(*port);
            let value = serde_cbor::to_vec(&Kept(kept)).unwrap_or_default();
            let key = [PORT, asked.as_bytes()].concat();
            self.0.apply(vec![(key, Some(value))])?;
        }
        Ok(())
    }

    /// What to try, one after the other.
    ///
    /// # Errors
    /// If the disk failed.
    pub fn tries(&self, wish: &Wish) -> Result<Vec<Try>, Failure> {
        match wish {
            Wish::Usual => self.usual(None),
            Wish::Now(addrs) => Ok(vec![self.filled(addrs, false)?, fresh(addrs, false)]),
            Wish::Set(addrs) => {
                let mut tries = vec![self.filled(addrs, true)?, fresh(addrs, true)];
                let texts: Vec<String> = addrs.iter().map(ToString::to_string).collect();
                let note = format!(
                    "this node cannot listen where it is set to ({}) and listens elsewhere for now: see packnback node set",
                    texts.join(", ")
                );
                tries.extend(self.usual(Some(note))?);
                Ok(tries)
            }
        }
    }

    fn usual(&self, note: Option<String>) -> Result<Vec<Try>, Failure> {
        let kept = self.kept(USUAL)?;
        let first = kept.first().copied();
        let new =
            (DEFAULT_PORT..DEFAULT_PORT.saturating_add(TRIED)).filter(|port| !kept.contains(port));
        let tries = kept.iter().copied().chain(new).map(|port| Try {
            addrs: default_listen(port),
            some: true,
            chosen: vec![(USUAL.to_owned(), port)],
            note: note.clone().or_else(|| {
                first.filter(|first| *first != port).map(|first| {
                    format!(
                        "port {first}, under which friends know this node, is taken by another program: it listens on port {port} for now, and friends learn that when it dials them"
                    )
                })
            }),
        });
        Ok(tries.collect())
    }

    /// The addresses with the kept port wherever one is left open.
    fn filled(&self, addrs: &[Multiaddr], some: bool) -> Result<Try, Failure> {
        let mut done = Try {
            addrs: Vec::new(),
            some,
            chosen: Vec::new(),
            note: None,
        };
        for addr in addrs {
            let asked = addr.to_string();
            let kept = self.kept(&asked)?.into_iter();
            let mut kept = kept.filter(|port| !done.chosen.contains(&(asked.clone(), *port)));
            let port = kept.find(|port| is_free(&with_port(addr, *port)));
            done.add(addr, port);
        }
        Ok(done)
    }
}

/// The addresses with a port nobody uses wherever one is left open.
fn fresh(addrs: &[Multiaddr], some: bool) -> Try {
    let mut done = Try {
        addrs: Vec::new(),
        some,
        chosen: Vec::new(),
        note: None,
    };
    for addr in addrs {
        done.add(addr, None);
    }
    done
}

impl Try {
    /// No address at all, and why.
    #[must_use]
    pub fn nowhere(note: &str) -> Self {
        Self {
            addrs: Vec::new(),
            some: true,
            chosen: Vec::new(),
            note: Some(note.to_owned()),
        }
    }

    fn add(&mut self, addr: &Multiaddr, port: Option<u16>) {
        if !has_open_port(addr) {
            self.addrs.push(addr.clone());
            return;
        }
        match port.or_else(|| free_port(addr)) {
            Some(port) => {
                self.addrs.push(with_port(addr, port));
                self.chosen.push((addr.to_string(), port));
            }
            None => self.addrs.push(addr.clone()),
        }
    }

    /// Whether it is worth a start: all of its ports are free as far as can be seen.
    #[must_use]
    pub fn looks_free(&self) -> bool {
        self.addrs.iter().all(is_free)
    }
}

fn has_open_port(addr: &Multiaddr) -> bool {
    let text = addr.to_string();
    text.ends_with("/tcp/0") || text.contains("/udp/0/")
}

fn with_port(addr: &Multiaddr, port: u16) -> Multiaddr {
    let text = addr.to_string();
    let text = match text.strip_suffix("/tcp/0") {
        Some(host) => format!("{host}/tcp/{port}"),
        None => text.replacen("/udp/0/", &format!("/udp/{port}/"), 1),
    };
    text.parse().unwrap_or_else(|_| addr.clone())
}

/// The socket an address is about; whether it is of UDP.
fn socket_of(addr: &Multiaddr) -> Option<(SocketAddr, bool)> {
    let text = addr.to_string();
    let mut parts = text.split('/').skip(1);
    let ip: IpAddr = match parts.next()? {
        "ip4" => parts.next()?.parse::<Ipv4Addr>().ok()?.into(),
        "ip6" => parts.next()?.parse::<Ipv6Addr>().ok()?.into(),
        _ => return None,
    };
    let is_udp = match parts.next()? {
        "tcp" => false,
        "udp" => true,
        _ => return None,
    };
    Some((SocketAddr::new(ip, parts.next()?.parse().ok()?), is_udp))
}

fn bound(socket: SocketAddr, is_udp: bool) -> std::io::Result<SocketAddr> {
    if is_udp {
        UdpSocket::bind(socket)?.local_addr()
    } else {
        TcpListener::bind(socket)?.local_addr()
    }
}

/// Whether nobody has the port. An address this machine does not have is not taken by anybody.
fn is_free(addr: &Multiaddr) -> bool {
    let Some((socket, is_udp)) = socket_of(addr) else {
        return true;
    };
    match bound(socket, is_udp) {
        Ok(_) => true,
        Err(error) => !matches!(
            error.kind(),
            std::io::ErrorKind::AddrInUse | std::io::ErrorKind::PermissionDenied
        ),
    }
}

fn free_port(addr: &Multiaddr) -> Option<u16> {
    let (socket, is_udp) = socket_of(addr)?;
    bound(socket, is_udp).ok().map(|socket| socket.port())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::peers::MemoryState;

    fn addr(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_port_that_was_chosen_is_kept() {
        let state = MemoryState::default();
        let ports = Ports::new(&state);
        let wish = Wish::Now(vec![
            addr("/ip4/127.0.0.1/tcp/0"),
            addr("/ip4/127.0.0.1/udp/0/quic-v1"),
        ]);
        let first = ports.tries(&wish).unwrap().remove(0);
        assert!(!first.addrs.iter().any(has_open_port), "{first:?}");
        assert!(first.looks_free());
        ports.keep(&first).unwrap();
        // After a restart, also as a setting.
        assert_eq!(ports.tries(&wish).unwrap()[0].addrs, first.addrs);
        let Wish::Now(addrs) = wish else { return };
        assert_eq!(
            ports.tries(&Wish::Set(addrs.clone())).unwrap()[0].addrs,
            first.addrs
        );
        // Taken by another program for a while: another one then, and the first again later.
        let (socket, _) = socket_of(&first.addrs[0]).unwrap();
        let taken = TcpListener::bind(socket).unwrap();
        let second = ports.tries(&Wish::Now(addrs.clone())).unwrap().remove(0);
        assert_ne!(second.addrs[0], first.addrs[0]);
        assert_eq!(second.addrs[1], first.addrs[1]);
        ports.keep(&second).unwrap();
        drop(taken);
        assert_eq!(
            ports.tries(&Wish::Now(addrs)).unwrap()[0].addrs,
            first.addrs
        );
    }

    #[test]
    fn a_node_that_was_told_nothing_comes_back_at_its_port() {
        let state = MemoryState::default();
        let ports = Ports::new(&state);
        let tries = ports.tries(&Wish::Usual).unwrap();
        assert_eq!(tries[0].addrs, default_listen(DEFAULT_PORT));
        assert!(tries.iter().all(|t| t.note.is_none() && t.some));
        // The usual one was taken by another node at the first start.
        ports.keep(&tries[3]).unwrap();
        let again = ports.tries(&Wish::Usual).unwrap();
        assert_eq!(again[0].addrs, tries[3].addrs);
        assert_eq!(again[0].note, None);
        assert!(
            again[1].note.as_ref().unwrap().contains("is taken"),
            "{:?}",
            again[1].note
        );
        // It goes elsewhere once, and comes back.
        ports.keep(&again[5]).unwrap();
        let later = ports.tries(&Wish::Usual).unwrap();
        assert_eq!(later[0].addrs, tries[3].addrs);
        assert_eq!(later[1].addrs, again[5].addrs);
    }

    #[test]
    fn what_was_set_is_tried_first_and_the_node_starts_anyway() {
        let state = MemoryState::default();
        let ports = Ports::new(&state);
        let here = addr("/ip4/192.0.2.1/tcp/4801");
        let now = ports.tries(&Wish::Now(vec![here.clone()])).unwrap();
        assert!(now.iter().all(|t| t.addrs == [here.clone()] && !t.some));
        let set = ports.tries(&Wish::Set(vec![here.clone()])).unwrap();
        assert_eq!((set[0].addrs.as_slice(), set[0].some), (&[here][..], true));
        let last = set.last().unwrap();
        assert!(
            last.note.as_ref().unwrap().contains("192.0.2.1"),
            "{last:?}"
        );
        assert_eq!(last.addrs.len(), 4);
    }

    #[test]
    fn only_an_open_port_is_filled_in() {
        for (text, open) in [
            ("/ip4/0.0.0.0/tcp/0", true),
            ("/ip6/::/udp/0/quic-v1", true),
            ("/ip4/0.0.0.0/tcp/4801", false),
            ("/ip4/0.0.0.0/udp/4801/quic-v1", false),
        ] {
            assert_eq!(has_open_port(&addr(text)), open, "{text}");
        }
        assert_eq!(
            with_port(&addr("/ip6/::/udp/0/quic-v1"), 5),
            addr("/ip6/::/udp/5/quic-v1")
        );
    }
}
