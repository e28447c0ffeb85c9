"""
What is in a site's part of Redis, for people: the admin's pages and ``manage.py dripcache`` show it.

Only names below the site's root are looked at, a page at a time, with a bounded amount of work. Nothing is unpickled.
Of sessions and auth, and of encrypted values, metadata alone is told. While Redis cannot be used, each answers so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.core.cache import caches

from .areas import BACKGROUND, find_area, to_name, to_text
from .backend import get_alias_client
from .conf import get_settings
from .contents import Content, Form, read, show_members
from .exceptions import InvalidKeyError
from .flows import inspection as flows
from .keys import escape_glob
from .upkeep import ask, delete_key, expire_key, invalidate_tag

if TYPE_CHECKING:
    from collections.abc import Callable

    from .areas import Area
    from .flows.inspection import Examined, Facts
    from .redis_client import DripClient

__all__ = [
    "KeyDetail",
    "KeyInfo",
    "KeyPage",
    "TagInfo",
    "TagPage",
    "delete_key",
    "expire_key",
    "find_keys",
    "find_tags",
    "inspect_key",
    "invalidate_tag",
]

MOST_A_PAGE: Final = 1000

_CURSOR: Final = re.compile(r"[0-9]{1,19}")
_WILD: Final = re.compile(r"[*?]")
_PLAIN: Final = re.compile(r"[^*?\x00-\x20%{}~\\\x7f-\U0010ffff]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    r"""
    What is known of a key without its value.

    ``name`` is its name in Redis, with what is not printable as ``\xFF``; the verbs here take it back. ``key`` is what
    the site calls it, ``place`` what keeps it, such as ``"django cache"``, ``"cache: reports"`` or ``"user_cache"``.
    ``kind`` is Redis' type and ``ttl`` in seconds, None for no end. ``size`` is the bytes of a string, and of something
    else what it takes in memory, or how many members it has where the server does not tell; None where it may not be
    asked. ``secret`` is whether its value is never shown.
    """

    name: str
    key: str
    place: str
    kind: str
    ttl: float | None
    size: int | None
    secret: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDetail(KeyInfo):
    """
    What is known of a key, and its value as far as it can be shown.

    ``form`` is what the value is; ``"pickle"`` and ``"opaque"`` have none that is shown, and of a ``"hidden"`` one
    nothing is. ``value`` is JSON on several lines, a text, digits, or members, one a line; ``cut`` is whether there is
    more. ``grace`` is for how long it is kept when it is stale, in seconds, or None; ``fresh_for`` how long it is fresh
    now: 0 for one that is stale or void, None for no end.
    """

    form: Form
    value: str = field(default="", repr=False)
    cut: bool = False
    tags: tuple[str, ...] = ()
    grace: float | None = None
    fresh_for: float | None = None
    compressed: bool = False
    encrypted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPage:
    """Some keys, and the ``cursor`` that the next ones are found with: ``""`` is the end. See find_keys()."""

    keys: tuple[KeyInfo, ...] = ()
    cursor: str = ""
    available: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TagInfo:
    """
    A tag that is known to Redis.

    ``namespace`` is that of its manager, or ``"user_cache"`` or ``"api_cache"``; ``ttl`` is in seconds, and ``name`` is
    the name in Redis.
    """

    tag: str
    namespace: str | None
    ttl: float | None
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TagPage:
    """Some tags, and the cursor of the next. See KeyPage."""

    tags: tuple[TagInfo, ...] = ()
    cursor: str = ""
    available: bool = True


def find_keys(
    search: str = "", *, alias: str = "default", place: str = "", cursor: str = "", count: int = 50
) -> KeyPage:
    """
    Return about ``count`` keys of the site on the server of ``alias``.

    ``search`` is a text that is anywhere in a key, or a glob over whole keys if it has ``*`` or ``?``. ``place`` is
    that of the keys, such as ``"cache"`` or ``"cache: reports"``. Leases, indexes and figures, which the package keeps
    for itself, are left out where it is not theirs: ``"lease"``, ``"index"``, ``"stats"``. A page may have fewer keys,
    or none, and a cursor to go on with; a key may come twice, as SCAN has it. Keys of limits, in which there are
    addresses, are listed with ``DRIPCACHE["SHOW_ADDRESSES"]`` alone. Raises InvalidKeyError for a cursor that
    no page had, and ValueError for a ``count`` that is not 1 to 1000.
    """
    site = _Site.of(alias, "find_keys")
    shows_addresses = get_settings().SHOW_ADDRESSES

    def accepts(area: Area) -> bool:
        if area.role == "limit" and not shows_addresses:
            return False
        return area.is_part_of(place) if place else area.role not in BACKGROUND

    found = _find(site, b"*", search, accepts, cursor, count)
    if found is None:
        return KeyPage(available=False)
    keys = [KeyInfo(**_describe(site, name, facts)) for name, facts in found[0].items()]
    return KeyPage(keys=tuple(sorted(keys, key=lambda info: (info.place, info.key))), cursor=found[1])


def find_tags(search: str = "", *, alias: str = "default", cursor: str = "", count: int = 50) -> TagPage:
    """Return about ``count`` tags that values on the server of ``alias`` have, or had lately. See find_keys()."""
    site = _Site.of(alias, "find_tags")
    found = _find(site, b"[st]*", search, lambda area: area.role == "tag", cursor, count)
    if found is None:
        return TagPage(available=False)
    tags = [
        TagInfo(
            tag=site.key(name),
            namespace=site.area(name).namespace,
            ttl=_to_seconds(facts.ttl),
            name=to_text(name),
        )
        for name, facts in found[0].items()
    ]
    return TagPage(tags=tuple(sorted(tags, key=lambda info: (info.namespace or "", info.tag))), cursor=found[1])


def inspect_key(name: str, *, alias: str = "default") -> KeyDetail | None:
    """
    Return what is known of a key, by its name in Redis; None if it is not there, or Redis cannot be used.

    Raises InvalidKeyError for a name that is not the site's.
    """
    site = _Site.of(alias, "inspect_key")
    raw = to_name(name)
    area = site.area(raw)
    if area.is_secret:
        found = ask(site.client, flows.describe([raw]), {})
        return KeyDetail(**_describe(site, raw, found[raw]), form="hidden") if raw in found else None
    examined = ask(site.client, flows.examine(raw), None)
    if examined is None:
        return None
    facts, what = examined
    content = _get_content(facts, what)
    return KeyDetail(
        **_describe(site, raw, facts),
        form=content.form,
        value=content.value,
        cut=content.cut,
        tags=tuple(map(site.tag, content.tags)),
        grace=content.grace / 1000 if content.grace else None,
        fresh_for=_to_seconds(what.fresh),
        compressed=content.compressed,
        encrypted=content.encrypted,
    )


class _Site(NamedTuple):
    """An alias, and what its names begin with: all of them, and in Django's cache the keys of its own."""

    client: DripClient
    root: str
    start: str

    @classmethod
    def of(cls, alias: str, verb: str) -> _Site:
        client = get_alias_client(alias, f"{verb}(alias={alias!r})")
        backend = caches[alias]
        return cls(client, client.root, backend.key_func("", backend.key_prefix, backend.version))

    def area(self, name: bytes) -> Area:
        return find_area(self.root, name)

    def keys(self, name: bytes) -> list[str]:
        """Return the key that a name was made of, and of Django's cache first the one that the site calls it."""
        area = self.area(name)
        key = area.names.key(name)
        return [key.removeprefix(self.start), key] if area.role == "django" else [key]

    def key(self, name: bytes) -> str:
        """Return what the site calls a name, as a text that can be encoded."""
        return _encodable(self.keys(name)[0])

    def tag(self, name: bytes) -> str:
        """Return what the site calls a tag that an entry names, or that name if somebody else wrote it there."""
        return self.key(name) if name.startswith(self.root.encode()) else to_text(name)


def _find(
    site: _Site, pattern: bytes, search: str, accepts: Callable[[Area], bool], cursor: str, count: int
) -> tuple[dict[bytes, Facts], str] | None:
    if cursor and not _CURSOR.fullmatch(cursor):
        message = f"cursor={cursor[:40]!r} is not one that a page of keys had. Leave it out to begin anew."
        raise InvalidKeyError(message, key=cursor)
    if type(count) is not int or not 1 <= count <= MOST_A_PAGE:
        message = f"count={count!r} is out of range. Allowed are 1 to {MOST_A_PAGE}."
        raise ValueError(message)
    matches = _compile(search)

    def fits(name: bytes) -> bool:
        return accepts(site.area(name)) and any(map(matches, site.keys(name)))

    # The pattern only spares replies: what is plain in the search. What matches is judged here, over whole keys.
    plain = max(_PLAIN.findall(search), key=len, default="").encode()
    whole = escape_glob(site.root.encode()) + pattern + (escape_glob(plain) + b"*" if plain else b"")
    found = ask(site.client, flows.find(whole, fits, int(cursor or 0), count), None)
    return None if found is None else (found[0], str(found[1] or ""))


def _compile(search: str) -> Callable[[str], bool]:
    if not _WILD.search(search):
        return lambda key: search in key
    glob = search.replace("[", "[[]")
    return lambda key: fnmatchcase(key, glob)


def _describe(site: _Site, name: bytes, facts: Facts) -> dict[str, Any]:
    area = site.area(name)
    return {
        "name": to_text(name),
        "key": site.key(name),
        "place": _encodable(area.label),
        "kind": facts.kind,
        "ttl": None if facts.ttl < 0 else facts.ttl / 1000,
        "size": facts.size,
        "secret": area.is_secret,
    }


def _get_content(facts: Facts, what: Examined) -> Content:
    if what.raw is not None:
        return read(what.raw, facts.size)
    if what.members:
        return Content("members", show_members(what.members, paired=facts.kind in {"hash", "zset"}), cut=what.more)
    return Content("opaque")


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _to_seconds(milliseconds: int) -> float | None:
    return None if milliseconds == -1 else max(milliseconds, 0) / 1000
