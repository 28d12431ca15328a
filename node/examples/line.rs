//! A line with a long round trip: forwards TCP, and holds back what goes through it for some time in each direction,
//! without limiting its rate.
//!
//! `cargo run --release -p packnback-node --example line -- LISTEN TARGET [MS]`: `MS` milliseconds each way, 25 if not
//! said. What is on its way is bounded (`IN_FLIGHT` per direction of a connection): beyond that it takes nothing more,
//! as a line with a rate would. It counts what went through and how often a direction fell silent for more than half
//! of the delay, and says so when a connection ends.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

/// Bytes of one direction on their way.
const IN_FLIGHT: usize = 64 << 20;
/// Bytes taken at once.
const PIECE: usize = 64 << 10;

/// What went through one direction.
#[derive(Default)]
struct Told {
    bytes: u64,
    /// Times it was silent for more than half the delay, and then went on.
    idle: u32,
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    delay: Duration,
) -> Told {
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let take = async move {
        let (mut told, mut last) = (Told::default(), Instant::now());
        let mut piece = vec![0; PIECE];
        while let Ok(len @ 1..) = from.read(&mut piece).await {
            let now = Instant::now();
            if told.bytes > 0 && now - last > delay / 2 {
                told.idle += 1;
            }
            told.bytes += len as u64;
            let count = u32::try_from(len).expect("a piece");
            let room = Arc::clone(&room).acquire_many_owned(count).await;
            let bytes = piece.get(..len).expect("read").to_vec();
            if sender
                .send((now + delay, bytes, room.expect("open")))
                .is_err()
            {
                break;
            }
            last = Instant::now();
        }
        told
    };
    let give = async move {
        while let Some((at, bytes, _room)) = receiver.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
        // ignored: the other side may be gone
        let _ = to.shutdown().await;
    };
    tokio::join!(take, give).0
}

async fn connection(near: TcpStream, target: String, delay: Duration) -> io::Result<()> {
    let far = TcpStream::connect(target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let (there, back) = tokio::join!(
        carry(near_in, far_out, delay),
        carry(far_in, near_out, delay)
    );
    println!(
        "there {} bytes, idle {} times; back {} bytes, idle {} times",
        there.bytes, there.idle, back.bytes, back.idle
    );
    Ok(())
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [listen, target, rest @ ..] = args.as_slice() else {
        eprintln!("line LISTEN TARGET [MS]");
        std::process::exit(2);
    };
    let ms = rest
        .first()
        .map_or(25, |ms| ms.parse().expect("milliseconds"));
    let delay = Duration::from_millis(ms);
    let listener = TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (near, _) = listener.accept().await?;
        let target = target.clone();
        tokio::spawn(async move {
            if let Err(error) = connection(near, target, delay).await {
                println!("connection ended: {error}");
            }
        });
    }
}
