"""Which names of services are near: those that ``OPTIONS["NEAR"]`` names by the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..keys import area, escape, escape_glob

if TYPE_CHECKING:
    from collections.abc import Iterator

_AREAS: Final = {
    "flags": (["flags"], []),
    "user_cache": (["users"], ["users.tags"]),
    "api_cache": (["api"], ["api.tags"]),
    "auth_cache": (["auth.tokens", "auth.users"], ["auth.stamps"]),
}
"""The areas of those services that can be near: of what they keep, and of what that depends on."""


def find_patterns(root: str, glob: str) -> Iterator[bytes]:
    """
    Yield the globs over names below ``root`` that one of the site's globs over keys stands for.

    ``"flags:*"`` stands for the flags, and ``"*"`` for every service; other globs are about keys of caches alone.
    """
    for service, (kept, needed) in _AREAS.items():
        named = glob.removeprefix(f"{service}:")
        if glob != "*" and named == glob:
            continue
        for part in kept:
            yield escape_glob(area(root, "s", part).raw) + escape(named).encode()
        for part in needed:
            yield escape_glob(area(root, "s", part).raw) + b"*"
