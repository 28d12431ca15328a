#!/usr/bin/env python3
"""Backs up a made-up tree with the built program, exports it raw, and restores it with the independent reader.

The restored tree must equal the saved one in content and attributes. Finds `packnback` through PATH.
"""

import json
import os
import random
import shutil
import stat
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def make_tree(top):
    rng = random.Random("independent reader")
    write(f"{top}/empty", b"")
    write(f"{top}/small", b"small file\n")
    write(f"{top}/dir/of/dirs/deep", b"x" * 1000)
    os.mkdir(f"{top}/a")
    write(f"{top}/a/b", b"in a")
    write(f"{top}/a-b", b"after everything in a")
    write(f"{top}/a b", b"before a-b")
    os.mkdir(f"{top}/no files")
    for number in range(300):
        write(f"{top}/many/{number % 7}/{number}", rng.randbytes(rng.randrange(0, 30_000)))
    write(f"{top}/limit", rng.randbytes(64 * 1024))
    write(f"{top}/limit+1", rng.randbytes(64 * 1024 + 1))
    write(f"{top}/big", rng.randbytes(9_000_000))
    write(f"{top}/text", b"".join(b"line %d of a text that compresses\n" % n for n in range(200_000)))
    write(os.fsencode(top) + b"/name \xff\xfe that is not UTF-8\n", b"odd")
    write(f"{top}/{'n' * 255}", b"long name")
    os.symlink("nowhere/at all", f"{top}/symlink")
    os.link(f"{top}/big", f"{top}/hard link to big")
    os.link(f"{top}/small", f"{top}/dir/hard link to small")
    os.mkfifo(f"{top}/fifo")
    with open(f"{top}/sparse", "wb") as file:
        file.seek(50_000_000)
        file.write(rng.randbytes(300_000))
        file.truncate(90_000_000)
    with open(f"{top}/hole", "wb") as file:
        file.truncate(1 << 30)
    with open(f"{top}/long and sparse", "wb") as file:  # more than 1024 pieces: maps
        for number in range(1100):
            file.seek(number * 200_000)
            file.write(rng.randbytes(4096))
    for name, value in (("user.note", b"value"), ("user.n", b"\0\xff")):
        try:
            os.setxattr(f"{top}/small", name, value)
        except OSError:
            print("this file system has no extended attributes: not checked")
    os.chmod(f"{top}/small", 0o640)
    os.chmod(f"{top}/many", 0o1775)
    os.chmod(f"{top}/limit", 0o4755)
    os.utime(f"{top}/small", ns=(1, 1_234_567_890_123_456_789))
    os.utime(f"{top}/empty", ns=(1, -1_000_000_001))
    os.utime(f"{top}/symlink", ns=(1, 987_654_321), follow_symlinks=False)
    if os.geteuid() == 0:
        os.mknod(f"{top}/device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        os.chown(f"{top}/text", 1234, 4321)
    os.utime(f"{top}/no files", ns=(1, 111_111_111_222_222_222))


def facts(top):
    """Everything that must come back, by path."""
    found, inodes = {}, {}
    top = os.fsencode(top)
    for parent, folders, names in os.walk(top):
        for path in [parent] + [os.path.join(parent, n) for n in names + [f for f in folders if os.path.islink(os.path.join(parent, f))]]:
            s = os.lstat(path)
            name = os.path.relpath(path, top)
            fact = [stat.S_IFMT(s.st_mode), s.st_mode & 0o7777, s.st_uid, s.st_gid, s.st_mtime_ns]
            if stat.S_ISREG(s.st_mode):
                with open(path, "rb") as file:
                    fact += [s.st_size, hash_of(file), s.st_blocks * 512 < s.st_size]
                inodes.setdefault((s.st_dev, s.st_ino), []).append(name)
            elif stat.S_ISLNK(s.st_mode):
                fact[1] = 0
                fact.append(os.readlink(path))
            elif stat.S_ISCHR(s.st_mode) or stat.S_ISBLK(s.st_mode):
                fact.append(s.st_rdev)
            if not stat.S_ISLNK(s.st_mode):
                fact.append(sorted((n, os.getxattr(path, n)) for n in os.listxattr(path)))
            found[name] = fact
    return found, sorted(sorted(names) for names in inodes.values() if len(names) > 1)


def hash_of(file):
    import hashlib

    return hashlib.file_digest(file, "blake2b").hexdigest()


def run(*command):
    out = subprocess.run(command, capture_output=True, text=True)
    if out.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {out.returncode}:\n{out.stdout}{out.stderr}")
    return out.stdout


def main():
    work = tempfile.mkdtemp(prefix="packnback-reader-")
    home, tree, export, target = (os.path.join(work, n) for n in ("home", "tree", "export", "target"))
    key = os.path.join(work, "owner.key")
    packnback = ("packnback", "--home", home)
    try:
        os.mkdir(tree)
        make_tree(tree)
        run(*packnback, "init", "--owner-key-out", key, "--no-passphrase", "--label", "reader")
        run(*packnback, "backup", tree)
        listed = json.loads(run(*packnback, "--json", "snapshots"))
        listed = listed["snapshots"] if isinstance(listed, dict) else listed
        snapshot = listed[-1]["id"]
        run(*packnback, "export", snapshot, "--format", "raw", export)
        print(run(sys.executable, f"{HERE}/restore.py", export, target, "--key-file", key).strip())
        wanted, found = facts(tree), facts(target + tree)
        different = [p for p in sorted(set(wanted[0]) | set(found[0])) if wanted[0].get(p) != found[0].get(p)]
        for path in different[:20]:
            print(f"{path!r}:\n  saved    {wanted[0].get(path)}\n  restored {found[0].get(path)}")
        if different or wanted[1] != found[1]:
            sys.exit(f"{len(different)} entries differ, hard links {'equal' if wanted[1] == found[1] else 'differ'}")
        print(f"check_backup: {len(wanted[0])} entries identical")
    finally:
        stop_node(home)
        shutil.rmtree(work, ignore_errors=True)


def stop_node(home):
    """Ends the node of this home, by its command line."""
    import signal

    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().decode(errors="replace").split("\0")
        except OSError:
            continue
        if words[0].endswith("packnback-node") and any(w.startswith(home) for w in words[1:]):
            os.kill(int(pid), signal.SIGTERM)


main()
