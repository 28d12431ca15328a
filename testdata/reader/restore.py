#!/usr/bin/env python3
"""Restores a snapshot from `packnback export --format raw`, with nothing but that folder and the owner's seed.

  restore.py EXPORT TARGET (--words-file FILE | --seed HEX | --key-file FILE) [--snapshot ID] [--host NODE]... [--list]

Without --snapshot it takes the newest (section 8.4) of those that are in the folder with their objects. --host names the
node the folder was written by, whose word counts beside that of the owner's hosts.
"""

import argparse
import errno
import os
import sys
import time

import newest
import pnb
from pnb import Refused, need


class Export:
    """A folder as in section 11."""

    def __init__(self, folder, owner):
        self.folder, self.owner, self.sessions, self.groups, self.open_packs = folder, owner, {}, {}, {}
        self.records = [self.record(name) for name in sorted(os.listdir(os.path.join(folder, "records")))]

    def record(self, name):
        with open(os.path.join(self.folder, "records", name), "rb") as file:
            record = pnb.read_record(file.read())
        need(name == record.id.hex() + ".cbor", "wrong-id", name)
        return record

    def snapshots(self, besides=()):
        """8.2 and 8.4: the newest first, and behind those that may be it, the others."""
        certs = {(r.value[2], r.value[3]) for r in self.records if r.kind == "cert" and r.value[1] == self.owner.id}
        found = [
            r for r in self.records
            if r.kind == "snap" and r.value[1] == self.owner.id and (r.value[2], r.value[7]) in certs
        ]
        return newest.order(found, self.records, newest.Sight(self.records, self.owner.id, besides))

    def has(self, id_):
        return os.path.exists(os.path.join(self.folder, "objects", id_.hex()[:2], id_.hex()))

    def bytes_of(self, id_):
        with open(os.path.join(self.folder, "objects", id_.hex()[:2], id_.hex()), "rb") as file:
            return file.read()

    def session(self, epk, epoch):
        if (epk, epoch) not in self.sessions:
            self.sessions[epk, epoch] = self.owner.session(epk, epoch)
        return self.sessions[epk, epoch]

    def open(self, id_, kinds):
        header, raw = pnb.open_object(
            self.bytes_of(id_), id_, lambda head: self.session(head.epk, head.epoch).key_for(head.kind)
        )
        need(header.kind in kinds, "wrong-kind", header.kind)
        return header, raw

    def pack(self, id_):
        if id_ not in self.open_packs:
            if len(self.open_packs) > 16:
                self.open_packs.clear()
            self.open_packs[id_] = self.open(id_, ("pack",))[1]
        return self.open_packs[id_]

    def chunk_key(self, dom, session):
        if dom == pnb.PRIVATE:
            return session.chunk_priv
        if dom not in self.groups:
            self.groups[dom] = self.owner.group(dom)
        return self.groups[dom].ck

    def segments(self, header, children):
        """Segments in path order, down through indexes."""
        for child in children:
            below, raw = self.open(header.refs[child.ref], ("segment", "index"))
            need(below.height < header.height, "height")
            if below.kind == "segment":
                segment = pnb.Segment(raw, len(below.refs))
                found = (segment.entries[0].path, len(segment.entries))
                need(found == (child.first, child.entries), "child")
                yield below, segment
            else:
                lower = pnb.read_index(raw, len(below.refs))
                found = (lower[0].first, sum(c.entries for c in lower))
                need(found == (child.first, child.entries), "child")
                yield from self.segments(below, lower)

    def entries(self, snap):
        header, raw = self.open(snap.value[5], ("root",))
        root, last = pnb.Root(raw, len(header.refs)), None
        for below, segment in self.segments(header, root.children):
            for entry in segment.entries:
                key = pnb.path_key(entry.path)
                need(last is None or last < key, "path-order")
                last = key
                yield below, segment, entry

    def content(self, header, segment, entry):
        """Pieces of a file: bytes, or the length of a hole."""
        data = entry.data
        if data is None:
            return
        if data[0] == 1:
            piece = self.pack(header.refs[data[1]])[data[2] : data[2] + data[3]]
            need(len(piece) == data[3], "content-length")
            yield piece
        elif data[0] == 2:
            _, dom, index, parts, kb = data
            session = self.session(*segment.sessions[index])
            ids = [header.refs[ref] for ref, _ in parts if ref is not None]
            keys = iter(pnb.open_key_blob(session.blob, dom, ids, kb))
            for ref, length in parts:
                yield length if ref is None else self.chunk(header.refs[ref], next(keys), dom, session, length)
        else:
            for ref in data[1]:
                yield from self.map_content(header.refs[ref])

    def map_content(self, id_):
        header, raw = self.open(id_, ("map",))
        content, session = pnb.Map(raw, len(header.refs)), self.session(header.epk, header.epoch)
        for part in content.parts:
            if part[0] is None:
                yield part[1]
            else:
                yield self.chunk(header.refs[part[0]], part[2], content.dom, session, part[1])

    def chunk(self, id_, k, dom, session, length):
        return pnb.open_chunk(self.bytes_of(id_), id_, k, self.chunk_key(dom, session), length)


def write_file(export, header, segment, entry, path):
    with open(path, "wb") as out:
        length = 0
        for piece in export.content(header, segment, entry):
            if isinstance(piece, int):
                out.seek(piece, os.SEEK_CUR)
                length += piece
            else:
                out.write(piece)
                length += len(piece)
        need(length == entry.size, "size", entry.path)
        out.truncate(length)


def make(export, header, segment, entry, path, links):
    first = links.get(entry.hardlink)
    if entry.hardlink is not None and first is not None:
        os.link(first, path, follow_symlinks=False)
        return
    if entry.type == "dir":
        os.makedirs(path, exist_ok=True)
    elif entry.type == "symlink":
        os.symlink(entry.link, path)
    elif entry.type == "fifo":
        os.mkfifo(path)
    elif entry.type in ("char", "block"):
        os.mknod(path, 0o600 | (0o020000 if entry.type == "char" else 0o060000), entry.rdev)
    else:
        write_file(export, header, segment, entry, path)
    if entry.hardlink is not None:
        links[entry.hardlink] = path


def set_attributes(entry, path):
    if os.geteuid() == 0:
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    if entry.type != "symlink":
        os.chmod(path, entry.mode)
    for name, value in entry.xattrs.items():
        try:
            os.setxattr(path, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise
            print(f"{entry.path!r}: attribute {name!r} not set", file=sys.stderr)
    os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)


def restore(export, snap, target):
    """Paths are checked when decoded; no component is ever a link, because every parent is an entry that was made
    here as a directory."""
    directories, links, made, count = [], {}, {b""}, 0
    for header, segment, entry in export.entries(snap):
        parent = entry.path.rpartition(b"/")[0]
        need(parent in made, "parent", entry.path)
        path = os.path.join(os.fsencode(target), entry.path)
        make(export, header, segment, entry, path, links)
        if entry.type == "dir":
            made.add(entry.path)
            directories.append((entry, path))
        else:
            set_attributes(entry, path)
        count += 1
    for entry, path in reversed(directories):
        set_attributes(entry, path)
    return count


def seed_from(options):
    if options.seed:
        return bytes.fromhex(options.seed)
    if options.key_file:
        with open(options.key_file, "rb") as file:
            return pnb.open_key_file(file.read(), options.passphrase and options.passphrase.encode())
    with open(options.words_file, encoding="utf-8") as file:
        return pnb.from_words(file.read())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("export")
    parser.add_argument("target", nargs="?")
    parser.add_argument("--words-file")
    parser.add_argument("--seed")
    parser.add_argument("--key-file")
    parser.add_argument("--passphrase")
    parser.add_argument("--snapshot")
    parser.add_argument("--host", action="append", default=[])
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    export = Export(options.export, pnb.Owner(seed_from(options)))
    places = export.snapshots([bytes.fromhex(host) for host in options.host])
    if options.list:
        for place in places:
            print(told(place))
        return
    chosen = choose(export, places, options.snapshot)
    os.makedirs(options.target, exist_ok=True)
    count = restore(export, chosen.snap, options.target)
    print(f"restored {count} entries of snapshot {told(chosen)}")
    if not options.snapshot:
        for rival in places:
            value, best = rival.snap.value, chosen.snap.value
            if (value[2], value[9]) == (best[2], best[9]) and rival is not chosen and (value[6] > best[6] or value[3] > best[3]):
                print(f"newer by the clock or the number of the device: {told(rival)}")


def choose(export, places, wanted):
    """What a person names, else the newest whose objects are here; never one that may not be the newest."""
    if wanted:
        found = [p for p in places if p.snap.id.hex().startswith(wanted)]
    else:
        found = [p for p in places if p.standing == newest.GOOD and export.has(p.snap.value[5])]
    need(found, "no such snapshot")
    return found[0]


def told(place):
    def date(seconds):
        return "never" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))

    value = place.snap.value
    return (
        f"{place.snap.id.hex()} number {value[3]} of device {value[2].hex()[:8]}, made {date(value[6])}, "
        f"received {date(place.received)}: {place.standing}"
    )


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        sys.exit(f"refused: {error}")
