//! Virtual time: events in order, one device, several hosts, links between them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use packnback_proto::ids::{NodeId, ObjectId};
use packnback_proto::record::{Cert, perms};

use crate::checkers::{self, Broken};
use crate::host::{Answer, Host};
use crate::rng::Rng;
use crate::tree::{Backup, Device};

/// What may go wrong, and how much of it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Hosts.
    pub hosts: usize,
    /// Segments of the device's folder.
    pub segments: u64,
    /// Backups made, one per hour.
    pub backups: u64,
    /// A link breaks in one of so many batches.
    pub link_breaks_one_in: u64,
    /// A host crashes about once in so many seconds; 0 for never.
    pub crash_every_s: u64,
    /// Bytes per second of a link.
    pub rate: u64,
    /// Faults stop here; afterwards everything has to arrive.
    pub faults_until_s: u64,
    /// The end.
    pub end_s: u64,
}

/// What happened in a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Events carried out.
    pub events: u64,
    /// Backups made.
    pub backups: usize,
    /// Receipts of all hosts.
    pub receipts: usize,
    /// Sessions that ended early: broken links and crashed hosts.
    pub broken_sessions: u64,
    /// Crashes.
    pub crashes: u64,
    /// Refusals, by text, in order of time: the last few.
    pub refusals: Vec<String>,
    /// A number that depends on every event: equal for equal runs.
    pub trace: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Backup,
    Crash(usize),
    Restart(usize),
    Session(usize),
    Batch(usize),
}

/// Where the device stands with one host.
#[derive(Debug, Default)]
struct Link {
    /// First backup without a receipt.
    next: usize,
    /// Objects still to send in this session.
    queue: Vec<ObjectId>,
    /// Failed tries in a row.
    attempt: u32,
    /// Whether a session is open.
    open: bool,
}

/// The world.
#[derive(Debug)]
pub struct World {
    options: Options,
    rng: Rng,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    device: Device,
    cert: Cert,
    backups: Vec<Backup>,
    hosts: Vec<Host>,
    links: Vec<Link>,
    report: Report,
}

/// The world starts at this unix time: late enough for clocks that are behind.
const START: u64 = 1_800_000_000;
const HOUR: u64 = 3600;
const BATCH: usize = 16;
/// First and longest pause between tries.
const PAUSE_S: (u64, u64) = (1, 300);

impl World {
    /// A world from a seed.
    #[must_use]
    pub fn new(options: Options, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let device = Device::new(&mut rng, options.segments);
        let cert = certificate(&device, NodeId(rng.bytes32()));
        let hosts: Vec<Host> = (0..options.hosts)
            .map(|_| {
                let skew = i64::try_from(rng.below(40_000)).unwrap_or(0) - 20_000;
                Host::new(u64::MAX, skew)
            })
            .collect();
        let links = hosts.iter().map(|_| Link::default()).collect();
        let mut world = Self {
            options,
            rng,
            now: START,
            events: BinaryHeap::new(),
            device,
            cert,
            backups: Vec::new(),
            hosts,
            links,
            report: Report::default(),
        };
        world.plan();
        world
    }

    fn plan(&mut self) {
        for number in 0..self.options.backups {
            self.at(number * HOUR, Event::Backup);
        }
        for host in 0..self.options.hosts {
            self.at(1, Event::Session(host));
            let mut when = self.rng.below(self.options.crash_every_s);
            while self.options.crash_every_s > 0 && when < self.options.faults_until_s {
                self.at(when, Event::Crash(host));
                let back = when + 1 + self.rng.below(600);
                self.at(back, Event::Restart(host));
                when = back + 1 + self.rng.below(2 * self.options.crash_every_s);
            }
        }
    }

    /// Plans an event at `seconds` after the start.
    fn at(&mut self, seconds: u64, event: Event) {
        let order = self.rng.draw();
        self.events.push(Reverse((START + seconds, order, event)));
    }

    fn after(&mut self, seconds: u64, event: Event) {
        self.at(self.now - START + seconds, event);
    }

    fn faulty(&self) -> bool {
        self.now - START < self.options.faults_until_s
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// [`Broken`], as soon as a checker finds a broken promise.
    pub fn run(mut self) -> Result<Report, Broken> {
        while let Some(Reverse((when, _, event))) = self.events.pop() {
            if when - START > self.options.end_s {
                break;
            }
            self.now = when;
            self.report.events += 1;
            let mark = when.wrapping_mul(31) ^ trace_of(event);
            self.report.trace = self.report.trace.rotate_left(5) ^ mark;
            self.step(event)?;
        }
        self.report.backups = self.backups.len();
        for (number, host) in self.hosts.iter().enumerate() {
            checkers::durable(number, host, self.cert.quota_bytes)?;
            self.report.receipts += host.receipts.len();
            if host.receipts.len() != self.backups.len() {
                return Err(Broken::NotConverged {
                    host: number,
                    receipts: host.receipts.len(),
                    backups: self.backups.len(),
                });
            }
        }
        Ok(self.report)
    }

    fn step(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Backup => {
                let backup = self.device.backup(&mut self.rng, self.now);
                self.backups.push(backup);
                for host in 0..self.options.hosts {
                    self.after(0, Event::Session(host));
                }
            }
            Event::Crash(host) => self.crash(host)?,
            Event::Restart(number) => {
                if let Some(host) = self.hosts.get_mut(number) {
                    host.up = true;
                }
            }
            Event::Session(host) => self.session(host),
            Event::Batch(host) => self.batch(host)?,
        }
        Ok(())
    }

    fn crash(&mut self, number: usize) -> Result<(), Broken> {
        self.report.crashes += 1;
        let Some(host) = self.hosts.get_mut(number) else {
            return Ok(());
        };
        host.crash();
        checkers::durable(number, host, self.cert.quota_bytes)
    }

    /// Opens a session and asks what the host lacks of the next backup.
    fn session(&mut self, number: usize) {
        let (Some(host), Some(link)) = (self.hosts.get(number), self.links.get_mut(number)) else {
            return;
        };
        let Some(backup) = self.backups.get(link.next) else {
            return;
        };
        if link.open {
            return;
        }
        if !host.up {
            self.fail(number, None);
            return;
        }
        match host.open(&self.cert, self.device.node, self.now) {
            Ok(()) => {
                link.open = true;
                link.queue = host.lacks(&backup.objects);
                link.queue.reverse();
                self.after(1, Event::Batch(number));
            }
            Err(refusal) => self.fail(number, Some(refusal)),
        }
    }

    /// The session is over; try again after a pause that grows.
    fn fail(&mut self, number: usize, refusal: Option<String>) {
        let Some(link) = self.links.get_mut(number) else {
            return;
        };
        link.open = false;
        link.queue.clear();
        let (first, most) = PAUSE_S;
        let full = first
            .checked_shl(link.attempt)
            .map_or(most, |s| s.clamp(first, most));
        link.attempt = link.attempt.saturating_add(1).min(16);
        self.report.broken_sessions += 1;
        if let Some(text) = refusal
            && self.report.refusals.len() < 16
        {
            self.report.refusals.push(text);
        }
        let pause = full / 2 + self.rng.below(full / 2 + 1);
        self.after(pause.max(1), Event::Session(number));
    }

    /// Sends a batch, or commits when all is sent.
    fn batch(&mut self, number: usize) -> Result<(), Broken> {
        let breaks = self.faulty() && self.rng.chance(1, self.options.link_breaks_one_in);
        let (Some(host), Some(link)) = (self.hosts.get_mut(number), self.links.get_mut(number))
        else {
            return Ok(());
        };
        if !link.open {
            return Ok(());
        }
        if breaks || !host.up {
            self.fail(number, None);
            return Ok(());
        }
        if link.queue.is_empty() {
            return self.commit(number);
        }
        let from = link.queue.len().saturating_sub(BATCH);
        let mut sent = 0;
        for id in link.queue.split_off(from).into_iter().rev() {
            let Some(object) = self.device.catalog.get(&id) else {
                continue;
            };
            sent += object.size;
            if let Err(refusal) = host.put(&self.cert, id, object, self.now) {
                self.fail(number, Some(refusal));
                return Ok(());
            }
        }
        self.after(1 + sent / self.options.rate.max(1), Event::Batch(number));
        Ok(())
    }

    fn commit(&mut self, number: usize) -> Result<(), Broken> {
        let (Some(host), Some(link)) = (self.hosts.get_mut(number), self.links.get_mut(number))
        else {
            return Ok(());
        };
        let Some(backup) = self.backups.get(link.next) else {
            return Ok(());
        };
        host.sync();
        match host.commit(&self.cert, backup, self.now) {
            Answer::Receipt => {
                checkers::durable(number, host, self.cert.quota_bytes)?;
                *link = Link {
                    next: link.next + 1,
                    ..Link::default()
                };
                self.after(0, Event::Session(number));
            }
            Answer::Missing(ids) => {
                link.queue = ids;
                self.after(1, Event::Batch(number));
            }
            Answer::Refused(refusal) => self.fail(number, Some(refusal)),
        }
        Ok(())
    }
}

fn trace_of(event: Event) -> u64 {
    let (kind, host) = match event {
        Event::Backup => (1, 0),
        Event::Crash(host) => (2, host),
        Event::Restart(host) => (3, host),
        Event::Session(host) => (4, host),
        Event::Batch(host) => (5, host),
    };
    kind * 1000 + u64::try_from(host).unwrap_or(u64::MAX)
}

fn certificate(device: &Device, recovery: NodeId) -> Cert {
    Cert {
        owner: device.owner,
        device: device.node,
        serial: 1,
        perms: perms::PUT | perms::DEDUP,
        not_before: START,
        expires: START + 3 * 365 * 86_400,
        quota_bytes: 1 << 40,
        new_bytes_per_day: 1 << 38,
        snaps_per_day: 48,
        group: 0,
        epoch: 0,
        sealed_label: Vec::new(),
        recovery,
    }
}
