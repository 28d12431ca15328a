//! Who may import whom (docs/architecture.md). A rule names files by the start of their path and the paths they must
//! not name.

use crate::rules::{Finding, finding};
use crate::source::{Source, paths};

/// Files below `under` (and not below any of `but`) must not name anything below `never`.
pub(crate) struct Wall {
    pub(crate) under: &'static str,
    pub(crate) but: &'static [&'static str],
    pub(crate) never: &'static [&'static str],
    pub(crate) why: &'static str,
}

const NO_EXCEPTION: &[&str] = &[];

pub(crate) const WALLS: &[Wall] = &[
    Wall {
        under: "proto/src/",
        but: NO_EXCEPTION,
        never: &[
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "std::thread",
            "std::time::SystemTime",
            "std::time::Instant",
            "std::io::stdin",
            "std::io::stdout",
            "std::os",
            "tokio",
            "rand",
            "getrandom",
            "rand_core::OsRng",
            "tracing",
            "log",
            "libp2p",
            "rocksdb",
            "rustix",
            "nix",
            "println!",
            "eprintln!",
        ],
        why: "proto is pure: time, randomness and bytes are arguments",
    },
    Wall {
        under: "cli/src/",
        but: NO_EXCEPTION,
        never: &[
            "libp2p",
            "packnback_node",
            "packnback_stage",
            "packnback_proto::machine",
            "packnback_proto::policy",
        ],
        why: "the cli talks to the node over its socket and takes no protocol decision",
    },
    Wall {
        under: "node/src/",
        but: NO_EXCEPTION,
        never: &[
            "packnback_cli",
            "packnback_stage",
            "OwnerSeed",
            "packnback_proto::keyfile",
            "packnback_proto::words",
            "packnback_proto::qr",
            "packnback_proto::chunk",
            "packnback_proto::crypto::keys::OwnerSeed",
            "packnback_proto::format::segment",
            "packnback_proto::format::entry",
            "packnback_proto::format::map",
            "packnback_proto::format::root",
        ],
        why: "a node never holds the owner's secret, a file name or a byte in clear",
    },
    Wall {
        under: "sys/src/",
        but: NO_EXCEPTION,
        never: &[
            "packnback_cli",
            "packnback_node",
            "packnback_proto",
            "libp2p",
            "tokio",
            "rocksdb",
        ],
        why: "sys asks the system for both programs and knows nothing of backups",
    },
    Wall {
        under: "node/src/net/",
        but: NO_EXCEPTION,
        never: &["packnback_node::store", "rocksdb"],
        why: "net and store do not know each other",
    },
    Wall {
        under: "node/src/store/",
        but: NO_EXCEPTION,
        never: &["packnback_node::net", "libp2p", "tokio"],
        why: "net and store do not know each other",
    },
    Wall {
        under: "",
        but: &[
            "node/src/store/",
            "cli/src/cache/",
            "cli/tests/",
            "node/tests/",
        ],
        never: &["rocksdb"],
        why: "RocksDB sits behind the store and the cache",
    },
    Wall {
        under: "",
        but: &["node/src/net/", "node/tests/", "fuzz/"],
        never: &["libp2p"],
        why: "libp2p sits behind node::net",
    },
    Wall {
        under: "proto/src/wire/",
        but: NO_EXCEPTION,
        never: &[
            "packnback_proto::format",
            "packnback_proto::crypto",
            "packnback_proto::machine",
        ],
        why: "wire and stored formats change apart",
    },
    Wall {
        under: "proto/src/format/",
        but: NO_EXCEPTION,
        never: &[
            "packnback_proto::wire",
            "packnback_proto::machine",
            "packnback_proto::record",
        ],
        why: "wire and stored formats change apart",
    },
    Wall {
        under: "proto/src/record/",
        but: NO_EXCEPTION,
        never: &["packnback_proto::wire", "packnback_proto::machine"],
        why: "records stand alone",
    },
    Wall {
        under: "proto/src/crypto/",
        but: NO_EXCEPTION,
        never: &[
            "packnback_proto::format",
            "packnback_proto::wire",
            "packnback_proto::record",
            "packnback_proto::chunk",
            "packnback_proto::machine",
            "packnback_proto::policy",
        ],
        why: "crypto knows ids and limits only",
    },
    Wall {
        under: "proto/src/chunk/",
        but: NO_EXCEPTION,
        never: &[
            "packnback_proto::format",
            "packnback_proto::wire",
            "packnback_proto::record",
            "packnback_proto::machine",
        ],
        why: "the chunker knows keys and limits only",
    },
    Wall {
        under: "proto/src/policy/",
        but: NO_EXCEPTION,
        never: &[
            "packnback_proto::format",
            "packnback_proto::wire",
            "packnback_proto::crypto",
            "packnback_proto::machine",
        ],
        why: "policies are total functions of ids, times and limits",
    },
    Wall {
        under: "",
        but: &["proto/src/crypto/", "proto/tests/", "fuzz/"],
        never: &["chacha20poly1305", "x25519_dalek"],
        why: "one module names ciphers",
    },
    Wall {
        under: "",
        but: &[
            "proto/src/crypto/",
            "proto/src/keyfile.rs",
            "proto/tests/",
            "fuzz/",
        ],
        never: &["argon2"],
        why: "one module names ciphers",
    },
    Wall {
        under: "simulations/compare/src/",
        but: NO_EXCEPTION,
        never: &[
            "packnback_cli",
            "packnback_node",
            "packnback_proto",
            "packnback_sys",
        ],
        why: "a second opinion shares no code with what it judges",
    },
    Wall {
        under: "simulations/src/",
        but: NO_EXCEPTION,
        never: &[
            "libp2p",
            "rocksdb",
            "packnback_cli",
            "std::time::SystemTime",
            "std::time::Instant",
            "std::thread",
        ],
        why: "a simulation replays from its seed",
    },
];

/// Rooms of the node that see the world through `node::ports` only.
const BEHIND_PORTS: &[&str] = &[
    "node/src/api/",
    "node/src/chores/",
    "node/src/local/",
    "node/src/network/",
    "node/src/peers/",
    "node/src/replicate/",
    "node/src/service/",
    "node/src/work/",
];

/// What stands behind a port, as other rooms of the node could name it; libp2p and RocksDB have walls of their own.
const IMPLEMENTATIONS: &[&str] = &[
    "packnback_node::net::ConnInfo",
    "packnback_node::net::InboundStream",
    "packnback_node::net::Incoming",
    "packnback_node::net::Keypair",
    "packnback_node::net::Libp2p",
    "packnback_node::net::Multiaddr",
    "packnback_node::net::NetConfig",
    "packnback_node::net::NetHandle",
    "packnback_node::net::OutboundStream",
    "packnback_node::net::PeerStream",
    "packnback_node::net::peer_id",
    "packnback_node::ports::SystemClock",
    "packnback_node::ports::SystemDice",
    "packnback_node::ports::memory",
    "packnback_node::store::memory",
    "packnback_node::store::rocks",
];

/// Whether `path` is `module` or something in it.
fn inside(path: &str, module: &str) -> bool {
    path.strip_prefix(module)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// All walls that `source` breaks.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let walls: Vec<&Wall> = WALLS
        .iter()
        .filter(|w| {
            source.path.starts_with(w.under) && !w.but.iter().any(|b| source.path.starts_with(b))
        })
        .collect();
    let mut found = Vec::new();
    let is_behind = BEHIND_PORTS
        .iter()
        .any(|room| source.path.starts_with(room));
    for (line, path) in paths(source) {
        if source.is_test(line) {
            continue;
        }
        if is_behind && let Some(never) = IMPLEMENTATIONS.iter().find(|never| inside(&path, never))
        {
            let what = format!("names {never}: the room sees the world through ports only");
            found.push(finding("port", source, line, what));
        }
        for wall in &walls {
            if let Some(never) = wall.never.iter().find(|never| inside(&path, never)) {
                found.push(finding(
                    "room",
                    source,
                    line,
                    format!("names {never}: {}", wall.why),
                ));
            }
        }
    }
    found.dedup();
    found
}
