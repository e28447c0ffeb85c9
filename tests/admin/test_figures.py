"""The figures that the pages show, counted from what was done."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta, timezone

import pytest
from django.core.cache import caches

from django_dripcache import cache, rate_limiter
from django_dripcache._drive import run
from django_dripcache.admin.tile import make_tiles
from django_dripcache.counts import Label
from django_dripcache.flows import figures
from django_dripcache.measures import KeyFigures
from django_dripcache.recorder import RECORDER, home
from django_dripcache.traffic import Point, Traffic

from .conftest import BASE

pytestmark = pytest.mark.django_db


def text_of(page):
    return " ".join(re.sub(r"<title>.*?</title>|<[^>]+>", " ", page, flags=re.DOTALL).split())


def add(ago=0, **groups):
    """Tell of hits and misses of groups, so many seconds ago."""
    grown = {Label("k", name): [hits, 0, misses, *[0] * 60] for name, (hits, misses) in groups.items()}
    server, space = home()
    run(figures.add(space, time.time() - ago, grown, {}), server)


def rows(page):
    return re.findall(r'<th scope="row" class="name"><code>(.*?)</code>', page)


def test_the_overview_shows_what_was_done(desk):
    for _ in range(3):
        cache.get("page:7")
    cache.set("page:7", "x" * 1000)
    cache.get("page:7")
    for _ in range(3):
        rate_limiter.hit("key", "2/m")
    RECORDER.flush()
    text = text_of(desk.look())
    assert "Hit rate 25% 1 of 4 reads" in text
    assert "Denied by limits 1 of 3 requests" in text
    assert "Errors 0 0% of the calls" in text
    assert "Hits 1" in text
    assert "Misses 3" in text
    assert re.search(r"Median latency [\d.]+ [µm]s 99% within", text)


def test_the_part_that_refreshes_shows_the_same_and_no_frame(desk):
    add(pages=(3, 1))
    page, live = desk.look(), desk.look("?live")
    assert "<html" not in live
    assert "75%" in live
    assert live.count("<svg") == page.count('role="img"')
    assert "data-dripcache-at" in live
    assert "data-dripcache-at" not in page


def test_the_figures_move(desk):
    add(pages=(3, 1))
    assert "Hit rate 75%" in text_of(desk.look("?live"))
    add(pages=(4, 0))
    assert "Hit rate 87.5%" in text_of(desk.look("?live"))


@pytest.mark.parametrize(("period", "reads"), [("1h", 1), ("6h", 3), ("24h", 7), ("30d", 15)])
def test_each_period_has_its_figures(desk, period, reads):
    for number, ago in ((1, 60), (2, 4 * 3600), (4, 20 * 3600), (8, 20 * 86_400)):
        add(ago, pages=(number, 0))
    assert f"of {reads} read{'s' * (reads > 1)} " in text_of(desk.look(f"?period={period}"))
    assert f"airports {reads}" not in text_of(desk.look(f"groups/?period={period}"))
    assert f"pages {reads} " in text_of(desk.look(f"groups/?period={period}"))


def test_calls_are_counted_from_the_first_one_of_the_period_on():
    keys = [KeyFigures(), KeyFigures(), KeyFigures(hits=60, sets=30), KeyFigures(), KeyFigures(misses=20, errors=10)]
    points = tuple(Point(at=datetime.now(timezone.utc), keys=each) for each in keys)
    traffic = Traffic(available=True, period="1h", step=timedelta(minutes=1), points=points)
    (tile,) = [tile for tile in make_tiles(traffic) if tile.label == "Calls per second"]
    assert (tile.value, tile.note) == ("0.67", "at most 1.5")


def test_a_period_that_there_is_not_is_the_last_hour(desk):
    assert "in the last hour" in desk.look("groups/?period=1y")


def test_tabs_keep_the_period_where_there_is_one(desk):
    page = desk.look("?period=24h")
    assert f'href="{BASE}groups/?period=24h"' in page
    assert f'href="{BASE}flags/"' in page


def test_every_chart_has_its_table(desk):
    add(pages=(3, 1))
    page = desk.look()
    assert page.count("<figure") == 4
    drawn = page.count('role="img" aria-label="') - page.count("dripcache-meter")
    assert drawn == page.count("<details") == 2
    assert page.count("Nothing in the last hour.") == 2
    (table,) = re.findall(r'id="table-rate".*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    assert table.count("<tr>") == 60
    assert "75%" in table


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("-reads", ["b", "a", "c"]),
        ("reads", ["c", "a", "b"]),
        ("name", ["a", "b", "c"]),
        ("-name", ["c", "b", "a"]),
        ("-rate", ["c", "b", "a"]),
        ("misses", ["c", "b", "a"]),
        ("-saved", ["b", "a", "c"]),
        ("nothing", ["b", "a", "c"]),
        ("--reads", ["b", "a", "c"]),
    ],
)
def test_groups_are_sorted_as_is_asked(desk, sort, order):
    add(a=(1, 9), b=(15, 5), c=(4, 0))
    page = desk.look(f"groups/?sort={sort}")
    assert rows(page) == order


def test_what_is_not_known_is_sorted_below_nothing(desk):
    add(a=(0, 5), b=(0, 0))
    cache.set("written:1", 1)
    RECORDER.flush()
    assert rows(desk.look("groups/?sort=rate")) == ["written", "a"]
    assert rows(desk.look("groups/?sort=-rate")) == ["a", "written"]


def test_the_head_of_a_column_turns_the_order(desk):
    add(a=(1, 9))
    page = desk.look("groups/?sort=-rate&period=6h")
    assert page.count("aria-sort=") == 1
    assert re.search(r'aria-sort="descending"><a href="\?period=6h&amp;sort=rate">Hit rate', page)
    assert 'href="?period=6h&amp;sort=-misses"' in page
    assert 'href="?period=6h&amp;sort=name"' in page


def test_a_group_has_advice(desk):
    add(pages=(10, 990))
    assert "Low hit rate, and most misses store nothing" in desk.look("groups/")


def test_pages_without_figures_say_what_to_do(desk):
    assert "Nothing was counted in the last hour." in desk.look("groups/")
    assert "There are no rules." in desk.look("limits/")
    assert "No flag is set." in desk.look("flags/")
    assert "There are no keys." in desk.look("keys/")
    assert "No value has a tag." in desk.look("tags/")
    assert "Find a user" in desk.look("sessions/")
    assert "Nothing was found." in desk.look("doctor/")
    assert "There is no session of this user." in desk.look("sessions/?user=7")


def test_a_site_that_does_not_count_is_told_so(desk, with_settings):
    with_settings(DRIPCACHE={"STATS_INTERVAL": None})
    assert "Nothing is counted" in desk.look()


def test_keys_are_paged(desk):
    cache.bulk_set({f"key:{number}": number for number in range(3000)})
    seen, path = set(), "keys/?search=key:"
    for _ in range(200):
        page = desk.look(path)
        seen |= set(re.findall(r"<code>(key:\d+)</code>", page))
        following = re.search(r'href="\?([^"]*cursor=\d+[^"]*)"', page)
        if following is None:
            break
        path = "keys/?" + following[1].replace("&amp;", "&")
    assert len(seen) == 3000


def test_keys_are_those_of_the_place_that_was_chosen(desk):
    cache.set("ours", 1)
    caches["default"].set("django", 1)
    page = desk.look("keys/?place=cache")
    assert "ours" in page
    assert "<code>django</code>" not in page
    assert '<option translate="no" selected>cache</option>' in page


def test_a_bad_cursor_is_told(desk):
    assert "is not one that a page of keys had" in desk.look("keys/?cursor=x")
    assert "is not one that a page of keys had" in desk.look("tags/?cursor=x")


def test_a_key_that_is_gone_is_told(desk):
    assert "not there any more" in desk.look("keys/?name=dripcache:c:a")


def test_connections_are_shown_by_role(desk):
    cache.get("a")
    text = text_of(desk.look("connections/"))
    assert "pool" in text
    assert "connections that the server takes (maxclients)" in text


def test_another_alias_is_chosen(desk, with_settings, redis_server):
    backend = "django_dripcache.backend.DripCache"
    with_settings(CACHES={"default": {"BACKEND": backend}, "other": {"BACKEND": backend, "KEY_PREFIX": "o"}})
    page = desk.look("flags/?alias=other")
    assert '<a href="?alias=other" aria-current="true">other</a>' in page
    assert '<input type="hidden" name="alias" value="other">' in page
    assert f'href="{BASE}keys/?alias=other"' in page


def test_the_alias_default_is_shown_first(desk, with_settings):
    backend = {"BACKEND": "django_dripcache.backend.DripCache"}
    with_settings(CACHES={"another": backend, "default": backend})
    assert '<a href="?alias=default" aria-current="true">default</a>' in desk.look("flags/")


def test_a_server_of_several_aliases_is_asked_once_whether_it_answers(desk, raw, with_settings):
    backend = {"BACKEND": "django_dripcache.backend.DripCache"}
    with_settings(CACHES={"default": backend, "another": backend})
    desk.look("flags/")
    before = raw.info("commandstats")["cmdstat_ping"]["calls"]
    desk.look("flags/")
    assert raw.info("commandstats")["cmdstat_ping"]["calls"] == before + 1
