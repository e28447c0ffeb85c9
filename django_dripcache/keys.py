"""
Names in Redis: how a key that a site chose becomes one that no other site, service or Celery queue can own.

A name in Redis is ``<root><area><escaped key>``. The root ends with ``:`` and is the site's; the area tells the Django
backend (``d:``) from the managers (``c:``, or ``c.<namespace>:``). Escaping is injective and leaves ordinary keys as
they are: ``%``, ``{``, ``}``, ``~``, spaces and control characters become ``%XX``. Braces would choose a Redis Cluster
slot, and ``~`` marks the digest that stands for the end of a long key.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import Final
from urllib.parse import unquote_to_bytes

from .exceptions import ConfigurationError, InvalidKeyError

MAX_KEY_BYTES: Final = 512
"""A longer escaped key keeps its beginning, and its end becomes a digest."""

MAX_NAME_BYTES: Final = 200
"""The longest escaped namespace or prefix: a pattern must match it whole in the beginning that a long key keeps."""

_KEPT_BYTES: Final = 256
_UNSAFE: Final = re.compile(r"[\x00-\x20%{}~\x7f\ud800-\udfff]")
_GLOB: Final = re.compile(rb"[*?\[\]\\^-]")
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_./-]{1,100}:?")


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match.group().encode("utf-8", "surrogatepass"))


def escape(text: str) -> str:
    """Return ``text`` with the characters that mean something in a name made plain."""
    return _UNSAFE.sub(_percent, text) if _UNSAFE.search(text) else text


def unescape(text: str) -> str:
    """Return what ``escape()`` was given, and of something else what can be read of it."""
    if "%" not in text:
        return text
    raw = unquote_to_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")


def escape_glob(name: bytes) -> bytes:
    """Return a pattern that matches just ``name``."""
    return _GLOB.sub(rb"\\\g<0>", name)


def escape_glob_text(text: str) -> str:
    """Return a glob over keys that matches just ``text``."""
    return escape_glob(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


class Keyspace:
    """
    The names under one prefix.

    ``prefix`` is the whole text before a key, such as ``dripcache:d:``.
    """

    __slots__ = ("prefix", "raw")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.raw = prefix.encode()

    def name(self, key: str) -> bytes:
        """Return the name of ``key`` in Redis. Raises InvalidKeyError for what is not text."""
        try:
            escaped = escape(key)
        except TypeError:
            message = f"A key is a str, not {key!r} ({type(key).__name__})."
            raise InvalidKeyError(message, key=key) from None
        raw = escaped.encode()
        if len(raw) > MAX_KEY_BYTES:
            kept = raw[:_KEPT_BYTES].decode("utf-8", "ignore").encode()  # no half of a character
            raw = kept + b"~" + blake2b(raw, digest_size=24).hexdigest().encode()
        return self.raw + raw

    def key(self, name: bytes) -> str:
        """Return the key of a name that ``name()`` made; the end of a long key stays a digest."""
        return unescape(name[len(self.raw) :].decode("utf-8", "replace"))

    def pattern(self, glob: object) -> bytes:
        """
        Return the pattern in Redis for a glob over keys.

        ``*``, ``?``, ``[...]`` and a backslash mean what they mean to Redis; the prefix is matched to the letter.
        """
        if not isinstance(glob, str):
            message = f"A pattern is a str, not {glob!r} ({type(glob).__name__})."
            raise InvalidKeyError(message, key=glob)
        return escape_glob(self.raw) + escape(glob).encode()


@lru_cache(maxsize=1024)
def area(root: str, letter: str, name: str | None = None) -> Keyspace:
    """Return the keyspace of an area below a root, or of the part of that area which has a name of its own."""
    part = "" if name is None else "." + escape(name).replace(":", "%3A")
    return Keyspace(f"{root}{letter}{part}:")


def root(namespace: str, global_keyprefix: str = "") -> str:
    """
    Return the root of a namespace.

    Celery's ``global_keyprefix`` stays in front, so that one ACL pattern covers both. Raises ConfigurationError for a
    namespace that is empty, has characters that names cannot have, or would take in Celery's own keys.
    """
    if not _NAMESPACE.fullmatch(namespace):
        message = (
            f"DRIPCACHE['NAMESPACE'] is {namespace!r}. Allowed are 1 to 100 letters, digits and the signs _ . / -; "
            "it is the first part of every key in Redis. Fix it in your settings."
        )
        raise ConfigurationError(message)
    name = namespace.rstrip(":") + ":"
    if name.startswith(("celery", "_kombu", "unacked")):
        message = (
            f"DRIPCACHE['NAMESPACE'] is {namespace!r}, and Celery keeps its own keys under such names. "
            "Choose one that does not begin with 'celery', '_kombu' or 'unacked'."
        )
        raise ConfigurationError(message)
    return global_keyprefix + name
