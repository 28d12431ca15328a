"""A tree of files and what happens to it, step by step: the same bytes for the same numbers, on every machine.

The tree is a working folder as people have them: mostly small files, a few large ones, half of the bytes compress
two to one. A step changes ten files, adds three, removes two, appends to a log, and now and then adds a file of 2 MB.
"""

import math
import os
import random

# Sizes follow a log-normal distribution: half of the files are smaller than 3.5 kB, the mean is about 15 kB.
MEDIAN, SPREAD, LARGEST = 3500, 1.7, 4_000_000
FOLDER_FILES = 50
CHANGED, ADDED, REMOVED = 10, 3, 2
LOG_BYTES = 20_000
BIG_BYTES, BIG_EVERY = 2_000_000, 10


def content(rng, size):
    """Noise, or in half of the cases text of hex digits."""
    if rng.random() < 0.5:
        return rng.randbytes(size)
    return rng.randbytes(size // 2 + 1).hex().encode()[:size]


def file_size(rng):
    return min(int(rng.lognormvariate(math.log(MEDIAN), SPREAD)), LARGEST)


class History:
    """Makes the tree at `folder` on construction; `step` takes it from one state to the next."""

    def __init__(self, folder, files, seed=1):
        self.folder, self.seed, self.at, self.made = folder, seed, 0, 0
        self.paths, self.big = [], []
        os.makedirs(folder)
        rng = self.rng("tree")
        for _ in range(files):
            self.add(rng)

    def rng(self, what):
        return random.Random(f"packnback history {self.seed} {what}")

    def write(self, name, data, mode="wb"):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, mode) as file:
            file.write(data)

    def add(self, rng):
        name = f"part{self.made // 1000:03}/folder{self.made // FOLDER_FILES:05}/file{self.made:06}"
        self.made += 1
        self.write(name, content(rng, file_size(rng)))
        self.paths.append(name)

    def change(self, rng, name):
        """Small files are written anew, of larger ones a part in the middle changes or something is appended."""
        path = os.path.join(self.folder, name)
        size = os.path.getsize(path)
        if size < 20_000:
            self.write(name, content(rng, file_size(rng) % 40_000))
        elif rng.random() < 0.5:
            self.write(name, content(rng, 5000), "ab")
        else:
            with open(path, "r+b") as file:
                file.seek(rng.randrange(size - 4000))
                file.write(content(rng, 4000))

    def remove(self, names, rng):
        """Takes one out of the list, in constant time."""
        place = rng.randrange(len(names))
        names[place], names[-1] = names[-1], names[place]
        os.remove(os.path.join(self.folder, names.pop()))

    def step(self):
        self.at += 1
        rng = self.rng(f"step {self.at}")
        for name in rng.sample(self.paths, min(CHANGED, len(self.paths))):
            self.change(rng, name)
        for _ in range(REMOVED):
            self.remove(self.paths, rng)
        for _ in range(ADDED):
            self.add(rng)
        self.write("logs/program.log", content(rng, LOG_BYTES), "ab")
        if self.at % BIG_EVERY == 0:
            name = f"big/file{self.at:06}"
            self.write(name, content(rng, BIG_BYTES))
            self.big.append(name)
            if len(self.big) > 5:
                self.remove(self.big, rng)
