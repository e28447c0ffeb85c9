"""Tasks of ``contrib.celery`` with real workers: killed, several, prefork and threads."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from celery import chain

import tests.workers  # noqa: F401 - it defines the tasks
from tests.processes import ROOT, Worker, environment, needs_server, shop, wait_for

WORKERS = {"imports": ["tests.workers"], "worker_prefetch_multiplier": 1}


def send(app, name, *args):
    return app.tasks[f"workers.{name}"].apply_async(args)


@needs_server
def test_of_a_thousand_tasks_with_a_hundred_arguments_a_hundred_run(start_server, monkeypatch):
    server = start_server(maxmemory="256mb", maxmemory_policy="volatile-lru")
    monkeypatch.setenv("DRIPCACHE_TEST_NOTES", server.url)
    sender = """
        import json, random, sys
        import django; django.setup()
        from tests.processes import app, be_patient
        import tests.workers
        be_patient()
        numbers = list(range(100)) * 3
        random.shuffle(numbers)
        for number in numbers[:250]:
            app.tasks["workers.invoice"].delay(number)
        for number in range(100):
            app.tasks["workers.invoice"].delay(number)
    """
    with server.client() as look:
        look.set("hold", 1)  # nothing ends before all are sent
        with Worker(server.url, "-P", "prefork", "-c2", celery=WORKERS):
            senders = [
                subprocess.Popen([sys.executable, "-c", textwrap.dedent(sender)], env=environment(server.url), cwd=ROOT)
                for _ in range(4)
            ]
            assert [process.wait(timeout=60) for process in senders] == [0, 0, 0, 0]
            look.delete("hold")
            wait_for(lambda: look.llen("ran:invoice") >= 100, 30)
            wait_for(lambda: look.llen("celery") == look.hlen("unacked") == 0, 10)
        assert sorted(map(int, look.lrange("ran:invoice", 0, -1))) == list(range(100))
        assert look.keys("dripcache:s.tasks:*") == []


@needs_server
def test_a_task_whose_process_was_killed_runs_when_it_is_sent_again_and_the_others_run(start_server, monkeypatch):
    server = start_server()
    monkeypatch.setenv("DRIPCACHE_TEST_NOTES", server.url)
    with (
        server.client() as look,
        shop(server.url) as app,
        Worker(server.url, "-P", "prefork", "-c2", celery=WORKERS) as worker,
    ):
        look.set("hold", 1)
        for number in range(20):
            send(app, "fragile", number)
        wait_for(lambda: look.llen("ran:fragile") == 2, 20)
        first = int(look.lindex("ran:fragile", 0))
        children = subprocess.run(
            ["ps", "--ppid", str(worker.process.pid), "-o", "pid="], capture_output=True, text=True, check=True
        ).stdout.split()
        os.kill(int(children[0]), signal.SIGKILL)
        look.delete("hold")
        wait_for(lambda: look.llen("ran:fragile") >= 20, 30)
        wait_for(lambda: look.llen("celery") == look.hlen("unacked") == 0, 10)
        deadline = time.monotonic() + 10
        while look.llen("ran:fragile") < 22 and time.monotonic() < deadline:
            for number in range(2):
                send(app, "fragile", number)
            time.sleep(0.2)
        assert set(map(int, look.lrange("ran:fragile", 0, -1))) == set(range(20))
        assert first in range(20)


@needs_server
def test_a_limit_holds_over_three_workers_and_lets_most_of_it_through(start_server, monkeypatch):
    server = start_server()
    monkeypatch.setenv("DRIPCACHE_TEST_NOTES", server.url)
    with server.client() as look, shop(server.url) as app:
        for number in range(400):
            send(app, "call", number)
        with (
            Worker(server.url, "-P", "threads", "-c4", "-n", "one", celery=WORKERS),
            Worker(server.url, "-P", "threads", "-c4", "-n", "two", celery=WORKERS),
            Worker(server.url, "-P", "prefork", "-c2", "-n", "three", celery=WORKERS),
        ):
            wait_for(lambda: look.llen("ran:call") >= 300, 40)
        times = sorted(map(float, look.lrange("ran:call", 0, -1)))
    # The tasks note their times a moment after they were admitted.
    assert max(sum(begin <= at < begin + 0.9 for at in times) for begin in times) <= 60
    span = times[250] - times[0]
    assert span >= 4.5
    assert re.fullmatch(r"\d+\.\d+", str(span))


@needs_server
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_with_real_workers_one_runs_and_one_waits_until_start(start_server, monkeypatch, pool):
    server = start_server()
    monkeypatch.setenv("DRIPCACHE_TEST_NOTES", server.url)
    with server.client() as look, shop(server.url) as app:
        look.set("hold", 1)  # who runs does not end
        with Worker(server.url, "-P", pool, "-c3", celery=WORKERS):
            send(app, "reindex", "books")
            wait_for(lambda: look.llen("ran:reindex") == 1, 20)
            for _ in range(2):
                send(app, "reindex", "books")  # it has begun, so one more is taken
            wait_for(lambda: look.llen("ran:reindex") == 2, 20)
            look.delete("hold")
            wait_for(lambda: look.llen("celery") == 0 and look.hlen("unacked") == 0, 20)
        assert look.llen("ran:reindex") in {2, 3}  # 3, where the second had begun before the third was sent


@needs_server
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_with_real_workers_parts_of_a_canvas_are_cached_and_what_follows_is_called(start_server, monkeypatch, pool):
    server = start_server()
    monkeypatch.setenv("DRIPCACHE_TEST_NOTES", server.url)
    with server.client() as look, shop(server.url) as app:
        square, invoice = app.tasks["workers.square"], app.tasks["workers.invoice"]
        with Worker(server.url, "-P", pool, "-c2", celery=WORKERS):
            for number in range(3):
                # What is known, is being asked for again, or is new: the invoice after it is written each time.
                chain(square.s(7), invoice.si(number)).apply_async()
            wait_for(lambda: look.llen("ran:invoice") == 3, 30)
        assert sorted(look.lrange("ran:invoice", 0, -1)) == [b"0", b"1", b"2"]
        assert look.llen("ran:square") == 1
