"""Tags that follow transactions and models."""

from __future__ import annotations

import asyncio

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction

from django_dripcache import CacheManager, cache, connect_model, invalidate_on_commit

from .processes import UNREACHABLE, site

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def here(redis_server, raw):
    with site(redis_server.url):
        yield raw


def keep(*tags, manager=cache):
    """Keep a value under each tag."""
    for tag in tags:
        manager.set(tag, "kept", tags=[tag])


def kept(*tags, manager=cache):
    return [tag for tag in tags if manager.has(tag)]


# Transactions


def test_without_a_transaction_tags_are_invalidated_at_once():
    keep("a", "b")
    invalidate_on_commit("a")
    assert kept("a", "b") == ["b"]


def test_within_a_transaction_tags_are_invalidated_when_it_commits():
    keep("a")
    with transaction.atomic():
        invalidate_on_commit("a")
        assert kept("a") == ["a"]
    assert kept("a") == []


def test_a_transaction_that_is_rolled_back_invalidates_nothing():
    keep("a")
    with transaction.atomic():
        invalidate_on_commit("a")
        transaction.set_rollback(True)
    assert kept("a") == ["a"]


def test_what_was_read_before_the_commit_cannot_be_stored_after_it():
    group = Group.objects.create(name="old")

    def load():
        name = Group.objects.get(pk=group.pk).name
        with transaction.atomic():
            Group.objects.filter(pk=group.pk).update(name="new")
            invalidate_on_commit("group")
        return name

    assert cache.get_or_set("name", load, tags=["group"]) == "old"
    assert cache.get_or_set("name", lambda: Group.objects.get(pk=group.pk).name, tags=["group"]) == "new"


def test_without_redis_a_commit_succeeds():
    with site(UNREACHABLE, {}), transaction.atomic():
        Group.objects.create(name="new")
        invalidate_on_commit("groups")
    assert Group.objects.filter(name="new").exists()


# Models


@pytest.fixture
def follow():
    """Follow models, until the test ends."""
    ends = []
    yield lambda *args, **options: ends.append(connect_model(*args, **options))
    for end in ends:
        end()


@pytest.fixture
def people(follow):
    """Two users and a group, whose tags are not invalidated yet."""
    follow(User, ["user:{instance.pk}", "users"])
    alice, bob = User.objects.create_user("alice"), User.objects.create_user("bob")
    return alice, bob, Group.objects.create(name="staff")


def tags_of(*users):
    return [f"user:{user.pk}" for user in users]


def test_a_row_that_is_saved_or_deleted_invalidates_its_tags_and_no_others(people):
    alice, bob, _ = people
    keep("users", *tags_of(alice, bob))
    alice.save()
    assert kept("users", *tags_of(alice, bob)) == tags_of(bob)
    keep("users", *tags_of(alice, bob))
    lost = tags_of(alice)
    alice.delete()
    assert kept("users", *lost, *tags_of(bob)) == tags_of(bob)


def test_an_async_save_invalidates_too(people):
    alice, *_ = people
    keep("users")
    asyncio.run(alice.asave())
    assert kept("users") == []


def test_a_row_that_is_saved_in_a_transaction_invalidates_when_it_commits(people):
    alice, *_ = people
    keep("users")
    with transaction.atomic():
        alice.save()
        transaction.set_rollback(True)
    assert kept("users") == ["users"]
    with transaction.atomic():
        alice.save()
        assert kept("users") == ["users"]
    assert kept("users") == []


CHANGES = {
    "add": lambda user, group: user.groups.add(group),
    "set": lambda user, group: user.groups.set([group]),
    "add from the other end": lambda user, group: group.user_set.add(user),
    "set from the other end": lambda user, group: group.user_set.set([user]),
}
ENDS = {
    "remove": lambda user, group: user.groups.remove(group),
    "clear": lambda user, _: user.groups.clear(),
    "remove from the other end": lambda user, group: group.user_set.remove(user),
    "clear from the other end": lambda _, group: group.user_set.clear(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_relation_that_is_made_invalidates_the_tags_at_our_end(people, change):
    alice, bob, group = people
    keep(*tags_of(alice, bob))
    change(alice, group)
    assert kept(*tags_of(alice, bob)) == tags_of(bob)


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_relation_that_ends_invalidates_the_tags_at_our_end(people, end):
    alice, bob, group = people
    alice.groups.add(group)
    keep(*tags_of(alice, bob))
    end(alice, group)
    assert kept(*tags_of(alice, bob)) == tags_of(bob)


def test_tags_may_be_computed_and_belong_to_another_manager(follow):
    other = CacheManager(namespace="other")
    follow(Group, lambda group: [f"first:{group.name[0]}"], manager=other)
    keep("first:a", "first:b", manager=other)
    keep("first:a")
    Group.objects.create(name="apples")
    assert kept("first:a", "first:b", manager=other) == ["first:b"]
    assert kept("first:a") == ["first:a"]


def test_what_was_ended_is_not_followed_any_more():
    end = connect_model(Group, ["groups"])
    end()
    keep("groups")
    Group.objects.create(name="new")
    assert kept("groups") == ["groups"]


def test_one_text_in_the_place_of_several_tags_is_refused():
    with pytest.raises(TypeError, match=r"tags=\['groups'\]"):
        connect_model(Group, "groups")
