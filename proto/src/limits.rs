//! Every bound of the format and the protocols, in one place, with their relations checked at compile time.

/// One kibibyte.
pub const KIB: usize = 1024;
/// One mebibyte.
pub const MIB: usize = 1024 * KIB;

// ---- objects (format 1) ----

/// Largest stored object, header and tag included.
pub const OBJECT_MAX: usize = 5 * MIB;
/// Largest plain payload of an object before compression.
pub const RAW_MAX: usize = 4 * MIB;
/// Most references one object may name.
pub const REFS_MAX: usize = 8192;
/// Largest zstd window a reader accepts.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;

// ---- packs and segments ----

/// Files up to this size go into packs.
pub const SMALL_MAX: usize = 64 * KIB;
/// A pack is closed once it holds this much.
pub const PACK_TARGET: usize = 2 * MIB;
/// Largest raw payload of a pack.
pub const PACK_MAX: usize = 4 * MIB;
/// Most entries in one segment.
pub const SEGMENT_ENTRIES_MAX: usize = 4096;
/// Expected entries per segment: a cut at every path whose keyed hash is zero modulo this.
pub const SEGMENT_ENTRIES_AVG: u32 = 1024;
/// A segment is closed before its raw payload exceeds this.
pub const SEGMENT_RAW_MAX: usize = 3 * MIB;
/// Files of more chunks than this use map objects.
pub const INLINE_CHUNKS_MAX: usize = 1024;
/// Chunks described by one map object.
pub const MAP_CHUNKS_MAX: usize = 4096;
/// Most segments or indexes named by one root or index.
pub const INDEX_ENTRIES_MAX: usize = REFS_MAX;
/// Most upload sessions named by one segment.
pub const SEGMENT_SESSIONS_MAX: usize = 4096;
/// Most chunks and holes of one file listed in a segment: a hole before, between and behind chunks.
pub const INLINE_PARTS_MAX: usize = 2 * INLINE_CHUNKS_MAX + 1;
/// Longest path or link target, in bytes. Linux stops at 4096 per system call, trees go deeper.
pub const PATH_LEN_MAX: usize = 64 * KIB;
/// Most extended attributes of one entry.
pub const XATTRS_MAX: usize = 1024;
/// Longest name of an extended attribute (`XATTR_NAME_MAX` of Linux).
pub const XATTR_NAME_MAX: usize = 255;
/// Largest value of an extended attribute (`XATTR_SIZE_MAX` of Linux).
pub const XATTR_VALUE_MAX: usize = 64 * KIB;
/// Longest user or group name.
pub const USER_NAME_MAX: usize = 256;

// ---- roots ----

/// Most paths named by one backup.
pub const ROOT_PATHS_MAX: usize = 1024;
/// Most exclude patterns recorded.
pub const ROOT_EXCLUDES_MAX: usize = 1024;
/// Longest exclude pattern recorded, in bytes.
pub const EXCLUDE_LEN_MAX: usize = 4096;
/// Most problems listed; their number is always recorded.
pub const ROOT_PROBLEMS_MAX: usize = 1024;
/// Longest text of a problem, in bytes.
pub const PROBLEM_TEXT_MAX: usize = 256;
/// Longest label of a snapshot, in bytes.
pub const ROOT_LABEL_MAX: usize = 256;
/// Longest name of the program that wrote a snapshot, in bytes.
pub const ROOT_TOOL_MAX: usize = 128;

// ---- chunker 1 ----

/// Smallest chunk (but for the last of a file).
pub const CHUNK_MIN: usize = 256 * KIB;
/// Size after which the cut condition is relaxed.
pub const CHUNK_AVG: usize = MIB;
/// Largest chunk.
pub const CHUNK_MAX: usize = 4 * MIB;

// ---- records ----

/// Largest record envelope.
pub const RECORD_MAX: usize = 64 * KIB;
/// Deepest nesting of CBOR in a record.
pub const CBOR_DEPTH_MAX: usize = 6;
/// Longest lifetime of a grant, in seconds.
pub const GRANT_LIFETIME_MAX_S: u64 = 30 * 86_400;
/// Tolerance for a certificate's validity window, in seconds.
pub const CERT_CLOCK_SKEW_S: u64 = 86_400;
/// Most hosts in an audience, or in an owner's list of hosts.
pub const AUDIENCE_MAX: usize = 256;
/// Most ids in one order or one scope: with an audience they still fit [`RECORD_MAX`].
pub const RECORD_IDS_MAX: usize = 1024;
/// Longest reason of a revocation, in bytes.
pub const REASON_MAX: usize = 256;
/// Longest device label, in bytes.
pub const LABEL_MAX: usize = 64;
/// Longest sealed label a reader accepts.
pub const SEALED_LABEL_MAX: usize = 256;
/// Longest time in a policy, in days: a hundred years.
pub const POLICY_DAYS_MAX: u64 = 36_500;
/// Most snapshots one rule of a policy keeps.
pub const POLICY_KEEP_MAX: u64 = 1_000_000;

// ---- wire ----

/// Largest frame header (CBOR).
pub const FRAME_HEADER_MAX: usize = 128 * KIB;
/// Largest frame body (raw bytes).
pub const FRAME_BODY_MAX: usize = OBJECT_MAX;
/// Most ids in one `have` question.
pub const HAVE_IDS_MAX: usize = 4096;
/// Most ids in one `get` request.
pub const GET_IDS_MAX: usize = 256;


/// Most addresses kept of one node.
pub const PEER_ADDRS_MAX: usize = 16;
/// Longest address of a node, in bytes.
pub const PEER_ADDR_LEN_MAX: usize = 256;
