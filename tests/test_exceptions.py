"""The tree of errors, as its docstring draws it."""

from __future__ import annotations

import builtins
import copy
import inspect
import pickle
import re

import pytest
from django.core import exceptions as django_exceptions

import django_dripcache
from django_dripcache import exceptions
from django_dripcache.exceptions import (
    CacheUnavailableError,
    ConfigurationError,
    DripcacheError,
    InvalidKeyError,
    SerializationError,
)

ERRORS = [
    ConfigurationError("wrong", check="dripcache.E001"),
    InvalidKeyError("wrong", key=3),
    SerializationError("wrong", kind="object"),
    CacheUnavailableError("Timeout reading from socket"),
]


def classes():
    members = vars(exceptions).values()
    return {member for member in members if inspect.isclass(member) and member.__module__ == exceptions.__name__}


def drawn():
    lines = re.findall(r"^      (\w+)(?: +\((\w+)\))?", exceptions.__doc__, re.MULTILINE)
    return {name: builtin or None for name, builtin in lines}


def test_the_docstring_draws_every_error_and_no_other():
    assert set(drawn()) == {error.__name__ for error in classes()} - {"DripcacheError"}


@pytest.mark.parametrize("name", sorted(drawn()))
def test_an_error_inherits_what_the_docstring_says(name):
    error = getattr(exceptions, name)
    builtin = drawn()[name]
    assert issubclass(error, DripcacheError)
    if builtin is not None:
        assert issubclass(error, getattr(builtins, builtin, None) or getattr(django_exceptions, builtin))


def test_every_error_can_be_imported_from_the_package():
    for error in classes():
        assert getattr(django_dripcache, error.__name__) is error
        assert error.__name__ in django_dripcache.__all__


def test_errors_carry_their_facts():
    assert ConfigurationError("wrong").check == "dripcache.E003"
    assert ConfigurationError("wrong", check="dripcache.E001").check == "dripcache.E001"
    assert InvalidKeyError("wrong", key=b"x").key == b"x"
    assert SerializationError("wrong", kind="Lock").kind == "Lock"
    assert CacheUnavailableError("why").reason == "why"


def test_an_outage_says_why():
    assert str(CacheUnavailableError("Timeout reading from socket")).endswith(": Timeout reading from socket")


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy], ids=["pickle", "copy"])
def test_an_error_that_celery_or_a_process_pool_sends_on_arrives_as_it_was(error, again):
    arrived = again(error)
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)
