"""What a verb does while Redis cannot be used, said for the length of a block."""

from __future__ import annotations

import asyncio
import threading

import pytest
from django.core.cache import cache as django_cache

from django_dripcache import CacheManager, CacheUnavailableError, ConfigurationError, cache, on_outage

from .processes import UNREACHABLE, site


@pytest.fixture(params=["fallback", "raise"])
def outage(request):
    """A site without Redis, whose alias answers this way by default."""
    with site(UNREACHABLE, {"ON_OUTAGE": request.param}):
        yield request.param


def test_a_block_raises_whatever_the_alias_says(drive, outage):
    for target in (drive(cache), drive(django_cache)):
        with on_outage("raise"), pytest.raises(CacheUnavailableError):
            target.get("key")
        with on_outage("raise"), pytest.raises(CacheUnavailableError):
            target.get_or_set("key", lambda: 1)
        with on_outage("raise"), pytest.raises(CacheUnavailableError):
            target.incr("key")


def test_a_block_answers_with_fallbacks_whatever_the_alias_says(drive, outage):
    for target in (drive(cache), drive(django_cache)):
        with on_outage("fallback"):
            assert target.get("key", "mine") == "mine"
            assert target.get_or_set("key", lambda: 1) == 1
            with pytest.raises(ValueError, match="cannot be changed"):
                target.incr("key")


def test_a_block_is_stronger_than_a_manager(outage):
    with on_outage("fallback"):
        assert CacheManager(on_outage="raise").get("key") is None
    with on_outage("raise"), pytest.raises(CacheUnavailableError):
        CacheManager(on_outage="fallback").get("key")


def test_the_verbs_for_members_follow_a_block(outage):
    with on_outage("raise"), pytest.raises(CacheUnavailableError):
        django_cache.smembers("set")
    with on_outage("fallback"):
        assert django_cache.smembers("set") == set()


def test_an_inner_block_ends_with_itself(outage):
    with on_outage("raise"):
        with on_outage("fallback"):
            assert cache.get("key") is None
        with pytest.raises(CacheUnavailableError):
            cache.get("key")


def test_a_block_is_its_threads_and_its_tasks_alone(outage):
    seen = []

    def elsewhere():
        seen.append(cache.raises)

    async def main():
        async def other():
            started.set()
            await ended.wait()
            return cache.raises

        started, ended = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(other())
        await started.wait()
        with on_outage("fallback" if outage == "raise" else "raise"):
            ended.set()
            assert await task == (outage == "raise")

    with on_outage("fallback" if outage == "raise" else "raise"):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert seen == [outage == "raise"]
    asyncio.run(main())


def test_what_is_no_choice_is_refused_at_once():
    with pytest.raises(ConfigurationError, match="'maybe'"), on_outage("maybe"):
        pass
