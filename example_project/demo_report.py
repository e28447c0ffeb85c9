"""What the demo prints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo_replay import Replay

SHOWN_AT_MOST = 5


def say(text: str = "") -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def row(name: str, text: str) -> None:
    """Print what was started."""
    say(f"  {name:<10} {text}")


def columns(name: str, with_cache: str, without: str = "", speed_up: str = "", note: str = "") -> None:
    """Print a line of the table."""
    say(f"  {name:<22}{with_cache:>12}{without:>12}{speed_up:>12}".rstrip() + (f"   {note}" if note else ""))


def figure(value: float, unit: str) -> str:
    """Write a measured value, or a dash where there was nothing to measure."""
    return "-" if math.isnan(value) else f"{value:.1f} {unit}"


def page_times(cached: Replay, uncached: Replay) -> None:
    """Print what the visitors noticed."""
    say(f"\n{'':<24}{'with cache':>12}{'without':>12}{'speed-up':>12}")
    columns("page views", f"{len(cached.views):,}", f"{len(uncached.views):,}")
    columns("hit rate", f"{cached.count('hit') / len(cached.views):.1%}")
    times = [
        ("page time, p50", cached.milliseconds(0.5), uncached.milliseconds(0.5)),
        ("page time, p99", cached.milliseconds(0.99), uncached.milliseconds(0.99)),
        ("p50 of the hits", cached.milliseconds(0.5, "hit"), uncached.milliseconds(0.5)),
        ("p50 of the misses", cached.milliseconds(0.5, "miss"), uncached.milliseconds(0.5)),
    ]
    for name, fast, slow in times:
        columns(name, figure(fast, "ms"), figure(slow, "ms"), figure(slow / fast, "x"))


def accounts(failed: int, uncounted: int, queued: int, done: int, before: int, after: int) -> None:
    """Print what became of the pages and the tasks, and how many tasks clear() found and left."""
    say()
    columns("pages failed", f"{failed:,}")
    columns(
        "visits not counted", f"{uncounted:,}", note="Redis was late, and the page did not wait" if uncounted else ""
    )
    columns("tasks queued", f"{queued:,}")
    columns("tasks done", f"{done:,}")
    columns("tasks lost", f"{queued - done:,}")
    columns("waiting at clear()", f"{before:,}", note=f"and {after:,} after it")


def excuses(failures: Sequence[str], log: str) -> None:
    """Print the first of the pages that failed, and what the site has logged last."""
    say("\nPages that failed:")
    for failure in failures[:SHOWN_AT_MOST]:
        say(f"  {failure}")
    if len(failures) > SHOWN_AT_MOST:
        say(f"  and {len(failures) - SHOWN_AT_MOST:,} more")
    say(f"The end of the site's log:\n{log}")
