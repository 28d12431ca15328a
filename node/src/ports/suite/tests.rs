//! The suites find the faults they are for, and pass what is in memory and of the system.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod faults;

use std::sync::Arc;

use futures::future::BoxFuture;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;

use super::*;
use crate::ports::memory::{Line, SeededDice, Tuning, VirtualClock, Wire};
use crate::ports::{Blocking, Env, SystemClock, SystemDice};
use faults::{Fault, Faulty, LoadedDice, WrongClock};

/// Nodes in memory, some of them broken.
struct Memory {
    wire: Wire,
    fault: Option<Fault>,
}

impl Memory {
    fn new(line: Line, fault: Option<Fault>) -> Self {
        let wire = Wire::new(line);
        Self { wire, fault }
    }
}

impl Lab for Memory {
    fn node(&self, n: u8, listens: bool) -> BoxFuture<'_, Arc<dyn Transport>> {
        let node = SigningKey::from_seed(&Secret32::new([n; 32])).node_id();
        let listen = listens.then(|| format!("/ip4/10.0.0.{n}/tcp/4117"));
        let env = Env {
            clock: Arc::new(VirtualClock::new(1_800_000_000)),
            dice: Arc::new(SeededDice::new(u64::from(n))),
            blocking: Blocking::Inline,
        };
        Box::pin(async move {
            let listen = listen.into_iter().collect();
            let tuning = Tuning {
                redial_first: Duration::from_millis(50),
                redial_max: Duration::from_millis(200),
                ..Tuning::default()
            };
            let sound = self.wire.station(node, listen, env, tuning);
            match self.fault {
                Some(fault) => Faulty::new(sound, fault) as Arc<dyn Transport>,
                None => sound,
            }
        })
    }
}

/// What does not hold.
async fn broken(lab: impl Fn() -> Memory) -> Vec<(&'static str, String)> {
    let mut broken = Vec::new();
    for check in TRANSPORT {
        if let Err(error) = (check.run)(&lab()).await {
            broken.push((check.name, format!("{error:#}")));
        }
    }
    broken
}

#[tokio::test(start_paused = true)]
async fn the_network_in_memory_passes() {
    let slow = Line {
        delay: Duration::from_millis(40),
        rate: Some(10_000_000),
        ..Line::default()
    };
    for line in [Line::default(), slow] {
        assert_eq!(broken(|| Memory::new(line, None)).await, []);
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_a_network_is_found() {
    for (fault, name) in faults::ALL {
        let found = broken(|| Memory::new(Line::default(), Some(*fault))).await;
        let is_found = found.iter().any(|(check, _)| check.contains(name));
        assert!(is_found, "{fault:?} is not found by {name:?}: {found:?}");
    }
}

#[tokio::test]
async fn the_clock_and_the_dice_of_the_system_pass() {
    clock(&SystemClock).await.unwrap();
    dice(&SystemDice).unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_clock_and_the_dice_in_memory_pass() {
    clock(&VirtualClock::new(7)).await.unwrap();
    dice(&SeededDice::new(7)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_a_clock_is_found() {
    for fault in WrongClock::ALL {
        let wrong = WrongClock::new(fault);
        assert!(clock(&wrong).await.is_err(), "{fault:?}");
    }
}

#[test]
fn each_fault_of_dice_is_found() {
    for fault in LoadedDice::ALL {
        let loaded = LoadedDice::new(fault);
        assert!(dice(&loaded).is_err(), "{fault:?}");
    }
}
