//! What is to happen when: work, faults and their ends, all from one seed.

use crate::net::Machine;
use crate::rng::Rng;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The shape of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Hosts: the first machines.
    pub hosts: usize,
    /// Devices: the machines behind them.
    pub devices: usize,
    /// Days with faults.
    pub trouble_d: u64,
    /// Days after them, in which everything has to be put right.
    pub calm_d: u64,
    /// Hours between two backups of a device, about.
    pub backup_every_h: u64,
}

impl Shape {
    /// Machines, without the blank one that restores at the end.
    #[must_use]
    pub const fn machines(&self) -> usize {
        self.hosts + self.devices
    }

    /// Seconds with faults.
    #[must_use]
    pub const fn trouble_s(&self) -> u64 {
        self.trouble_d * DAY
    }

    /// Seconds altogether.
    #[must_use]
    pub const fn end_s(&self) -> u64 {
        (self.trouble_d + self.calm_d) * DAY
    }

    /// From here on nobody does anything any more: nodes idle.
    #[must_use]
    pub const fn quiet_s(&self) -> u64 {
        self.end_s() - DAY
    }
}

/// Something to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A device changes and backs up.
    BackUp(Machine),
    /// The owner deletes an old snapshot; `takes_back`: and changes its mind an hour later.
    Delete {
        /// See there.
        takes_back: bool,
    },
    /// The owner takes back the newest deletion.
    TakeBack,
    /// The owner gives a policy.
    Policy,
    /// The administrator of a host limits the owner to what is there, or takes the limit off.
    Quota(Machine, bool),
    /// The administrator announces the end of hosting, or takes it back.
    Evict(Machine, bool),
    /// The process of a node is killed.
    Kill(Machine),
    /// The power goes at the so-manyth write from now on.
    Fuse {
        /// Where.
        machine: Machine,
        /// After how many writes.
        writes: u64,
        /// Whether that write is there afterwards, or half of it.
        tears: bool,
    },
    /// The power is off.
    PowerOff {
        /// Where.
        machine: Machine,
        /// The disk had said "written" too early: objects are there, what was noted before them is not.
        is_hasty: bool,
    },
    /// The machine starts, and its node.
    PowerOn(Machine),
    /// The node starts.
    Start(Machine),
    /// All connections between two machines break.
    Reset(Machine, Machine),
    /// Nothing arrives one way, or it does again.
    Block(Machine, Machine, bool),
    /// A disk is full, or is not any more.
    Full(Machine, bool),
    /// The so-manyth call to a disk fails.
    Fail(Machine, u64),
    /// Every piece of work takes so many milliseconds.
    Slow(Machine, u64),
    /// A clock is set so many seconds ahead of the right time.
    Clock(Machine, i64),
    /// A host loses its disk.
    LoseDisk(Machine),
    /// The owner takes a host off the list: nobody but the devices brings it anything.
    Unlist(Machine),
    /// Its friends are invited again.
    Befriend(Machine),
    /// Promises are checked.
    Check,
}

/// The plan of a run: seconds from the start, and what is done then.
#[must_use]
pub fn plan(shape: Shape, seed: u64) -> Vec<(u64, Act)> {
    let mut planner = Planner {
        rng: Rng::new(seed ^ 0x00b1_a5ed),
        shape,
        acts: Vec::new(),
    };
    planner.work();
    planner.machines();
    planner.lines();
    planner.disks();
    planner.clocks();
    for day in 1..=shape.trouble_d + shape.calm_d {
        planner.acts.push((day * DAY - 1, Act::Check));
    }
    let end = shape.end_s();
    planner.acts.retain(|(at, _)| *at < end);
    // Stable: what is planned for the same second stays in order.
    planner.acts.sort_by_key(|(at, _)| *at);
    planner.acts
}

struct Planner {
    rng: Rng,
    shape: Shape,
    acts: Vec<(u64, Act)>,
}

impl Planner {
    fn at(&mut self, at: u64, act: Act) {
        self.acts.push((at, act));
    }

    /// Moments with about so many seconds between them, until the trouble is over.
    fn moments(&mut self, every: u64) -> Vec<u64> {
        let (mut at, mut all) = (HOUR, Vec::new());
        loop {
            at += 1 + every / 2 + self.rng.below(every);
            if at >= self.shape.trouble_s() {
                return all;
            }
            all.push(at);
        }
    }

    /// A pause from minutes to hours; over before the trouble is.
    fn until(&mut self, from: u64, most: u64) -> u64 {
        let longest = if self.rng.chance(1, 4) {
            most
        } else {
            most / 8
        };
        let end = from + MINUTE + self.rng.below(longest);
        end.min(self.shape.trouble_s())
    }

    fn host(&mut self) -> Machine {
        usize::try_from(self.rng.below(self.shape.hosts as u64)).unwrap_or(0)
    }

    /// What people do, in the calm days too.
    fn work(&mut self) {
        let every = self.shape.backup_every_h * HOUR;
        for device in self.shape.hosts..self.shape.machines() {
            let mut at = MINUTE;
            while at < self.shape.quiet_s() - DAY {
                self.at(at, Act::BackUp(device));
                if at < self.shape.trouble_s() && self.rng.chance(1, 6) {
                    self.amid(device, at);
                }
                at += every / 2 + self.rng.below(every);
            }
        }
        self.at(2 * DAY, Act::Policy);
        for (n, at) in self.moments(2 * DAY).into_iter().enumerate() {
            let takes_back = n % 2 == 1;
            self.at(at, Act::Delete { takes_back });
            if takes_back {
                self.at(at + HOUR, Act::TakeBack);
            }
        }
        for at in self.moments(7 * DAY) {
            let host = self.host();
            self.at(at, Act::Quota(host, true));
            let end = self.until(at, DAY);
            self.at(end, Act::Quota(host, false));
        }
        for at in self.moments(9 * DAY) {
            let host = self.host();
            self.at(at, Act::Evict(host, true));
            let end = self.until(at, 2 * DAY);
            self.at(end, Act::Evict(host, false));
        }
        // Clocks that jumped are believed again from a newer policy on.
        self.at(self.shape.trouble_s() + HOUR, Act::Policy);
    }

    /// The power goes in the middle of a backup, or while it is taken to a host.
    fn amid(&mut self, device: Machine, at: u64) {
        let machine = match self.rng.chance(1, 2) {
            true => device,
            false => self.host(),
        };
        let (writes, tears) = (self.rng.below(14), self.rng.chance(1, 2));
        self.at(
            at - 1,
            Act::Fuse {
                machine,
                writes,
                tears,
            },
        );
        let off = at + 3 * MINUTE;
        let is_hasty = self.rng.chance(1, 2);
        self.at(off, Act::PowerOff { machine, is_hasty });
        let on = self.until(off, 6 * HOUR);
        self.at(on, Act::PowerOn(machine));
    }

    fn machines(&mut self) {
        for machine in 0..self.shape.machines() {
            for at in self.moments(3 * DAY) {
                self.at(at, Act::Kill(machine));
                let back = self.until(at, 4 * HOUR);
                self.at(back, Act::Start(machine));
            }
            for at in self.moments(3 * DAY) {
                let writes = self.rng.below(60);
                let tears = self.rng.chance(1, 2);
                self.at(
                    at,
                    Act::Fuse {
                        machine,
                        writes,
                        tears,
                    },
                );
                let off = self.until(at, 8 * HOUR);
                let is_hasty = self.rng.chance(1, 2);
                self.at(off, Act::PowerOff { machine, is_hasty });
                let on = self.until(off, 6 * HOUR);
                self.at(on, Act::PowerOn(machine));
            }
        }
        let lost = self.shape.trouble_s() / 2 + self.rng.below(self.shape.trouble_s() / 4);
        let host = self.host();
        self.at(lost, Act::LoseDisk(host));
        self.at(lost + 2 * HOUR, Act::Befriend(host));
        // Whatever became of it since.
        let calm = self.shape.trouble_s();
        self.at(calm + MINUTE, Act::Befriend(host));
        // Once more when all is calm, a host that gets everything from the devices or not at all.
        let host = self.host();
        self.at(calm + 2 * HOUR, Act::Unlist(host));
        self.at(calm + 3 * HOUR, Act::LoseDisk(host));
        self.at(calm + 4 * HOUR, Act::Befriend(host));
    }

    fn lines(&mut self) {
        let machines = self.shape.machines();
        for one in 0..machines {
            for other in (0..machines).filter(|other| *other > one) {
                for at in self.moments(DAY) {
                    self.at(at, Act::Reset(one, other));
                }
                for at in self.moments(3 * DAY) {
                    let end = self.until(at, 10 * HOUR);
                    let (from, to) = if self.rng.chance(1, 2) {
                        (one, other)
                    } else {
                        (other, one)
                    };
                    self.at(at, Act::Block(from, to, true));
                    self.at(end, Act::Block(from, to, false));
                    if self.rng.chance(1, 2) {
                        self.at(at, Act::Block(to, from, true));
                        self.at(end, Act::Block(to, from, false));
                    }
                }
            }
        }
        for from in 0..machines {
            for to in 0..machines {
                self.at(self.shape.trouble_s(), Act::Block(from, to, false));
            }
        }
    }

    fn disks(&mut self) {
        for machine in 0..self.shape.machines() {
            for at in self.moments(8 * DAY) {
                self.at(at, Act::Full(machine, true));
                let end = self.until(at, 12 * HOUR);
                self.at(end, Act::Full(machine, false));
            }
            for at in self.moments(2 * DAY) {
                let calls = self.rng.below(2000);
                self.at(at, Act::Fail(machine, calls));
            }
            for at in self.moments(5 * DAY) {
                let ms = 1 + self.rng.below(3000);
                self.at(at, Act::Slow(machine, ms));
                let end = self.until(at, 12 * HOUR);
                self.at(end, Act::Slow(machine, 0));
            }
            let over = self.shape.trouble_s();
            self.at(over, Act::Full(machine, false));
            self.at(over, Act::Slow(machine, 0));
            self.at(over + 1, Act::PowerOn(machine));
        }
    }

    /// Every clock is a little wrong; some jump by a few hours, and now and then one by days and back.
    fn clocks(&mut self) {
        for machine in 0..self.shape.machines() {
            let skew = self.seconds(4 * HOUR);
            self.at(0, Act::Clock(machine, skew));
            for at in self.moments(6 * DAY) {
                let jump = self.seconds(8 * HOUR);
                self.at(at, Act::Clock(machine, jump));
                if self.rng.chance(1, 3) {
                    let days = self.seconds(3 * DAY);
                    self.at(at, Act::Clock(machine, days));
                    let back = self.until(at, 6 * HOUR);
                    self.at(back, Act::Clock(machine, jump));
                }
            }
            let small = self.seconds(20);
            self.at(self.shape.trouble_s(), Act::Clock(machine, small));
        }
    }

    fn seconds(&mut self, most: u64) -> i64 {
        let any = i64::try_from(self.rng.below(2 * most)).unwrap_or(0);
        any - i64::try_from(most).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_in_order_and_everything_that_begins_ends() {
        let shape = Shape {
            hosts: 3,
            devices: 2,
            trouble_d: 25,
            calm_d: 5,
            backup_every_h: 12,
        };
        let acts = plan(shape, 5);
        assert_eq!(acts, plan(shape, 5));
        assert_ne!(acts, plan(shape, 6));
        assert!(acts.is_sorted_by_key(|(at, _)| *at));
        for machine in 0..shape.machines() {
            let last = |fits: fn(&Act, Machine) -> Option<bool>| {
                acts.iter()
                    .filter_map(|(_, act)| fits(act, machine))
                    .next_back()
            };
            assert_eq!(
                last(|act, m| match act {
                    Act::PowerOff { machine: n, .. } | Act::Kill(n) if *n == m => Some(false),
                    Act::PowerOn(n) if *n == m => Some(true),
                    _ => None,
                }),
                Some(true)
            );
            assert_eq!(
                last(|act, m| match act {
                    Act::Full(n, full) if *n == m => Some(*full),
                    _ => None,
                }),
                Some(false)
            );
        }
        let faults = acts
            .iter()
            .filter(|(_, act)| !matches!(act, Act::BackUp(_) | Act::Check));
        assert!(faults.count() > 200);
    }
}
