//! Checkpoints: what the node has made durable becomes known to the cache, now and then during a
//! run, so that an interrupted first backup goes on where it stopped.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::ctx::Ctx;
use crate::cache::Facts;
use crate::pipeline::Stop;

/// A checkpoint after this many bytes sent,
const EVERY_BYTES: u64 = 128 << 20;
/// this many facts learned,
const EVERY_FACTS: usize = 1 << 14;
/// or this long.
const EVERY: Duration = Duration::from_secs(10);

/// Where facts go to wait for the node.
pub(super) struct Checkpoints {
    to: Sender<Facts>,
    waiting: Option<Facts>,
    last_bytes: u64,
    last: Instant,
}

/// The two ends.
pub(super) fn pair() -> (Checkpoints, Receiver<Facts>) {
    let (to, from) = bounded(1);
    let checkpoints = Checkpoints {
        to,
        waiting: None,
        last_bytes: 0,
        last: Instant::now(),
    };
    (checkpoints, from)
}

impl Checkpoints {
    /// Starts a checkpoint if one is due.
    pub(super) fn maybe(&mut self, ctx: &Ctx<'_>) -> Result<(), Stop> {
        if let Some(facts) = self.waiting.take() {
            return self.send(facts, ctx);
        }
        let bytes = ctx.numbers.bytes_stored.load(Ordering::Relaxed);
        let known = ctx.facts.lock().len();
        let due = bytes.saturating_sub(self.last_bytes) >= EVERY_BYTES
            || known >= EVERY_FACTS
            || (known > 0 && self.last.elapsed() >= EVERY);
        if !due {
            return Ok(());
        }
        self.last_bytes = bytes;
        self.last = Instant::now();
        let facts = std::mem::take(&mut *ctx.facts.lock());
        self.send(facts, ctx)
    }

    fn send(&mut self, facts: Facts, ctx: &Ctx<'_>) -> Result<(), Stop> {
        // Too much waiting: then it is time to wait.
        let crowded = ctx.facts.lock().len() >= EVERY_FACTS.saturating_mul(2);
        if crowded {
            return self.to.send(facts).map_err(|_| Stop);
        }
        match self.to.try_send(facts) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(facts)) => {
                self.waiting = Some(facts);
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) => Err(Stop),
        }
    }

    /// The last one.
    pub(super) fn finish(mut self, ctx: &Ctx<'_>) -> Result<(), Stop> {
        if let Some(facts) = self.waiting.take() {
            self.to.send(facts).map_err(|_| Stop)?;
        }
        let facts = std::mem::take(&mut *ctx.facts.lock());
        self.to.send(facts).map_err(|_| Stop)
    }
}

/// Waits for the node and writes to the cache, until the other end is gone. An interrupted run is
/// brought to a last checkpoint, so that the next one takes up what this one sent.
pub(super) fn run(ctx: &Ctx<'_>, from: &Receiver<Facts>) -> Result<(), Stop> {
    let mut flushed = Instant::now();
    for facts in from {
        save(ctx, &facts)?;
        // The cache has no log: what is not flushed does not survive a kill.
        if flushed.elapsed() >= EVERY {
            flush(ctx);
            flushed = Instant::now();
        }
    }
    if ctx.is_cancelled() {
        let facts = std::mem::take(&mut *ctx.facts.lock());
        save(ctx, &facts)?;
        flush(ctx);
    }
    Ok(())
}

fn flush(ctx: &Ctx<'_>) {
    if let Err(error) = ctx.cache.flush() {
        warn(ctx, &error);
    }
}

fn save(ctx: &Ctx<'_>, facts: &Facts) -> Result<(), Stop> {
    if ctx.dry_run || facts.is_empty() {
        return Ok(());
    }
    ctx.node.sync().map_err(|e| ctx.fail(e.into()))?;
    if let Err(error) = ctx.cache.apply(facts) {
        warn(ctx, &error);
    }
    ctx.seen.forget(facts);
    Ok(())
}

fn warn(ctx: &Ctx<'_>, error: &str) {
    let text = format!("the cache could not be written: {error}");
    ctx.warnings.lock().push(text);
}
