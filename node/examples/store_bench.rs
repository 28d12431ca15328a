//! Which way of keeping objects in RocksDB is best? Writes random objects, syncs every 64 MiB as a
//! backup does, reads everything back, and prints time, cpu, memory and disk for each way.
//!
//! `cargo run --release -p packnback-node --example store_bench -- [MiB] [object KiB]`
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use rocksdb::{DB, FlushOptions, Options, WriteOptions};

#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    blob: bool,
    wal: bool,
    buffer_mib: usize,
    direct: bool,
}

const WAYS: [Way; 7] = [
    Way {
        name: "sst-flush",
        blob: false,
        wal: false,
        buffer_mib: 32,
        direct: false,
    },
    Way {
        name: "sst-wal",
        blob: false,
        wal: true,
        buffer_mib: 32,
        direct: false,
    },
    Way {
        name: "blob-wal",
        blob: true,
        wal: true,
        buffer_mib: 32,
        direct: false,
    },
    Way {
        name: "blob-flush-16",
        blob: true,
        wal: false,
        buffer_mib: 16,
        direct: false,
    },
    Way {
        name: "blob-flush-32",
        blob: true,
        wal: false,
        buffer_mib: 32,
        direct: false,
    },
    Way {
        name: "blob-flush-64",
        blob: true,
        wal: false,
        buffer_mib: 64,
        direct: false,
    },
    Way {
        name: "blob-flush-32-direct",
        blob: true,
        wal: false,
        buffer_mib: 32,
        direct: true,
    },
];

fn options(way: Way) -> Options {
    let mut o = Options::default();
    o.create_if_missing(true);
    o.set_write_buffer_size(way.buffer_mib << 20);
    o.set_max_write_buffer_number(2);
    o.set_max_background_jobs(2);
    o.set_use_direct_io_for_flush_and_compaction(way.direct);
    if way.blob {
        o.set_enable_blob_files(true);
        o.set_min_blob_size(4096);
        o.set_blob_file_size(256 << 20);
    }
    o
}

fn cpu_s() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

fn status(field: &str) -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    text.lines()
        .find(|l| l.starts_with(field))
        .unwrap_or_default()
        .to_owned()
}

fn disk(dir: &Path) -> u64 {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|f| f.unwrap().metadata().unwrap().len())
        .sum::<u64>()
        >> 20
}

fn run(way: Way, total: usize, size: usize, dir: &Path) {
    let db = DB::open(&options(way), dir).unwrap();
    let mut write = WriteOptions::default();
    write.disable_wal(!way.wal);
    let mut flush = FlushOptions::default();
    flush.set_wait(true);
    let mut seed = vec![0u8; size];
    getrandom::fill(&mut seed).unwrap();
    let (start, cpu) = (Instant::now(), cpu_s());
    let mut unsynced = 0;
    let mut keys = Vec::new();
    for n in 0..(total / size) as u64 {
        seed[..8].copy_from_slice(&n.to_le_bytes());
        let key = *blake3::hash(&n.to_le_bytes()).as_bytes();
        db.put_opt(key, &seed, &write).unwrap();
        keys.push(key);
        unsynced += size;
        if unsynced >= 64 << 20 {
            unsynced = 0;
            if way.wal {
                db.flush_wal(true).unwrap()
            } else {
                db.flush_opt(&flush).unwrap()
            }
        }
    }
    if way.wal {
        db.flush_wal(true).unwrap()
    } else {
        db.flush_opt(&flush).unwrap()
    }
    let (wrote, wrote_cpu) = (start.elapsed().as_secs_f64(), cpu_s() - cpu);
    drop(db);
    let start = Instant::now();
    let db = DB::open(&options(way), dir).unwrap();
    let reopen = start.elapsed().as_secs_f64();
    let (start, cpu) = (Instant::now(), cpu_s());
    for key in &keys {
        assert_eq!(db.get_pinned(key).unwrap().unwrap().len(), size);
    }
    let mib = total as f64 / 1048576.0;
    println!(
        "{:22} write {:6.0} MiB/s cpu {:.2} s  read {:6.0} MiB/s cpu {:.2} s  reopen {:.0} ms  disk {} MiB  {}",
        way.name,
        mib / wrote,
        wrote_cpu,
        mib / start.elapsed().as_secs_f64(),
        cpu_s() - cpu,
        reopen * 1e3,
        disk(dir),
        status("VmHWM"),
    );
}

fn main() {
    let arg = |n: usize, default: usize| {
        std::env::args()
            .nth(n)
            .map_or(default, |a| a.parse().unwrap())
    };
    let (total, size) = (arg(1, 350) << 20, arg(2, 2048) << 10);
    let dir =
        tempfile::tempdir_in(std::env::var("BENCH_DIR").unwrap_or_else(|_| "/var/tmp".into()))
            .unwrap();
    match std::env::args().nth(3) {
        Some(name) => run(
            *WAYS.iter().find(|w| w.name == name).unwrap(),
            total,
            size,
            dir.path(),
        ),
        // One process per way, so that peak memory is its own.
        None => {
            for way in WAYS {
                let me = std::env::current_exe().unwrap();
                let args = [
                    (total >> 20).to_string(),
                    (size >> 10).to_string(),
                    way.name.into(),
                ];
                assert!(
                    std::process::Command::new(me)
                        .args(args)
                        .status()
                        .unwrap()
                        .success()
                );
            }
        }
    }
}
