"""Which snapshot is the newest: section 8.4 of docs/format.md."""

import time

DAY = 86_400
GOOD, AHEAD, UNSEEN, AGAIN, REVOKED = "counts", "ahead of now", "unseen", "played again", "revoked"


class Sight:
    """Whose word counts, what was revoked, and what time it is.

    A folder does not say which host it was read from: `besides` names it. Without a list of hosts, every host counts.
    """

    def __init__(self, records, owner, besides=(), now=None):
        self.listed, self.revoked, self.besides, last, signed = None, {}, set(besides), -1, 0
        for record in records:
            if record.kind == "cert" and record.value[1] == owner:
                signed = max(signed, record.value[5])
            if record.kind != "order" or record.value[1] != owner:
                continue
            issued, op, arg = record.value[3], record.value[5], record.value[6]
            signed = max(signed, issued)
            if op == 7 and arg[1] > last:
                last, self.listed = arg[1], set(arg[2])
            elif op == 3:
                self.revoked[arg[1]] = min(issued, self.revoked.get(arg[1], issued))
        now = int(time.time()) if now is None else now
        self.now = now if now + DAY >= signed else signed

    def counts(self, host):
        listed = self.listed is None or host in self.listed or host in self.besides
        return listed and host not in self.revoked

    def received(self, snap, receipts):
        """The time, or why there is none."""
        times = [r.value[3] for r in receipts if self.counts(r.value[2])]
        believed = [min(at, self.now) for at in times if at <= self.now + DAY]
        plausible = [at for at in believed if at + DAY >= snap.value[6]]
        if believed:
            return min(plausible) if plausible else max(believed)
        return AHEAD if times else UNSEEN


class Place:
    def __init__(self, snap, received, standing):
        self.snap, self.received, self.standing = snap, received, standing

    def key(self):
        at = -1 if self.received is None else self.received
        return (self.standing == GOOD, at, self.snap.value[3], self.snap.id)


def place(snap, receipts, sight):
    received, revoked = sight.received(snap, receipts), sight.revoked.get(snap.value[2])
    if isinstance(received, int):
        return Place(snap, received, GOOD if revoked is None or received < revoked else REVOKED)
    return Place(snap, None, received if revoked is None else REVOKED)


def order(snaps, records, sight):
    """All of them, the newest first; behind those that may be the newest, the others."""
    receipts = {}
    for record in records:
        if record.kind == "receipt":
            receipts.setdefault(record.value[1], []).append(record)
    places = {s.id: place(s, receipts.get(s.id, []), sight) for s in snaps}
    not_before_what_they_build_on(places)
    played_again(places)
    return sorted(places.values(), key=Place.key, reverse=True)


def not_before_what_they_build_on(places):
    """Ids are hashes of what names the one before, so there is no circle."""
    done = set()
    for start in places.values():
        chain, here = [], start
        while here is not None and here.snap.id not in done:
            done.add(here.snap.id)
            chain.append(here)
            here = before(places, here)
        for here in reversed(chain):
            earlier = before(places, here)
            if earlier is not None and earlier.standing == here.standing == GOOD:
                here.received = max(here.received, earlier.received)


def before(places, here):
    found = places.get(here.snap.value[4])
    return found if found is not None and found.snap.value[2] == here.snap.value[2] else None


def played_again(places):
    first = {}
    for here in places.values():
        late = here.received is None
        key = (late, here.received or 0, here.snap.value[3], here.snap.id)
        root = here.snap.value[5]
        first[root] = min(first.get(root, key), key)
    for here in places.values():
        if here.standing == GOOD and first[here.snap.value[5]][3] != here.snap.id:
            here.standing = AGAIN
