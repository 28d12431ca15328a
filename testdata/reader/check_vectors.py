#!/usr/bin/env python3
"""Runs all golden vectors against the independent reader. Every list in every file has a check here; a list without one
is an error, so that nothing is left out silently."""

import collections
import json
import os
import struct
import sys

import pnb
from nacl.signing import SigningKey
from pnb import Refused

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors")
CHECKS = {}
unhex = bytes.fromhex


def check(file, name):
    def register(function):
        CHECKS[file, name] = function
        return function

    return register


def data(value):
    """An input: hex, or a generator as described in the files."""
    if isinstance(value, str):
        return unhex(value)
    if "hex" in value:
        return unhex(value["hex"])
    kind, length = value["generator"], value["len"]
    if kind == "zeros":
        return bytes(length)
    if kind == "period":
        period = bulk(value["label"], value["period"])
        return (period * (length // len(period) + 1))[:length]
    found = bulk(value["label"], length)
    if kind == "letters":
        return found.translate(bytes(b"etaoinshrdlu .,\n"[b & 15] for b in range(256)))
    assert kind == "bulk", kind
    return found


def bulk(label, length):
    return pnb.blake3(label.encode()).digest(length=length)


def same(found, wanted, what):
    if isinstance(found, bytes) and isinstance(wanted, str):
        found = found.hex()
    if found != wanted:
        raise AssertionError(f"{what}: {str(found)[:80]} instead of {str(wanted)[:80]}")


# ---- crypto.json ----


@check("crypto", "hashes")
def hashes(v):
    same(pnb.kh(unhex(v["key"]), data(v["m"])), v["keyed_hash"], "keyed hash")
    if "hash" in v:
        same(pnb.h(data(v["m"])), v["hash"], "hash")


@check("crypto", "derivations")
def derivations(v):
    out = pnb.blake3(unhex(v["ikm"]), derive_key_context=v["context"]).digest(length=64)
    same(out, v["xof64"], "derivation")


@check("crypto", "chunk_keys")
def chunk_keys(v):
    same(pnb.kh(unhex(v["ck"]), data(v["p"])), v["k"], "chunk key")


@check("crypto", "owners")
def owners(v):
    owner, e = pnb.Owner(unhex(v["seed"])), v["epoch"]
    group = owner.group(v["group"])
    gear = struct.pack("<256Q", *group.gear)
    for found, name in [
        (owner.id, "owner_id"), (bytes(owner.sign), "owner_sign_seed"), (owner.recovery_id, "recovery_id"),
        (owner.recovery_seed, "recovery_seed"), (owner.dec(e), "owner_dec"), (owner.meta(e), "owner_meta"),
        (pnb.x25519_public(owner.dec(e)), "owner_dec_pub"), (pnb.x25519_public(owner.meta(e)), "owner_meta_pub"),
        (owner.psk(e), "psk"), (owner.label_key(e), "label_key"), (owner.set_key(), "set_key"), (owner.group_secret(v["group"]), "group_key"),
        (group.ck, "chunk_key"), (group.cp, "cut_key"), (gear[:16], "gear_first"), (pnb.h(gear), "gear_blake3"),
    ]:
        same(found, v[name], name)


@check("crypto", "backup_sets")
def backup_sets(v):
    roots = [unhex(root) for root in v.get("roots", [])]
    same(pnb.set_id(unhex(v["set_key"]), v.get("name"), roots), v["set"], "backup set")


@check("crypto", "sessions")
def sessions(v):
    owner, e = pnb.Owner(unhex(v["seed"])), v["epoch"]
    found = [owner.session(unhex(v["epk"]), e)]
    if "esk" in v:
        meta, dec = pnb.x25519_public(owner.meta(e)), pnb.x25519_public(owner.dec(e))
        found.append(pnb.device_session(unhex(v["esk"]), meta, dec, e, owner.psk(e)))
    for session in found:
        for key, name in [
            (session.epk, "epk"), (session.node, "k_node"), (session.map, "k_map"), (session.pack, "k_pack"),
            (session.blob, "k_blob"), (session.chunk_priv, "ck_priv"),
        ]:
            same(key, v[name], name)


@check("crypto", "sealed")
def sealed(v):
    if "blake3" in v.get("x", {}):
        x = pnb.seal(unhex(v["key"]), unhex(v["ad"]), data(v["m"]))
        same(pnb.h(x), v["x"]["blake3"], "hash of sealed")
        return
    m = pnb.unseal(unhex(v["key"]), unhex(v["ad"]), data(v["x"]))
    same(m, data(v["m"]), "opened")
    same(pnb.seal(unhex(v["key"]), unhex(v["ad"]), m), data(v["x"]), "sealed")


@check("crypto", "signatures")
def signatures(v):
    pnb.verify(unhex(v["public"]), unhex(v["message"]), unhex(v["signature"]))
    key = SigningKey(unhex(v["seed"]))
    same(key.sign(unhex(v["message"])).signature, v["signature"], "signature")


@check("crypto", "record_ids")
def record_ids(v):
    same(pnb.record_id(v["type"], unhex(v["body"])), v["id"], "record id")


# ---- object.json ----


@check("object", "padding")
def padding(v):
    same(pnb.padded(v[0]), v[1], f"padding of {v[0]}")


def open_bytes(v):
    key = unhex(v["key"])
    return pnb.open_object(unhex(v["bytes"]), unhex(v["id"]), lambda _: key)


@check("object", "objects")
def objects(v):
    if v["bytes"] is None:
        return  # only id and length: for writers with the same zstd
    header, raw = open_bytes(v)
    same(raw, data(v["raw"]), "content")
    same(len(unhex(v["bytes"])), v["len"], "length")
    wanted = v["header"]
    same(pnb.KINDS.index(header.kind), wanted["kind"], "kind")
    same([header.height, header.epoch], [wanted["height"], wanted["epoch"]], "height and epoch")
    same(header.epk and header.epk.hex(), wanted["epk"], "epk")
    same([r.hex() for r in header.refs], wanted["refs"], "references")


@check("object", "chunks")
def chunks(v):
    p = data(v["p"])
    same(pnb.kh(unhex(v["ck"]), p), v["k"], "chunk key")
    if v["bytes"] is not None:
        same(pnb.open_chunk(unhex(v["bytes"]), unhex(v["id"]), unhex(v["k"]), unhex(v["ck"]), len(p)), p, "content")


@check("object", "rejections")
def rejections(v):
    open_bytes(v)


@check("object", "chunk_rejections")
def chunk_rejections(v):
    pnb.open_chunk(unhex(v["bytes"]), unhex(v["id"]), unhex(v["key"]), unhex(v["ck"]), v["content_len"])


# ---- chunker.json ----


@check("chunker", "constants")
def constants(v):
    found = {
        "min": pnb.CHUNK_MIN, "avg": pnb.CHUNK_AVG, "max": pnb.CHUNK_MAX, "gear_mask": f"{pnb.GEAR_MASK:x}",
        "strict": pnb.STRICT, "loose": pnb.LOOSE, "window": pnb.WINDOW, "chunker": 1,
    }
    same(found, v, "constants")


@check("chunker", "cases")
def cuts(v):
    group, b, found = pnb.Group(unhex(v["group_key"])), data(v["data"]), []
    while b:
        n = pnb.cut(group, b)
        found.append(n)
        b = b[n:]
    same(found, v["chunks"], "chunks")


# ---- CBOR and what is written in it ----


def diagnostic(value):
    """RFC 8949, section 8."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return f"h'{value.hex()}'"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ", ".join(map(diagnostic, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{diagnostic(k)}: {diagnostic(v)}" for k, v in value.items()) + "}"
    return str(value)


def cbor_case(v, depth=None):
    raw = unhex(v["cbor"])
    value = pnb.cbor(raw, depth)
    if "value" in v:
        same(diagnostic(value), v["value"], "value")
        same(pnb.to_cbor(value), raw.hex(), "encoded again")
    return raw


@check("cbor", "cases")
def cbor_cases(v):
    cbor_case(v, 6)


def payload(name, reader):
    @check(name, "cases")
    def read(v):
        if "kb" in v:
            ids = [unhex(i) for i in v["ids"]]
            keys = pnb.open_key_blob(unhex(v["k_blob"]), v["dom"], ids, unhex(v["kb"]))
            same([k.hex() for k in keys], v["keys"], "chunk keys")
            return
        reader(unhex(v["cbor"]), v["n_refs"])
        cbor_case(v)


payload("segment", pnb.Segment)
payload("map", pnb.Map)
payload("index", pnb.read_index)
payload("root", pnb.Root)


@check("records", "cases")
def records(v):
    if "sealed" in v:
        owner = pnb.Owner(unhex(v["owner_seed"]))
        same(owner.label_key(v["epoch"]), v["label_key"], "label key")
        label = pnb.open_label(unhex(v["label_key"]), unhex(v["owner"]), unhex(v["device"]), unhex(v["sealed"]))
        same(label, v["label"], "label")
        return
    record = pnb.read_record(unhex(v["envelope"]))
    same(record.kind, v["type"], "type")
    same(record.id, v["id"], "id")
    same(record.body, v["body"], "body")
    same(diagnostic(record.value), v["fields"], "fields")
    key = SigningKey(unhex(v["signer_seed"]))
    same(record.signer, bytes(key.verify_key).hex(), "signer")


@check("keyfile", "cases")
def key_files(v):
    passphrase = v["passphrase"]
    same(pnb.open_key_file(unhex(v["file"]), passphrase and passphrase.encode()), v.get("seed"), "seed")


@check("subset", "cases")
def parts(v):
    passphrase = v["passphrase"]
    part = pnb.open_part(unhex(v["file"]), passphrase and passphrase.encode())
    shown = lambda found: found and found.hex()
    epk = unhex(v["epk"])
    same(part.kind, v["kind"], "kind")
    same(part.owner, v["owner"], "owner")
    same(shown(part.labels.get(3)), v["label_key_of_epoch_3"], "label key")
    same(shown(part.sign_seed), v["sign_seed"], "signing key")
    same(shown(part.recovery), v["recovery"], "recovery peer")
    same(shown(part.node_key(epk, 3)), v["node_key"], "node key")
    same(shown(part.session_data(epk, 3)), v["session_data"], "session data key")
    same(shown(part.groups.get(2)), v["group_2"], "group secret")


@check("exchange", "cases")
def exchange(v):
    if "text" in v:
        found = pnb.from_text("pnb-device-", v["text"])
        node, key, label = pnb.read_request(found)
        same(found, v["bytes"], "bytes")
        same((node.hex(), key.hex(), label), (v["node"], v["key"], v["label"]), "request")
        digits = pnb.dk("device fingerprint", node + key, 8).hex()
        same(" ".join(digits[i : i + 4] for i in range(0, 16, 4)), v["fingerprint"], "fingerprint")
    elif "bundle" in v:
        f = pnb.open_bundle(unhex(v["bundle"]), unhex(v["secret"]), unhex(v["node"]))
        names = ["cert", "owner_meta_pub", "owner_dec_pub", "psk", "group_key", "label", "hosts", "set_key"]
        for number, name in enumerate(names, 1):
            same(f[number], v[name], name)
    else:
        if "request" in v:
            _, snap, asked = pnb.read_unseal_request(unhex(v["request"]))
        sessions, groups = pnb.open_answer(unhex(v["answer"]), unhex(v["secret"]))
        same([{"epk": epk.hex(), "epoch": e} for epk, e in asked], v["sessions"], "sessions asked for")
        owner = pnb.Owner(unhex(v["owner_seed"]))
        for epk, e in asked:
            wanted = owner.session(epk, e)
            same(sessions[epk, e], (wanted.sk_m, wanted.sk_d), "session keys")
        same(sorted(sessions), asked, "sessions opened")
        for g, c in groups.items():
            same(c, owner.group_secret(g).hex(), "group secret")
        opened = {epk.hex(): pnb.dk("node", keys[0]) for (epk, _), keys in sessions.items()}
        same(opened[v["node_key_of"]], v["node_key"], "node key")


@check("words", "cases")
def words(v):
    if "qr" in v:
        same(pnb.from_qr(v["qr"]), v.get("seed"), "seed from QR")
    if "words" in v:
        seed = pnb.from_words(v["words"])
        digits = pnb.Owner(seed).id.hex()[:8]
        pnb.need(v.get("expected_digits", digits) == digits, "words-other-owner")
        same(seed, v.get("seed"), "seed from words")
        same(digits, v["owner_digits"], "digits of the owner id")
        same(pnb.to_words(seed), v["words"], "words")


# ---- running them ----


# The library does not tell a bad key from a bad signature.
SAME_CLASS = {"bad-public-key": "bad-signature", "bad-key": "bad-signature"}


def class_name(text):
    text = text.replace("_", "-")
    return SAME_CLASS.get(text, text)


def run_one(function, v):
    expect = (v.get("expect") or v.get("error")) if isinstance(v, dict) else None
    try:
        function(v)
    except Refused as error:
        if expect is None:
            raise AssertionError(f"refused: {error}") from error
        same(class_name(error.what), class_name(expect), "class of failure")
        return
    if expect is not None:
        raise AssertionError(f"accepted, but should be refused: {expect}")


def main():
    counts, failures = collections.Counter(), []
    for file in sorted(os.listdir(FOLDER)):
        if not file.endswith(".json"):
            continue
        stem = file.removesuffix(".json")
        with open(os.path.join(FOLDER, file), encoding="utf-8") as text:
            lists = json.load(text)
        for name, vectors in lists.items():
            if name == "about":
                continue
            vectors = vectors if isinstance(vectors, list) else [vectors]
            if (stem, name) not in CHECKS:
                failures.append(f"{file}: no check for '{name}'")
                continue
            for number, v in enumerate(vectors):
                counts[file] += 1
                try:
                    run_one(CHECKS[stem, name], v)
                except Exception as error:
                    label = v.get("name", "") if isinstance(v, dict) else ""
                    failures.append(f"{file} {name}[{number}] {label}: {type(error).__name__}: {error}")
    for line in failures:
        print(line)
    print(f"check_vectors: {sum(counts.values())} vectors ({dict(counts)}), {len(failures)} failures")
    sys.exit(1 if failures else 0)


main()
