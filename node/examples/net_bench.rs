//! Measures bulk streams between two nodes of one process over loopback, TCP against QUIC.
//!
//! ```text
//! cargo run --release -p packnback-node --example net_bench [MIB]
//! ```
//! One stream one way, one stream both ways at once, four streams one way. Both ends share the
//! machine, so a second machine can only be faster.

use std::time::Instant;

use anyhow::Context as _;
use packnback_node::net::{
    Carrier, Incoming, Multiaddr, NetConfig, NetHandle, OutboundStream, Protocol, keypair_from_seed,
};
use packnback_proto::wire::Role;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const BLOCK: usize = 256 << 10;

async fn node(seed: u8, listen: Vec<Multiaddr>) -> anyhow::Result<(NetHandle, Incoming)> {
    let config = NetConfig::new(keypair_from_seed([seed; 32])?, listen);
    let (handle, incoming, _) = NetHandle::start(config).await?;
    Ok((handle, incoming))
}

/// Reads everything; if the first byte says so, sends as much back at the same time.
async fn serve(mut incoming: Incoming, bytes: u64) {
    while let Some(arrived) = incoming.recv().await {
        tokio::spawn(async move {
            let (mut read, write) = tokio::io::split(arrived.stream);
            let both_ways = read.read_u8().await.unwrap_or(0) == 1;
            let sender = async {
                if both_ways {
                    send(write, bytes).await
                } else {
                    finish(write).await
                }
            };
            // An error ends the stream, which the other side reports.
            let _ = tokio::join!(receive(read), sender);
        });
    }
}

async fn finish<W: tokio::io::AsyncWrite + Unpin>(mut write: W) -> std::io::Result<()> {
    write.shutdown().await
}

async fn send<W: tokio::io::AsyncWrite + Unpin>(mut write: W, bytes: u64) -> std::io::Result<()> {
    let block = vec![0x5a; BLOCK];
    let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
    while left > 0 {
        let part = block.get(..left.min(BLOCK)).unwrap_or(&block);
        write.write_all(part).await?;
        left -= part.len();
    }
    write.shutdown().await
}

async fn receive<R: tokio::io::AsyncRead + Unpin>(mut read: R) -> std::io::Result<u64> {
    let mut buffer = vec![0; BLOCK];
    let mut total = 0;
    loop {
        match read.read(&mut buffer).await? {
            0 => return Ok(total),
            n => total += u64::try_from(n).unwrap_or(0),
        }
    }
}

async fn one(opened: OutboundStream, bytes: u64, both_ways: bool) -> anyhow::Result<()> {
    let (read, mut write) = tokio::io::split(opened.stream);
    write.write_u8(u8::from(both_ways)).await?;
    let (received, sent) = tokio::join!(receive(read), send(write, bytes));
    sent.context("sending")?;
    let expected = if both_ways { bytes } else { 0 };
    anyhow::ensure!(
        received.context("receiving")? == expected,
        "bytes were lost"
    );
    Ok(())
}

async fn measure(listen: &str, bytes: u64, streams: u64, both_ways: bool) -> anyhow::Result<f64> {
    let (client, _client_incoming) = node(1, Vec::new()).await?;
    let (server, incoming) = node(2, vec![listen.parse()?]).await?;
    client.admit(server.node(), Role::Friend, None)?;
    server.admit(client.node(), Role::Friend, None)?;
    let each = bytes / streams;
    let serving = tokio::spawn(serve(incoming, each));
    let addrs = server.listen_addrs();
    let mut opened = Vec::new();
    for _ in 0..streams {
        opened.push(client.open(server.node(), &addrs, Protocol::Store).await?);
    }
    let start = Instant::now();
    let runs = opened
        .into_iter()
        .map(|stream| one(stream, each, both_ways));
    futures::future::try_join_all(runs).await?;
    let seconds = start.elapsed().as_secs_f64();
    serving.abort();
    client.shutdown().await;
    server.shutdown().await;
    let moved = u32::try_from((each * streams * if both_ways { 2 } else { 1 }) >> 20)?;
    Ok(f64::from(moved) / seconds)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mib: u64 = std::env::args()
        .nth(1)
        .map_or(Ok(512), |text| text.parse())?;
    println!(
        "{:<6} {:>14} {:>14} {:>14}   MiB/s",
        "", "1 stream", "both ways", "4 streams"
    );
    for (transport, listen) in [
        (Carrier::Tcp, "/ip4/127.0.0.1/tcp/0"),
        (Carrier::Quic, "/ip4/127.0.0.1/udp/0/quic-v1"),
    ] {
        let mut row = format!("{:<6}", format!("{transport:?}"));
        for (streams, both_ways) in [(1, false), (1, true), (4, false)] {
            let rate = measure(listen, mib << 20, streams, both_ways).await?;
            row.push_str(&format!(" {rate:>14.0}"));
        }
        println!("{row}");
    }
    Ok(())
}
