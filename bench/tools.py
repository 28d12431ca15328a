"""The backup tools as the benchmarks drive them, and what a step costs. Used by measure and prune."""

import json
import os
import signal
import subprocess
import sys
import time

MB = 1e6
# ru_oublock counts what a process caused to be written to a disk in units of this.
BLOCK = 512


class Cost:
    """What one step took: wall and CPU seconds, peak memory in MB of the tool and of its daemon, MB written."""

    def __init__(self, wall, cpu, peak, written=0.0):
        self.wall, self.cpu, self.peak, self.daemon_peak, self.written = wall, cpu, peak, None, written

    def plus(self, other):
        """Both steps, one after the other."""
        total = Cost(
            self.wall + other.wall, self.cpu + other.cpu, max(self.peak, other.peak), self.written + other.written
        )
        total.daemon_peak = max(filter(None, (self.daemon_peak, other.daemon_peak)), default=None)
        return total


class Running:
    """A command that was started; `finish` waits for it and says what it cost."""

    def __init__(self, command, log, **options):
        self.command, self.log = command, log
        with open(log, "ab") as out:
            out.write(("\n$ " + " ".join(command) + "\n").encode())
            out.flush()
            self.started = time.monotonic()
            self.child = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, **options)

    def finish(self):
        _, status, usage = os.wait4(self.child.pid, 0)
        wall = time.monotonic() - self.started
        self.child.returncode = os.waitstatus_to_exitcode(status)
        if self.child.returncode != 0:
            with open(self.log, errors="replace") as text:
                sys.stderr.write("".join(text.readlines()[-20:]))
            sys.exit(f"failed with {self.child.returncode}: {' '.join(self.command)} (log: {self.log})")
        written = usage.ru_oublock * BLOCK / MB
        return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / MB, written)


def run(command, **options):
    """Runs a command, returns its Cost. Its output goes to a log that is shown when it fails."""
    return Running(command, options.pop("log"), **options).finish()


def output(command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


def stored(folder):
    """Bytes on disk of a repository."""
    return int(output(["du", "-s", "-B1", folder]).split()[0])


class Restic:
    name = "restic"

    def __init__(self, home, log):
        self.repo, self.log = os.path.join(home, "repo"), log
        self.env = {**os.environ, "RESTIC_PASSWORD": "x", "RESTIC_CACHE_DIR": os.path.join(home, "cache"), "HOME": home}

    def version(self):
        return output(["restic", "version"]).split()[1]

    def init(self):
        self.call("init")

    def call(self, *arguments):
        return run(["restic", "-r", self.repo, *arguments], env=self.env, log=self.log)

    def backup(self, source):
        return self.call("backup", source)

    def snapshots(self):
        """Ids, oldest first."""
        listed = json.loads(output(["restic", "-r", self.repo, "snapshots", "--json"], env=self.env))
        return [s["id"] for s in sorted(listed, key=lambda s: s["time"])]

    def restore(self, source, target, snapshot="latest"):
        return self.call("restore", snapshot, "--target", target), target + source

    def forget(self, keep):
        return self.call("forget", "--keep-last", str(keep), "--prune")

    def size(self):
        return stored(self.repo)

    def stop(self):
        pass


class Borg:
    name = "borg"

    def __init__(self, home, log):
        self.repo, self.log, self.runs = os.path.join(home, "repo"), log, 0
        self.env = {
            **os.environ, "BORG_PASSPHRASE": "x", "BORG_BASE_DIR": home, "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }

    def version(self):
        return output(["borg", "--version"]).split()[1]

    def call(self, *arguments, **options):
        return run(["borg", *arguments], env=self.env, log=self.log, **options)

    def init(self):
        self.call("init", "--encryption=repokey-blake2", self.repo)

    def backup(self, source):
        self.runs += 1
        # Names sort by age.
        return self.call("create", "--compression", "zstd,1", f"{self.repo}::run{self.runs:06}", source)

    def snapshots(self):
        """Names, oldest first."""
        return sorted(output(["borg", "list", "--short", self.repo], env=self.env).split())

    def restore(self, source, target, snapshot=None):
        archive = snapshot or f"run{self.runs:06}"
        return self.call("extract", "--sparse", f"{self.repo}::{archive}", cwd=target), target + source

    def forget(self, keep):
        pruned = self.call("prune", "--keep-last", str(keep), self.repo)
        return pruned.plus(self.call("compact", self.repo))

    def size(self):
        return stored(self.repo)

    def stop(self):
        pass


class Packnback:
    name = "packnback"

    def __init__(self, home, log):
        self.home, self.log = os.path.join(home, "home"), log
        self.key = os.path.join(home, "owner.key")
        self.node = None
        # An order is due at once, so that the prune frees space within the measurement.
        self.env = {**os.environ, "PACKNBACK_GRACE_DAYS": "0"}

    def version(self):
        return output(["packnback", "version"]).split()[1]

    def start(self, *arguments):
        return Running(["packnback", "--home", self.home, *arguments], self.log, env=self.env)

    def call(self, *arguments):
        cpu, written = self.node_cpu(), self.node_written()
        cost = self.start(*arguments).finish()
        if self.node:
            cost.cpu += self.node_cpu() - cpu
            cost.written += (self.node_written() - written) / MB
            cost.daemon_peak = self.node_peak()
        return cost

    def init(self):
        self.call("init", "--owner-key-out", self.key, "--no-passphrase", "--label", "bench")
        self.find_node()

    def open(self):
        """Starts the node of a home that was copied."""
        self.call("node", "start")
        self.find_node()

    def find_node(self):
        """The node that the cli started for this home."""
        wanted = os.path.join(self.home, "node")
        self.node = None
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            is_ours = any(w.decode(errors="replace") in (self.home, wanted) for w in words)
            if words[0].endswith(b"packnback-node") and is_ours:
                self.node = int(pid)
        if self.node is None:
            sys.exit("no packnback-node was found for " + self.home)

    def node_cpu(self):
        if not self.node:
            return 0.0
        with open(f"/proc/{self.node}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def node_field(self, file, name, default=0):
        if not self.node:
            return default
        with open(f"/proc/{self.node}/{file}") as lines:
            for line in lines:
                if line.startswith(name + ":"):
                    return int(line.split()[1])
        return default

    def node_peak(self):
        return self.node_field("status", "VmHWM") * 1024 / MB

    def node_written(self):
        return self.node_field("io", "write_bytes")

    def backup(self, source):
        return self.call("backup", source)

    def snapshots(self):
        """Ids, oldest first."""
        found = json.loads(output(["packnback", "--home", self.home, "--json", "snapshots"], env=self.env))
        found = found["snapshots"] if isinstance(found, dict) else found
        return [s["id"] for s in sorted(found, key=lambda s: (s.get("seq", 0), s["time"]))]

    def restore(self, source, target, snapshot=None):
        snapshot = snapshot or self.snapshots()[-1]
        cost = self.call("restore", snapshot, "--target", target, "--owner-key", self.key)
        return cost, target + source

    def forget(self, keep):
        ordered = self.call("forget", "--keep-last", str(keep), "--owner-key", self.key, "--yes")
        return ordered.plus(self.call("host", "collect"))

    def size(self):
        return stored(os.path.join(self.home, "node"))

    def stop(self):
        if self.node:
            os.kill(self.node, signal.SIGTERM)
            while os.path.exists(f"/proc/{self.node}"):
                time.sleep(0.05)
            self.node = None


def differences(source, restored):
    """What rsync would still have to change; content and every attribute are compared."""
    command = ["rsync", "-naXAHc", "--delete", "--out-format=%i %n", source + "/", restored + "/"]
    return output(command, errors="replace").splitlines()
