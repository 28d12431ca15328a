#!/usr/bin/env python3
"""Checks newest.py: the cases of section 8.4, on records made up here."""

import newest

OWNER, DEVICE, HOST, OTHER, DAY = b"o" * 32, b"d" * 32, b"h" * 32, b"x" * 32, newest.DAY
NOW = 1_000 * DAY


class Record:
    def __init__(self, kind, value, id_=b""):
        self.kind, self.value, self.id = kind, value, id_


def snap(n, made, prev=None, root=None, device=DEVICE):
    value = {1: OWNER, 2: device, 3: n, 4: prev, 5: root or bytes([n]) * 32, 6: made, 7: 1, 8: 1, 9: b"s" * 16}
    return Record("snap", value, bytes([n]))


def receipt(of, received, host=HOST):
    return Record("receipt", {1: of.id, 2: host, 3: received})


def order(op, arg, issued=0):
    return Record("order", {1: OWNER, 3: issued, 5: op, 6: arg})


HOSTS = order(7, {1: 2, 2: [HOST]})


def check(what, snaps, records, wanted, besides=()):
    records = [HOSTS, order(7, {1: 1, 2: [OTHER]})] + records
    places = newest.order(snaps, records, newest.Sight(records, OWNER, besides, NOW))
    found = [(p.snap.value[3], p.standing) for p in places]
    assert found == wanted, f"{what}: {found}"


def main():
    good, old = newest.GOOD, NOW - 30 * DAY
    one, two = snap(1, old), snap(2, old + DAY)
    both = [receipt(one, old), receipt(two, old + DAY)]
    check("the one received last", [one, two], both, [(2, good), (1, good)])
    # The device says that the first is from the future and has the highest number.
    early = snap(9, NOW + 500 * DAY)
    told = [receipt(early, old - 3 * DAY), receipt(two, old + DAY)]
    check("neither clock nor number", [early, two], told, [(2, good), (9, good)])
    same = [receipt(one, old), receipt(two, old)]
    check("the number within one second", [one, two], same, [(2, good), (1, good)])
    told = [receipt(one, old), receipt(two, NOW + 2 * DAY)]
    check("ahead of now", [one, two], told, [(1, good), (2, newest.AHEAD)])
    told = [receipt(one, old), receipt(two, old + DAY, OTHER)]
    check("a host that is not listed", [one, two], told, [(1, good), (2, newest.UNSEEN)])
    check("a host that is named", [one, two], told, [(2, good), (1, good)], [OTHER])
    revoked = order(3, {1: DEVICE, 2: ""}, old + DAY)
    check("revoked", [one, two], both + [revoked], [(1, good), (2, newest.REVOKED)])
    told = both + [order(3, {1: HOST, 2: ""}, NOW)]
    check("a host that is revoked", [one, two], told, [(2, newest.UNSEEN), (1, newest.UNSEEN)])
    again = snap(3, old + 2 * DAY, root=one.value[5])
    told = both + [receipt(again, old + 2 * DAY)]
    check("played again", [one, two, again], told, [(2, good), (1, good), (3, newest.AGAIN)])
    after = snap(3, old + 2 * DAY, prev=two.id)
    told = both + [receipt(after, old - 9 * DAY), receipt(after, old - 5 * DAY)]
    check("not before what it builds on", [one, two, after], told, [(3, good), (2, good), (1, good)])
    print("check_newest: as section 8.4 says")


main()
