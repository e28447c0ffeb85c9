"""``manage.py dripcache stats``."""

from __future__ import annotations

from unittest import mock

import pytest
from django.core.management import CommandError

from django_dripcache import cache, rate_limiter
from django_dripcache.counts import COUNTS
from django_dripcache.management import stats
from django_dripcache.recorder import RECORDER
from tests.conftest import use_server

from .asking import Terminal, ask, ask_json, ask_lines


@pytest.fixture
def traffic(broker):
    COUNTS.take()
    cache.set("user:1", 1, 60)
    cache.get_many(["user:1", "user:2"])
    cache.get("page:1")
    for _ in range(3):
        rate_limiter.hit("k", "2/m")
    assert RECORDER.flush()


def test_it_tells_of_each_group_and_of_all(traffic):
    code, text = ask("stats")
    assert code == 0
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["The", "last", "hour,", "of", "all", "processes"]
    rows = {line[0]: line[1:] for line in lines if line}
    assert rows["user"][:3] == ["2", "50.0", "%"]
    assert rows["page"][:3] == ["1", "0.0", "%"]
    assert rows["all"][0] == "3"
    assert rows["2/m"] == ["2", "1", "0"]


def test_as_json_it_has_every_figure(traffic):
    code, found = ask_json("stats", "--period", "24h")
    assert code == 0
    assert found["period"] == "24h"
    assert found["total"]["hits"] == 1
    assert found["groups"]["user"]["hit_rate"] == 0.5
    assert found["groups"]["user"]["sets"] == 1
    assert found["limits"] == {"2/m": {"allowed": 2, "denied": 1, "degraded": 0}}
    assert "times" not in found["total"]


def test_where_nothing_was_counted_it_says_so(broker):
    assert ask("stats") == (0, "Nothing was counted in the last hour.\n")


def test_it_is_told_again_until_it_is_interrupted(traffic):
    screen = Terminal()
    with mock.patch.object(stats, "sleep", side_effect=[None, KeyboardInterrupt]) as slept:
        code, text = ask("stats", "--watch", "3", stdout=screen)
    assert code == 0
    assert slept.call_args_list == [mock.call(3.0), mock.call(3.0)]
    assert text.count("The last hour") == 2
    assert text.count("\x1b[2J") == 1
    with mock.patch.object(stats, "sleep", side_effect=[None, KeyboardInterrupt]):
        assert len(ask_lines("stats", "--watch", "1")[1]) == 2


def test_what_is_watched_goes_on_through_an_outage(start_server, broker):
    server = start_server()

    def kill(_):
        server.kill()
        slept.side_effect = KeyboardInterrupt

    with use_server(server.url), mock.patch.object(stats, "sleep", side_effect=kill) as slept:
        code, documents = ask_lines("stats", "--watch", "1")
    assert code == 0
    assert documents[0]["period"] == "1h"
    assert "cannot be used" in documents[1]["error"]


def test_a_period_that_there_is_not_is_refused(broker):
    with pytest.raises(CommandError, match="invalid choice"):
        ask("stats", "--period", "2h")
