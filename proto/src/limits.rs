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
/// Most names of users and groups that the access lists of one entry mention.
pub const ACL_NAMES_MAX: usize = 1024;

// ---- roots ----

/// Most paths named by one backup.
pub const ROOT_PATHS_MAX: usize = 1024;
/// Most exclude patterns recorded.
pub const ROOT_EXCLUDES_MAX: usize = 1024;
/// Longest exclude pattern recorded, in bytes.
pub const EXCLUDE_LEN_MAX: usize = 4096;
/// Most paths recorded as left out.
pub const ROOT_LEFT_PATHS_MAX: usize = 8192;
/// Bytes of these paths together.
pub const ROOT_LEFT_BYTES_MAX: usize = 512 * KIB;
/// Most problems listed; their number is always recorded.
pub const ROOT_PROBLEMS_MAX: usize = 1024;
/// Longest text of a problem, in bytes.
pub const PROBLEM_TEXT_MAX: usize = 256;
/// Longest label of a snapshot, in bytes.
pub const ROOT_LABEL_MAX: usize = 256;
/// Longest name of the program that wrote a snapshot, in bytes.
pub const ROOT_TOOL_MAX: usize = 128;
/// Bytes of the name of a backup set.
pub const SET_NAME_MAX: usize = 128;

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

// ---- order requests ----

/// Largest request: it travels on a stick, and every byte of it is read by an offline machine.
pub const REQUEST_MAX: usize = 16 * MIB;
/// Most orders one request asks for.
pub const REQUEST_WANTED_MAX: usize = 64;
/// Most earlier orders carried.
pub const REQUEST_ORDERS_MAX: usize = 256;
/// Most devices shown.
pub const REQUEST_DEVICES_MAX: usize = 256;
/// Most certificates per device.
pub const REQUEST_CERTS_MAX: usize = 16;
/// Most snapshots named as newest per device.
pub const REQUEST_HEADS_MAX: usize = 16;
/// Most snapshots shown, all devices together.
pub const REQUEST_SNAPS_MAX: usize = 16_384;
/// Most receipts per snapshot.
pub const REQUEST_RECEIPTS_MAX: usize = 16;

// ---- wire ----

/// Largest frame header (CBOR).
pub const FRAME_HEADER_MAX: usize = 128 * KIB;
/// Largest frame body (raw bytes).
pub const FRAME_BODY_MAX: usize = OBJECT_MAX;
/// Most ids in one `have` question.
pub const HAVE_IDS_MAX: usize = 4096;
/// Most ids in one `get` request.
pub const GET_IDS_MAX: usize = 256;

// ---- hosts ----

/// Most addresses kept of one node.
pub const PEER_ADDRS_MAX: usize = 16;
/// Longest address of a node, in bytes.
pub const PEER_ADDR_LEN_MAX: usize = 256;
/// How long an object that no snapshot needs is kept after it was last put or asked for: an upload
/// that was broken off goes on where it stopped. Also the longest session.
pub const LOOSE_KEEP_S: u64 = 7 * 86_400;
/// Longest silence in a session.
pub const SESSION_IDLE_S: u64 = 3600;
/// Sessions one device may have open at a host.
pub const SESSIONS_PER_DEVICE: usize = 2;
/// Streams one peer may have open at a node.
pub const STREAMS_PER_PEER: usize = 8;
/// Objects remembered one by one for an open session; with more, everything of the owner waits for
/// its end.
pub const PINS_MAX: usize = 1 << 18;
/// Ids of `have` questions a device may ask at once, and again per hour.
pub const HAVE_IDS_PER_HOUR: u64 = 1 << 22;
/// Grace of a host before bytes go, in days, unless its administrator or the owner's policy says
/// longer.
pub const GRACE_D: u64 = 7;
/// Least grace before everything of an owner goes, in days.
pub const DROP_OWNER_GRACE_D: u64 = 30;
/// Orders kept per owner: they are never forgotten, so that none can be played again.
pub const ORDERS_MAX: usize = 65_536;
/// Orders told to a device at the start of a session.
pub const ORDERS_TOLD_MAX: usize = 16;
/// Bytes of them: with everything else they fit into the header of one message.
pub const ORDERS_TOLD_BYTES: usize = 80 * KIB;
/// Snapshots asked about at once, whether a host still has them: their orders fit into one answer.
pub const STANDS_MAX: usize = 64;
/// Snapshots kept per owner.
pub const SNAPS_MAX: usize = 1 << 16;
/// Snapshots a host takes from one device in a day, whatever its certificate says.
pub const SNAPS_PER_DAY_MAX: u64 = 4096;

// ---- key file ----

/// Largest key file.
pub const KEYFILE_LEN_MAX: usize = KIB;
/// Argon2id memory of a new key file, KiB.
pub const KEYFILE_M_KIB: u32 = 256 * 1024;
/// Argon2id passes of a new key file.
pub const KEYFILE_T: u32 = 4;
/// Argon2id lanes of a new key file.
pub const KEYFILE_P: u32 = 4;
/// Most memory a reader spends on a key file, KiB.
pub const KEYFILE_M_KIB_MAX: u32 = 4 * 1024 * 1024;
/// Most passes a reader spends on a key file.
pub const KEYFILE_T_MAX: u32 = 16;
/// Most lanes a reader accepts.
pub const KEYFILE_P_MAX: u32 = 64;
/// Largest file with a part of the owner key.
pub const SUBSET_LEN_MAX: usize = 32 * KIB;
/// Most key epochs in such a file.
pub const SUBSET_EPOCHS_MAX: usize = 64;
/// Most dedup groups in such a file.
pub const SUBSET_GROUPS_MAX: usize = 256;

// ---- enrolment and unsealing ----

/// Largest request of a new device.
pub const JOIN_REQUEST_MAX: usize = 256;
/// Largest sealed device bundle: a certificate and an order of full size, and the keys.
pub const JOIN_BUNDLE_MAX: usize = 2 * RECORD_MAX + 4 * KIB;
/// Most sessions in one request to unseal.
pub const UNSEAL_SESSIONS_MAX: usize = 64 * 1024;
/// Most dedup groups in one answer.
pub const UNSEAL_GROUPS_MAX: usize = 256;
/// Largest request to unseal, and largest answer.
pub const UNSEAL_LEN_MAX: usize = 8 * MIB;

// ---- retention ----

/// Snapshots of a device in a day up to which they are never a flood: one an hour, and a dozen by hand.
pub const FLOOD_FROM: u64 = 36;
/// Backup sets of one device at a host.
pub const SETS_MAX: usize = 256;
/// Snapshots of a device that may be marked to go in one day, at least.
pub const EXPIRE_PER_DAY_MIN: u64 = 2;
/// One in so many snapshots of a device may be marked to go in one day.
pub const EXPIRE_SHARE: u64 = 10;
/// A host's clock may be off by this much before nothing expires any more, in seconds.
pub const CLOCK_MOVE_MAX_S: u64 = 86_400;
/// Longest time a machine may have been off, in seconds: 400 days. More is a wrong clock.
pub const CLOCK_AWAY_MAX_S: u64 = 400 * 86_400;
/// A clock that went ahead while the machine was off is believed after so much steady running, in seconds.
pub const CLOCK_SETTLE_S: u64 = 86_400;
/// After a start the clock may be set within this time, in seconds; it is judged afterwards.
pub const CLOCK_SET_S: u64 = 3600;

const _: () = {
    assert!(RAW_MAX < OBJECT_MAX);
    assert!(PACK_TARGET <= PACK_MAX && PACK_MAX <= RAW_MAX);
    assert!(SMALL_MAX <= PACK_TARGET);
    assert!(SEGMENT_RAW_MAX <= RAW_MAX);
    assert!(CHUNK_MIN < CHUNK_AVG && CHUNK_AVG < CHUNK_MAX && CHUNK_MAX <= RAW_MAX);
    assert!(INLINE_CHUNKS_MAX <= MAP_CHUNKS_MAX && MAP_CHUNKS_MAX <= REFS_MAX);
    assert!(HAVE_IDS_MAX * 32 <= FRAME_BODY_MAX && GET_IDS_MAX <= HAVE_IDS_MAX);
    // Padmé adds at most 6.1 %, and a header with all references must still fit.
    assert!(RAW_MAX + RAW_MAX / 16 + REFS_MAX * 32 + 128 < OBJECT_MAX + REFS_MAX * 32);
    assert!(RECORD_MAX < FRAME_HEADER_MAX);
    // What a session was told stays as long as the session may last.
    assert!(SESSION_IDLE_S < LOOSE_KEEP_S);
    assert!(GRACE_D <= DROP_OWNER_GRACE_D);
    // 34 bytes for an id in CBOR, and 1 KiB for everything else in a record.
    assert!((AUDIENCE_MAX + RECORD_IDS_MAX) * 34 + KIB < RECORD_MAX);
    assert!(INLINE_PARTS_MAX <= MAP_CHUNKS_MAX);
    assert!(CLOCK_SET_S < CLOCK_SETTLE_S && CLOCK_MOVE_MAX_S < CLOCK_AWAY_MAX_S);
    // 320 bytes for a snapshot or a receipt, and two receipts each: the fullest request fits.
    assert!(REQUEST_SNAPS_MAX * (320 + 2 * 320) <= REQUEST_MAX);
    assert!(REQUEST_SNAPS_MAX <= REQUEST_WANTED_MAX * RECORD_IDS_MAX);
    // An epoch is a number and three keys, a group a number and one.
    assert!(SUBSET_EPOCHS_MAX * 108 + SUBSET_GROUPS_MAX * 40 + KIB < SUBSET_LEN_MAX);
    // A session is a number and three keys at most.
    assert!(UNSEAL_SESSIONS_MAX * 108 + UNSEAL_GROUPS_MAX * 40 + 2 * RECORD_MAX < UNSEAL_LEN_MAX);
    // The largest file description and path must fit a segment of their own.
    assert!(INLINE_PARTS_MAX * 56 + 3 * PATH_LEN_MAX < SEGMENT_RAW_MAX);
};
