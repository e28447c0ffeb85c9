"""Every way through the flows of values: what they ask, in how many round trips, and what they make of each answer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import pickle
from decimal import Decimal
from fractions import Fraction

import pytest

from django_dripcache.codecs import MISS, PickleCodec, TypedJsonCodec
from django_dripcache.exceptions import CacheUnavailableError, SerializationError
from django_dripcache.flows import values
from django_dripcache.flows.steps import Command, Encode, Refused

from .script import play

KEY, OTHER = b"site:c:key", b"site:c:other"
CODEC = PickleCodec([b"secret"], compress_above=None, inflate_limit=2**20)
STRANGER = PickleCodec([b"another secret"], compress_above=None, inflate_limit=2**20)
AWAY = CacheUnavailableError("Timeout reading from socket")
WRONGTYPE = Refused("WRONGTYPE Operation against a key holding the wrong kind of value")
VALUES = [None, False, True, 0, 7, -1, "", "text", b"bytes", 1.5, [], {}, {"a": [1, None]}, 2**80]
JUNK = [b"", b"junk", b"\xdc", b"007", pickle.dumps("bare"), STRANGER.encode("a", KEY), CODEC.encode("a", OTHER)]

GET = ("GET", KEY)


def loader():
    raise AssertionError  # the paper server answers for it


loader_of_nothing = lambda: None  # noqa: E731 - a value that cannot be pickled


def stored(value, key=KEY):
    return CODEC.encode(value, key)


# get


@pytest.mark.parametrize("value", VALUES)
def test_get_reads_a_value_in_one_round_trip(value):
    assert play(values.get(KEY, CODEC, "default"), (GET, stored(value))) == value


@pytest.mark.parametrize("reply", [None, WRONGTYPE], ids=repr)
def test_get_takes_what_is_no_value_for_a_miss(reply):
    assert play(values.get(KEY, CODEC, "default"), (GET, reply)) == "default"


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_get_removes_what_nobody_can_read_if_it_is_still_that(junk):
    discarding = ("discard.lua", [KEY], hashlib.sha1(junk).hexdigest())
    assert play(values.get(KEY, CODEC, "default"), (GET, junk), (discarding, 1)) == "default"


def test_get_keeps_what_another_type_may_be_able_to_read():
    assert play(values.get(KEY, TypedJsonCodec(int), "default"), (GET, b'"text"')) == "default"


def test_get_has_none_as_its_default():
    assert play(values.get(KEY, CODEC), (GET, None)) is None


def test_get_lets_an_outage_through():
    with pytest.raises(CacheUnavailableError):
        play(values.get(KEY, CODEC), (GET, AWAY))


# get_many


def test_get_many_reads_all_in_one_round_trip_and_in_order():
    replies = [stored(1), None, stored("b", OTHER)]
    flow = values.get_many([KEY, b"site:c:none", OTHER], CODEC)
    assert play(flow, (("MGET", KEY, b"site:c:none", OTHER), replies)) == [1, MISS, "b"]


def test_get_many_of_nothing_asks_nothing():
    assert play(values.get_many([], CODEC)) == []


def test_get_many_does_not_take_two_values_that_were_exchanged():
    replies = [stored("other", OTHER), stored("key", KEY)]
    assert play(values.get_many([KEY, OTHER], CODEC), (("MGET", KEY, OTHER), replies)) == [MISS, MISS]


@pytest.mark.parametrize("reply", JUNK, ids=repr)
def test_get_many_misses_what_is_no_value_and_keeps_the_rest(reply):
    flow = values.get_many([KEY, OTHER], CODEC)
    assert play(flow, (("MGET", KEY, OTHER), [reply, stored(2, OTHER)])) == [MISS, 2]


# set


@pytest.mark.parametrize(
    ("ttl", "only", "command"),
    [
        (5, "", ("SET", KEY, b"1", "PX", 5)),
        (5, "NX", ("SET", KEY, b"1", "PX", 5, "NX")),
        (5, "XX", ("SET", KEY, b"1", "PX", 5, "XX")),
        (None, "", ("SET", KEY, b"1")),
        (None, "NX", ("SET", KEY, b"1", "NX")),
    ],
)
@pytest.mark.parametrize(("reply", "result"), [(b"OK", True), (None, False)])
def test_set_stores_with_its_end_in_one_command(ttl, only, command, reply, result):
    assert play(values.set(KEY, CODEC, 1, ttl, only=only), (command, reply)) is result


@pytest.mark.parametrize(("reply", "result"), [(1, True), (0, False)])
@pytest.mark.parametrize("only", ["", "XX"])
def test_set_for_no_time_removes_what_is_there(only, reply, result):
    assert play(values.set(KEY, CODEC, 1, 0, only=only), (("UNLINK", KEY), reply)) is result


@pytest.mark.parametrize(("reply", "result"), [(1, False), (0, True)])
def test_add_for_no_time_changes_nothing(reply, result):
    assert play(values.set(KEY, CODEC, 1, 0, only="NX"), (("EXISTS", KEY), reply)) is result


def test_set_signs_the_value_for_its_key():
    assert play(values.set(KEY, CODEC, "a", 5), (("SET", KEY, stored("a"), "PX", 5), b"OK")) is True


@pytest.mark.parametrize("only", ["", "NX", "XX"])
def test_set_of_what_redis_refuses_stores_nothing(only):
    flags = (only,) if only else ()
    refusal = Refused("string exceeds maximum allowed size")
    assert play(values.set(KEY, CODEC, 1, 5, only=only), (("SET", KEY, b"1", "PX", 5, *flags), refusal)) is False


@pytest.mark.parametrize("ttl", [5, None, 0])
def test_what_cannot_be_stored_is_an_error_before_anything_is_asked(ttl):
    with pytest.raises(SerializationError):
        play(values.set(KEY, CODEC, loader_of_nothing, ttl))
    with pytest.raises(SerializationError):
        play(values.set_many({KEY: 1, OTHER: loader_of_nothing}, CODEC, ttl))


# set_many

TWO = {KEY: 1, OTHER: 2}


def test_set_many_stores_all_in_one_round_trip():
    exchange = ([("SET", KEY, b"1", "PX", 5), ("SET", OTHER, b"2", "PX", 5)], [b"OK", b"OK"])
    assert play(values.set_many(TWO, CODEC, 5), exchange) == []


def test_set_many_tells_which_keys_were_refused():
    exchange = ([("SET", KEY, b"1"), ("SET", OTHER, b"2")], [b"OK", Refused("string exceeds maximum allowed size")])
    assert play(values.set_many(TWO, CODEC, None), exchange) == [OTHER]


def test_set_many_of_nothing_asks_nothing():
    assert play(values.set_many({}, CODEC, 5)) == []
    assert play(values.set_many({}, CODEC, 0)) == []


def test_set_many_for_no_time_removes_all_in_one_command():
    assert play(values.set_many(TWO, CODEC, 0), (("UNLINK", KEY, OTHER), 1)) == []


# get_or_set


def adding(value, ttl=5):
    end = () if ttl is None else ("PX", ttl)
    return [("SET", KEY, stored(value), *end, "NX"), GET]


@pytest.mark.parametrize("value", VALUES)
def test_get_or_set_hits_in_one_round_trip_without_the_loader(value):
    assert play(values.get_or_set(KEY, CODEC, loader, 5), (GET, stored(value))) == value


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("miss", [None, WRONGTYPE, b"junk"], ids=repr)
def test_get_or_set_misses_in_two_round_trips(value, miss):
    flow = values.get_or_set(KEY, CODEC, loader, 5)
    assert play(flow, (GET, miss), (loader, value), (adding(value), [b"OK", stored(value)])) == value


def test_get_or_set_without_an_end_stores_without_one():
    flow = values.get_or_set(KEY, CODEC, loader, None)
    assert play(flow, (GET, None), (loader, 1), (adding(1, None), [b"OK", b"1"])) == 1


def test_get_or_set_for_no_time_stores_nothing():
    assert play(values.get_or_set(KEY, CODEC, loader, 0), (GET, None), (loader, 1)) == 1


def test_get_or_set_returns_what_another_stored_meanwhile():
    flow = values.get_or_set(KEY, CODEC, loader, 5)
    assert play(flow, (GET, None), (loader, "late"), (adding("late"), [None, stored("first")])) == "first"


@pytest.mark.parametrize("other", [None, False, 0, ""])
def test_get_or_set_returns_what_another_stored_also_if_it_is_nothing(other):
    flow = values.get_or_set(KEY, CODEC, loader, 5)
    assert play(flow, (GET, None), (loader, "late"), (adding("late"), [None, stored(other)])) == other


def test_get_or_set_keeps_its_value_where_the_other_one_is_gone_again():
    flow = values.get_or_set(KEY, CODEC, loader, 5)
    assert play(flow, (GET, None), (loader, 1), (adding(1), [None, None])) == 1


@pytest.mark.parametrize("found", [*JUNK, WRONGTYPE], ids=repr)
def test_get_or_set_heals_what_cannot_be_read(found):
    flow = values.get_or_set(KEY, CODEC, loader, 5)
    healing = ("SET", KEY, stored("new"), "PX", 5)
    assert play(flow, (GET, None), (loader, "new"), (adding("new"), [None, found]), (healing, b"OK")) == "new"


@pytest.mark.parametrize("trouble", [AWAY, Refused("string exceeds maximum allowed size")], ids=repr)
def test_get_or_set_returns_its_value_also_if_the_healing_fails(trouble):
    flow = values.get_or_set(KEY, CODEC, loader, 5)
    healing = ("SET", KEY, stored("new"), "PX", 5)
    exchanges = [(GET, None), (loader, "new"), (adding("new"), [None, b"junk"]), (healing, trouble)]
    assert play(flow, *exchanges) == "new"


def test_get_or_set_returns_a_value_that_redis_refuses_to_store():
    flow = values.get_or_set(KEY, CODEC, loader, 5)
    refusal = Refused("string exceeds maximum allowed size")
    assert play(flow, (GET, None), (loader, 1), (adding(1), [refusal, None])) == 1


def test_get_or_set_loads_while_redis_is_away_and_does_not_ask_again():
    assert play(values.get_or_set(KEY, CODEC, loader, 5), (GET, AWAY), (loader, "loaded")) == "loaded"


def test_get_or_set_returns_its_value_where_redis_goes_away_before_it_is_stored():
    flow = values.get_or_set(KEY, CODEC, loader, 5)
    assert play(flow, (GET, None), (loader, "loaded"), (adding("loaded"), AWAY)) == "loaded"


def test_a_strict_get_or_set_raises_before_the_loader_is_called():
    with pytest.raises(CacheUnavailableError):
        play(values.get_or_set(KEY, CODEC, loader, 5, strict=True), (GET, AWAY))


def test_a_strict_get_or_set_raises_where_its_value_could_not_be_stored():
    with pytest.raises(CacheUnavailableError):
        play(values.get_or_set(KEY, CODEC, loader, 5, strict=True), (GET, None), (loader, 1), (adding(1), AWAY))


@pytest.mark.parametrize("first", [None, AWAY], ids=["a miss", "an outage"])
@pytest.mark.parametrize(
    "error", [KeyError("k"), CacheUnavailableError("of the loader's own"), KeyboardInterrupt()], ids=repr
)
def test_an_error_of_the_loader_comes_out_as_it_is_and_nothing_is_stored(first, error):
    with pytest.raises(type(error)) as caught:
        play(values.get_or_set(KEY, CODEC, loader, 5), (GET, first), (loader, error))
    assert caught.value is error


def test_get_or_set_stores_nothing_that_cannot_be_stored():
    with pytest.raises(SerializationError):
        play(values.get_or_set(KEY, CODEC, loader, 5), (GET, None), (loader, loader_of_nothing))


# delete, has, touch, ttl


def test_delete_removes_all_in_one_command_and_counts_them():
    assert play(values.delete([KEY, OTHER]), (("UNLINK", KEY, OTHER), 1)) == 1
    assert play(values.delete([KEY]), (("UNLINK", KEY), 0)) == 0


def test_delete_of_nothing_asks_nothing():
    assert play(values.delete([])) == 0


@pytest.mark.parametrize(("reply", "result"), [(1, True), (0, False)])
def test_has_does_not_read_the_value(reply, result):
    assert play(values.has(KEY), (("EXISTS", KEY), reply)) is result


@pytest.mark.parametrize(("reply", "result"), [(1, True), (0, False)])
def test_touch_is_one_command(reply, result):
    assert play(values.touch(KEY, 5), (("PEXPIRE", KEY, 5), reply)) is result
    assert play(values.touch(KEY, 0), (("UNLINK", KEY), reply)) is result


@pytest.mark.parametrize("error", [AWAY, KeyboardInterrupt(), asyncio.CancelledError()], ids=repr)
@pytest.mark.parametrize(
    ("flow", "step", "names"),
    [
        (lambda: values.set(KEY, CODEC, 1, 5), ("SET", KEY, b"1", "PX", 5), [KEY]),
        (lambda: values.set(KEY, CODEC, 1, 5, only="XX"), ("SET", KEY, b"1", "PX", 5, "XX"), [KEY]),
        (lambda: values.set(KEY, CODEC, 1, 0), ("UNLINK", KEY), [KEY]),
        (lambda: values.set_many({KEY: 1}, CODEC, 5), [("SET", KEY, b"1", "PX", 5)], [KEY]),
        (lambda: values.delete([KEY, OTHER]), ("UNLINK", KEY, OTHER), [KEY, OTHER]),
        (lambda: values.touch(KEY, 0), ("UNLINK", KEY), [KEY]),
    ],
)
def test_a_write_that_fails_is_noted(flow, step, names, error):
    noted = []
    with pytest.raises(type(error)):
        play(flow(), (step, error), noted=noted)
    assert noted == [(names, [])]


@pytest.mark.parametrize(
    ("flow", "step"),
    [
        (lambda: values.set(KEY, CODEC, 1, 5, only="NX"), ("SET", KEY, b"1", "PX", 5, "NX")),
        (lambda: values.touch(KEY, 5), ("PEXPIRE", KEY, 5)),
        (lambda: values.get(KEY, CODEC), ("GET", KEY)),
    ],
)
def test_what_leaves_no_old_value_behind_is_not_noted(flow, step):
    noted = []
    with pytest.raises(CacheUnavailableError):
        play(flow(), (step, AWAY), noted=noted)
    assert noted == []


@pytest.mark.parametrize(("replies", "result"), [([1, 1], True), ([0, 1], True), ([0, 0], False)])
def test_touch_without_an_end_is_one_round_trip_and_tells_no_key_from_no_end(replies, result):
    assert play(values.touch(KEY, None), ([("PERSIST", KEY), ("EXISTS", KEY)], replies)) is result


@pytest.mark.parametrize("left", [5, 0, -1, -2])
def test_ttl_says_what_pttl_says(left):
    assert play(values.ttl(KEY), (("PTTL", KEY), left)) == left


# rename

READ = [GET, ("PTTL", KEY)]


@pytest.mark.parametrize("value", VALUES)
def test_rename_signs_the_value_anew_and_keeps_what_it_has_left(value):
    moving = [("SET", OTHER, stored(value, OTHER), "PX", 700), ("UNLINK", KEY)]
    assert play(values.rename(KEY, OTHER, CODEC), (READ, [stored(value), 700]), (moving, [b"OK", 1])) is True


def test_rename_keeps_a_value_without_an_end_without_one():
    moving = [("SET", OTHER, b"1"), ("UNLINK", KEY)]
    assert play(values.rename(KEY, OTHER, CODEC), (READ, [b"1", -1]), (moving, [b"OK", 1])) is True


@pytest.mark.parametrize("left", [0, -2])
def test_rename_never_makes_a_value_immortal_that_was_just_running_out(left):
    # Two commands of a pipeline are not one moment: the key may run out between GET and PTTL.
    flow = values.rename(KEY, OTHER, CODEC)
    next(flow)
    written = []
    with contextlib.suppress(StopIteration):
        step = flow.send([b"1", left])
        while isinstance(step, Encode):
            step = flow.send(b"1")
        written = [command.args for command in step.steps if command.args[0] == "SET"]
    assert all("PX" in command for command in written)


@pytest.mark.parametrize("found", [None, WRONGTYPE, *JUNK], ids=repr)
def test_rename_moves_nothing_that_is_no_value_of_ours(found):
    assert play(values.rename(KEY, OTHER, CODEC), (READ, [found, -2])) is None


# increment

ADD = ("increment.lua", [KEY], 5)
OVERFLOW = Refused("increment or decrement would overflow")
NO_INTEGER = Refused("value is not an integer or out of range")


def replacing(old, new):
    return ("replace.lua", [KEY], old, new)


def test_increment_of_an_integer_is_one_round_trip():
    assert play(values.increment(KEY, 5, CODEC), (ADD, 12)) == 12
    assert play(values.increment(KEY, 5, CODEC), (ADD, 0)) == 0


def test_increment_of_nothing_makes_nothing():
    assert play(values.increment(KEY, 5, CODEC), (ADD, None)) is None


def test_increment_of_another_number_replaces_it_if_nobody_else_did():
    exchanges = [(ADD, NO_INTEGER), (GET, stored(1.5)), (replacing(stored(1.5), stored(6.5)), 1)]
    assert play(values.increment(KEY, 5, CODEC), *exchanges) == 6.5


def test_increment_beyond_64_bits_goes_on_with_a_larger_number():
    highest = 2**63 - 1
    exchanges = [(ADD, OVERFLOW), (GET, b"%d" % highest), (replacing(b"%d" % highest, stored(highest + 5)), 1)]
    assert play(values.increment(KEY, 5, CODEC), *exchanges) == highest + 5


@pytest.mark.parametrize("delta", [2**63, -(2**63) - 1, 10**40])
def test_increment_by_more_than_64_bits_does_not_ask_redis_to_count(delta):
    exchanges = [(GET, b"1"), (replacing(b"1", stored(1 + delta)), 1)]
    assert play(values.increment(KEY, delta, CODEC), *exchanges) == 1 + delta


@pytest.mark.parametrize("delta", [True, Decimal(2), Fraction(1, 2)], ids=repr)
def test_increment_by_what_redis_does_not_take_for_a_number_does_not_ask_redis_to_count(delta):
    exchanges = [(GET, b"1"), (replacing(b"1", stored(1 + delta)), 1)]
    assert play(values.increment(KEY, delta, CODEC), *exchanges) == 1 + delta


@pytest.mark.parametrize("delta", [2**63 - 1, -(2**63)])
def test_increment_by_64_bits_is_still_counted_by_redis(delta):
    assert play(values.increment(KEY, delta, CODEC), (("increment.lua", [KEY], delta), delta)) == delta


def test_increment_back_within_64_bits_stores_digits_again():
    exchanges = [(GET, stored(2**63)), (replacing(stored(2**63), b"-1"), 1)]
    assert play(values.increment(KEY, -(2**63) - 1, CODEC), *exchanges) == -1


def test_increment_tries_again_where_another_was_first():
    lost = [(ADD, NO_INTEGER), (GET, stored(1.5)), (replacing(stored(1.5), stored(6.5)), 0)]
    won = [(GET, stored(2.5)), (replacing(stored(2.5), stored(7.5)), 1)]
    assert play(values.increment(KEY, 5, CODEC), *lost, *won) == 7.5


def test_increment_tries_again_where_the_value_became_one_of_another_type_meanwhile():
    lost = [(ADD, NO_INTEGER), (GET, stored(1.5)), (replacing(stored(1.5), stored(6.5)), WRONGTYPE)]
    assert play(values.increment(KEY, 5, CODEC), *lost, (GET, WRONGTYPE)) is None


def test_increment_gives_up_where_others_are_always_first():
    lost = [(ADD, NO_INTEGER), (GET, stored(1.5)), (replacing(stored(1.5), stored(6.5)), 0)]
    with pytest.raises(CacheUnavailableError, match="3 others"):
        play(values.increment(KEY, 5, CODEC, attempts=3), *lost, *lost[1:] * 2)


@pytest.mark.parametrize("found", [None, WRONGTYPE, *JUNK], ids=repr)
def test_increment_of_what_is_no_value_of_ours_makes_nothing(found):
    assert play(values.increment(KEY, 5, CODEC), (ADD, NO_INTEGER), (GET, found)) is None


@pytest.mark.parametrize("value", [None, "5", b"5", [1], {}])
def test_increment_of_a_value_that_is_no_number_is_a_type_error_and_changes_nothing(value):
    with pytest.raises(TypeError):
        play(values.increment(KEY, 5, CODEC), (ADD, NO_INTEGER), (GET, stored(value)))


# count


@pytest.mark.parametrize(("ttl", "sent"), [(5, 5), (0, 0), (None, -1)])
def test_count_is_one_script_with_the_end_of_a_new_counter(ttl, sent):
    assert play(values.count(KEY, 2, ttl), (("count.lua", [KEY], 2, sent), 9)) == 9


@pytest.mark.parametrize("refusal", [WRONGTYPE, NO_INTEGER, OVERFLOW], ids=repr)
def test_count_of_what_cannot_be_counted_is_a_value_error(refusal):
    with pytest.raises(ValueError, match="cannot be counted with"):
        play(values.count(KEY, 2, 5), (("count.lua", [KEY], 2, 5), refusal))


# required


def asking(step=GET):
    return (yield Command(*step))


@pytest.mark.parametrize("found", [1, 0, b"", False])
def test_a_value_that_is_required_is_the_result(found):
    assert play(values.required(asking(), "key", strict=False), (GET, found)) == found


def test_a_value_that_is_required_and_missing_is_a_value_error_that_names_the_key():
    with pytest.raises(ValueError, match="'key' not found"):
        play(values.required(asking(), "key", strict=False), (GET, None))
    with pytest.raises(ValueError, match="'key' not found"):
        play(values.required(asking(), "key", strict=True), (GET, None))


def test_a_value_that_is_required_while_redis_is_away_is_a_value_error_that_says_why():
    with pytest.raises(ValueError, match=r"'key'.*Timeout reading from socket") as caught:
        play(values.required(asking(), "key", strict=False), (GET, AWAY))
    assert caught.value.__cause__ is AWAY
    with pytest.raises(CacheUnavailableError):
        play(values.required(asking(), "key", strict=True), (GET, AWAY))


@pytest.mark.parametrize("error", [TypeError(), ValueError("its own"), KeyboardInterrupt()], ids=repr)
def test_another_error_of_what_is_required_comes_out_as_it_is(error):
    with pytest.raises(type(error)) as caught:
        play(values.required(asking(), "key", strict=False), (GET, error))
    assert caught.value is error


# What is thrown into any flow, at any step

PATHS = {
    "get": (lambda: values.get(KEY, CODEC), [(GET, b"1")]),
    "get_many": (lambda: values.get_many([KEY], CODEC), [(("MGET", KEY), [b"1"])]),
    "set": (lambda: values.set(KEY, CODEC, 1, 5), [(("SET", KEY, b"1", "PX", 5), b"OK")]),
    "set_many": (lambda: values.set_many({KEY: 1}, CODEC, 5), [([("SET", KEY, b"1", "PX", 5)], [b"OK"])]),
    "get_or_set": (
        lambda: values.get_or_set(KEY, CODEC, loader, 5),
        [(GET, None), (loader, 1), (adding(1), [None, b"junk"]), (("SET", KEY, b"1", "PX", 5), b"OK")],
    ),
    "delete": (lambda: values.delete([KEY]), [(("UNLINK", KEY), 1)]),
    "has": (lambda: values.has(KEY), [(("EXISTS", KEY), 1)]),
    "touch": (lambda: values.touch(KEY, 5), [(("PEXPIRE", KEY, 5), 1)]),
    "persist": (lambda: values.touch(KEY, None), [([("PERSIST", KEY), ("EXISTS", KEY)], [1, 1])]),
    "ttl": (lambda: values.ttl(KEY), [(("PTTL", KEY), 5)]),
    "rename": (
        lambda: values.rename(KEY, OTHER, CODEC),
        [(READ, [b"1", 5]), ([("SET", OTHER, b"1", "PX", 5), ("UNLINK", KEY)], [b"OK", 1])],
    ),
    "increment": (
        lambda: values.increment(KEY, 5, CODEC),
        [(ADD, NO_INTEGER), (GET, stored(1.5)), (replacing(stored(1.5), stored(6.5)), 1)],
    ),
    "count": (lambda: values.count(KEY, 2, 5), [(("count.lua", [KEY], 2, 5), 9)]),
}
PLACES = [pytest.param(name, at, id=f"{name}-{at}") for name, (_, path) in PATHS.items() for at in range(len(path))]


@pytest.mark.parametrize("name", PATHS)
def test_these_paths_are_real(name):
    flow, path = PATHS[name]
    play(flow(), *path)


@pytest.mark.parametrize(("name", "at"), PLACES)
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit(), ZeroDivisionError()], ids=repr
)
def test_an_interrupt_ends_a_flow_at_once(name, at, error):
    flow, path = PATHS[name]
    with pytest.raises(type(error)) as caught:
        play(flow(), *path[:at], (path[at][0], error))
    assert caught.value is error


class Interrupted(PickleCodec):
    """A codec that is interrupted while it encodes."""

    def encode(self, value, key):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("flow", "exchanges"),
    [
        (lambda codec: values.set(KEY, codec, 1, 5), []),
        (lambda codec: values.set_many({KEY: 1}, codec, 5), []),
        (lambda codec: values.get_or_set(KEY, codec, loader, 5), [(GET, None), (loader, 1)]),
        (lambda codec: values.rename(KEY, OTHER, codec), [(READ, [b"1", 5])]),
        (lambda codec: values.increment(KEY, 5, codec), [(ADD, NO_INTEGER), (GET, stored(1.5))]),
    ],
    ids=["set", "set_many", "get_or_set", "rename", "increment"],
)
def test_an_interrupt_while_a_value_is_encoded_ends_a_flow_at_once(flow, exchanges):
    codec = Interrupted([b"secret"], compress_above=None, inflate_limit=2**20)
    with pytest.raises(KeyboardInterrupt):
        play(flow(codec), *exchanges)


FORGIVEN = {("get_or_set", 2), ("get_or_set", 3)}


@pytest.mark.parametrize(
    ("name", "at"), [place for place in PLACES if tuple(place.values) not in FORGIVEN | {("get_or_set", 0)}]
)
def test_an_outage_ends_a_flow_that_has_no_fallback_of_its_own(name, at):
    flow, path = PATHS[name]
    with pytest.raises(CacheUnavailableError) as caught:
        play(flow(), *path[:at], (path[at][0], AWAY))
    assert caught.value is AWAY


@pytest.mark.parametrize(("name", "at"), sorted(FORGIVEN))
def test_an_outage_ends_a_flow_that_has_a_fallback_with_it(name, at):
    flow, path = PATHS[name]
    assert play(flow(), *path[:at], (path[at][0], AWAY)) in (MISS, 1)
