"""Show a key by its name in Redis, as "keys" lists it. Nothing is unpickled, and secrets are not shown."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..areas import to_text
from ..inspection import inspect_key
from .aliases import add_alias, reached
from .console import FOUND, WELL
from .tables import length, size

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from ..inspection import KeyDetail
    from .console import Console


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this subcommand takes."""
    parser.add_argument("name", help="The name of the key in Redis, as 'keys' lists it.")
    add_alias(parser, default="'default'")


def run(console: Console, *, name: str, alias: str | None = None, **_: Any) -> int:
    """Show a key; the exit code is 1 if it is not there."""
    detail = inspect_key(name, alias=reached(alias))
    if detail is None:
        console.tell(None, [f"{name} is not there."])
        return FOUND
    console.tell(asdict(detail), list(_describe(detail)))
    return WELL


def _describe(detail: KeyDetail) -> Iterator[str]:
    yield f"{'name':<9} {detail.name}"
    yield f"{'key':<9} {to_text(detail.key.encode())}"
    yield f"{'place':<9} {detail.place}"
    yield f"{'type':<9} {detail.kind or 'not known'}, {size(detail.size)}"
    yield f"{'ttl':<9} {'no end' if detail.ttl is None else length(detail.ttl)}"
    if detail.grace is not None:
        yield f"{'grace':<9} {length(detail.grace)}"
    if detail.fresh_for is not None and (detail.grace is not None or not detail.fresh_for):
        yield f"{'fresh for':<9} {length(detail.fresh_for) if detail.fresh_for else 'no more'}"
    if detail.tags:
        yield f"{'tags':<9} {', '.join(detail.tags)}"
    yield f"{'value':<9} {_FORMS[detail.form]}{', compressed' * detail.compressed}{', encrypted' * detail.encrypted}"
    if detail.value:
        yield ""
        yield from detail.value.split("\n")
    if detail.cut:
        yield "... and more"


_FORMS = {
    "json": "JSON",
    "text": "a text",
    "integer": "an integer",
    "pickle": "a signed pickle, which is not unpickled",
    "members": "members",
    "opaque": "bytes that are nothing of ours",
    "hidden": "not shown",
}
