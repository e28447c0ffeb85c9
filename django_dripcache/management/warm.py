"""Warm the cache: run what DRIPCACHE["WARM"] names, all of it or some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string

from ..bulk import Warmed
from ..conf import get_settings
from ..exceptions import CacheUnavailableError, ConfigurationError
from ..shortcuts import cache
from .aliases import reached
from .console import FOUND, WELL
from .tables import table

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

    from .console import Console


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this subcommand takes."""
    parser.add_argument("names", nargs="*", metavar="name", help="A name of DRIPCACHE['WARM']; by default all.")
    parser.add_argument("--list", action="store_true", help="Tell the names, and warm nothing.")
    parser.add_argument("--at-once", type=int, default=8, help="So many loaders run side by side; 8 by default.")


def run(console: Console, *, names: list[str], at_once: int, **options: Any) -> int:
    """Warm what was asked for; the exit code is 1 if something could not be loaded or stored."""
    paths = get_settings().WARM
    if options["list"]:
        console.tell(dict(paths), table(("name", "function"), paths.items(), left=2))
        return WELL
    functions = {name: _import(name, paths) for name in names or paths}
    if not functions:
        message = "DRIPCACHE['WARM'] names nothing to warm. It is a dict of dotted paths of functions, by their names."
        raise ConfigurationError(message)
    if at_once < 1:
        message = f"--at-once={at_once} is out of range. Allowed is a number from 1 up."
        raise ConfigurationError(message)
    reached(cache.alias)
    done: dict[str, Any] = {}
    lines = []
    for name, function in functions.items():
        warmed = _warm(name, function, at_once, console)
        failed = {key: f"{type(error).__name__}: {error}" for key, error in warmed.failed.items()}
        done[name] = {"done": warmed.done, "failed": failed}
        lines.append(f"{name}: {warmed.done:,} done" + (f", {len(failed):,} failed" if failed else ""))
        lines += [f"    {key}: {error}" for key, error in failed.items()]
    console.tell(done, lines)
    return FOUND if any(found["failed"] for found in done.values()) else WELL


def _import(name: str, paths: Mapping[str, str]) -> Callable[[], Any]:
    if name not in paths:
        message = f"DRIPCACHE['WARM'] has no {name!r}. Allowed: {', '.join(paths) or 'none'}."
        raise ConfigurationError(message)
    try:
        found = import_string(paths[name])
    except ImportError as error:
        message = f"DRIPCACHE['WARM'][{name!r}] is {paths[name]!r}, which cannot be imported: {error}"
        raise ConfigurationError(message) from error
    if not callable(found):
        message = (
            f"DRIPCACHE['WARM'][{name!r}] is {paths[name]!r}, of type {type(found).__name__}. Allowed is a function."
        )
        raise ConfigurationError(message)
    return found  # type: ignore[no-any-return]


def _warm(name: str, function: Callable[[], Any], at_once: int, console: Console) -> Warmed:
    """Call a function, warm the loaders that it returns, and tell what it came to."""
    try:
        found = function()
    except CacheUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - it is the site's, and the others are to be warmed all the same
        return Warmed(0, {f"{name}()": error})
    if isinstance(found, Warmed):
        return found
    if isinstance(found, Mapping):
        return cache.warm(found, at_once=at_once, progress=console.progress(len(found), name))
    if found is None:
        return Warmed(1, {})
    kind = type(found).__name__
    message = f"It returned a value of type {kind}. Allowed are a dict of loaders, a Warmed, and None."
    return Warmed(0, {f"{name}()": TypeError(message)})
