"""Locks and funnels over a real server: who holds what, for how long, and what becomes of it when things go wrong."""

from __future__ import annotations

import asyncio
import json
import pickle
import signal
import threading
import time
from datetime import timedelta

import pytest
from django.core.cache import cache as django_cache

from django_dripcache import CacheClient, CacheManager, cache, on_outage
from django_dripcache.deadline import budget
from django_dripcache.exceptions import CacheUnavailableError, DripcacheError, InvalidKeyError, LockTimeoutError
from django_dripcache.locks import Funnel, Lock

from .processes import UNREACHABLE, Wire, in_threads, needs_server, run_python, site, wait_for


@pytest.fixture
def shop(redis_server, raw):
    """A patient site over the real server."""
    with site(redis_server.url) as backend:
        yield backend


def lock(ttl=30, name="job", manager=cache, **options):
    return Lock(manager, name, ttl, **options)


def funnel(ttl=30, name="job", manager=cache, limit=1, **options):
    return Funnel(manager, name, limit, ttl, **options)


KEYS = {lock: b"dripcache:k:job", funnel: b"dripcache:kf:job"}
both = pytest.mark.parametrize("make", [lock, funnel])
"""A funnel for one is a lock."""


@pytest.fixture
def within(drive):
    """Run something within ``with``, and in a second run of the test within ``async with``."""
    loop = drive(None)._loop

    def run(hold, work=lambda hold: None):
        if loop is None:
            with hold as held:
                return work(held)

        async def main():
            async with hold as held:
                return work(held)

        return loop.run_until_complete(main())

    return run


def expire(raw, make):
    """Wait until what somebody holds is over by its ttl."""
    wait_for(lambda: not raw.exists(KEYS[make]))


# One holder


@both
def test_one_holds_and_others_do_not(shop, drive, make):
    first, second = drive(make()), drive(make())
    assert first.acquire() is True
    assert second.acquire() is False
    assert [first.owned(), second.owned()] == [True, False]
    assert first.release() is True
    assert first.owned() is False
    assert second.acquire() is True


@both
def test_a_late_release_frees_nothing_of_another(shop, raw, drive, make):
    late, next_one = drive(make(0.02)), drive(make())
    assert late.acquire()
    expire(raw, make)
    assert next_one.acquire()
    assert [late.owned(), late.extend(), late.release(), late.release()] == [False] * 4
    assert next_one.owned() is True
    assert drive(make()).acquire() is False


@both
def test_it_ends_by_itself_and_its_key_with_it(shop, raw, drive, make):
    assert drive(make(timedelta(seconds=70))).acquire()
    assert 60_000 < raw.pttl(KEYS[make]) <= 70_001
    raw.delete(KEYS[make])
    assert drive(make(0.02)).acquire()
    assert drive(make()).acquire(wait=30) is True


@both
def test_it_can_be_extended_while_it_is_held(shop, raw, drive, make):
    held = drive(make(50))
    assert held.extend() is False
    assert held.acquire()
    assert held.extend(timedelta(minutes=5)) is True
    assert 290_000 < raw.pttl(KEYS[make]) <= 300_001
    assert drive(make()).extend() is False
    assert held.owned()


def test_a_lock_that_is_extended_lives_for_its_ttl_from_then(shop, raw, drive):
    held = drive(lock(50))
    held.acquire()
    assert held.extend(5)
    assert raw.pttl(KEYS[lock]) <= 5_000
    assert held.extend()
    assert 40_000 < raw.pttl(KEYS[lock]) <= 50_000


@both
def test_each_acquisition_has_an_owner_of_its_own(shop, drive, make):
    hold = make()
    held, announced = drive(hold), hold.owner
    assert held.acquire()
    assert hold.owner == announced
    assert held.release()
    assert held.acquire()
    assert hold.owner != announced
    assert len({hold.owner, announced, make().owner}) == 3


@both
def test_a_release_that_failed_can_be_tried_again(shop, make):
    hold = make()
    with budget(30) as mine:
        assert hold.acquire()
        mine.spend(40)
        assert hold.release() is False
    assert hold.release() is True


# A block


@both
def test_a_block_holds_and_gives_back(shop, raw, within, make):
    assert within(make(), lambda held: (held.owned(), raw.exists(KEYS[make]))) == (True, 1)
    assert not raw.exists(KEYS[make])


@both
def test_a_block_that_raises_gives_back(shop, raw, within, make):
    with pytest.raises(ZeroDivisionError):
        within(make(), lambda held: 1 / 0)
    assert not raw.exists(KEYS[make])


@both
def test_a_block_of_what_is_taken_is_not_entered(shop, within, make):
    make().acquire()
    with pytest.raises(LockTimeoutError, match=r"'job' could not be acquired within 0.05 seconds: \w+") as caught:
        within(make(wait=0.05), lambda held: pytest.fail("entered"))
    assert (caught.value.name, caught.value.wait, caught.value.__cause__) == ("job", 0.05, None)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, DripcacheError)


def test_the_error_arrives_as_it_was_where_it_is_sent_on():
    error = LockTimeoutError("why", name="job", wait=1.5)
    arrived = pickle.loads(pickle.dumps(error))
    assert (str(arrived), arrived.name, arrived.wait) == ("why", "job", 1.5)


@both
def test_an_object_can_be_used_again(shop, within, make):
    hold = make()
    assert [within(hold, lambda held: held.owned()) for _ in range(3)] == [True] * 3


@both
def test_who_gives_back_early_gives_back_nothing_at_the_end(shop, within, caplog, make):
    def work(held):
        held.release()
        assert make().acquire()

    within(make(), work)
    assert make().acquire() is False
    assert caplog.records == []


@both
def test_work_that_took_longer_than_the_ttl_is_told_in_the_log(shop, raw, within, caplog, make):
    within(make(0.02), lambda held: expire(raw, make))
    (record,) = caplog.records
    kind = "Lock" if make is lock else "Funnel"
    assert (record.levelname, record.getMessage()) == (
        "WARNING",
        f"{kind} 'job' was over before the work that it was for.",
    )


@both
def test_an_object_that_holds_is_not_acquired_again(shop, within, drive, make):
    hold = make(wait=60)

    def again(held):
        with pytest.raises(RuntimeError, match=f"{type(hold).__name__} 'job'"):
            held.acquire(wait=60)
        with pytest.raises(RuntimeError), held:
            pytest.fail("entered")
        assert held.owned(), "and it still holds"

    within(hold, again)
    assert drive(hold).acquire()
    with pytest.raises(RuntimeError):
        drive(hold).acquire()


# Waiting


@both
def test_who_waits_is_given_it_when_it_is_released(shop, drive, make):
    holder = make()
    holder.acquire()
    timer = threading.Timer(0.1, holder.release)
    timer.start()
    began = time.monotonic()
    assert drive(make(wait=timedelta(seconds=60))).acquire() is True
    assert time.monotonic() - began < 30
    timer.join()


@both
def test_who_waits_in_vain_is_told_when_the_time_is_over(shop, drive, make):
    make().acquire()
    began = time.monotonic()
    assert drive(make(wait=60)).acquire(wait=0.15) is False
    assert 0.15 <= time.monotonic() - began < 30


@both
async def test_who_is_cancelled_while_it_waits_holds_nothing(shop, raw, make):
    holder, waiting = make(), make(wait=60)
    await holder.aacquire()
    task = asyncio.create_task(waiting.aacquire())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await holder.aowned()
    assert await holder.arelease()
    assert not raw.exists(KEYS[make])
    assert await waiting.aacquire(), "the object can be used again"


@both
async def test_a_block_whose_task_is_cancelled_gives_back(shop, raw, make):
    entered = asyncio.Event()

    async def work():
        async with make():
            entered.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not raw.exists(KEYS[make])


@needs_server
@both
async def test_a_block_that_is_cancelled_again_while_it_gives_back_does_so(start_server, make):
    server, entered = start_server(), asyncio.Event()

    async def work():
        async with make():
            entered.set()
            await asyncio.sleep(60)

    with site(server.url), server.client() as outside:
        task = asyncio.create_task(work())
        await entered.wait()
        server.pause()
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.02)
        server.resume()
        with pytest.raises(asyncio.CancelledError):
            await task
        wait_for(lambda: not outside.exists(KEYS[make]))


@both
async def test_who_is_cancelled_before_it_knows_whether_it_holds_gives_back(redis_server, raw, make):
    with Wire(redis_server.port) as wire, site(redis_server.url.replace(str(redis_server.port), str(wire.port))):
        warm = make(name="another")
        await warm.aacquire()  # the script is loaded, and the connection open
        hold = make()
        wire.lose(hold.owner.encode())
        task = asyncio.create_task(hold.aacquire())
        while not raw.exists(KEYS[make]):  # noqa: ASYNC110 - it is the server that is waited for
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not raw.exists(KEYS[make])


@both
def test_a_reply_that_is_lost_leaves_nothing_held_by_nobody(redis_server, raw, drive, make):
    with Wire(redis_server.port) as wire, site(redis_server.url.replace(str(redis_server.port), str(wire.port))):
        assert drive(make(name="another")).acquire()
        assert drive(make(name="another")).release() is False  # the scripts are loaded
        hold = make()
        wire.lose(hold.owner.encode(), cut=True)
        assert drive(hold).acquire(wait=60) is False
        assert wire.seen == 2, "once to take it, and once to give it back"
        assert not raw.exists(KEYS[make])
        assert drive(hold).acquire()


@needs_server
@both
def test_a_signal_before_one_knows_whether_it_holds_gives_back(redis_server, raw, make):
    class SoftTimeLimitError(Exception):
        pass

    def handler(number, frame):
        raise SoftTimeLimitError

    with Wire(redis_server.port) as wire, site(redis_server.url.replace(str(redis_server.port), str(wire.port))):
        make(name="another").acquire()
        hold = make()
        wire.lose(hold.owner.encode())
        before = signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            with pytest.raises(SoftTimeLimitError), hold:
                pytest.fail("entered")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert not raw.exists(KEYS[make])


@needs_server
def test_an_interrupt_anywhere_before_a_block_leaves_nothing_held(redis_server, raw):
    found = run_python(
        """
        import itertools, json, linecache, os, warnings
        import django, redis
        from tests.interrupts import interrupt_at
        from tests.processes import be_patient

        warnings.simplefilter("ignore", ResourceWarning)
        django.setup()
        be_patient()
        from django_dripcache import cache
        from django_dripcache.locks import Lock

        places, left = 0, []
        with redis.Redis.from_url(os.environ["DRIPCACHE_TEST_URL"]) as look:
            def enter():
                with Lock(cache, "job", 60):
                    entered.append(True)

            entered = []
            enter()
            for number in itertools.count(1):
                entered = []
                place = interrupt_at(number, enter)
                if place is None:
                    break
                file, line = place.split()[0].rsplit(":", 1)
                # CPython delivers no signal to a frame that waits in a "yield from", but to the innermost (bpo-30039).
                delivered = "yield from" not in linecache.getline(file, int(line.replace("None", "0")))
                places += delivered
                if delivered and not entered and look.exists("dripcache:k:job"):
                    left.append(place)
                look.delete("dripcache:k:job")
        print(json.dumps({"places": places, "left": left}))
        """,
        redis_server.url,
        timeout=120,
    )
    assert found["places"] > 50
    assert found["left"] == []


# Many at once


def test_eight_processes_never_meet_under_a_lock(redis_server, raw):
    found = run_python(
        """
        import json, os, time
        import django, redis
        from tests.processes import be_patient

        django.setup()
        be_patient()
        from django_dripcache import cache
        from django_dripcache.locks import Lock

        cache.has("anything")  # forked processes begin with what the parent has open
        counter = redis.Redis.from_url(os.environ["DRIPCACHE_TEST_URL"])
        children = []
        for _ in range(8):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    for _ in range(10):
                        with Lock(cache, "counter", 60, wait=60):
                            seen = int(counter.get("dripcache:count") or 0)
                            time.sleep(0.002)
                            counter.set("dripcache:count", seen + 1)
                    code = 0
                finally:
                    os._exit(code)
            children.append(pid)
        codes = [os.waitpid(pid, 0)[1] for pid in children]
        print(json.dumps([codes, int(counter.get("dripcache:count"))]))
        counter.close()
        """,
        redis_server.url,
        timeout=120,
    )
    assert found == [[0] * 8, 80]


def test_eight_threads_never_meet_under_a_lock(shop):
    count = 0

    def work(number):
        nonlocal count
        for _ in range(10):
            with lock(wait=60):
                seen = count
                time.sleep(0.001)
                count = seen + 1

    in_threads(8, work, 120)
    assert count == 80


async def test_tasks_of_one_loop_never_meet_under_a_lock(shop):
    count = 0

    async def work():
        nonlocal count
        for _ in range(5):
            async with lock(wait=60):
                seen = count
                await asyncio.sleep(0.001)
                count = seen + 1

    await asyncio.gather(*(work() for _ in range(8)))
    assert count == 40


def test_a_funnel_never_admits_more_than_its_limit(shop):
    guard, inside, most = threading.Lock(), 0, 0

    def work(number):
        nonlocal inside, most
        for _ in range(4):
            with funnel(limit=3, wait=60):
                with guard:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.005)
                with guard:
                    inside -= 1

    in_threads(16, work, 120)
    assert most == 3


@needs_server
def test_what_a_killed_process_held_ends_by_its_ttl(redis_server, raw):
    found = run_python(
        """
        import json, os, signal, time
        import django
        from tests.processes import be_patient

        django.setup()
        be_patient()
        from django_dripcache import cache
        from django_dripcache.locks import Funnel, Lock

        def hold():
            return Lock(cache, "job", 1), Funnel(cache, "job", 1, 1)

        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            lock, funnel = hold()
            with lock, funnel:
                os.kill(os.getpid(), signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        taken = [[each.acquire(wait=60), time.monotonic() - began] for each in hold()]
        print(json.dumps([os.WTERMSIG(status), *taken]))
        """,
        redis_server.url,
        timeout=90,
    )
    assert found[0] == signal.SIGKILL
    for taken, after in found[1:]:
        assert taken
        assert 0.99 < after < 30


# A funnel's places


def test_a_funnel_has_so_many_places(shop, drive):
    places = [drive(funnel(limit=3)) for _ in range(4)]
    assert [place.acquire() for place in places] == [True, True, True, False]
    assert [place.owned() for place in places] == [True, True, True, False]
    assert places[1].release() is True
    assert places[1].release() is False
    assert places[3].acquire() is True


def test_a_place_ends_by_itself_while_others_are_held(shop, raw, drive):
    short, long = drive(funnel(0.02, limit=2)), drive(funnel(60, limit=2))
    assert short.acquire()
    assert long.acquire()
    wait_for(lambda: not short.owned())
    assert raw.zcard(KEYS[funnel]) == 2, "it is still there, and counts for nothing"
    assert short.extend() is False
    assert short.release() is False
    assert long.owned()


def test_a_place_that_is_over_is_given_to_the_next_who_asks(shop, raw, drive):
    short, long = drive(funnel(0.02, limit=2)), drive(funnel(60, limit=2))
    assert short.acquire()
    assert long.acquire()
    assert drive(funnel(limit=2)).acquire(wait=30)
    assert raw.zcard(KEYS[funnel]) == 2
    assert long.owned()


def test_the_key_of_a_funnel_lives_as_long_as_its_last_place(shop, raw, drive):
    long, short = drive(funnel(100, limit=3)), drive(funnel(10, limit=3))
    assert short.acquire()
    assert long.acquire()
    assert short.extend()
    assert 90_000 < raw.pttl(KEYS[funnel]) <= 100_001
    assert short.extend(500)
    assert raw.pttl(KEYS[funnel]) > 400_000


def test_the_limit_is_the_callers(shop, drive):
    assert [drive(funnel(limit=5)).acquire() for _ in range(3)] == [True] * 3
    assert drive(funnel(limit=2)).acquire() is False
    assert drive(funnel(limit=4)).acquire() is True


# An owner that is handed on


@both
def test_who_is_given_the_owner_is_the_holder(shop, raw, drive, make):
    giver = make(60)
    assert drive(giver).acquire()
    taker = drive(make(300, owner=json.loads(json.dumps(giver.owner))))
    assert taker.owned()
    assert taker.extend()
    assert raw.pttl(KEYS[make]) > 290_000
    with pytest.raises(RuntimeError):
        taker.acquire()
    assert taker.release() is True
    assert drive(giver).release() is False
    assert taker.acquire(), "with an owner of its own"
    assert not drive(giver).owned()


@both
def test_a_block_takes_over_from_the_giver_and_gives_back(shop, raw, within, make):
    giver = make(60)
    giver.acquire()
    left = within(make(300, owner=giver.owner), lambda held: (raw.pttl(KEYS[make]), held.owned()))
    assert left[0] > 290_000
    assert left[1]
    assert not raw.exists(KEYS[make])


@both
def test_a_block_does_not_take_over_what_is_lost(shop, raw, within, make):
    giver = make(0.02)
    giver.acquire()
    expire(raw, make)
    taker = make(owner=giver.owner)
    with pytest.raises(LockTimeoutError, match="not this owner's"):
        within(taker, lambda held: pytest.fail("entered"))
    assert make().acquire()
    with pytest.raises(LockTimeoutError, match="not this owner's"):
        within(make(owner=giver.owner), lambda held: pytest.fail("entered"))
    with pytest.raises(LockTimeoutError, match=r"taken|another"):
        within(taker, lambda held: pytest.fail("entered"))


@needs_server
def test_another_process_gives_back_what_it_was_handed(redis_server, raw, shop):
    givers = lock(), funnel()
    assert all(giver.acquire() for giver in givers)
    done = run_python(
        """
        import json, os
        import django
        from tests.processes import be_patient

        django.setup()
        be_patient()
        from django_dripcache import cache
        from django_dripcache.locks import Funnel, Lock

        first, second = json.loads(os.environ["HANDED"])
        holds = Lock(cache, "job", 9, owner=first), Funnel(cache, "job", 1, 9, owner=second)
        print(json.dumps([[hold.owned(), hold.release()] for hold in holds]))
        """,
        redis_server.url,
        HANDED=json.dumps([giver.owner for giver in givers]),
    )
    assert done == [[True, True]] * 2
    assert not any(giver.owned() for giver in givers)


def test_an_owner_is_shown_nowhere(shop):
    for make in (lock, funnel):
        hold = make()
        assert hold.owner not in repr(hold)
        make().acquire()
        with pytest.raises(LockTimeoutError) as caught:
            hold.__enter__()
        assert hold.owner not in str(caught.value)


# Names


def test_a_lock_and_a_funnel_of_one_name_do_not_meet(shop, drive):
    assert drive(lock()).acquire()
    assert drive(funnel()).acquire()


def test_names_belong_to_their_namespace_and_prefix(shop, raw, drive):
    reports = CacheManager(namespace="reports")
    prefixed = CacheClient(reports, prefix="daily")
    for make in (lock, funnel):
        assert drive(make(manager=reports)).acquire()
        assert drive(make(manager=cache)).acquire()
        assert drive(make(manager=prefixed)).acquire()
        assert drive(make(manager=reports, name="daily:job")).acquire() is False
    assert set(raw.scan_iter()) == {
        b"dripcache:k:job",
        b"dripcache:k.reports:job",
        b"dripcache:k.reports:daily:job",
        b"dripcache:kf:job",
        b"dripcache:kf.reports:job",
        b"dripcache:kf.reports:daily:job",
    }


ODD = ["", "*", "job:*", "{job}", "j ob", "\0", "\ud800", "ключ", "~", "%41", "A", "x" * 600, "x" * 601, "é" * 100_000]


@both
def test_a_name_may_be_any_text_and_each_is_its_own(shop, raw, drive, make):
    for name in ODD:
        assert drive(make(name=name)).acquire(), name
        assert drive(make(name=name)).acquire() is False, name
        assert repr(make(name=name)).startswith(f"<{type(make()).__name__} '")
    names = list(raw.scan_iter())
    assert len(names) == len(ODD)
    assert all(name.startswith(KEYS[make][:-3]) and len(name) < 600 and raw.pttl(name) > 0 for name in names)


@both
def test_clearing_the_cache_frees_nothing(shop, drive, make):
    manager = CacheManager(namespace="reports", max_keys=1)
    holds = [drive(make(manager=each)) for each in (cache, manager)]
    assert [hold.acquire() for hold in holds] == [True, True]
    cache.set("a", 1)
    manager.set("a", 1)
    for each in (cache, manager):
        each.clear()
        each.delete_pattern("*")
    django_cache.clear()
    django_cache.delete_pattern("*")
    assert [hold.owned() for hold in holds] == [True, True]


# What is refused


@both
def test_what_makes_no_sense_is_refused_before_redis_is_asked(make):
    for name in (5, b"job", None):
        with pytest.raises(InvalidKeyError):
            make(name=name)
    for ttl in (0, -1, timedelta(0), float("nan")):
        with pytest.raises(ValueError, match="ttl"):
            make(ttl)
    for ttl in ("5", None, True):
        with pytest.raises(TypeError, match="ttl"):
            make(ttl)
    for wait in (-1, "5", None, float("nan"), timedelta(seconds=-1)):
        with pytest.raises(ValueError, match="wait is"):
            make(wait=wait)
    for owner in (5, b"owner"):
        with pytest.raises(TypeError, match="owner is of type"):
            make(owner=owner)


def test_a_limit_is_a_number_of_holders():
    for limit in (0, -1, 1.5, True, "3", None):
        with pytest.raises(ValueError, match="limit is"):
            funnel(limit=limit)


@both
def test_a_verb_refuses_what_makes_no_sense(shop, drive, make):
    hold = make()
    with pytest.raises(ValueError, match="wait is"):
        drive(hold).acquire(wait=-1)
    assert drive(hold).acquire(wait=0)
    with pytest.raises(ValueError, match="ttl"):
        drive(hold).extend(0)
    assert drive(hold).owned()


@both
def test_times_without_measure_are_taken(shop, raw, drive, make):
    hold = drive(make(float("inf"), wait=10**400))
    assert hold.acquire(wait=float("inf"))
    assert hold.extend(10**400)
    assert raw.pttl(KEYS[make]) > 0
    assert drive(make(wait=0.0)).acquire() is False


# Outages


@both
def test_while_redis_is_away_nothing_is_acquired(drive, within, make):
    with site(UNREACHABLE):
        hold = drive(make(wait=60))
        began = time.monotonic()
        assert [hold.acquire(), hold.release(), hold.extend(), hold.owned()] == [False] * 4
        with pytest.raises(LockTimeoutError, match="cannot be used") as caught:
            within(make(wait=60), lambda held: pytest.fail("entered"))
        assert isinstance(caught.value.__cause__, CacheUnavailableError)
        with pytest.raises(LockTimeoutError) as caught:
            within(make(owner="given"), lambda held: pytest.fail("entered"))
        assert isinstance(caught.value.__cause__, CacheUnavailableError)
        assert time.monotonic() - began < 30, "nobody waits for what cannot be had"


@both
@pytest.mark.parametrize("how", ["alias", "manager", "block"])
def test_who_asks_for_it_is_told_of_an_outage(drive, within, make, how):
    manager = CacheManager(on_outage="raise") if how == "manager" else cache
    with site(UNREACHABLE, {"ON_OUTAGE": "raise"} if how == "alias" else {}):
        hold = make(manager=manager)
        with on_outage("raise" if how == "block" or hold.raises else "fallback"):
            for verb in ("acquire", "release", "extend", "owned"):
                with pytest.raises(CacheUnavailableError):
                    getattr(drive(hold), verb)()
            for each in (hold, make(manager=manager, owner="given")):
                with pytest.raises(CacheUnavailableError):
                    within(each, lambda held: pytest.fail("entered"))


@needs_server
@both
def test_an_outage_in_a_block_is_no_error_of_the_work(start_server, within, make, caplog):
    server = start_server()
    with site(server.url):
        within(make(), lambda held: server.kill())
        assert "before the work" not in caplog.text


@needs_server
@both
def test_an_outage_in_a_block_is_told_to_who_asks_but_hides_no_error(start_server, within, make):
    def fail(held):
        server.kill()
        raise ZeroDivisionError

    server = start_server()
    with site(server.url, {"ON_OUTAGE": "raise", "SOCKET_TIMEOUT": 5}):
        with pytest.raises(ZeroDivisionError):
            within(make(), fail)
        server.start()
        wait_for(cache.test_connection)
        with pytest.raises(CacheUnavailableError):
            within(make(), lambda held: server.kill())


@needs_server
@both
def test_a_redis_that_lost_its_memory_holds_nothing(start_server, drive, make):
    server = start_server()
    with site(server.url):
        held = drive(make())
        assert held.acquire()
        server.kill()
        assert held.owned() is False
        server.start()
        wait_for(cache.test_connection)
        assert [held.owned(), held.extend(), held.release()] == [False] * 3


@needs_server
@both
def test_a_full_redis_takes_back(start_server, drive, make):
    server = start_server()
    with site(server.url), server.client() as owner:
        held = drive(make())
        assert held.acquire()
        owner.config_set("maxmemory", "1")
        another = drive(make(name="another"))
        assert another.acquire() == another.owned()
        assert held.owned() is True
        assert held.release() is True


# What others put there


@both
def test_what_others_put_under_a_name_is_held_by_them_and_left_alone(shop, raw, drive, make):
    for put in (
        lambda: raw.set(KEYS[make], b""),
        lambda: raw.set(KEYS[make], b"OK"),
        lambda: raw.set(KEYS[make], b"\xdc\x00hostile" * 1_000_000),
        lambda: raw.rpush(KEYS[make], "a task"),
        lambda: raw.hset(KEYS[make], "field", 1),
        lambda: raw.zadd(KEYS[make], {"somebody": "inf"}),
    ):
        put()
        hold = drive(make())
        before = raw.dump(KEYS[make])
        assert [hold.acquire(), hold.acquire(wait=0.02), hold.owned(), hold.extend(), hold.release()] == [False] * 5
        with pytest.raises(LockTimeoutError):
            make().__enter__()
        assert raw.dump(KEYS[make]) == before
        raw.delete(KEYS[make])


def test_a_funnel_without_an_end_gets_one(shop, raw, drive):
    raw.zadd(KEYS[funnel], {"somebody": "inf"})
    assert drive(funnel(limit=2)).acquire()
    assert 0 < raw.ttl(KEYS[funnel]) <= 30
