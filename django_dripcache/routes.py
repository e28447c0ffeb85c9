"""Where a request goes: the forms in which a path is compared, and the names of a view."""

from __future__ import annotations

import re
import unicodedata
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from django.urls import URLResolver, get_resolver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.urls import ResolverMatch

_PLAIN: Final = re.compile(r"(?:/[a-z0-9_-][a-z0-9_.-]*)*/?", re.ASCII)
_SLASHES: Final = re.compile(r"[/\\]+")
_BLANKS: Final = "".join(map(chr, range(33))) + "\x7f"
_TIMES: Final = 3
"""So often a path may still be percent-encoded when Django has decoded it."""


def get_forms(path: str) -> set[str]:
    """
    Return the forms in which a path is compared: as Django sees it, and plain, both in lower case.

    Plain is without what others may leave out or add: percent-encoding, the kind and number of slashes, the last slash,
    parameters after ``;``, blanks around a part, ``.``, and ``..``, once with the part before it and once without.
    """
    if _PLAIN.fullmatch(path):
        return {path.removesuffix("/") or "/"}
    text = path
    for _ in range(_TIMES):
        text = unquote(text)
    kept: list[str] = []
    climbed: list[str] = []
    for segment in _SLASHES.split(fold(text)):
        part = segment.partition(";")[0].strip(_BLANKS)
        if part == "..":
            del climbed[-1:]
        elif part not in {"", "."}:
            kept.append(part)
            climbed.append(part)
    return {path.casefold(), "/" + "/".join(kept), "/" + "/".join(climbed)}


def fold(text: str) -> str:
    """Return ``text`` with one character for all that mean the same (NFKC), in lower case."""
    return unicodedata.normalize("NFKC", text).casefold()


def get_view_name(view: Any) -> str:
    """Return the dotted name of a view: that of its function or its class, or of its method with its class."""
    while isinstance(view, partial):
        view = view.func
    view = getattr(view, "view_class", view)
    owner = getattr(view, "__self__", None)
    if owner is not None and not isinstance(owner, type):
        return f"{type(owner).__module__}.{type(owner).__qualname__}.{view.__name__}"
    named = view if hasattr(view, "__qualname__") else type(view)
    return f"{named.__module__}.{named.__qualname__}"


def get_match_names(match: ResolverMatch) -> set[str]:
    """Return every name of the view that Django has found: its dotted name, and those of its URL."""
    names = {get_view_name(match.func)}
    if match.url_name:
        names |= {":".join([*places, match.url_name]) for places in (match.namespaces, match.app_names)}
    return names


def get_all_names() -> set[str]:
    """Return the names of all views of ``ROOT_URLCONF``, as get_match_names() does."""
    return set(_walk(get_resolver(), (), ()))


def _walk(resolver: URLResolver, namespaces: tuple[str, ...], apps: tuple[str, ...]) -> Iterator[str]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            names = (*namespaces, pattern.namespace) if pattern.namespace else namespaces
            yield from _walk(pattern, names, (*apps, pattern.app_name) if pattern.app_name else apps)
        else:
            yield get_view_name(pattern.callback)
            if pattern.name:
                yield from {":".join([*places, pattern.name]) for places in (namespaces, apps)}
