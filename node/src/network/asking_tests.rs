//! Over a line with a round trip of 50 ms and no limit to its rate, under virtual time: what passes is idle round
//! trips and nothing else, so they can be counted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::time::Duration;

use packnback_proto::crypto::hash::object_id;
use packnback_proto::ids::ObjectId;
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::ids::decode_ids;
use packnback_proto::wire::store::{StoreReply, StoreRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::asking::Asking;
use crate::frames::{read_frame, write_frame};
use crate::ports::{Counted, Failure};

const ROUND_TRIP: Duration = Duration::from_millis(50);
/// One idle round trip for each of these was what reading cost: as many as a restore asked for at a time.
const PER_QUESTION: usize = 4;

fn object(n: u32) -> Vec<u8> {
    n.to_le_bytes().repeat(16 << 10)
}

fn id(n: u32) -> ObjectId {
    object_id(&object(n))
}

/// Holds back what goes from one end to the other for half a round trip.
async fn one_way(mut input: ReadHalf<DuplexStream>, mut output: WriteHalf<DuplexStream>) {
    let (sender, mut on_its_way) = mpsc::unbounded_channel();
    let take = async move {
        let mut piece = vec![0; 64 << 10];
        while let Ok(len @ 1..) = input.read(&mut piece).await {
            let arrives = Instant::now() + ROUND_TRIP / 2;
            sender.send((arrives, piece[..len].to_vec())).unwrap();
        }
    };
    let give = async move {
        while let Some((arrives, bytes)) = on_its_way.recv().await {
            tokio::time::sleep_until(arrives).await;
            if output.write_all(&bytes).await.is_err() {
                break;
            }
        }
        // ignored: the other end may be gone
        let _ = output.shutdown().await;
    };
    tokio::join!(take, give);
}

fn carry(near: DuplexStream, far: DuplexStream) {
    let (near_in, near_out) = tokio::io::split(near);
    let (far_in, far_out) = tokio::io::split(far);
    tokio::spawn(one_way(near_in, far_out));
    tokio::spawn(one_way(far_in, near_out));
}

/// A host at the far end that answers one question after the other, as hosts do. It refuses what asks for `refuses`, and
/// goes after so many questions.
async fn host(mut stream: DuplexStream, refuses: Option<u32>, questions: usize) {
    let known: std::collections::HashMap<ObjectId, u32> = (0..200).map(|n| (id(n), n)).collect();
    for _ in 0..questions {
        let Ok((request, body)) = read_frame::<StoreRequest, _>(&mut stream).await else {
            return;
        };
        let StoreRequest::Get = request else {
            panic!("{request:?}")
        };
        let ids = decode_ids(&body, 256).unwrap();
        if ids.iter().any(|asked| refuses.map(id) == Some(*asked)) {
            let refused = StoreReply::Refused {
                code: ErrorCode::Denied,
                message: "no".into(),
                id: None,
            };
            write_frame(&mut stream, &refused, &[]).await.unwrap();
            continue;
        }
        for id in ids {
            let reply = StoreReply::Object { id, found: true };
            write_frame(&mut stream, &reply, &object(known[&id]))
                .await
                .unwrap();
        }
    }
}

fn far(refuses: Option<u32>, questions: usize) -> Asking<Counted<DuplexStream>> {
    let (ours, near) = tokio::io::duplex(64 << 10);
    let (far, theirs) = tokio::io::duplex(64 << 10);
    carry(near, far);
    tokio::spawn(host(theirs, refuses, questions));
    let (stream, progress) = Counted::new(ours);
    Asking::new(stream, progress)
}

/// Fetches some objects from number `first` on, and gives what came.
async fn fetch(
    asking: &Asking<Counted<DuplexStream>>,
    first: u32,
    count: usize,
) -> (Vec<ObjectId>, Result<(), Failure>) {
    let ids: Vec<ObjectId> = (first..).take(count).map(id).collect();
    let (out, mut objects) = mpsc::channel::<(ObjectId, Option<Vec<u8>>)>(2);
    let take = async move {
        let mut got = Vec::new();
        while let Some((id, object)) = objects.recv().await {
            assert_eq!(object_id(&object.unwrap()), id);
            got.push(id);
        }
        got
    };
    let (done, got) = tokio::join!(asking.objects(&ids, out), take);
    (got, done)
}

/// Idle round trips of 128 objects in questions of four, so many under way at once.
async fn idle_round_trips(under_way: usize) -> u128 {
    let asking = far(None, usize::MAX);
    let began = Instant::now();
    let questions = (0..128u32).step_by(PER_QUESTION);
    let fetches = questions.map(|first| fetch(&asking, first, PER_QUESTION));
    let fetched = futures::StreamExt::buffered(futures::stream::iter(fetches), under_way);
    let fetched: Vec<_> = futures::StreamExt::collect(fetched).await;
    let got: Vec<ObjectId> = fetched
        .into_iter()
        .flat_map(|(got, done)| {
            done.unwrap();
            got
        })
        .collect();
    assert_eq!(got, (0..128).map(id).collect::<Vec<_>>());
    // The timers of tokio are a millisecond wide.
    (began.elapsed() + Duration::from_millis(5)).as_millis() / ROUND_TRIP.as_millis()
}

#[tokio::test(start_paused = true)]
async fn a_long_line_is_idle_only_as_long_as_nothing_is_asked() {
    // 8 MiB in 32 questions: as it was, one round trip for each.
    assert_eq!(idle_round_trips(1).await, 32);
    // With eight of them under way one in eight is left, with all of them the first.
    assert_eq!(idle_round_trips(8).await, 4);
    assert_eq!(idle_round_trips(32).await, 1);
}

#[tokio::test(start_paused = true)]
async fn one_long_question_is_asked_ahead() {
    let asking = far(None, usize::MAX);
    let began = Instant::now();
    let (got, done) = fetch(&asking, 0, 200).await;
    done.unwrap();
    assert_eq!(got, (0..200).map(id).collect::<Vec<_>>());
    assert!(began.elapsed() < ROUND_TRIP * 3, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_of_its_question_only() {
    let asking = far(Some(41), usize::MAX);
    // The second of three batches of 32 is refused: what comes behind it is thrown away.
    let (before, refused, behind) = tokio::join!(
        fetch(&asking, 100, 4),
        fetch(&asking, 0, 96),
        fetch(&asking, 150, 4)
    );
    assert_eq!(before.1, Ok(()));
    assert_eq!(refused.1.unwrap_err().code, ErrorCode::Denied);
    assert_eq!(refused.0, (0..32).map(id).collect::<Vec<_>>());
    assert_eq!((behind.0, behind.1), ((150..154).map(id).collect(), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn everybody_who_asks_hears_that_the_host_has_gone() {
    let asking = far(None, 2);
    let (first, second, third) = tokio::join!(
        fetch(&asking, 0, 4),
        fetch(&asking, 10, 4),
        fetch(&asking, 20, 4)
    );
    assert_eq!((first.1, second.1), (Ok(()), Ok(())));
    assert_eq!(third.1.unwrap_err().code, ErrorCode::Unreachable);
    let (_, later) = fetch(&asking, 30, 4).await;
    assert_eq!(later.unwrap_err().code, ErrorCode::Unreachable);
}
