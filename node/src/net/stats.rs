//! Counters shared by the behaviours and the handle.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::ports::NetStats;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    refused_connections: AtomicU64,
    dropped_streams: AtomicU64,
    refused_streams: AtomicU64,
    stalled_connections: AtomicU64,
    restarts: AtomicU64,
}

impl Counters {
    pub(crate) fn refused_connection(&self) {
        self.refused_connections.fetch_add(1, Relaxed);
    }

    pub(crate) fn dropped_stream(&self) {
        self.dropped_streams.fetch_add(1, Relaxed);
    }

    pub(crate) fn refused_stream(&self) {
        self.refused_streams.fetch_add(1, Relaxed);
    }

    pub(crate) fn stalled_connection(&self) {
        self.stalled_connections.fetch_add(1, Relaxed);
    }

    pub(crate) fn restart(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> NetStats {
        NetStats {
            refused_connections: self.refused_connections.load(Relaxed),
            dropped_streams: self.dropped_streams.load(Relaxed),
            refused_streams: self.refused_streams.load(Relaxed),
            stalled_connections: self.stalled_connections.load(Relaxed),
            restarts: self.restarts.load(Relaxed),
        }
    }
}
