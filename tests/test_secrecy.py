"""Digests of secrets: what they depend on, what they do not tell, and how they outlive a change of the key."""

from __future__ import annotations

import re
import sys
from unittest import mock

import pytest
from django.test import override_settings
from django.views.debug import SafeExceptionReporterFilter

from django_dripcache import InvalidKeyError, secrecy
from django_dripcache.secrecy import digest, digests

ODD = ["", " ", "a", "A", "a:b", "*", "{a}", "%7B", "\x00", "line\nline", "ключ", "\udc80", "𝄞" * 10_000]


def test_a_digest_is_64_hexadecimal_digits_and_the_same_each_time():
    assert re.fullmatch("[0-9a-f]{64}", digest("tokens", "secret"))
    assert digest("tokens", "secret") == digest("tokens", "secret")


def test_digests_of_other_secrets_are_others():
    found = {digest("tokens", secret) for secret in ODD}
    assert len(found) == len(ODD)
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in found)


def test_what_is_stored_for_one_purpose_is_not_found_for_another():
    assert len({digest(purpose, "secret") for purpose in ("", "tokens", "states", "sessions")}) == 4


def test_another_site_has_other_digests():
    ours = digest("tokens", "secret")
    with override_settings(SECRET_KEY="another"):
        assert digest("tokens", "secret") != ours
    assert digest("tokens", "secret") == ours


def test_a_key_of_bytes_is_as_good_as_one_of_text():
    with override_settings(SECRET_KEY="ключ"):
        ours = digest("tokens", "secret")
    with override_settings(SECRET_KEY="ключ".encode()):
        assert digest("tokens", "secret") == ours


def test_without_fallbacks_there_is_one_digest():
    assert digests("tokens", "secret") == [digest("tokens", "secret")]


def test_what_was_stored_before_the_key_was_changed_is_found_by_a_fallback():
    with override_settings(SECRET_KEY="older"):
        oldest = digest("tokens", "secret")
    with override_settings(SECRET_KEY="old", SECRET_KEY_FALLBACKS=["older"]):
        old = digest("tokens", "secret")
        assert digests("tokens", "secret") == [old, oldest]
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old", b"older"]):
        assert digests("tokens", "secret") == [digest("tokens", "secret"), old, oldest]


def test_keys_are_derived_once():
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        digests("tokens", "secret")
        with mock.patch.object(secrecy, "_derive", side_effect=AssertionError):
            digests("tokens", "another")
            digest("tokens", "a third")


@pytest.mark.parametrize("function", [digest, digests])
@pytest.mark.parametrize("secret", [b"hidden", None, 4711_4711, ["hidden"], {"hidden": 1}])
def test_what_is_no_text_is_refused_and_not_told(function, secret):
    with pytest.raises(InvalidKeyError, match=f"of type {type(secret).__name__}") as caught:
        function("tokens", secret)
    told = f"{caught.value!s} {caught.value!r} {vars(caught.value)}"
    assert "hidden" not in told
    assert "4711" not in told


def test_an_error_page_does_not_show_the_secret():
    try:
        digests("tokens", b"hidden")
    except InvalidKeyError:
        trace = sys.exc_info()[2].tb_next
    hides = SafeExceptionReporterFilter()
    while trace is not None:
        with override_settings(DEBUG=False), mock.patch.object(hides, "is_active", return_value=True):
            assert "hidden" not in repr(hides.get_traceback_frame_variables(None, trace.tb_frame))
        trace = trace.tb_next
