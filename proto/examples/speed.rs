//! MB/s of each step of writing and reading chunks on one core.
//!
//! `cargo run --release -p packnback-proto --example speed [-- FILE]` (default: made-up text and
//! random bytes).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]
#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

use std::hint::black_box;
use std::time::Instant;

use packnback_proto::chunk::Chunker;
use packnback_proto::crypto::hash::{derive_bytes, object_id};
use packnback_proto::crypto::keys::{OwnerSeed, chunk_key};
use packnback_proto::crypto::seal;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::format::frame::{Compressor, Decompressor};
use packnback_proto::format::object::{Sealed, open_chunk_into, seal_chunk};

const LEN: usize = 64 << 20;

fn random(len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    derive_bytes("packnback speed example random bytes", &[], &mut out);
    out
}

/// Words of a vocabulary of 4096, short ones more often, in lines: compresses about 3:1.
fn text(len: usize) -> Vec<u8> {
    let noise = random(len);
    let mut out = Vec::with_capacity(len + 64);
    for pair in noise.chunks_exact(4) {
        let number = u32::from_le_bytes([pair[0], pair[1], pair[2], pair[3]]);
        let word = (number & 0xfff).min(number >> 12 & 0xfff).min(number >> 20);
        let letters = 2 + word.ilog2_or_zero() as usize / 2;
        let mut seed = word.wrapping_mul(2_654_435_761);
        for _ in 0..letters {
            out.push(b'a' + (seed % 26) as u8);
            seed = seed.rotate_right(5).wrapping_mul(40_503);
        }
        out.push(if number % 11 == 0 { b'\n' } else { b' ' });
        if out.len() >= len {
            break;
        }
    }
    out.truncate(len);
    out
}

trait Log2 {
    fn ilog2_or_zero(self) -> u32;
}
impl Log2 for u32 {
    fn ilog2_or_zero(self) -> u32 {
        self.checked_ilog2().unwrap_or(0)
    }
}

/// Best of three runs over `bytes` bytes.
fn measure<T>(name: &str, bytes: usize, mut run: impl FnMut() -> T) -> T {
    let mut best = f64::INFINITY;
    let mut result = None;
    for _ in 0..3 {
        let start = Instant::now();
        result = Some(black_box(run()));
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("  {name:<24} {:8.0} MB/s", bytes as f64 / best / 1e6);
    result.unwrap()
}

fn bench(name: &str, data: &[u8]) {
    println!("{name}, {} MB", data.len() / 1_000_000);
    let keys = OwnerSeed::from_bytes([7; 32])
        .device_keys(0, 0)
        .chunk_keys();
    let chunker = Chunker::new(&keys);
    let chunks = measure("chunker", data.len(), || {
        let mut rest = data;
        let mut chunks = Vec::new();
        while let Some(len) = chunker.cut(rest, true) {
            let (chunk, tail) = rest.split_at(len);
            chunks.push(chunk);
            rest = tail;
        }
        chunks
    });
    let each = |f: &mut dyn FnMut(usize, &[u8])| {
        chunks.iter().enumerate().for_each(|(i, c)| f(i, c));
    };
    let mut compressor = Compressor::new().unwrap();
    let mut decompressor = Decompressor::new().unwrap();
    let ks: Vec<Secret32> = measure("chunk_key", data.len(), || {
        chunks.iter().map(|p| chunk_key(keys.chunk(), p)).collect()
    });
    measure("compress and frame", data.len(), || {
        each(&mut |_, p| {
            let mut out = Vec::with_capacity(Compressor::bound(p.len()));
            compressor.frame_into(p, &mut out).unwrap();
            black_box(&out);
        });
    });
    measure("seal (no compression)", data.len(), || {
        each(&mut |i, p| {
            black_box(seal::seal(&ks[i], &[], p).unwrap());
        });
    });
    measure("object id", data.len(), || {
        each(&mut |_, p| {
            black_box(object_id(p));
        })
    });
    let sealed: Vec<Sealed> = measure("seal_chunk", data.len(), || {
        chunks
            .iter()
            .zip(&ks)
            .map(|(p, k)| seal_chunk(&mut compressor, k, p).unwrap())
            .collect()
    });
    let mut p = Vec::new();
    measure("open_chunk", data.len(), || {
        for ((s, k), chunk) in sealed.iter().zip(&ks).zip(&chunks) {
            let ck = Some(keys.chunk());
            open_chunk_into(
                &mut decompressor,
                &s.bytes,
                &s.id,
                k,
                ck,
                chunk.len(),
                &mut p,
            )
            .unwrap();
        }
    });
    let stored: usize = sealed.iter().map(|s| s.bytes.len()).sum();
    println!(
        "  {} chunks, average {} KB, stored {:.3} of the input",
        chunks.len(),
        data.len() / chunks.len() / 1000,
        stored as f64 / data.len() as f64
    );
}

fn main() {
    if let Some(path) = std::env::args_os().nth(1) {
        bench(&path.to_string_lossy(), &std::fs::read(&path).unwrap());
        return;
    }
    bench("text", &text(LEN));
    bench("random", &random(LEN));
    bench("zeros", &vec![0; LEN]);
}
