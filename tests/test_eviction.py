"""What a process keeps, and what has to go: the bounds, the order, the cost."""

from __future__ import annotations

import random
import tracemalloc
from math import inf

import pytest

from django_dripcache.eviction import OVERHEAD, Entries, Ticket, reckon

MIB = 2**20


def names(start, stop):
    return [b"name:%d" % number for number in range(start, stop)]


def keep(entries, name, value=b"", ttl=inf):
    entries.fill(entries.begin(name), value, ttl)


def read(entries, name):
    entry = entries.find(name)
    if entry is not None:
        entry.visited = True
    return entry


def get(entries, name):
    """Read a name, and keep it if it is not there; return whether it was."""
    if read(entries, name) is not None:
        return True
    keep(entries, name)
    return False


# Bounds


def test_what_is_kept_is_found_and_what_is_removed_is_not():
    entries = Entries(10, MIB)
    keep(entries, b"a", b"1")
    assert entries.find(b"a").value == b"1"
    assert entries.find(b"b") is None
    entries.remove(b"a", b"b")
    assert entries.find(b"a") is None
    assert (len(entries), entries.size) == (0, 0)


def test_there_are_never_more_entries_than_allowed():
    entries = Entries(10, MIB)
    for name in names(0, 100):
        keep(entries, name)
        assert len(entries) <= 10
    assert len(entries) == 10
    assert entries.evictions == 90


def test_there_are_never_more_bytes_than_allowed():
    entries = Entries(10_000, 100_000)
    for name in names(0, 300):
        keep(entries, name, bytes(1000))
        assert entries.size <= 100_000
    assert 70 < len(entries) < 100


def test_names_and_the_keeping_of_them_count_as_well():
    entries = Entries(10, MIB)
    keep(entries, b"n" * 50, bytes(70))
    assert entries.size == 50 + 70 + OVERHEAD


def test_one_value_cannot_have_more_than_a_tenth_of_it():
    entries = Entries(10, 100_000)
    keep(entries, b"a", bytes(1))
    keep(entries, b"a", bytes(10_000))
    assert entries.find(b"a") is None
    assert (len(entries), entries.size, entries.evictions) == (0, 0, 0)


def test_an_entry_that_is_replaced_is_counted_once():
    entries = Entries(10, MIB)
    for size in (10, 500, 20):
        keep(entries, b"a", bytes(size))
    assert (len(entries), entries.size) == (1, 20 + 1 + OVERHEAD)


@pytest.mark.parametrize("most", [1, 2, 9])
def test_small_bounds_hold(most):
    entries = Entries(most, MIB)
    for name in names(0, 50):
        get(entries, name)
        get(entries, name)
        assert len(entries) <= most
    assert entries.find(names(49, 50)[0]) is not None


def test_its_count_is_right_after_whatever_came():
    chance, entries = random.Random(7), Entries(50, 40_000)
    for _ in range(20_000):
        name = b"%d" % chance.randrange(200)
        if chance.random() < 0.3:
            entries.remove(name)
        elif chance.random() < 0.001:
            entries.clear()
        else:
            read(entries, name)
            keep(entries, name, bytes(chance.randrange(1, 2000)))
        assert len(entries) <= 50
        assert entries.size <= 40_000
    there = {name: entries.find(name) for name in (b"%d" % number for number in range(200))}
    assert entries.size == sum(reckon(name, entry.value) for name, entry in there.items() if entry)
    assert entries._small_entries == sum(not entry.in_main for entry in there.values() if entry)
    assert entries._small_bytes == sum(
        reckon(name, entry.value) for name, entry in there.items() if entry and not entry.in_main
    )


def test_what_is_removed_leaves_nothing_behind_in_the_queues():
    entries = Entries(1000, MIB)
    for turn in range(100):
        for name in names(turn * 100, turn * 100 + 100):
            keep(entries, name)
            entries.remove(name)
    assert len(entries._small) + len(entries._main) < 100


def test_clear_forgets_all_and_it_goes_on():
    entries = Entries(10, MIB)
    for name in names(0, 30):
        get(entries, name)
        get(entries, name)
    find = entries.find
    entries.clear()
    assert (len(entries), entries.size) == (0, 0)
    for name in names(0, 30):
        get(entries, name)
    assert len(entries) == 10
    assert find(names(29, 30)[0]) is not None


# Order


def test_what_was_read_stays_longer_than_what_was_not():
    entries = Entries(100, MIB)
    for name in names(0, 100):
        keep(entries, name)
    for name in names(0, 20):
        read(entries, name)
    for name in names(100, 150):
        keep(entries, name)
    assert all(entries.find(name) for name in names(0, 20))


def test_a_scan_does_not_drive_out_what_is_read_often():
    entries = Entries(100, MIB)
    hot = names(0, 50)
    for _ in range(5):
        for name in hot:
            get(entries, name)
    for name in names(1000, 11_000):
        get(entries, name)
    assert sum(entries.find(name) is not None for name in hot) >= 45


def test_what_comes_again_soon_after_it_went_is_believed_to_be_needed():
    entries = Entries(100, MIB)
    for name in names(0, 200):
        keep(entries, name)
    gone = [name for name in names(0, 200) if entries.find(name) is None]
    back = gone[-10:]
    for name in back:
        keep(entries, name)
    believed = [name for name in back if entries.find(name).in_main]
    assert len(believed) >= 5  # some ghosts have the place of another
    for name in names(1000, 1300):
        keep(entries, name)
    assert all(entries.find(name) for name in believed)
    assert sum(entries.find(name) is not None for name in back) == len(believed)


def test_what_is_in_the_main_queue_and_is_read_no_more_goes_at_last():
    entries = Entries(20, MIB)
    for name in names(0, 20):
        get(entries, name)
        get(entries, name)
    for name in names(100, 200):
        get(entries, name)
        get(entries, name)
    assert not any(entries.find(name) for name in names(0, 20))


def test_it_hits_more_often_than_least_recently_used_where_popularity_is_skewed():
    chance = random.Random(3)
    trace = [b"%d" % int(chance.paretovariate(0.7)) for _ in range(60_000)]
    entries = Entries(500, 100 * MIB)
    ours = sum(get(entries, name) for name in trace)
    lru, theirs = {}, 0
    for name in trace:
        if name in lru:
            theirs += 1
            del lru[name]
        elif len(lru) == 500:
            del lru[next(iter(lru))]
        lru[name] = True
    assert ours > theirs


# Tickets


def test_a_ticket_is_shared_by_those_who_read_at_the_same_time():
    entries = Entries(10, MIB)
    first = entries.begin(b"a")
    assert entries.begin(b"a") is first
    entries.fill(first, b"1", inf)
    assert entries.begin(b"a") is not first


@pytest.mark.parametrize("void", [lambda entries: entries.remove(b"a"), lambda entries: entries.clear()])
def test_a_void_ticket_keeps_nothing(void):
    entries = Entries(10, MIB)
    ticket = entries.begin(b"a")
    void(entries)
    entries.fill(ticket, b"1", inf)
    assert entries.find(b"a") is None


def test_a_void_ticket_leaves_what_is_equal_and_removes_what_is_not():
    entries = Entries(10, MIB)
    keep(entries, b"a", b"1")
    entries.fill(Ticket(b"a"), b"1", inf)
    assert entries.find(b"a").value == b"1"
    entries.fill(Ticket(b"a"), b"2", inf)
    assert entries.find(b"a") is None


def test_a_void_ticket_voids_that_of_one_who_is_still_reading():
    entries = Entries(10, MIB)
    reading = entries.begin(b"a")
    entries.fill(Ticket(b"a"), b"2", inf)
    entries.fill(reading, b"1", inf)
    assert entries.find(b"a") is None


def test_time_counts_from_when_the_ticket_was_taken():
    entries = Entries(10, MIB)
    ticket = entries.begin(b"a")
    entries.fill(ticket, b"1", 5)
    assert entries.find(b"a").until == ticket.began + 5


# Cost


def test_an_entry_costs_no_more_than_is_reckoned_beyond_its_name_and_value():
    count = 10_000
    given = [(b"dripcache:d:%d" % number, b"x" * 1000) for number in range(count)]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        entries = Entries(count, 100 * MIB)
        for name, value in given:
            keep(entries, name, value, 300)
        assert len(entries) == count
        cost = (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()
    assert cost <= OVERHEAD
