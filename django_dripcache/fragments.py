"""Fragments of templates: what they are kept under, and how they are voided from code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.functional import Promise
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language

from .arguments import canonical
from .client import CacheClient
from .exceptions import InvalidKeyError
from .manager import CacheManager
from .secrecy import digest

if TYPE_CHECKING:
    from collections.abc import Iterable


class Fragment(NamedTuple):
    """
    What a fragment is kept under.

    ``tags`` are its own: that of all fragments of its name, and that of those which vary by the same. The key tells one
    language and time zone from another, and the tags do not.
    """

    key: str
    tags: tuple[str, ...]


def fragments(using: str = "default") -> CacheClient:
    """Return the manager of the fragments of an alias."""
    return CacheClient(CacheManager(using), "fragment")


def fragment_of(name: str, vary: Iterable[Any]) -> Fragment:
    """Return what a fragment is kept under. Raises InvalidKeyError for its name, TypeError for what it varies by."""
    if not isinstance(name, str) or not name:
        message = f"The name of a fragment is {name!r} ({type(name).__name__}). Allowed is a text that is not empty."
        raise InvalidKeyError(message, key=name)
    parts = [_part(name, value) for value in vary]
    here = get_language(), get_current_timezone_name(), parts
    tags = [f"fragment:{name}"]
    if parts:
        tags.append(f"fragment:{name}:{digest('fragment', repr(parts))}")
    return Fragment(f"{name}:{digest('fragment', repr(here))}", tuple(tags))


def invalidate_fragment(name: str, *vary: object, using: str = "default") -> bool:
    """
    Void a fragment in every language and time zone, and return whether there was one, or had been.

    ``vary`` is what the tag in the template varies by. Without it, all fragments of that name are void.
    """
    return bool(fragments(using).invalidate_tags(fragment_of(name, vary).tags[-1]))


async def ainvalidate_fragment(name: str, *vary: object, using: str = "default") -> bool:
    """See invalidate_fragment()."""
    return bool(await fragments(using).ainvalidate_tags(fragment_of(name, vary).tags[-1]))


def _part(name: str, value: Any) -> str:
    """Return as text what a fragment varies by; a visitor who is not signed in is None."""
    if isinstance(value, (str, Promise)):
        return repr(str.__str__(str(value)))  # a literal of a template is safe, and one of code is not
    if getattr(value, "is_anonymous", False) is True:
        return repr(None)
    try:
        return canonical("vary", value)
    except TypeError as error:
        message = (
            f"The fragment {name!r} cannot vary by a {type(value).__name__} like this. Allowed are texts, numbers, "
            "dates, saved rows, and lists, tuples and dicts of these. Let it vary by a text that stands for it."
        )
        raise TypeError(message) from error
