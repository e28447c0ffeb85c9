"""Tell, as it happens, what is done with each group of keys: from the figures that processes send, not by MONITOR."""

from __future__ import annotations

from datetime import datetime
from time import sleep, time
from typing import TYPE_CHECKING, Any, Final

from .._drive import run as drive
from ..counts import ALLOWED, BYTES, DELETE, DENIED, ERROR, HIT, MISS, NEAR, SET, STALE, Label
from ..exceptions import CacheUnavailableError
from ..flows import figures
from ..flows.figures import MINUTE
from ..recorder import home
from .console import WELL

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .console import Console

SHOWN: Final[dict[str, dict[int, str]]] = {
    "k": {
        HIT: "hits",
        NEAR: "near hits",
        MISS: "misses",
        STALE: "stale",
        ERROR: "errors",
        SET: "writes",
        DELETE: "deletes",
        BYTES: "bytes",
    },
    "l": {ALLOWED: "allowed", DENIED: "denied"},
}
"""What is told of the groups of keys, and of limits."""

_KEPT: Final = 5
"""So many minutes are looked at: what a process tells late is of a minute that is over."""

Counters = dict[Label, dict[int, int]]


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this subcommand takes."""
    parser.add_argument("--interval", type=float, default=1.0, help="Look every so many seconds; 1 by default.")


def run(console: Console, *, interval: float, **_: Any) -> int:
    """Look again and again, until it is interrupted; the exit code is 0."""
    last = _look()
    console.say("Waiting for what processes tell, every DRIPCACHE['STATS_INTERVAL'] seconds. Ctrl-C ends it.")
    away = False
    while True:
        try:
            sleep(max(interval, 0.1))
            now = _look()
        except KeyboardInterrupt:
            return WELL
        except CacheUnavailableError as error:
            if not away:
                console.tell({"error": str(error)}, [str(error)], streams=True)
            away = True
            continue
        if away:
            console.tell({"error": None}, ["Redis is back."], streams=True)
        at, away = datetime.now().astimezone(), False
        for label, grown in grown_since(last, now).items():
            told = {SHOWN[label.kind][place]: number for place, number in grown.items()}
            line = f"{at:%H:%M:%S}  {label.name:<30}  " + ", ".join(f"{name} {n:,}" for name, n in told.items())
            console.tell({"at": at.isoformat(), "name": label.name, **told}, [line], streams=True)
        last = now


def _look() -> dict[int, Counters]:
    """Return the counters of the last minutes, by when these began."""
    server, space = home()
    now = time()
    return {found.since: found.cells for found in drive(figures.read(space, MINUTE, now - _KEPT * MINUTE, now), server)}


def grown_since(last: dict[int, Counters], now: dict[int, Counters]) -> Counters:
    """Return by how much counters have grown, those that are shown and have."""
    grown: Counters = {}
    for since, cells in now.items():
        for label, cell in cells.items():
            before = last.get(since, {}).get(label, {})
            for place in SHOWN.get(label.kind, {}):
                more = cell.get(place, 0) - before.get(place, 0)
                if more > 0:
                    into = grown.setdefault(label, {})
                    into[place] = into.get(place, 0) + more
    return grown
