"""Walking over the keys of one prefix: page by page, in as few round trips as there are pages."""

from __future__ import annotations

import pytest

from django_dripcache.exceptions import CacheUnavailableError
from django_dripcache.flows import scan, server
from django_dripcache.flows.scan import EXACT_BELOW, SAMPLE_PAGES, Count
from django_dripcache.flows.steps import SCAN_COUNT, Refused

from .script import play

OURS, PATTERN, INDEX = b"site:c:", b"site:c:*", b"site:x:"
A, B, C = b"site:c:a", b"site:c:b", b"site:c:c"
LEASES, LEASE_A, LEASE_B = b"site:l:*", b"site:l:a", b"site:l:b"
AWAY = CacheUnavailableError("Timeout reading from socket")


def scanning(cursor, pattern=PATTERN, size=SCAN_COUNT):
    return ("SCAN", cursor, "MATCH", pattern, "COUNT", size)


# page


def test_a_page_is_one_round_trip_of_many_keys():
    assert play(scan.page(0, PATTERN), (scanning(0), [b"17", [A, B]])) == (17, [A, B])
    assert play(scan.page(17, PATTERN, 5), (scanning(17, size=5), [b"0", []])) == (0, [])


# remove


def test_remove_of_nothing_is_one_round_trip():
    assert play(scan.remove(PATTERN), (scanning(0), [b"0", []])) == 0


def test_remove_of_one_page_is_two_round_trips():
    assert play(scan.remove(PATTERN), (scanning(0), [b"0", [A, B]]), ([("UNLINK", A, B)], [2])) == 2


def test_remove_takes_a_page_away_in_the_round_trip_that_reads_the_next():
    exchanges = [
        (scanning(0), [b"5", [A]]),
        ([("UNLINK", A), scanning(5)], [1, [b"9", []]]),
        ([scanning(9)], [[b"11", [B, C]]]),
        ([("UNLINK", B, C), scanning(11)], [2, [b"0", []]]),
    ]
    assert play(scan.remove(PATTERN), *exchanges) == 3


def test_remove_goes_on_over_empty_pages():
    exchanges = [(scanning(0), [b"5", []]), ([scanning(5)], [[b"6", []]]), ([scanning(6)], [[b"0", [A]]])]
    assert play(scan.remove(PATTERN), *exchanges, ([("UNLINK", A)], [1])) == 1


def test_remove_counts_what_redis_removed_and_not_what_it_listed():
    # SCAN may list a key twice, and another process may be quicker.
    exchanges = [(scanning(0), [b"5", [A, A, B]]), ([("UNLINK", A, A, B), scanning(5)], [1, [b"0", [A]]])]
    assert play(scan.remove(PATTERN), *exchanges, ([("UNLINK", A)], [0])) == 1


def test_remove_tells_its_progress_after_each_page_that_had_keys():
    told = []
    exchanges = [
        (scanning(0), [b"5", [A]]),
        ([("UNLINK", A), scanning(5)], [1, [b"9", []]]),
        ([scanning(9)], [[b"0", [B, C]]]),
        ([("UNLINK", B, C)], [2]),
    ]
    assert play(scan.remove(PATTERN, progress=told.append), *exchanges) == 3
    assert told == [1, 3]


def test_remove_takes_the_keys_out_of_the_index_in_the_same_round_trip():
    exchanges = [
        (scanning(0), [b"5", [A]]),
        ([("UNLINK", A), ("ZREM", INDEX, A), scanning(5)], [1, 1, [b"0", [B]]]),
        ([("UNLINK", B), ("ZREM", INDEX, B)], [1, Refused("WRONGTYPE")]),
    ]
    assert play(scan.remove(PATTERN, index=INDEX), *exchanges) == 2


def test_remove_asks_for_pages_of_the_size_that_was_asked():
    exchanges = [(scanning(0, size=3), [b"5", [A]]), ([("UNLINK", A), scanning(5, size=3)], [1, [b"0", []]])]
    assert play(scan.remove(PATTERN, 3), *exchanges) == 1


def test_what_goes_first_is_removed_in_a_walk_of_its_own_and_is_no_value():
    told = []
    exchanges = [
        (scanning(0, LEASES), [b"5", [LEASE_A]]),
        ([("UNLINK", LEASE_A), scanning(5, LEASES)], [1, [b"0", [LEASE_B]]]),
        ([("UNLINK", LEASE_B)], [1]),
        # No lease is left now that was there when it began; only from here on are values looked for.
        (scanning(0), [b"5", [A]]),
        ([("UNLINK", A), ("ZREM", INDEX, A), scanning(5)], [1, 1, [b"0", [B, C]]]),
        ([("UNLINK", B, C), ("ZREM", INDEX, B, C)], [2, 2]),
    ]
    assert play(scan.remove(PATTERN, progress=told.append, index=INDEX, first=LEASES), *exchanges) == 3
    assert told == [1, 3]


def test_where_nothing_goes_first_the_values_are_removed_all_the_same():
    exchanges = [(scanning(0, LEASES), [b"0", []]), (scanning(0), [b"0", [A]]), ([("UNLINK", A)], [1])]
    assert play(scan.remove(PATTERN, first=LEASES), *exchanges) == 1


@pytest.mark.parametrize("at", range(4))
def test_what_was_not_removed_is_noted_to_be_removed_in_the_same_order(at):
    path = [
        (scanning(0, LEASES), [b"0", [LEASE_A]]),
        ([("UNLINK", LEASE_A)], [1]),
        (scanning(0), [b"0", [A]]),
        ([("UNLINK", A)], [1]),
    ]
    noted = []
    assert play(scan.remove(PATTERN, first=LEASES), *path, noted=noted) == 1
    assert noted == []
    with pytest.raises(CacheUnavailableError):
        play(scan.remove(PATTERN, first=LEASES), *path[:at], (path[at][0], AWAY), noted=noted)
    assert noted == [([], [LEASES, PATTERN])]


def test_a_walk_that_replays_a_note_notes_nothing():
    noted = []
    with pytest.raises(CacheUnavailableError):
        play(scan.sweep(PATTERN), (scanning(0), AWAY), noted=noted)
    assert noted == []


def test_a_progress_that_raises_ends_the_walk():
    def stop(removed):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(
            scan.remove(PATTERN, progress=stop),
            (scanning(0), [b"5", [A]]),
            ([("UNLINK", A), scanning(5)], [1, [b"6", [B]]]),
        )


@pytest.mark.parametrize("error", [AWAY, KeyboardInterrupt(), GeneratorExit()], ids=repr)
@pytest.mark.parametrize("at", range(3))
def test_whatever_happens_during_a_walk_ends_it_at_once(error, at):
    path = [
        (scanning(0), [b"5", [A]]),
        ([("UNLINK", A), scanning(5)], [1, [b"0", [B]]]),
        ([("UNLINK", B)], [1]),
    ]
    assert play(scan.remove(PATTERN), *path) == 2
    with pytest.raises(type(error)) as caught:
        play(scan.remove(PATTERN), *path[:at], (path[at][0], error))
    assert caught.value is error


# count


def test_a_small_database_is_counted_key_by_key_and_each_key_once():
    exchanges = [
        (("DBSIZE",), EXACT_BELOW),
        (scanning(0), [b"5", [A, B]]),
        (scanning(5), [b"6", []]),
        (scanning(6), [b"0", [B, C, C]]),
    ]
    assert play(scan.count(PATTERN, OURS), *exchanges) == Count(3, exact=True)


def test_an_empty_database_has_no_keys():
    assert play(scan.count(PATTERN, OURS), (("DBSIZE",), 0), (scanning(0), [b"0", []])) == Count(0, exact=True)


def test_a_large_database_is_sampled_in_a_bounded_number_of_round_trips():
    sample = [OURS + b"%d" % number for number in range(250)] + [b"foreign%d" % number for number in range(750)]
    cursors = range(SAMPLE_PAGES + 1)
    pages = [(scanning(cursors[at], b"*"), [b"%d" % cursors[at + 1], sample]) for at in range(SAMPLE_PAGES)]
    total = 10 * EXACT_BELOW
    assert play(scan.count(PATTERN, OURS), (("DBSIZE",), total), *pages) == Count(total // 4, exact=False)


def test_a_sample_ends_where_the_database_ends():
    exchanges = [
        (("DBSIZE",), EXACT_BELOW + 1),
        (scanning(0, b"*"), [b"3", [A]]),
        (scanning(3, b"*"), [b"0", [b"site:d:a"]]),
    ]
    assert play(scan.count(PATTERN, OURS), *exchanges) == Count(round((EXACT_BELOW + 1) / 2), exact=False)


def test_a_sample_without_keys_is_no_division_by_zero():
    pages = [(scanning(0, b"*"), [b"0", []])]
    assert play(scan.count(PATTERN, OURS), (("DBSIZE",), EXACT_BELOW + 1), *pages) == Count(0, exact=False)


def test_a_sample_does_not_count_keys_that_only_begin_alike():
    pages = [(scanning(0, b"*"), [b"0", [A, b"site:c", b"site:cc:a", b"Site:c:a"]])]
    total = 2 * EXACT_BELOW
    assert play(scan.count(PATTERN, OURS), (("DBSIZE",), total), *pages) == Count(total // 4, exact=False)


@pytest.mark.parametrize("error", [AWAY, KeyboardInterrupt()], ids=repr)
def test_a_count_that_is_cut_short_is_no_count(error):
    with pytest.raises(type(error)):
        play(scan.count(PATTERN, OURS), (("DBSIZE",), error))
    with pytest.raises(type(error)):
        play(scan.count(PATTERN, OURS), (("DBSIZE",), 5), (scanning(0), error))
    with pytest.raises(type(error)):
        play(scan.count(PATTERN, OURS), (("DBSIZE",), EXACT_BELOW + 1), (scanning(0, b"*"), error))


# server

INFO = [("INFO", "server"), ("INFO", "memory")]


def test_ping_tells_whether_the_server_answers():
    assert play(server.ping(), (("PING",), b"PONG")) is True
    assert play(server.ping(), (("PING",), AWAY)) is False
    with pytest.raises(KeyboardInterrupt):
        play(server.ping(), (("PING",), KeyboardInterrupt()))


def test_facts_are_the_fields_of_info():
    replies = [b"# Server\r\nredis_version:7.0.15\r\nos:Linux 5.10 x86_64\r\n", b"# Memory\r\nmaxmemory:0\r\n"]
    about = play(server.facts(), (INFO, replies))
    assert about["redis_version"] == "7.0.15"
    assert about["maxmemory"] == "0"


def test_a_fact_with_spaces_is_kept_whole_and_cannot_pass_for_another():
    replies = [b"os:Linux 5.10 x86_64\r\nexecutable:/srv/my maxmemory:1/redis-server\r\n", b"maxmemory:0\r\n"]
    about = play(server.facts(), (INFO, replies))
    assert about == {"os": "Linux 5.10 x86_64", "executable": "/srv/my maxmemory:1/redis-server", "maxmemory": "0"}


def test_there_are_no_facts_where_info_may_not_be_asked_and_redis_is_well():
    assert play(server.facts(), (INFO, CacheUnavailableError("NOPERM", answered=True))) == {}
    with pytest.raises(CacheUnavailableError):
        play(server.facts(), (INFO, AWAY))


def test_facts_that_were_refused_are_left_out():
    assert play(server.facts(), (INFO, [Refused("WRONGTYPE"), b"maxmemory:7\r\n"])) == {"maxmemory": "7"}
    assert play(server.facts(), (INFO, [b"\xff:\xff\r\nno colon\r\n", b""])) == {"\ufffd": "\ufffd"}


def test_keys_without_ttl_are_found_in_two_round_trips():
    exchanges = [(scanning(0), [b"0", [A, B, C]]), ([("PTTL", A), ("PTTL", B), ("PTTL", C)], [-1, 5, -2])]
    assert play(server.without_ttl(PATTERN), *exchanges) == [A]


def test_keys_without_ttl_are_not_looked_for_where_there_are_no_keys():
    assert play(server.without_ttl(PATTERN), (scanning(0), [b"0", []])) == []


def test_keys_without_ttl_are_looked_for_until_the_sample_is_large_enough():
    exchanges = [
        (scanning(0), [b"3", []]),
        (scanning(3), [b"4", [A]]),
        (scanning(4), [b"5", [B]]),
        ([("PTTL", A), ("PTTL", B)], [-1, -1]),
    ]
    assert play(server.without_ttl(PATTERN, sample=2), *exchanges) == [A, B]


def test_keys_without_ttl_are_looked_for_on_so_many_pages_and_no_more():
    exchanges = [(scanning(0), [b"3", []]), (scanning(3), [b"4", []])]
    assert play(server.without_ttl(PATTERN, pages=2), *exchanges) == []


def test_facts_that_make_no_sense_are_no_error():
    assert play(server.facts(), (INFO, [7, None])) == {}
