"""Format 1 of packnback, read from docs/format.md alone. Shares no code with the project.

Section numbers in comments are those of docs/format.md.
"""

import hashlib
import struct

import zstandard
from argon2.low_level import Type, hash_secret_raw
from blake3 import blake3
from mnemonic import Mnemonic
from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

KIB, MIB = 1 << 10, 1 << 20
KINDS = ["chunk", "pack", "segment", "index", "map", "root"]
PRIVATE = 0xFFFFFFFF


class Refused(Exception):
    """Something that a reader must not accept; the text is the class of failure."""

    def __init__(self, what, more=""):
        super().__init__(f"{what}: {more}" if more else what)
        self.what = what


def need(condition, what, more=""):
    if not condition:
        raise Refused(what, more)


# ---- 1. notation ----


def h(m):
    return blake3(m).digest()


def kh(k, m):
    return blake3(m, key=k).digest()


def dk(context, m, n=32):
    return blake3(m, derive_key_context="packnback 2026-01-01 v1 " + context).digest(length=n)


def le32(n):
    return struct.pack("<I", n)


def le64(n):
    return struct.pack("<Q", n)


# ---- 2. keys ----


def x25519(secret, public):
    try:
        return bindings.crypto_scalarmult(secret, public)
    except (CryptoError, RuntimeError) as error:
        raise Refused("non-contributory", str(error)) from error


def x25519_public(secret):
    return bindings.crypto_scalarmult_base(secret)


class Session:
    """2.1: the keys of one session."""

    def __init__(self, s_m, s_d, epk, meta_pub, dec_pub, epoch, psk):
        e = le32(epoch)
        self.epk, self.epoch = epk, epoch
        self.sk_m = dk("session meta", s_m + epk + meta_pub + e + psk)
        self.sk_d = dk("session data", s_d + epk + dec_pub + e + psk)
        self.node = dk("node", self.sk_m)
        self.map = dk("map", self.sk_d)
        self.pack = dk("pack", self.sk_d)
        self.blob = dk("key blob", self.sk_d)
        self.chunk_priv = dk("private chunk key", self.sk_d)

    def key_for(self, kind):
        return {"pack": self.pack, "map": self.map}.get(kind, self.node)


class Group:
    """Everything from a dedup group secret C[g]."""

    def __init__(self, c):
        self.ck, self.cp = dk("chunk key", c), dk("cut prf", c)
        self.gear = struct.unpack("<256Q", dk("gear table", c, 2048))


class Owner:
    """2: everything from the owner seed."""

    def __init__(self, seed):
        need(len(seed) == 32, "seed")
        self.seed = seed
        self.sign = SigningKey(dk("owner sign", seed))
        self.id = bytes(self.sign.verify_key)
        self.recovery_seed = dk("recovery peer", seed)
        self.recovery_id = bytes(SigningKey(self.recovery_seed).verify_key)

    def dec(self, epoch):
        return dk("owner decrypt", self.seed + le32(epoch))

    def meta(self, epoch):
        return dk("owner list", self.seed + le32(epoch))

    def psk(self, epoch):
        return dk("owner session psk", self.seed + le32(epoch))

    def group_secret(self, g):
        return dk("dedup group", self.seed + le32(g))

    def group(self, g):
        return Group(self.group_secret(g))

    def set_key(self):
        return dk("backup set", self.seed)

    def label_key(self, epoch):
        return dk("device label", self.meta(epoch))

    def session(self, epk, epoch):
        """As a reader."""
        meta, dec = self.meta(epoch), self.dec(epoch)
        return Session(
            x25519(meta, epk), x25519(dec, epk), epk, x25519_public(meta), x25519_public(dec), epoch, self.psk(epoch)
        )


def set_id(key, name=None, roots=()):
    """8.3: the blind id of a backup set, by its name or by what it saves."""
    if name is not None:
        return kh(key, b"\0" + name.encode())[:16]
    return kh(key, b"\1" + b"".join(struct.pack("<Q", len(r)) + r for r in sorted(set(roots))))[:16]


def device_session(esk, meta_pub, dec_pub, epoch, psk):
    """As a device."""
    return Session(x25519(esk, meta_pub), x25519(esk, dec_pub), x25519_public(esk), meta_pub, dec_pub, epoch, psk)


# ---- 2.2 sealing ----


def synthetic_nonce(k, ad, m):
    return kh(dk("siv", k), le64(len(ad)) + ad + m)[:24]


def seal(k, ad, m):
    n = synthetic_nonce(k, ad, m)
    return n + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(m, ad, n, k)


def unseal(k, ad, x):
    need(len(x) >= 40, "too-short")
    n = x[:24]
    try:
        m = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(x[24:], ad, n, k)
    except CryptoError as error:
        raise Refused("bad-tag") from error
    need(synthetic_nonce(k, ad, m) == n, "bad-nonce")
    return m


# ---- 3. objects ----


class Header:
    def __init__(self, kind, height, epoch, epk, refs, end):
        self.kind, self.height, self.epoch, self.epk, self.refs, self.end = kind, height, epoch, epk, refs, end


def padded(length):
    """4: P."""
    length = max(length, 512)
    e = length.bit_length() - 1
    s = (e.bit_length() - 1) + 1
    z = (1 << (e - s)) - 1
    return (length + z) & ~z


FRAME_MAX = padded(9 + 4 * MIB)


def parse_header(b):
    need(len(b) <= 5 * MIB, "object-size")
    need(len(b) >= 16, "truncated")
    need(b[:4] == b"PNB1", "magic")
    kind, suite, height, zero = b[4], b[5], b[6], b[7]
    n_refs, epoch = struct.unpack("<II", b[8:16])
    need(kind < 6, "unknown-kind")
    need(suite == 1, "unknown-suite")
    kind = KINDS[kind]
    heights = {"chunk": [0], "pack": [0], "map": [1], "segment": [2], "index": range(3, 8), "root": [8]}
    need(height in heights[kind], "height")
    need(zero == 0, "reserved")
    need(n_refs <= (0 if kind in ("chunk", "pack") else 8192), "ref-count")
    at, epk = 16, None
    if kind != "chunk":
        need(len(b) >= 48, "truncated")
        epk, at = b[16:48], 48
    else:
        need(epoch == 0, "session")
    end = at + 32 * n_refs
    need(len(b) >= end, "truncated")
    refs = [b[i : i + 32] for i in range(at, end, 32)]
    need(all(x < y for x, y in zip(refs, refs[1:])), "ref-order")
    frame = len(b) - end - 40
    need(frame >= 512, "truncated")
    need(frame <= FRAME_MAX and padded(frame) == frame, "payload-length")
    return Header(kind, height, epoch, epk, refs, end)


def open_object(b, wanted_id, key_of):
    """`key_of` gives the key for a header."""
    need(len(b) <= 5 * MIB, "object-size")
    need(h(b) == wanted_id, "wrong-id")
    header = parse_header(b)
    return header, unframe(unseal(key_of(header), b[: header.end], b[header.end :]))


# ---- 4. frames ----


def unframe(f):
    need(len(f) >= 9, "frame-length")
    codec, raw_len, comp_len = struct.unpack("<BII", f[:9])
    need(raw_len <= 4 * MIB, "raw-too-large")
    need(9 + comp_len <= len(f) and len(f) == padded(9 + comp_len), "frame-length")
    comp, padding = f[9 : 9 + comp_len], f[9 + comp_len :]
    need(not any(padding), "padding")
    if codec == 0:
        need(raw_len == comp_len, "raw-length")
        return comp
    need(codec == 1, "unknown-codec")
    need(comp[:4] == b"\x28\xb5\x2f\xfd", "zstd-frame")
    try:
        parameters = zstandard.get_frame_parameters(comp)
    except zstandard.ZstdError as error:
        raise Refused("zstd-frame", str(error)) from error
    need(parameters.dict_id == 0, "zstd-frame")
    need(parameters.window_size <= 8 * MIB, "zstd-window")
    worker = zstandard.ZstdDecompressor(max_window_size=8 * MIB).decompressobj()
    try:
        raw = worker.decompress(comp)
    except zstandard.ZstdError as error:
        raise Refused("decompress", str(error)) from error
    need(worker.unused_data == b"" and worker.eof, "zstd-frame")
    need(len(raw) == raw_len, "decompress")
    return raw


# ---- 5. chunks ----


def open_chunk(b, wanted_id, k, ck, length):
    header, p = open_object(b, wanted_id, lambda _: k)
    need(header.kind == "chunk", "wrong-kind")
    need(len(p) == length, "content-length")
    need(kh(ck, p) == k, "content-key")
    return p


# ---- 7. chunker, for the vectors only ----


CHUNK_MIN, CHUNK_AVG, CHUNK_MAX, WINDOW = 256 * KIB, MIB, 4 * MIB, 64
GEAR_MASK, STRICT, LOOSE = 0x7FE0000000000000, 0x7FF, 0x1FF


def cut(group, b):
    if len(b) <= CHUNK_MIN:
        return len(b)
    end = min(CHUNK_MAX, len(b))
    gear, mask, top = group.gear, GEAR_MASK, (1 << 64) - 1
    hash_ = 0
    for c in range(CHUNK_MIN - WINDOW + 1, end):
        hash_ = ((hash_ << 1) + gear[b[c - 1]]) & top
        if hash_ & mask:
            continue
        if c >= CHUNK_MIN:
            u = struct.unpack("<I", kh(group.cp, b[c - WINDOW : c])[:4])[0]
            if u & (STRICT if c < CHUNK_AVG else LOOSE) == 0:
                return c
        hash_ = 0
    return end


# ---- 9. deterministic CBOR ----


class Cbor:
    """A strict decoder: ints, bytes, str, list, dict, True, False, None."""

    def __init__(self, data, depth=None):
        self.data, self.at, self.depth = data, 0, depth

    def take(self, n):
        need(self.at + n <= len(self.data), "cbor-truncated")
        self.at += n
        return self.data[self.at - n : self.at]

    def head(self):
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        need(info != 31, "cbor-indefinite")
        need(info < 28, "cbor-malformed")
        if major == 7:
            need(20 <= info <= 22, "cbor-forbidden")
            return major, info
        need(major != 6, "cbor-forbidden")
        if info < 24:
            return major, info
        size = 1 << (info - 24)
        value = int.from_bytes(self.take(size), "big")
        need(value >= (24 if size == 1 else 1 << (4 * size)), "cbor-not-shortest")
        return major, value

    def item(self, level=1):
        need(self.depth is None or level <= self.depth, "cbor-too-deep")
        major, n = self.head()
        if major == 0:
            return n
        if major == 1:
            return -1 - n
        if major == 2:
            return self.take(n)
        if major == 3:
            try:
                return self.take(n).decode("utf-8")
            except UnicodeDecodeError as error:
                raise Refused("cbor-not-utf8") from error
        need(major == 7 or n <= len(self.data) - self.at, "cbor-truncated")
        if major == 4:
            return [self.item(level + 1) for _ in range(n)]
        if major == 5:
            return self.pairs(n, level)
        return {20: False, 21: True, 22: None}[n]

    def pairs(self, n, level):
        found, last = {}, None
        for _ in range(n):
            start = self.at
            key = self.item(level + 1)
            encoded = self.data[start : self.at]
            if last is not None:
                need(encoded != last, "cbor-duplicate-key")
                need(encoded > last, "cbor-key-order")
            last = encoded
            need(not isinstance(key, (list, dict)), "cbor-wrong-type")
            found[key] = self.item(level + 1)
        return found


def cbor(data, depth=None, most=None):
    need(most is None or len(data) <= most, "cbor-too-large")
    reader = Cbor(data, depth)
    value = reader.item()
    need(reader.at == len(data), "cbor-trailing")
    return value


def cbor_head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << (8 * size):
            return bytes([major << 5 | info]) + n.to_bytes(size, "big")
    raise ValueError(n)


def to_cbor(value):
    if value is None:
        return b"\xf6"
    if value is True or value is False:
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return cbor_head(0, value) if value >= 0 else cbor_head(1, -1 - value)
    if isinstance(value, bytes):
        return cbor_head(2, len(value)) + value
    if isinstance(value, str):
        return cbor_head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return cbor_head(4, len(value)) + b"".join(map(to_cbor, value))
    pairs = sorted((to_cbor(k), to_cbor(v)) for k, v in value.items())
    return cbor_head(5, len(pairs)) + b"".join(k + v for k, v in pairs)


# ---- field checks ----


def uint(value, most=(1 << 64) - 1):
    need(type(value) is int and value >= 0, "cbor-wrong-type")
    need(value <= most, "cbor-out-of-range")
    return value


def u32(value):
    return uint(value, 0xFFFFFFFF)


def int64(value):
    need(type(value) is int, "cbor-wrong-type")
    need(-(1 << 63) <= value < 1 << 63, "cbor-out-of-range")
    return value


def octets(value, size=None):
    need(type(value) is bytes, "cbor-wrong-type")
    need(size is None or len(value) == size, "cbor-out-of-range")
    return value


def b32(value):
    return octets(value, 32)


def text(value):
    need(type(value) is str, "cbor-wrong-type")
    return value


def array(value, size=None):
    need(type(value) is list, "cbor-wrong-type")
    need(size is None or len(value) == size, "cbor-out-of-range")
    return value


def fields(value, required, optional=()):
    """A map with exactly these integer keys."""
    need(type(value) is dict, "cbor-wrong-type")
    for key in value:
        need(type(key) is int, "cbor-wrong-type")
        need(key in required or key in optional, "cbor-unknown-key", str(key))
    for key in required:
        need(key in value, "cbor-missing-key", str(key))
    return value


# ---- 6. the tree ----


def path_key(path):
    return path.split(b"/")


def check_path(path):
    octets(path)
    need(len(path) <= 64 * KIB, "path-too-long")
    for part in path.split(b"/"):
        need(part != b"", "path-empty")
        need(part not in (b".", b".."), "path-dots")
        need(b"\0" not in part, "path-nul")


def in_order(paths):
    keys = [path_key(p) for p in paths]
    return all(a < b for a, b in zip(keys, keys[1:]))


class Entry:
    TYPES = ["file", "dir", "symlink", "fifo", "char", "block"]

    def __init__(self, raw, n_refs, n_sessions):
        fields(raw, range(1, 8), range(8, 16))
        self.path = raw[1]
        octets(self.path)
        number = uint(raw[2])
        need(number < 6, "unknown-type")
        self.type = self.TYPES[number]
        self.mode, self.uid, self.gid = u32(raw[3]), u32(raw[4]), u32(raw[5])
        self.mtime_ns, self.size = int64(raw[6]), uint(raw[7])
        self.link, self.xattrs, self.rdev = raw.get(8), raw.get(9, {}), raw.get(10)
        self.hardlink, self.data, self.user, self.group = raw.get(11), raw.get(12), raw.get(13), raw.get(14)
        self.acl_names = raw.get(15, [])
        need(15 not in raw or 1 <= len(array(self.acl_names)) <= 1024, "limit")
        for named in self.acl_names:
            array(named, 3)
            uint(named[0], 1), u32(named[1]), text(named[2])
        need(9 not in raw or (type(self.xattrs) is dict and self.xattrs), "limit")
        if 12 in raw:
            check_data_shape(self.data)
        check_path(self.path)
        need(self.mode & ~0o7777 == 0, "field", "mode")
        need((self.rdev is not None) == (self.type in ("char", "block")), "field", "rdev")
        need((self.link is not None) == (self.type == "symlink"), "field", "link")
        if self.link is not None:
            need(1 <= len(octets(self.link)) <= 64 * KIB, "limit")
            need(b"\0" not in self.link, "field", "link")
        if self.hardlink is not None:
            octets(self.hardlink, 8)
            need(self.type != "dir", "field", "hardlink")
        need(len(self.xattrs) <= 1024, "limit")
        for name, value in self.xattrs.items():
            need(1 <= len(octets(name)) <= 255 and len(octets(value)) <= 64 * KIB, "limit")
            need(b"\0" not in name, "field", "xattrs")
        for name in (self.user, self.group):
            need(name is None or 1 <= len(text(name).encode()) <= 256, "limit")
        need(all(1 <= len(named[2].encode()) <= 256 for named in self.acl_names), "limit")
        ids = [(named[0], named[1]) for named in self.acl_names]
        need(all(a < b for a, b in zip(ids, ids[1:])), "field", "access list")
        self.check_content(n_refs, n_sessions)

    def check_content(self, n_refs, n_sessions):
        need(self.type == "file" or self.size == 0, "field", "size")
        if self.data is None:
            need(self.size == 0 or self.hardlink is not None, "field", "data")
            return
        need(self.type == "file" and self.size > 0, "field", "data")
        if self.data[0] == 1:
            _, ref, off, length = self.data
            need(ref < n_refs, "reference")
            need(off + length <= 4 * MIB, "field", "data")
            need(length == self.size, "size")
        elif self.data[0] == 2:
            _, _, session, parts, kb = self.data
            chunks = sum(part[0] is not None for part in parts)
            need(chunks <= 1024, "limit")
            need(len(kb) == (40 + 32 * chunks if chunks else 0), "key-count")
            need(session < n_sessions, "session")
            check_parts(parts, n_refs)
            need(sum(part[1] for part in parts) == self.size, "size")
        else:
            need(all(ref < n_refs for ref in self.data[1]), "reference")


def check_data_shape(data):
    array(data)
    need(len(data) >= 1, "cbor-wrong-type")
    kind = uint(data[0])
    need(kind in (1, 2, 3), "unknown-data")
    array(data, {1: 4, 2: 5, 3: 2}[kind])
    if kind == 1:
        [u32(n) for n in data[1:]]
    elif kind == 2:
        u32(data[1]), u32(data[2])
        need(1 <= len(array(data[3])) <= 2049, "limit")
        for part in data[3]:
            array(part, 2)
            uint(part[1]) if part[0] is None else (u32(part[0]), u32(part[1]))
        octets(data[4])
    else:
        need(1 <= len(array(data[1])) <= 8192, "limit")
        [u32(n) for n in data[1]]


def check_parts(parts, n_refs):
    for part in parts:
        need(part[1] > 0, "field", "part")
        if part[0] is not None:
            need(part[1] <= 4 * MIB, "field", "part")
            need(part[0] < n_refs, "reference")


class Segment:
    def __init__(self, raw, n_refs):
        value = fields(cbor(raw, most=3 * MIB), (1, 2))
        need(len(array(value[1])) <= 4096, "limit")
        self.sessions = [(b32(array(s, 2)[0]), u32(s[1])) for s in value[1]]
        need(1 <= len(array(value[2])) <= 4096, "limit")
        self.entries = [Entry(e, n_refs, len(self.sessions)) for e in value[2]]
        need(in_order([e.path for e in self.entries]), "path-order")


class Child:
    """6.5: what an index or root says about a segment or index below it."""

    def __init__(self, raw, n_refs):
        array(raw, 3)
        self.first, self.ref, self.entries = octets(raw[0]), u32(raw[1]), uint(raw[2])
        check_path(self.first)
        need(self.ref < n_refs, "reference")
        need(self.entries > 0, "field", "children")


def children(raw, n_refs, least):
    need(least <= len(array(raw)) <= 8192, "limit")
    found = [Child(item, n_refs) for item in raw]
    need(in_order([c.first for c in found]), "path-order")
    return found


def read_index(raw, n_refs):
    return children(cbor(raw, most=4 * MIB), n_refs, 1)


class Map:
    def __init__(self, raw, n_refs):
        value = array(cbor(raw, most=4 * MIB), 2)
        self.dom = u32(value[0])
        need(1 <= len(array(value[1])) <= 4096, "limit")
        self.parts = value[1]
        for part in self.parts:
            need(len(array(part)) == (2 if part and part[0] is None else 3), "cbor-out-of-range")
            uint(part[1]) if part[0] is None else (u32(part[0]), u32(part[1]), b32(part[2]))
        check_parts(self.parts, n_refs)
        need(sum(part[1] for part in self.parts) < 1 << 64, "size")


class Root:
    def __init__(self, raw, n_refs):
        f = fields(cbor(raw, most=4 * MIB), range(1, 13), (13,))
        self.label, self.tool = text(f[1]), text(f[4])
        self.start, self.end, self.chunker, self.group = uint(f[2]), uint(f[3]), u32(f[5]), u32(f[6])
        self.paths, self.excludes = [octets(p) for p in array(f[7])], [octets(p) for p in array(f[8])]
        self.problem_count, self.problems = uint(array(f[9], 2)[0]), array(f[9][1])
        for problem in self.problems:
            array(problem, 3)
            octets(problem[0]), uint(problem[1], 255), text(problem[2])
        self.stats = [uint(n) for n in array(f[10], 6)]
        self.children = children(f[11], n_refs, 0)
        self.set = text(f[12])
        need(len(self.set.encode()) <= 128, "limit")
        need(len(self.label.encode()) <= 256 and len(self.tool.encode()) <= 128, "limit")
        need(max(len(self.paths), len(self.excludes), len(self.problems)) <= 1024, "limit")
        for path in self.paths:
            if path:
                check_path(path)
        need(all(len(e) <= 4096 for e in self.excludes), "limit")
        need(all(len(p[0]) <= 64 * KIB and len(p[2].encode()) <= 256 for p in self.problems), "limit")
        sane = self.problem_count >= len(self.problems) and self.group != PRIVATE and self.chunker != 0
        need(sane, "field", "root")
        self.left = LeftOut(f[13]) if 13 in f else None


class LeftOut:
    """6.6: what a backup left out on purpose."""

    def __init__(self, raw):
        array(raw, 5)
        self.rules, self.flags = u32(raw[0]), uint(raw[2], 255)
        self.patterns, self.paths = [octets(p) for p in array(raw[1])], [octets(p) for p in array(raw[4])]
        self.larger_than = None if raw[3] is None else uint(raw[3])
        need(self.flags & ~7 == 0, "field", "left out")
        need(len(self.patterns) <= 1024 and all(len(p) <= 4096 for p in self.patterns), "limit")
        need(len(self.paths) <= 8192 and sum(len(p) for p in self.paths) <= 512 * KIB, "limit")
        for path in self.paths:
            check_path(path)


def open_key_blob(k_blob, dom, ids, kb):
    need(len(kb) == (40 + 32 * len(ids) if ids else 0), "key-count")
    if not ids:
        return []
    try:
        keys = unseal(k_blob, b"kb1" + le32(dom) + le32(len(ids)) + b"".join(ids), kb)
    except Refused as error:
        raise Refused("key-blob", error.what) from error
    return [keys[i : i + 32] for i in range(0, len(keys), 32)]


# ---- 8. records ----


def verify(public, message, signature):
    try:
        VerifyKey(public).verify(message, signature)
    except Exception as error:
        raise Refused("bad-signature", str(error)) from error


def ascending(values, least, most, size):
    array(values)
    for value in values:
        octets(value, size)
    need(least <= len(values) <= most, "limit")
    need(all(a < b for a, b in zip(values, values[1:])), "list-order")


def check_audience(value):
    if value is not None:
        ascending(value, 1, 256, 32)


def check_cert(f):
    fields(f, range(1, 14))
    for key in (1, 2, 13):
        b32(f[key])
    for key in range(3, 10):
        uint(f[key])
    u32(f[10]), u32(f[11]), octets(f[12])
    need(f[4] & ~15 == 0, "invalid", "perms")
    need(f[5] < f[6], "invalid", "expires")
    need(f[10] != PRIVATE, "invalid", "group")
    need(len(f[12]) <= 256, "limit")
    return f[1]


def check_snap(f):
    need(8 in fields(f, (), range(1, 10)), "cbor-missing-key", "8")
    need(uint(f[8]) == 1, "unknown-format")
    fields(f, range(1, 10))
    for key in (1, 2, 5):
        b32(f[key])
    for key in (3, 6, 7):
        uint(f[key])
    octets(f[9], 16)
    need(f[4] is None or b32(f[4]), "cbor-wrong-type")
    return f[2]


def check_receipt(f):
    fields(f, range(1, 9))
    b32(f[1]), b32(f[2])
    for key in (3, 4, 6, 7, 8):
        uint(f[key])
    need(f[5] is None or b32(f[5]), "cbor-wrong-type")
    return f[2]


def check_order(f):
    fields(f, range(1, 7), (7,))
    b32(f[1]), octets(f[2], 16), uint(f[3])
    if 7 in f:
        uint(f[7])
    op, arg = uint(f[5]), f[6]
    need(op <= 8, "unknown-op")
    if op == 1:
        fields(arg, range(1, 5))
        b32(arg[1])
        [uint(arg[k]) for k in (2, 3, 4)]
    elif op == 2:
        fields(arg, range(1, 7))
        [uint(arg[k]) for k in (1, 3, 5, 6)]
        need(arg[2] is None or b32(arg[2]), "cbor-wrong-type")
        [uint(n) for n in array(arg[4])]
        array(arg[4], 5)
    elif op == 3:
        fields(arg, (1, 2))
        b32(arg[1]), text(arg[2])
    elif op == 7:
        fields(arg, (1, 2))
        uint(arg[1])
    elif op == 8:
        need(arg is None, "cbor-wrong-type")
    check_audience(f[4])
    need(op not in (2, 8) or f[4] is not None, "audience-required")
    if op in (0, 4, 5):
        ascending(arg, 1, 1024, 32)
    elif op == 6:
        ascending(arg, 1, 1024, 16)
    elif op == 7:
        ascending(arg[2], 0, 256, 32)
    elif op == 1:
        need(arg[2] < arg[3], "invalid", "recv_to")
        need(arg[4] > 0, "invalid", "max_count")
    elif op == 2:
        need(max(arg[3], arg[6]) <= 36_500 and max(arg[4] + [arg[5]]) <= 1_000_000, "invalid")
    elif op == 3:
        need(len(arg[2].encode()) <= 256, "limit")
    return f[1]


def check_grant(f):
    fields(f, range(1, 8), (8,))
    b32(f[1]), b32(f[2]), uint(f[4]), uint(f[5]), octets(f[7], 16)
    if 8 in f:
        uint(f[8])
    if f[3] is not None:
        need(type(f[3]) is dict and len(f[3]) == 1 and next(iter(f[3])) in (1, 2), "cbor-wrong-type")
    check_audience(f[6])
    if f[3] is not None:
        ascending(next(iter(f[3].values())), 1, 1024, 32)
    need(0 < f[5] - f[4] <= 30 * 86_400, "invalid", "expires")
    return f[1]


RECORDS = {"cert": check_cert, "snap": check_snap, "receipt": check_receipt, "order": check_order, "grant": check_grant}


class Record:
    def __init__(self, kind, body, signer, value):
        self.kind, self.body, self.signer, self.value = kind, body, signer, value
        self.id = record_id(kind, body)


def record_id(kind, body):
    return dk("record id", kind.encode() + b"\0" + body)


def read_record(envelope):
    parts = array(cbor(envelope, most=64 * KIB), 4)
    kind, body, signer, signature = text(parts[0]), octets(parts[1]), b32(parts[2]), octets(parts[3], 64)
    need(kind in RECORDS, "unknown-type")
    verify(signer, b"packnback-sig-v1\0" + kind.encode() + b"\0" + body, signature)
    value = cbor(body, depth=6, most=64 * KIB)
    need(RECORDS[kind](value) == signer, "wrong-signer")
    return Record(kind, body, signer, value)


def open_label(label_key, owner, device, sealed):
    try:
        padded_label = unseal(label_key, b"label1" + owner + device, sealed)
    except Refused as error:
        raise Refused("label", error.what) from error
    label = padded_label.rstrip(b"\0")
    need(len(padded_label) == 64 and b"\0" not in label, "invalid", "label")
    return label.decode()


# ---- 10. ways to keep the owner seed ----


def open_protected(value, passphrase):
    """Fields 2 to 7 of a protected file: the content."""
    fields(value, range(1, 8))
    salt, m, t, p = octets(value[2], 16), uint(value[3]), uint(value[4]), uint(value[5])
    need(1 <= p <= 64 and 8 * p <= m <= 4 * MIB and 1 <= t <= 16, "work")
    octets(value[6], 32), octets(value[7])
    need(passphrase is not None, "protected")
    need(passphrase, "empty-passphrase")
    out = hash_secret_raw(passphrase, salt, t, m, p, 64, Type.ID, version=0x13)
    need(out[32:] == value[6], "wrong-passphrase")
    try:
        return unseal(out[:32], to_cbor({k: value[k] for k in range(1, 7)}), value[7])
    except Refused as error:
        raise Refused("damaged", error.what) from error


def open_key_file(data, passphrase=None):
    """`passphrase` None: a file without one."""
    value = cbor(data, most=KIB)
    need(type(value) is dict and value, "cbor-wrong-type")
    if value.get(1) == "PNBKEY0":
        fields(value, (1, 2, 3))
        need(passphrase is None, "not-protected")
        need(h(b32(value[2]))[:4] == octets(value[3], 4), "checksum")
        return value[2]
    need(text(value.get(1)) == "PNBKEY1", "unknown-version")
    seed = open_protected(value, passphrase)
    need(len(seed) == 32, "damaged")
    return seed


class Part:
    """10.4: a part of the owner key. What it does not have is None."""

    def __init__(self, content):
        value = cbor(content)
        need(type(value) is dict, "cbor-wrong-type")
        kind = uint(value.get(1, 0))
        need(kind in (1, 2, 3), "content", "kind")
        fields(value, range(1, {1: 6, 2: 4, 3: 6}[kind]))
        self.kind = ["sign-only", "list-only", "read-only"][kind - 1]
        self.owner = b32(value[2])
        self.sign_seed = self.recovery = None
        self.labels, self.meta, self.dec, self.psk, self.groups = {}, {}, {}, {}, {}
        if kind == 1:
            self.sign_seed, self.recovery = b32(value[3]), b32(value[4])
            need(bytes(SigningKey(self.sign_seed).verify_key) == self.owner, "content", "owner")
            self.labels = {e: k[0] for e, k in self.numbered(value[5], 1, 64).items()}
        else:
            for e, keys in self.numbered(value[3], kind, 64).items():
                self.meta[e], self.psk[e] = keys[0], keys[-1]
                self.labels[e] = dk("device label", keys[0])
                if kind == 3:
                    self.dec[e] = keys[1]
        if kind == 3:
            self.groups = {g: k[0] for g, k in self.numbered(value[4], 1, 256).items()}
            self.recovery = bytes(SigningKey(b32(value[5])).verify_key)

    @staticmethod
    def numbered(items, keys, most):
        found = {}
        need(0 < len(array(items)) <= most, "content", "number")
        for item in items:
            array(item, keys + 1)
            need(not found or u32(item[0]) > max(found), "content", "order")
            found[u32(item[0])] = [b32(key) for key in item[1:]]
        return found

    def node_key(self, epk, epoch):
        meta = self.meta.get(epoch)
        if meta is None:
            return None
        shared = x25519(meta, epk)
        sk_m = dk("session meta", shared + epk + x25519_public(meta) + le32(epoch) + self.psk[epoch])
        return dk("node", sk_m)

    def session_data(self, epk, epoch):
        dec = self.dec.get(epoch)
        if dec is None:
            return None
        return dk("session data", x25519(dec, epk) + epk + x25519_public(dec) + le32(epoch) + self.psk[epoch])


def open_part(data, passphrase=None):
    value = cbor(data, most=32 * KIB)
    need(type(value) is dict and value, "cbor-wrong-type")
    if value.get(1) == "PNBSUB0":
        fields(value, (1, 2, 3))
        need(passphrase is None, "not-protected")
        need(h(octets(value[2]))[:4] == octets(value[3], 4), "checksum")
        return Part(value[2])
    need(text(value.get(1)) == "PNBSUB1", "unknown-version")
    return Part(open_protected(value, passphrase))


# ---- 10.5, 10.6: enrolment and unsealing ----


def from_text(prefix, line):
    import base64

    line = "".join(line.split()).lower()
    need(line.startswith(prefix), "prefix")
    digits = line[len(prefix) :].upper()
    try:
        data = base64.b32decode(digits + "=" * (-len(digits) % 8))
    except ValueError as error:
        raise Refused("damaged") from error
    need(base64.b32encode(data).decode().rstrip("=") == digits and len(data) >= 4, "damaged")
    need(h(data[:-4])[:4] == data[-4:], "damaged")
    return data[:-4]


def read_request(data):
    """Node id, X25519 public key, name."""
    value = array(cbor(data, most=256), 4)
    need(uint(value[0]) == 1, "unknown-version")
    need(len(text(value[3]).encode()) <= 64, "mismatch")
    return b32(value[1]), b32(value[2]), value[3]


def open_boxed(context, secret, epk, ad, sealed):
    try:
        return unseal(dk(context, x25519(secret, epk) + epk + x25519_public(secret)), ad, sealed)
    except Refused as error:
        raise Refused("sealed", error.what) from error


def open_bundle(data, secret, node):
    """The fields of the body; certificate and order are read."""
    value = array(cbor(data), 4)
    need(uint(value[0]) == 1, "unknown-version")
    made_for, epk = b32(value[1]), b32(value[2])
    need(made_for == node, "other-machine")
    content = open_boxed("device bundle", secret, epk, to_cbor(value[:3]), octets(value[3]))
    body, signature = array(cbor(content), 2)
    f = fields(cbor(octets(body)), range(1, 9))
    octets(f[8], 32)
    cert = read_record(octets(f[1]))
    need(cert.kind == "cert", "wrong-type")
    verify(cert.signer, b"packnback-bundle-v1\0" + body, octets(signature, 64))
    need(cert.value[2] == node, "other-machine")
    if f[7] is not None:
        order = read_record(octets(f[7]))
        need(order.signer == cert.signer and order.value[5] == 7, "mismatch")
    return f


def read_unseal_request(data):
    """X25519 public key, snapshot, sessions."""
    need(len(data) > 4 and h(data[:-4])[:4] == data[-4:], "damaged")
    f = fields(cbor(data[:-4]), range(1, 6))
    need(text(f[1]) == "PNBUNQ1", "unknown-version")
    snap, cert = read_record(octets(f[3])), read_record(octets(f[4]))
    need((snap.kind, cert.kind) == ("snap", "cert"), "wrong-type")
    need((snap.value[1], snap.value[2]) == (cert.value[1], cert.value[2]), "mismatch")
    sessions = [(b32(array(s, 2)[0]), u32(s[1])) for s in array(f[5])]
    need(sessions and sessions == sorted(set(sessions)), "mismatch")
    return b32(f[2]), snap, sessions


def open_answer(data, secret):
    """{(epk, e): (SK_m, SK_d)}, {g: C[g]}."""
    f = fields(cbor(data), range(1, 5))
    need(text(f[1]) == "PNBUNA1", "unknown-version")
    ad = to_cbor({k: f[k] for k in (1, 2, 3)})
    content = open_boxed("unseal answer", secret, b32(f[3]), ad, octets(f[4]))
    f = fields(cbor(content), (1, 2))
    sessions = {(b32(s[0]), u32(s[1])): (b32(s[2]), b32(s[3])) for s in f[1]}
    return sessions, {u32(g): b32(c) for g, c in f[2]}


def from_words(words):
    listed = {w: i for i, w in enumerate(Mnemonic("english").wordlist)}
    words = [w for w in words.lower().split() if not w.rstrip(".:)").isdigit()]
    need(len(words) == 24, "words-count")
    bits = 0
    for word in words:
        need(word in listed, "words-unknown", word)
        bits = bits << 11 | listed[word]
    seed = (bits >> 8).to_bytes(32, "big")
    need(bits & 0xFF == hashlib.sha256(seed).digest()[0], "words-checksum")
    return seed


def to_words(seed):
    bits = int.from_bytes(seed, "big") << 8 | hashlib.sha256(seed).digest()[0]
    listed = Mnemonic("english").wordlist
    return " ".join(listed[bits >> (11 * (23 - i)) & 2047] for i in range(24))


def from_qr(payload):
    import base64

    payload = payload.strip().upper()
    need(payload.startswith("PNB1:"), "qr-prefix")
    code = payload[5:]
    need(len(code) == 58, "qr-digits")
    try:
        data = base64.b32decode(code + "======")
    except ValueError as error:
        raise Refused("qr-digits") from error
    unused = base64.b32encode(data).decode().rstrip("=")
    need(len(data) == 36 and unused == code, "qr-digits")
    need(h(data[:32])[:4] == data[32:], "qr-checksum")
    return data[:32]
