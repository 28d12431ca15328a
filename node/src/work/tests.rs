//! Workers under virtual time: everything here takes no time and comes out the same each time.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod ending;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use packnback_proto::wire::blame::{Fault, Retry};
use packnback_proto::wire::work::{Progress, WorkState, WorkerInfo};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::*;
use crate::ports::memory::VirtualClock;
use crate::ports::{Dice, Env, NoDice};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Throws the highest number, always.
struct Highest;

impl Dice for Highest {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoDice> {
        out.fill(u8::MAX);
        Ok(())
    }
}

fn runner() -> Runner {
    let env = Env {
        dice: Arc::new(Highest),
        ..Env::system()
    };
    Runner::new(env.with_clock(Arc::new(VirtualClock::new(1_000_000))))
}

fn rules() -> Rules {
    Rules::new(SECOND, MINUTE)
}

type Script = dyn Fn(u32, &Context) -> Result<Next, WorkError> + Send + Sync;

/// Does what it is told for its n-th step, and counts.
#[derive(Clone)]
struct Puppet {
    script: Arc<Script>,
    steps: Arc<AtomicU32>,
    times: Arc<Mutex<Vec<Duration>>>,
    born: Instant,
    takes: Duration,
    nudges: Option<Arc<Notify>>,
}

impl Puppet {
    fn new(
        script: impl Fn(u32, &Context) -> Result<Next, WorkError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            script: Arc::new(script),
            steps: Arc::default(),
            times: Arc::default(),
            born: Instant::now(),
            takes: Duration::ZERO,
            nudges: None,
        }
    }

    fn taking(self, takes: Duration) -> Self {
        Self { takes, ..self }
    }

    fn start(&self, runner: &Runner, rules: Rules) -> Handle {
        let puppet = self.clone();
        runner.start(rules, move || puppet.clone())
    }

    fn steps(&self) -> u32 {
        self.steps.load(Ordering::SeqCst)
    }

    /// When each step began, in seconds.
    fn seconds(&self) -> Vec<u64> {
        self.times.lock().iter().map(Duration::as_secs).collect()
    }
}

impl Worker for Puppet {
    fn name(&self) -> String {
        "puppet".to_owned()
    }

    async fn step(&mut self, cx: &Context) -> Result<Next, WorkError> {
        let n = self.steps.fetch_add(1, Ordering::SeqCst);
        self.times.lock().push(self.born.elapsed());
        sleep(self.takes).await;
        (self.script)(n, cx)
    }

    fn status(&self) -> Status {
        Status {
            queue: Some(7),
            progress: Some(Progress {
                done: 1,
                total: Some(2),
            }),
            note: "pulls strings".to_owned(),
        }
    }

    async fn nudge(&mut self) {
        match &self.nudges {
            Some(nudges) => nudges.notified().await,
            None => pending().await,
        }
    }
}

fn only(runner: &Runner) -> WorkerInfo {
    let mut workers = runner.workers();
    assert_eq!(workers.len(), 1);
    workers.remove(0)
}

fn failing(retry: Retry) -> Result<Next, WorkError> {
    Err(WorkError::new("test", "no")
        .retrying(retry)
        .blame(Fault::Line))
}

#[tokio::test(start_paused = true)]
async fn a_worker_runs_at_the_times_it_names_and_is_listed() {
    let runner = runner();
    let puppet = Puppet::new(|_, cx| Ok(Next::At(cx.now() + HOUR)));
    puppet.start(&runner, rules());
    sleep(HOUR * 2 + MINUTE).await;
    assert_eq!(puppet.seconds(), [0, 3600, 7200]);
    let info = only(&runner);
    assert_eq!(info.name, "puppet");
    assert_eq!((info.state, info.runs), (WorkState::Waiting, 3));
    assert_eq!(info.last_run, Some(1_007_200));
    assert_eq!(info.next_run, Some(1_010_800));
    assert_eq!((info.queue, info.note.as_str()), (Some(7), "pulls strings"));
    assert!(info.errors.is_empty() && info.last_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_nothing_due_takes_no_step_in_a_year() {
    let runner = runner();
    let puppet = Puppet::new(|_, _| Ok(Next::WhenWoken));
    let handle = puppet.start(&runner, rules());
    sleep(HOUR * 24 * 365).await;
    assert_eq!(puppet.steps(), 1);
    assert_eq!(only(&runner).state, WorkState::Idle);
    assert_eq!(only(&runner).next_run, None);
    handle.wake("test");
    sleep(SECOND).await;
    assert_eq!(puppet.steps(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wake_in_the_middle_of_a_step_counts() {
    let runner = runner();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let said = Arc::clone(&heard);
    let puppet = Puppet::new(move |_, cx| {
        said.lock()
            .push((cx.is_woken_by("news"), cx.is_woken_by("other")));
        Ok(Next::WhenWoken)
    });
    let puppet = puppet.taking(MINUTE);
    let handle = puppet.start(&runner, rules());
    sleep(SECOND).await;
    for _ in 0..100 {
        handle.wake("news");
    }
    sleep(HOUR).await;
    // Once more, however often; and not again.
    assert_eq!(puppet.seconds(), [0, 60]);
    assert_eq!(*heard.lock(), [(false, false), (true, false)]);
}

#[tokio::test(start_paused = true)]
async fn a_bell_wakes_all_who_hear_it_and_forgets_who_ended() {
    let (runner, bell) = (runner(), Bell::new("bell"));
    let make = |name: &'static str| {
        struct Named(&'static str, Arc<AtomicU32>);
        impl Worker for Named {
            fn name(&self) -> String {
                self.0.to_owned()
            }
            async fn step(&mut self, cx: &Context) -> Result<Next, WorkError> {
                if cx.is_woken_by("bell") {
                    self.1.fetch_add(1, Ordering::SeqCst);
                }
                Ok(Next::WhenWoken)
            }
        }
        let count = Arc::new(AtomicU32::new(0));
        let shared = Arc::clone(&count);
        let handle = runner.start(rules().woken_by(&bell), move || {
            Named(name, Arc::clone(&shared))
        });
        (handle, count)
    };
    let ((first, heard_first), (_second, heard_second)) = (make("first"), make("second"));
    sleep(SECOND).await;
    bell.ring();
    sleep(SECOND).await;
    first.end();
    bell.ring();
    sleep(SECOND).await;
    assert_eq!(heard_first.load(Ordering::SeqCst), 1);
    assert_eq!(heard_second.load(Ordering::SeqCst), 2);
    assert_eq!(runner.workers().len(), 1);
    assert!(runner.wake("second", "by name") && !runner.wake("first", "by name"));
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_and_begin_anew_after_success() {
    let runner = runner();
    let puppet = Puppet::new(|n, cx| match n {
        0..=7 | 9 => failing(Retry::BackOff),
        8 => Ok(Next::At(cx.now() + HOUR)),
        _ => Ok(Next::Done),
    });
    puppet.start(&runner, rules());
    sleep(HOUR * 3).await;
    let began = [0, 1, 3, 7, 15, 31, 63, 123, 183, 3783, 3784];
    assert_eq!(puppet.seconds(), began);
    let info = only(&runner);
    assert_eq!(info.state, WorkState::Done);
    assert_eq!(
        (info.errors[0].kind.as_str(), info.errors[0].count),
        ("test", 9)
    );
    let last = info.last_error.unwrap();
    assert_eq!(
        (last.at, last.fault, last.retry),
        (1_003_783, Fault::Line, Retry::BackOff)
    );
}

#[tokio::test(start_paused = true)]
async fn who_needs_a_person_does_not_knock() {
    let (patient, slow, fast) = (runner(), runner(), runner());
    let start = |runner: &Runner, retry| {
        let puppet = Puppet::new(move |_, _| failing(retry));
        let handle = puppet.start(runner, rules().look_again(HOUR * 6));
        (puppet, handle)
    };
    let (when_woken, handle) = start(&patient, Retry::WhenWoken);
    let (slowly, _) = start(&slow, Retry::Slowly);
    let (back_off, _) = start(&fast, Retry::BackOff);
    sleep(HOUR * 24 - SECOND).await;
    assert_eq!(when_woken.seconds(), [0, 21_600, 43_200, 64_800]);
    assert!((100..=140).contains(&slowly.steps()), "{}", slowly.steps());
    assert!(back_off.steps() > 1400);
    assert_eq!(only(&patient).state, WorkState::Failed);
    // What it waits for comes; a flood of reasons is one try.
    for _ in 0..50 {
        handle.wake("certificate");
    }
    sleep(SECOND / 2).await;
    assert_eq!(when_woken.steps(), 4);
    sleep(SECOND).await;
    assert_eq!(when_woken.steps(), 5);
}

#[tokio::test(start_paused = true)]
async fn who_never_tries_again_is_listed_as_failed() {
    let runner = runner();
    let puppet = Puppet::new(|_, _| failing(Retry::Never));
    let handle = puppet.start(&runner, rules());
    sleep(HOUR).await;
    handle.wake("test");
    sleep(HOUR).await;
    assert_eq!(puppet.steps(), 1);
    assert_eq!(only(&runner).state, WorkState::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_caught_counted_and_the_worker_made_anew() {
    let runner = runner();
    let puppet = Puppet::new(|n, _| match n {
        0..=2 => panic!("out of order"),
        _ => Ok(Next::WhenWoken),
    });
    let made = Arc::new(AtomicU32::new(0));
    let (shared, count) = (puppet.clone(), Arc::clone(&made));
    runner.start(rules(), move || {
        count.fetch_add(1, Ordering::SeqCst);
        shared.clone()
    });
    sleep(HOUR).await;
    assert_eq!(puppet.seconds(), [0, 1, 3, 7]);
    assert_eq!(made.load(Ordering::SeqCst), 4);
    let info = only(&runner);
    assert_eq!(info.state, WorkState::Idle);
    assert_eq!(
        (info.errors[0].kind.as_str(), info.errors[0].count),
        ("panic", 3)
    );
    assert!(info.last_error.unwrap().text.contains("out of order"));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_does_not_end_is_dropped_and_the_worker_made_anew() {
    let runner = runner();
    let puppet = Puppet::new(|_, _| Ok(Next::WhenWoken)).taking(HOUR);
    puppet.start(&runner, rules().bound(MINUTE, OnStall::Restart));
    sleep(MINUTE * 3).await;
    assert_eq!(puppet.seconds(), [0, 61, 123]);
    let info = only(&runner);
    assert_eq!(
        (info.errors[0].kind.as_str(), info.errors[0].count),
        ("stalled", 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_that_blocks_a_thread_is_reported_and_left_alone() {
    let runner = runner();
    let puppet = Puppet::new(|_, _| Ok(Next::WhenWoken)).taking(HOUR);
    puppet.start(&runner, rules().bound(MINUTE, OnStall::Report));
    sleep(MINUTE * 30).await;
    let info = only(&runner);
    assert_eq!((info.state, puppet.steps()), (WorkState::Stalled, 1));
    assert_eq!(info.errors[0].count, 1);
    sleep(HOUR).await;
    assert_eq!((only(&runner).state, puppet.steps()), (WorkState::Idle, 1));
}

#[tokio::test(start_paused = true)]
async fn a_long_step_that_shows_signs_of_life_is_let_be() {
    struct Slow;
    impl Worker for Slow {
        fn name(&self) -> String {
            "slow".to_owned()
        }
        async fn step(&mut self, cx: &Context) -> Result<Next, WorkError> {
            for _ in 0..100 {
                sleep(MINUTE / 2).await;
                cx.alive();
            }
            Ok(Next::Done)
        }
    }
    let runner = runner();
    runner.start(rules().bound(MINUTE, OnStall::Restart), || Slow);
    sleep(HOUR).await;
    let info = only(&runner);
    assert_eq!(
        (info.state, info.runs, info.errors.len()),
        (WorkState::Done, 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_worker_takes_no_more_than_its_share() {
    let runner = runner();
    let puppet = Puppet::new(|_, _| Ok(Next::Again)).taking(SECOND);
    let handle = puppet.start(&runner, rules().share(5));
    for _ in 0..1000 {
        sleep(SECOND).await;
        handle.wake("impatience");
    }
    assert_eq!(puppet.steps(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_worker_moves_no_more_bytes_than_its_rate() {
    let runner = runner();
    let puppet = Puppet::new(|_, cx| {
        cx.spent(4_000);
        Ok(Next::Again)
    });
    puppet.start(&runner, rules().rate(1_000));
    sleep(SECOND * 999).await;
    assert_eq!(puppet.steps(), 250);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_wants_ever_another_step_and_does_nothing_is_slowed_down() {
    let runner = runner();
    let puppet = Puppet::new(|_, _| Ok(Next::Again));
    puppet.start(&runner, rules());
    sleep(SECOND * 100 - SECOND / 2).await;
    assert_eq!(puppet.steps(), plan::IN_A_ROW * 100);
    let info = only(&runner);
    assert_eq!(info.errors[0].kind, "spinning");
    // One that names a moment that is over as well.
    let runner = self::runner();
    let puppet = Puppet::new(|_, cx| Ok(Next::At(cx.now())));
    puppet.start(&runner, rules());
    sleep(SECOND * 100 - SECOND / 2).await;
    assert_eq!(puppet.steps(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_worker_may_have_reasons_of_its_own() {
    let runner = runner();
    let nudges = Arc::new(Notify::new());
    let mut puppet = Puppet::new(|_, _| failing(Retry::BackOff));
    puppet.nudges = Some(Arc::clone(&nudges));
    puppet.start(&runner, Rules::new(HOUR, HOUR * 8));
    sleep(HOUR * 4).await;
    assert_eq!(puppet.seconds(), [0, 3600, 10_800]);
    // At once, and then the pauses begin anew.
    nudges.notify_one();
    sleep(HOUR * 2).await;
    assert_eq!(puppet.seconds(), [0, 3600, 10_800, 14_400, 18_000]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_it_waits_is_caught_as_well() {
    struct Nervous(Arc<AtomicU32>);
    impl Worker for Nervous {
        fn name(&self) -> String {
            "nervous".to_owned()
        }
        async fn step(&mut self, _: &Context) -> Result<Next, WorkError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(Next::WhenWoken)
        }
        async fn nudge(&mut self) {
            sleep(SECOND).await;
            panic!("lost its nerve");
        }
    }
    let (runner, steps) = (runner(), Arc::new(AtomicU32::new(0)));
    let shared = Arc::clone(&steps);
    runner.start(rules(), move || Nervous(Arc::clone(&shared)));
    sleep(SECOND * 10).await;
    assert_eq!(only(&runner).last_error.unwrap().kind, "panic");
    let count = steps.load(Ordering::SeqCst);
    assert!((3..=4).contains(&count), "{count}");
}
