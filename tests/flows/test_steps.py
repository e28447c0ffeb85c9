"""The steps themselves, and the paper server that the other tests of flows play against."""

from __future__ import annotations

from hashlib import sha1
from importlib.resources import files

import pytest

from django_dripcache.exceptions import DripcacheError
from django_dripcache.flows.steps import SCAN_COUNT, Command, Encode, Load, Pipeline, Refused, Script, digest, source

from .script import play, shape

SCRIPTS = sorted(path.name.removesuffix(".lua") for path in files("django_dripcache").joinpath("lua").iterdir())


def test_a_command_keeps_its_arguments_as_they_are():
    assert Command("SET", b"k", 1, 0.5, "NX").args == ("SET", b"k", 1, 0.5, "NX")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_called_by_the_sha1_of_its_file(name):
    folder = files("django_dripcache").joinpath("lua")
    text = folder.joinpath(f"{name}.lua").read_bytes()
    for shared in ("auth", "entry", "limit"):
        if text.startswith(f"--!{shared}\n".encode()):
            text = folder.joinpath(f"{shared}.lua").read_bytes() + text
    assert source(name) == text
    assert digest(name) == sha1(text).hexdigest().encode()
    step = Script(name, [b"one", b"two"], 3, b"four")
    assert step.evalsha.args == ("EVALSHA", digest(name), 2, b"one", b"two", 3, b"four")
    assert step.eval.args == ("EVAL", text, 2, b"one", b"two", 3, b"four")


def test_a_script_without_keys_says_so():
    assert Script("count", []).evalsha.args == ("EVALSHA", digest("count"), 0)


def test_a_script_that_is_not_there_cannot_be_sent():
    with pytest.raises(FileNotFoundError):
        _ = Script("no_such_script", []).evalsha


def test_a_pipeline_keeps_the_order_of_its_steps():
    steps = [Command("GET", b"a"), Script("count", [b"b"], 1, 2), Command("GET", b"c")]
    assert list(Pipeline(steps).steps) == steps


def test_a_load_keeps_the_loader_and_does_not_call_it():
    def loader():
        raise AssertionError

    assert Load(loader).loader is loader


def test_an_encode_keeps_what_it_is_to_encode_and_does_not_do_it():
    step = Encode("codec", ["value"], b"key")
    assert (step.codec, step.value, step.key) == ("codec", ["value"], b"key")


def test_a_refusal_is_no_error_of_the_cache():
    # It is for flows alone: what callers catch is in the tree of exceptions.py.
    assert not issubclass(Refused, DripcacheError)


def test_every_scan_asks_for_many_keys_at_once():
    assert SCAN_COUNT >= 1000


# The paper server


def asking():
    first = yield Command("A")
    second = yield Pipeline([Command("B"), Script("count", [b"k"], 1)])
    return first, second


def test_the_paper_server_answers_each_step_and_returns_the_result():
    exchanges = [(("A",), 1), ([("B",), ("count.lua", [b"k"], 1)], [2, 3])]
    assert play(asking(), *exchanges) == (1, [2, 3])


def test_the_paper_server_notices_a_step_that_is_missing():
    with pytest.raises(AssertionError, match="ended before"):
        play(asking(), (("A",), 1), ([("B",), ("count.lua", [b"k"], 1)], [2, 3]), (("C",), 4))


def test_the_paper_server_notices_a_step_too_many():
    with pytest.raises(AssertionError, match="one step more"):
        play(asking(), (("A",), 1))


def test_the_paper_server_notices_another_step():
    with pytest.raises(AssertionError):
        play(asking(), (("Z",), 1))


def test_the_paper_server_throws_what_it_is_given():
    with pytest.raises(KeyboardInterrupt):
        play(asking(), (("A",), KeyboardInterrupt()))


class Reverse:
    def encode(self, value, key):
        return key + value[::-1]


def test_the_paper_server_encodes_by_itself_and_counts_no_round_trip():
    def encoding():
        raw = yield Encode(Reverse(), b"abc", b"key:")
        return (yield Command("A", raw))

    assert play(encoding(), (("A", b"key:cba"), 1)) == 1


def test_the_paper_server_throws_what_an_encoder_raises():
    def encoding():
        try:
            yield Encode(Reverse(), 5, b"key:")
        except TypeError:
            return "handled"

    assert play(encoding()) == "handled"


def test_the_paper_server_knows_no_other_steps():
    with pytest.raises(AssertionError, match="is no step"):
        shape(object())
