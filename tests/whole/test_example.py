"""The example project, run as a reader would run it: in processes of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_dripcache.testing.server import RedisServer

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "example_project"

pytest.importorskip("airportsdata")


# What the process of the fixture ``site`` does: it runs the blocks that it is sent, and sends their ``answer``.
SITE = """
import io, json, re, sys, traceback
from unittest import mock
import airportsdata, django
django.setup()
from airports import geography
from airports.models import Airport, Country, Preference
from config.celery import app
from django.contrib.auth import get_user_model
from django.core.cache import cache as django_cache
from django.core.management import CommandError, call_command
from django.test import Client, override_settings
from django_dripcache import cache, flags, user_cache
from django_dripcache.contrib.sessions_db import SessionStore

everything = airportsdata.load("ICAO")
airportsdata.load = lambda kind: {code: row for code, row in everything.items() if row["country"] in ("AT", "CH", "LU")}
answers, sys.stdout = sys.stdout, sys.stderr
call_command("migrate", verbosity=0)
alice = get_user_model().objects.create_superuser("alice", password="secret")

def browser(agent="", user=None, **options):
    client = Client(headers={"user-agent": agent}, **options)
    if user:
        client.force_login(user)
    return client

def run(*command):
    output = io.StringIO()
    call_command(*command, stdout=output, stderr=output)
    return output.getvalue()

def status(path, **headers):
    return visitor.get(path, headers=headers)["X-Cache"]

def shows(path, text):
    return text in visitor.get(path).content.decode()

def waiting():
    with app.connection_for_read() as connection:
        return connection.default_channel.queue_declare("visits").message_count

visitor = browser()
for line in sys.stdin:
    scope = dict(globals())
    try:
        exec(json.loads(line), scope)
        outcome = {"answer": scope["answer"]}
    except BaseException:
        outcome = {"error": traceback.format_exc()}
    print(json.dumps(outcome), file=answers, flush=True)
"""


class Site:
    """The site in a process of its own, with the airports of three countries."""

    def __init__(self, server: RedisServer, environment: dict[str, str], log: Path) -> None:
        settings = {"DJANGO_SETTINGS_MODULE": "config.settings", "ALLOWED_HOSTS": "testserver"}
        environment |= {**settings, "REDIS_URL": server.url}
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SITE],
                cwd=EXAMPLE,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.log = log

    def __call__(self, code: str) -> Any:
        """Run a block in the site, and return what it calls ``answer``."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(textwrap.dedent(code)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        outcome = json.loads(line)
        assert "error" not in outcome, outcome["error"]
        return outcome["answer"]

    def close(self) -> None:
        """Let it end."""
        self.process.communicate(timeout=30)


@pytest.fixture(scope="module")
def running(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all tests of a pattern: it takes seconds to start."""
    directory = tmp_path_factory.mktemp("site")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "EXAMPLE_VAR": str(directory)}
    site = Site(redis_server, environment, directory / "log")
    yield site
    site.close()


@pytest.fixture
def site(running: Site) -> Site:
    """The site with its catalogue, a cold cache and an empty queue."""
    running(
        """
        with app.connection_for_read() as connection:
            connection.default_channel.queue_purge("visits")
        flags.delete("radar"), user_cache.delete(alice), SessionStore().sessions.delete_for_user(alice)
        Airport.objects.all().delete(), Preference.objects.all().delete()
        run("load_airports")
        django_cache.clear(), cache.clear()
        answer = None
        """
    )
    return running


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A reader's environment: nothing of the test settings, and a place for temporary files that can be looked at."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "SYSTEMROOT") if name in os.environ}
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    return {**kept, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}


def lines_until(start: str, demo: subprocess.Popen[str]) -> list[str]:
    """Return what the demo prints, up to the first line with such a start."""
    assert demo.stdout is not None
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if line.startswith(start):
            break
    return lines


def start_demo(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start the demo without a terminal, in a copy of the project: others may run theirs at the same time."""
    project = Path(environment["TMPDIR"]).with_name("example_project")
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("var", "__pycache__"))
    return subprocess.Popen(
        [sys.executable, str(project / "demo.py"), *arguments],
        env=environment,
        cwd=environment["TMPDIR"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_with(text: str) -> list[str]:
    """Return the command lines of the processes whose environment holds a text. Needs Linux."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def assert_nothing_is_left(environment: dict[str, str]) -> None:
    """Fail if a process, a temporary file or the run's directory is still there."""
    if Path("/proc/self/environ").exists():
        assert processes_with(environment["TMPDIR"]) == []
    assert list(Path(environment["TMPDIR"]).iterdir()) == []
    assert list(Path(environment["TMPDIR"]).with_name("example_project").glob("var/*")) == []


def figure(name: str, output: str) -> int:
    """Return the first number of a line of the table."""
    found = re.search(rf"^ *{re.escape(name)} +([\d,]+)", output, re.MULTILINE)
    assert found, f"There is no line {name!r} in:\n{output}"
    return int(found[1].replace(",", ""))


def test_checks_pass_without_a_server(environment: dict[str, str], tmp_path: Path) -> None:
    environment |= {"EXAMPLE_VAR": str(tmp_path / "var"), "REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [
        sys.executable,
        "-W",
        "error::DeprecationWarning:airports",
        "manage.py",
        "check",
        "--fail-level",
        "WARNING",
    ]
    result = subprocess.run(
        command, cwd=EXAMPLE, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "var" / "secret_key").stat().st_mode & 0o777 == 0o600


def test_migrations_are_complete(environment: dict[str, str], tmp_path: Path) -> None:
    environment |= {"EXAMPLE_VAR": str(tmp_path / "var"), "REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"]
    result = subprocess.run(
        command, cwd=EXAMPLE, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_demo_ends_by_itself_and_loses_no_task(environment: dict[str, str]) -> None:
    demo = start_demo(environment, "--requests", "150")
    output, _ = demo.communicate(timeout=120)
    assert demo.returncode == 0, output
    assert figure("page views", output) == 150
    assert figure("pages failed", output) == figure("visits not counted", output) == 0
    assert figure("tasks lost", output) == 0
    assert figure("tasks done", output) == figure("tasks queued", output) > 150
    assert figure("waiting at clear()", output) > 0
    assert re.search(r"hit rate +\d+\.\d%", output)
    assert re.search(r"Dashboard +http://127\.0\.0\.1:\d+/admin/", output)
    assert_nothing_is_left(environment)


def test_demo_shows_every_page_though_its_redis_is_late_and_loses_no_task(
    environment: dict[str, str], redis_server: RedisServer
) -> None:
    with redis_server.client() as client:
        before = set(client.scan_iter())
        demo = start_demo(environment | {"REDIS_URL": redis_server.url}, "--requests", "150")
        lines = lines_until("Replaying", demo)
        redis_server.pause()
        time.sleep(1)
        redis_server.resume()
        output = "".join(lines) + demo.communicate(timeout=120)[0]
        assert demo.returncode == 0, output
        assert figure("pages failed", output) == figure("tasks lost", output) == 0
        assert figure("visits not counted", output) > 0
        assert figure("visits not counted", output) + figure("tasks queued", output) == 150 + 150 // 15 + 8
        assert set(client.scan_iter()) <= before


def test_interrupted_demo_leaves_nothing(environment: dict[str, str]) -> None:
    demo = start_demo(environment)
    lines = lines_until("Replaying", demo)
    time.sleep(0.5)
    demo.send_signal(signal.SIGTERM)
    rest, _ = demo.communicate(timeout=60)
    assert demo.returncode == 128 + signal.SIGTERM, "".join(lines) + rest
    assert "SIGTERM: stopping." in rest
    assert_nothing_is_left(environment)


def test_an_answer_is_computed_once_and_then_kept(site):
    paths = ["/", "/airports/LSZH/", "/countries/CH/", "/search/?q=zur"]
    answer = site(f"answer = [[status(path), status(path)] for path in {paths}]")
    # The country's numbers are there since the page of the airport; its cards are not.
    assert answer == [["miss", "hit"]] * 4


def test_the_search_works_on_an_event_loop(site):
    answer = site(
        """
        import asyncio
        from django.test import AsyncClient

        async def search():
            client = AsyncClient()
            await client.aforce_login(alice)
            pages = [await client.get("/search/?q=gen", headers={"user-agent": "Tablet"}) for _ in range(2)]
            return [page["X-Cache"] for page in pages]

        answer = [asyncio.run(search()), SessionStore().sessions.list_for_user(alice)[0].about["agent"]]
        """
    )
    assert answer == [["miss", "hit"], "Tablet"]


def test_only_the_demo_may_go_past_the_cache(site):
    answer = site(
        """
        paths = ["/", "/airports/LSZH/", "/countries/CH/", "/search/?q=zur"]
        answer = [status(path, x_demo_bypass="1") for path in paths]
        def airports(path="/countries/CH/", **headers):
            page = visitor.get(path, headers=headers).content.decode()
            return re.findall(r'href="/airports/(\\w+)/"', page)

        with override_settings(DEMO=True):
            answer += [status(path, x_demo_bypass="1") for path in paths]
            answer += [airports(x_demo_bypass="1") == airports()]
            Airport.objects.filter(pk="LSZH").update(visits=1)
            answer += ["LSZH" in page for page in (airports(path="/"), airports(path="/", x_demo_bypass="1"))]
        """
    )
    assert answer == ["miss"] * 4 + ["bypass"] * 4 + [True, False, True]


def test_the_front_page_is_stale_while_a_worker_computes(site):
    answer = site(
        """
        import time
        from celery.contrib.testing.worker import start_worker

        answer = [status("/"), status("/")]
        Airport.objects.filter(pk="LSZH").update(visits=7)
        cache.expire(geography.most_visited.key())
        answer += [status("/"), waiting(), status("/"), waiting()]
        with start_worker(app, perform_ping_check=False):
            end = time.monotonic() + 20
            while geography.most_visited.peek() is None and time.monotonic() < end:
                time.sleep(0.05)
        answer += [status("/"), geography.most_visited.peek()[0]["visits"]]
        """
    )
    assert answer == ["miss", "hit", "stale", 1, "stale", 1, "hit", 7]


def test_a_visit_is_counted_and_no_page_is_voided_by_it(site):
    answer = site(
        """
        from airports.tasks import record_visit

        visitor.get("/"), visitor.get("/airports/LSZH/")
        answer = [waiting()]
        record_visit.apply(["LSZH"])
        answer += [Airport.objects.get(pk="LSZH").visits, status("/"), status("/airports/LSZH/")]
        """
    )
    assert answer == [1, 1, "hit", "hit"]


@pytest.mark.parametrize(
    ("form", "change", "paths"),
    [
        (
            "airport/LSZH",
            {"name": "Zurich Kloten", "city": "Kloten", "country": "CH", "elevation": "1416"},
            ["/", "/airports/LSZH/", "/airports/LSMD/", "/countries/CH/?page=2", "/search/?q=kloten"],
        ),
        (
            "country/CH",
            {"name": "Confoederatio"},
            ["/", "/airports/LSZH/", "/countries/CH/", "/search/?q=zur", "/countries/", "/countries.csv"],
        ),
    ],
)
def test_an_edit_in_the_admin_is_shown_at_once(site, form, change, paths):
    rest = {"iata": "ZRH", "region": "ZH", "latitude": "47.4", "longitude": "8.5", "timezone": "Europe/Zurich"}
    fields = {"code": form.rpartition("/")[2], **rest, **change}
    answer = site(
        f"""
        Airport.objects.filter(pk="LSZH").update(visits=1)
        before = [shows(path, {change["name"]!r}) for path in {paths}]
        response = browser(user=alice).post("/admin/airports/{form}/change/", {fields})
        answer = [before, response.status_code, [shows(path, {change["name"]!r}) for path in {paths}]]
        """
    )
    assert answer == [[False] * len(paths), 302, [True] * len(paths)]


def test_an_edit_changes_the_ranks_of_others_at_once(site):
    answer = site(
        r"""
        def ranks():
            return re.findall(r"no\. (\d+)<", visitor.get("/countries/LU/").content.decode())

        answer = [ranks()]
        Airport.objects.filter(country="LU").order_by("elevation").first().delete()
        answer += [ranks()]
        highest = Airport.objects.filter(country="LU").order_by("elevation").last()
        highest.elevation = -5
        highest.save()
        answer += [ranks()]
        """
    )
    assert [sorted(ranks) for ranks in answer] == [["1", "2", "3"], ["1", "2"], ["1", "2"]]
    assert answer[2] == answer[1][::-1]


def test_an_edit_that_is_rolled_back_voids_nothing(site):
    answer = site(
        """
        from django.db import transaction

        visitor.get("/airports/LSZH/")
        with transaction.atomic():
            Airport.objects.get(pk="LSZH").save()
            transaction.set_rollback(True)
        answer = [status("/airports/LSZH/")]
        Airport.objects.get(pk="LSZH").save()
        answer += [status("/airports/LSZH/")]
        """
    )
    assert answer == ["hit", "miss"]


def test_loading_the_catalogue_voids_what_was_computed(site):
    answer = site(
        """
        visitor.get("/airports/LSZH/"), visitor.get("/")
        run("load_airports")
        answer = [status("/airports/LSZH/"), status("/")]
        """
    )
    assert answer == ["miss", "miss"]


def test_the_catalogue_is_not_loaded_twice_at_a_time(site):
    answer = site(
        """
        with cache.lock("load_airports", ttl=60):
            try:
                answer = run("load_airports")
            except CommandError as error:
                answer = [error.returncode, str(error)]
        answer += [run("load_airports").split()[0]]
        """
    )
    assert answer[0] == 1
    assert "loaded elsewhere" in answer[1]
    assert answer[2] == "120"


def test_the_cards_of_a_country_are_computed_by_one_call(site):
    answer = site(
        """
        from django_dripcache import CacheClient

        with mock.patch.object(geography, "cards", wraps=geography.cards) as cards:
            answer = [status("/countries/CH/"), len(cards.mock_calls), len(cards.call_args.args[0])]
            answer += [status("/countries/CH/"), len(cards.mock_calls)]
            edition = cache.get("country:CH")["edition"]
            cache.delete_many([f"cards:{edition}:LSZB", f"cards:{edition}:LSGG"])
            answer += [status("/countries/CH/"), cards.call_args.args]
        """
    )
    assert answer == ["miss", 1, 50, "hit", 1, "miss", [["LSZB", "LSGG"]]]


def test_the_table_of_countries_is_a_fragment_for_each_unit_and_one_file_for_all(site):
    answer = site(
        """
        client, answer = browser(user=alice), []
        client.post("/preferences/", {"units": "mi", "theme": "auto"})
        with mock.patch.object(geography, "country_table", wraps=geography.country_table) as table:
            for path in ("/countries/", "/countries.csv"):
                for reader in (visitor, visitor, client, client):
                    reader.get(path)
                    answer.append(len(table.mock_calls))
        answer += [visitor.get("/countries.csv").content == client.get("/countries.csv").content]
        answer += [visitor.get("/countries/").content == client.get("/countries/").content]
        """
    )
    assert answer == [1, 1, 2, 2, 3, 3, 3, 3, True, False]


def test_preferences_are_written_through(site):
    answer = site(
        """
        from airports.preferences import Preferences

        client = browser(user=alice)
        answer = [shows("/airports/LSZH/", " km")]
        client.post("/preferences/", {"units": "mi", "theme": "dark"})
        kept = user_cache.get(alice, "preferences", type=Preferences)
        answer += [kept == Preferences("mi", "dark"), Preference.objects.get(user=alice).units]

        def seen():
            page = client.get("/airports/LSZH/").content.decode()
            return " mi" in page, 'data-theme="dark"' in page

        answer += [seen()]
        Preference.objects.update(units="km", theme="light")
        answer += [seen()]
        user_cache.delete(alice)
        answer += [seen()]
        """.replace(" km", "\N{NO-BREAK SPACE}km").replace(" mi", "\N{NO-BREAK SPACE}mi")
    )
    assert answer == [True, True, "mi", [True, True], [True, True], [False, False]]


AGENTS = {
    "Firefox on Linux": "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0",
    "Safari on iPhone": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1",
    "Edge on Windows": "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/128.0 Safari/537.36 Edg/128.0",
    "A browser": "",
}


def test_a_user_sees_and_ends_the_other_logins(site):
    answer = site(
        f"""
        clients = [browser(agent, user=alice) for agent in {list(AGENTS.values())}]
        for client in clients:
            client.get("/")
        page = clients[0].get("/preferences/").content.decode()
        answer = [re.findall(r"<b>([^<]+)</b><small>127.0.0.1", page), page.count(">here<")]
        answer += [clients[0].get("/preferences/log-out-elsewhere/").status_code]
        page = clients[0].post("/preferences/log-out-elsewhere/", follow=True).content.decode()
        answer += [re.findall(r"<b>([^<]+)</b><small>127.0.0.1", page), "Logged out in 3 other places." in page]
        answer += ["elsewhere" in page, [client.get("/preferences/").status_code for client in clients]]
        """
    )
    assert sorted(answer[0]) == sorted(AGENTS)
    assert answer[1:] == [1, 405, ["Firefox on Linux"], True, False, [200, 302, 302, 302]]


def test_nobody_can_be_logged_out_from_another_site(site):
    answer = site(
        """
        path = "/preferences/log-out-elsewhere/"
        client, other = browser(user=alice, enforce_csrf_checks=True), browser(user=alice)
        other.get("/")
        page = client.get("/preferences/").content.decode()
        token = re.search(r'elsewhere/".+name="csrfmiddlewaretoken" value="(\\w+)"', page)[1]
        answer = [client.post(path).status_code, visitor.post(path).status_code, other.get("/preferences/").status_code]
        answer += [client.post(path, {"csrfmiddlewaretoken": token}).status_code]
        answer += [other.get("/preferences/").status_code]
        """
    )
    assert answer == [403, 302, 200, 302, 302]


def test_a_flag_switches_the_radar(site):
    answer = site(
        """
        def radar():
            return shows("/airports/LSZH/", "As they lie")

        answer = [radar(), flags.set("radar", False), radar(), flags.delete("radar"), radar()]
        """
    )
    assert answer == [True, True, False, True, True]


def test_warm_pages_are_hits(site):
    answer = site(
        """
        Airport.objects.filter(pk__in=["LSZH", "LOWW"]).update(visits=3)
        answer = [run("warm_airports", "--airports", "2").splitlines()]
        answer += [[status(f"/airports/{code}/") for code in ("LSZH", "LOWW", "LSGG")]]
        """
    )
    assert answer == [["     4 of 4", "4 answers are in the cache."], ["hit", "hit", "miss"]]


def test_warming_fails_where_an_answer_cannot_be_had(site):
    answer = site(
        """
        errors = io.StringIO()
        Airport.objects.filter(pk__in=["LSZH", "LOWW"]).update(visits=3)
        with mock.patch.object(geography, "country_numbers", side_effect=RuntimeError("no numbers")):
            try:
                answer = call_command("warm_airports", "--airports", "2", stdout=io.StringIO(), stderr=errors)
            except CommandError as error:
                answer = [error.returncode, str(error)]
        answer += [sorted(errors.getvalue().splitlines()), status("/airports/LSZH/"), status("/countries/CH/")]
        """
    )
    assert answer == [
        1,
        "2 of 4 answers are not in the cache.",
        ["country:AT: RuntimeError('no numbers')", "country:CH: RuntimeError('no numbers')"],
        "miss",
        "miss",
    ]
