//! How workers end.

use tokio::sync::mpsc;

use super::*;

#[tokio::test(start_paused = true)]
async fn one_of_the_same_name_takes_the_place_of_the_first() {
    let runner = runner();
    let (first, second) = (
        Puppet::new(|_, cx| Ok(Next::At(cx.now() + MINUTE))),
        Puppet::new(|_, cx| Ok(Next::At(cx.now() + MINUTE))),
    );
    let old = first.start(&runner, rules());
    sleep(SECOND).await;
    second.start(&runner, rules());
    sleep(HOUR).await;
    assert_eq!((first.steps(), second.steps()), (1, 60));
    // Whoever still holds the old one does not end the new one.
    old.end();
    sleep(MINUTE).await;
    assert_eq!((second.steps(), runner.workers().len()), (61, 1));
}

#[tokio::test(start_paused = true)]
async fn at_the_end_all_end_and_blocking_work_is_told() {
    struct Blocks(mpsc::UnboundedSender<&'static str>);
    impl Worker for Blocks {
        fn name(&self) -> String {
            "blocks".to_owned()
        }
        async fn step(&mut self, cx: &Context) -> Result<Next, WorkError> {
            let said = self.0.clone();
            cx.blocking(move |ending| {
                said.send("began").unwrap();
                while !ending.is_cancelled() {
                    std::thread::yield_now();
                }
                said.send("ended").unwrap();
                Ok::<_, WorkError>(Next::Again)
            })
            .await
        }
    }
    let (runner, (said, mut heard)) = (runner(), mpsc::unbounded_channel());
    runner.start(rules(), move || Blocks(said.clone()));
    let puppet = Puppet::new(|_, cx| Ok(Next::At(cx.now() + MINUTE)));
    puppet.start(&runner, rules());
    assert_eq!(heard.recv().await, Some("began"));
    runner.shutdown().await;
    assert_eq!(heard.recv().await, Some("ended"));
    let steps = puppet.steps();
    puppet.start(&runner, rules());
    sleep(HOUR).await;
    assert_eq!(puppet.steps(), steps);
    assert!(
        runner
            .workers()
            .iter()
            .all(|worker| worker.state == WorkState::Done)
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_blocking_work_is_an_error_of_that_kind() {
    struct Blocks;
    impl Worker for Blocks {
        fn name(&self) -> String {
            "blocks".to_owned()
        }
        async fn step(&mut self, cx: &Context) -> Result<Next, WorkError> {
            cx.blocking(|_| -> Result<Next, WorkError> { panic!("deep inside") })
                .await
        }
    }
    let runner = runner();
    runner.start(rules(), || Blocks);
    while only(&runner).last_error.is_none() {
        sleep(SECOND).await;
    }
    let error = only(&runner).last_error.unwrap();
    assert_eq!(error.kind, "panic");
    assert!(error.text.contains("deep inside"));
}
