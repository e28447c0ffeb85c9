"""What the names below a site's root are of: the parts of the package that keep something, told by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from .exceptions import InvalidKeyError
from .keys import Keyspace, area, unescape

Role: TypeAlias = Literal[
    "django",
    "entry",
    "lease",
    "tag",
    "index",
    "hold",
    "session",
    "sessions",
    "auth",
    "stamp",
    "flag",
    "limit",
    "stats",
    "other",
]
"""What a key is for, which says how it is removed."""

BACKGROUND: Final[frozenset[Role]] = frozenset({"lease", "index", "sessions", "stamp", "stats"})
"""What the package keeps for itself."""

SECRET: Final[frozenset[Role]] = frozenset({"session", "sessions", "auth", "stamp", "hold", "lease"})
"""What is never shown: what users are known by, and the tokens of those who hold something."""

_LETTERS: Final[dict[str, tuple[str, Role]]] = {
    "d": ("django cache", "django"),
    "c": ("cache", "entry"),
    "l": ("lease", "lease"),
    "t": ("tag", "tag"),
    "x": ("index", "index"),
    "k": ("lock", "hold"),
    "kf": ("funnel", "hold"),
}
_PARTS: Final[dict[str, tuple[str, Role]]] = {
    "users": ("user_cache", "entry"),
    "users.leases": ("lease: user_cache", "lease"),
    "users.tags": ("tag: user_cache", "tag"),
    "api": ("api_cache", "entry"),
    "api.leases": ("lease: api_cache", "lease"),
    "api.tags": ("tag: api_cache", "tag"),
    "sessions": ("session_cache", "session"),
    "sessions.users": ("index: session_cache", "sessions"),
    "sessions.db": ("session_cache: copies", "session"),
    "sessions.db.users": ("index: session_cache: copies", "sessions"),
    "auth.tokens": ("auth_cache: tokens", "auth"),
    "auth.users": ("auth_cache: users", "auth"),
    "auth.states": ("auth_cache: states", "auth"),
    "auth.stamps": ("index: auth_cache", "stamp"),
    "flags": ("flags", "flag"),
    "flags.index": ("index: flags", "index"),
    "limits.fixed-window": ("rate_limiter", "limit"),
    "limits.sliding-window": ("rate_limiter", "limit"),
    "limits.gcra": ("rate_limiter", "limit"),
    "tasks": ("lock: tasks", "hold"),
    "stats": ("stats", "stats"),
}

_HIDDEN_BYTE: Final = re.compile(r"\\(?:\\|x([0-9a-f]{2}))")


@dataclass(frozen=True, slots=True)
class Area:
    """
    The part of the package that a name is of.

    ``label`` is what people call it, ``names`` are those that begin as this one. ``namespace`` is that of its manager,
    or the name of its service. ``leases`` and ``index`` are what else there may be of an entry.
    """

    label: str
    role: Role
    names: Keyspace
    namespace: str | None = None
    leases: Keyspace | None = None
    index: bytes | None = None

    @property
    def is_secret(self) -> bool:
        """Whether nothing but metadata may be shown."""
        return self.role in SECRET

    def is_part_of(self, label: str) -> bool:
        """Return whether it is what ``label`` names, or a part of that."""
        return self.label == label or self.label.startswith(f"{label}: ")

    def lease(self, name: bytes) -> bytes | None:
        """Return the name of the lease of one of its names."""
        return None if self.leases is None else self.leases.raw + name[len(self.names.raw) :]


def find_area(root: str, name: bytes) -> Area:
    """Return the area of a name below a root. Raises InvalidKeyError for one that is not below it."""
    start = root.encode()
    if not name.startswith(start):
        message = f"The name {to_text(name)[:100]!r} is not one of this site, which begin with {root!r}."
        raise InvalidKeyError(message, key=name)
    head, colon, _ = name[len(start) :].partition(b":")
    return _find(root, head if colon else b"")


@lru_cache(maxsize=1024)
def _find(root: str, head: bytes) -> Area:
    letter, dot, rest = head.decode("utf-8", "replace").partition(".")
    if letter == "s" and rest in _PARTS:
        label, role = _PARTS[rest]
        leases = area(root, "s", f"{rest}.leases") if role == "entry" else None
        return Area(label, role, area(root, "s", rest), label.rpartition(": ")[2], leases)
    if letter not in _LETTERS or head.startswith(b"d."):
        return Area("other", "other", Keyspace(root))
    label, role = _LETTERS[letter]
    namespace = unescape(rest) if dot else None
    names = area(root, letter, namespace)
    if names.raw[len(root.encode()) : -1] != head:
        return Area("other", "other", Keyspace(root))  # somebody else's name, which looks like one of ours
    if dot:
        label = f"{label}: {namespace}"
    if role == "entry":
        return Area(label, role, names, namespace, area(root, "l", namespace), area(root, "x", namespace).raw)
    return Area(label, role, names, namespace)


def to_text(name: bytes) -> str:
    r"""Return a name in Redis as a text that can be shown: what is not printable is ``\xFF``, and ``\`` is doubled."""
    text = name.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    return printable(text)


def printable(text: str) -> str:
    r"""Return a text with what a terminal may act upon, or show as nothing, as its bytes: ``\xFF``."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))


def to_name(text: object) -> bytes:
    """Return the name that ``to_text()`` was given. Raises InvalidKeyError for what is no text."""
    if not isinstance(text, str):
        message = f"The name of a key is a str, not {text!r} ({type(text).__name__})."
        raise InvalidKeyError(message, key=text)
    parts, at = [], 0
    for found in _HIDDEN_BYTE.finditer(text):
        parts += [text[at : found.start()].encode("utf-8", "surrogatepass"), _byte(found)]
        at = found.end()
    return b"".join([*parts, text[at:].encode("utf-8", "surrogatepass")])


def _byte(found: re.Match[str]) -> bytes:
    return b"\\" if found[1] is None else bytes.fromhex(found[1])
