"""Redis' globs over names: what the names that match begin with, and whether a name matches."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from .exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_GLOB: Final = re.compile(rb"\\(.)|(\*+)|(\?)|\[(\^?)((?:\\.|[^\]\\])*)\]|(.)", re.DOTALL)


def scope(patterns: Sequence[bytes]) -> tuple[tuple[bytes, ...], Callable[[bytes], bool]]:
    """
    Return what the names that match Redis' globs begin with, and what tells whether a name matches one of them.

    Raises ConfigurationError for a pattern that begins with no text.
    """
    translated = [_translate(pattern) for pattern in patterns]
    heads = {head for head, _ in translated}
    if b"" in heads:
        message = (
            f"The near cache was given the patterns {list(patterns)!r}. Allowed are those that begin with a text: "
            "without one, the server would tell of all that it does, Celery's queues included."
        )
        raise ConfigurationError(message)
    # Redis refuses prefixes of which one begins with another.
    shortest = [head for head in heads if not any(head != other and head.startswith(other) for other in heads)]
    try:
        match = re.compile(b"|".join(rule for _, rule in translated) or rb"(?!)", re.DOTALL).fullmatch
    except re.error as error:
        message = f"The near cache was given the patterns {list(patterns)!r}, which cannot be read: {error}."
        raise ConfigurationError(message) from None
    return tuple(sorted(shortest)), lru_cache(maxsize=4096)(lambda name: match(name) is not None)


def _translate(pattern: bytes) -> tuple[bytes, bytes]:
    """Return the text that a glob begins with, and the glob as a regular expression."""
    head, rule, plain = b"", b"", True
    for escaped, many, one, negated, members, other in _GLOB.findall(pattern):
        text = escaped or other
        plain = plain and bool(text)
        if text:
            head += text if plain else b""
            rule += re.escape(text)
        elif many or one:
            rule += b".*" if many else b"."
        elif members:
            plainly = re.sub(rb"\\(.)|([\[^&~|])", lambda found: re.escape(found[1] or found[2]), members)
            rule += b"[" + negated + plainly + b"]"
        else:
            rule += b"." if negated else b"(?!)"
    return head, rule
