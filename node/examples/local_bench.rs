//! How fast does a running node take objects over its socket, and how much memory does it need?
//!
//! `packnback-node --home DIR --offline &`, then
//! `cargo run --release -p packnback-node --example local_bench -- DIR [MiB] [object KiB]`
//! A home that nobody uses: the node becomes a device of a throw-away owner.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use packnback_proto::crypto::hash::object_id;
use packnback_proto::crypto::seal::OVERHEAD;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::format::frame::padded_len;
use packnback_proto::format::header::{Header, Kind};
use packnback_proto::ids::ObjectId;
use packnback_proto::record::{Cert, SEALED_LABEL_LEN, Signed, perms};
use packnback_proto::wire::frame::{FrameHead, HEAD_LEN, decode, decode_body, encode};
use packnback_proto::wire::ids::encode_ids;
use packnback_proto::wire::local::{
    API_VERSION, Hello, LocalReply, LocalRequest, StatusInfo, Tagged,
};

fn send(socket: &mut UnixStream, request: &LocalRequest, body: &[u8]) {
    // One number for all: one request is under way at a time.
    socket
        .write_all(&encode(&(1u64, request), body.len()).unwrap())
        .unwrap();
    socket.write_all(body).unwrap();
}

fn receive(socket: &mut UnixStream) -> (LocalReply, Vec<u8>) {
    let ((_, reply), body) = receive_frame::<Tagged<LocalReply>>(socket);
    (reply, body)
}

fn receive_frame<T: serde::de::DeserializeOwned>(socket: &mut UnixStream) -> (T, Vec<u8>) {
    let mut head = [0; HEAD_LEN];
    socket.read_exact(&mut head).unwrap();
    let head = FrameHead::parse(head).unwrap();
    let mut header = vec![0; head.header_len];
    socket.read_exact(&mut header).unwrap();
    let mut body = vec![0; head.body_len];
    socket.read_exact(&mut body).unwrap();
    (decode(&header).unwrap(), body)
}

fn ask(socket: &mut UnixStream, request: &LocalRequest) -> (LocalReply, Vec<u8>) {
    send(socket, request, &[]);
    receive(socket)
}

fn adopt(socket: &mut UnixStream) -> u32 {
    let hello = encode(&LocalRequest::Hello { api: API_VERSION }, 0).unwrap();
    socket.write_all(&hello).unwrap();
    let (LocalReply::Hello(Hello { node, .. }), _) = receive_frame(socket) else {
        panic!("no hello")
    };
    let owner = SigningKey::from_seed(&Secret32::new([1; 32]));
    let cert = Cert {
        owner: owner.owner_id(),
        device: node,
        serial: 1,
        perms: perms::ALL,
        not_before: 0,
        expires: u64::MAX,
        quota_bytes: 0,
        new_bytes_per_day: 0,
        snaps_per_day: 0,
        group: 0,
        epoch: 0,
        sealed_label: vec![0; SEALED_LABEL_LEN],
        recovery: SigningKey::from_seed(&Secret32::new([2; 32])).node_id(),
    };
    let cert = Signed::sign(&cert, &owner).unwrap().envelope().into();
    assert_eq!(ask(socket, &LocalRequest::Adopt { cert }).0, LocalReply::Ok);
    let (_, body) = ask(socket, &LocalRequest::Status);
    decode_body::<StatusInfo>(&body).unwrap().pid
}

/// A few buffers of noise; the first bytes of the payload make each object its own.
fn object(noise: &mut [u8], n: u64) -> ObjectId {
    noise[20..28].copy_from_slice(&n.to_le_bytes());
    object_id(noise)
}

fn cpu_s(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn memory(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let lines = status
        .lines()
        .filter(|l| l.starts_with("VmHWM") || l.starts_with("VmRSS"));
    lines
        .map(|l| l.replace('\t', "").replace("   ", " "))
        .collect::<Vec<_>>()
        .join("  ")
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let arg = |n: usize, or: usize| args.get(n).map_or(or, |a| a.parse().unwrap());
    let (total, size) = (arg(2, 2048) << 20, arg(3, 2048) << 10);
    let mut socket = UnixStream::connect(Path::new(&args[1]).join("node/node.sock")).unwrap();
    let pid = adopt(&mut socket);
    let mut noise = Vec::new();
    Header {
        kind: Kind::Pack,
        height: 0,
        epoch: 0,
        epk: Some([7; 32]),
        refs: vec![],
    }
    .write(&mut noise)
    .unwrap();
    let start = noise.len();
    noise.resize(start + OVERHEAD + padded_len(size), 0);
    getrandom::fill(&mut noise[start..]).unwrap();
    let count = (total / noise.len()) as u64;
    let ids: Vec<ObjectId> = (0..count).map(|n| object(&mut noise, n)).collect();
    let (begin, cpu) = (Instant::now(), cpu_s(pid));
    let mut unsynced = 0;
    for (n, id) in ids.iter().enumerate() {
        noise[20..28].copy_from_slice(&(n as u64).to_le_bytes());
        send(&mut socket, &LocalRequest::Put { id: *id }, &noise);
        unsynced += noise.len();
        if unsynced > 64 << 20 || n + 1 == ids.len() {
            unsynced = 0;
            let (reply, _) = ask(&mut socket, &LocalRequest::Sync);
            assert!(matches!(reply, LocalReply::Synced { .. }), "{reply:?}");
        }
    }
    let mib = total as f64 / 1048576.0;
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "put {:.0} MiB/s, node cpu {:.2} s, {}",
        mib / seconds,
        cpu_s(pid) - cpu,
        memory(pid)
    );
    let (begin, cpu) = (Instant::now(), cpu_s(pid));
    for some in ids.chunks(64) {
        send(
            &mut socket,
            &LocalRequest::Get { remote: false },
            &encode_ids(some),
        );
        for _ in some {
            let (reply, body) = receive(&mut socket);
            assert!(
                matches!(reply, LocalReply::Object { found: true, .. }),
                "{reply:?}"
            );
            assert_eq!(body.len(), noise.len());
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "get {:.0} MiB/s, node cpu {:.2} s, {}",
        mib / seconds,
        cpu_s(pid) - cpu,
        memory(pid)
    );
}
