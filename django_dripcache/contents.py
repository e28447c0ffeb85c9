"""What is stored under a key, for people: as far as it can be shown, and nothing is ever unpickled for it."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from .compression import PLAIN
from .entry import MAGIC as ENTRY
from .entry import parse, parse_tags

Form: TypeAlias = Literal["json", "text", "integer", "pickle", "members", "opaque", "hidden"]
"""
How a value can be shown: ``"pickle"`` and ``"opaque"`` by their size alone, ``"hidden"`` not at all.
"""

SHOWN: Final = 64 * 1024
"""So many bytes of a value are shown."""

READ: Final = 2 * SHOWN
"""So many bytes of a value are read: it may have a header."""

MEMBERS: Final = 20
"""So many members of a set, a hash, a list or a sorted set are shown."""

MEMBER_BYTES: Final = 1000
"""So many bytes of a member are read."""

PICKLE: Final = 0xDC
ENCRYPTED: Final = 0xEC
"""What the payloads of codecs.PickleCodec and of encryption.EncryptedCodec begin with."""

_INTEGER: Final = re.compile(rb"-?(?:0|[1-9][0-9]{0,18})")
_JSON: Final = re.compile(rb"\s*[\[{\"]")


class Content(NamedTuple):
    """
    What can be shown of a value.

    ``cut`` is whether there is more of it, ``compressed`` and ``encrypted`` how it is stored. ``tags`` are the names in
    Redis of its tags. ``grace`` is in milliseconds.
    """

    form: Form
    value: str = ""
    cut: bool = False
    compressed: bool = False
    encrypted: bool = False
    tags: tuple[bytes, ...] = ()
    grace: int = 0


def read(raw: bytes, size: int | None) -> Content:
    """Return what can be shown of a value of ``size`` bytes (None: not known), of which ``raw`` are the first."""
    whole = len(raw) == size if size is not None else len(raw) < READ
    payload, grace, *_ = parse(raw)
    found = _show(payload, whole=whole)
    return found if payload is raw else found._replace(tags=tuple(name for name, _ in parse_tags(raw)), grace=grace)


def _show(payload: bytes, *, whole: bool) -> Content:
    first = payload[:1]
    if first == bytes((ENCRYPTED,)):
        return Content("hidden", encrypted=True)
    if first == bytes((PICKLE,)) and len(payload) > 1:
        return Content("pickle", compressed=payload[1] != PLAIN)
    if first == bytes((ENTRY,)):
        return Content("opaque")  # its header is damaged, or longer than what was read
    return _show_text(payload, cut=not whole or len(payload) > SHOWN)


def _show_text(payload: bytes, *, cut: bool) -> Content:
    if not cut:
        if _INTEGER.fullmatch(payload):
            return Content("integer", payload.decode())
        pretty = _format(payload)
        if pretty is not None:
            return Content("json", pretty[:SHOWN], cut=len(pretty) > SHOWN)
    text = _decode(payload[:SHOWN], cut=cut)
    if text is None:
        return Content("opaque")
    return Content("json" if cut and _JSON.match(payload) else "text", text, cut=cut)


def _format(payload: bytes) -> str | None:
    """Return JSON with its parts on lines of their own, or None for what is not JSON."""
    try:
        return msgspec.json.format(payload, indent=2).decode()
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _decode(raw: bytes, *, cut: bool) -> str | None:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        if not cut or len(raw) - error.start > 3:  # noqa: PLR2004 - it ends within a character
            return None
        text = raw[: error.start].decode()
    return None if "\0" in text else text


def show_members(reply: Any, *, paired: bool) -> str:
    """Return members, one a line; with ``paired`` two of ``reply`` are one, as the field of a hash and its value."""
    members = [_show_member(member) for member in reply if isinstance(member, bytes)]
    if paired:
        return "\n".join(f"{one}: {two}" for one, two in zip(members[::2], members[1::2], strict=False))
    return "\n".join(members)


def _show_member(raw: bytes) -> str:
    found = _show(raw, whole=len(raw) < MEMBER_BYTES)
    if found.form in {"json", "text", "integer"}:
        text = found.value if found.form == "text" else raw.decode("utf-8", "replace")
        return " ".join(text.split()) + (" …" if found.cut else "")
    return f"<{'encrypted' if found.encrypted else found.form}>"
