"""
The matrix as tables: ``python -m tests.faults.table`` after a run writes ``.cache/fault-matrix.rst``.

Each process of a run leaves a file with what its cells came to. Those of the last run are put together, and the tables,
one a group of verbs, can be included in the documentation; so can ``.cache/fault-summary.rst``, which has one line a
fault.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CACHE = Path(__file__).resolve().parents[2] / ".cache"
TABLE = CACHE / "fault-matrix.rst"
SUMMARY = CACHE / "fault-summary.rst"
PREFIX = "fault-matrix."
OLD = 3600.0

WIDEST = 8
"""How many verbs are side by side, so that a page has room for them."""

WHOLE = ("ten gets", "recovery")
"""What is measured of an outage as a whole, and not of a verb."""


def leave(cells: list[dict[str, Any]], run: str, worker: str) -> None:
    """Write what one process of a run found, and remove what is older than an hour: another run may be under way."""
    CACHE.mkdir(exist_ok=True)
    for other in CACHE.glob(f"{PREFIX}*.json"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - other.stat().st_mtime > OLD:
                other.unlink()
    _write(CACHE / f"{PREFIX}{run}.{worker}.json", json.dumps(cells))


def gather() -> list[dict[str, Any]]:
    """Return the cells of the run that ended last."""
    left = sorted(CACHE.glob(f"{PREFIX}*.json"), key=lambda path: path.stat().st_mtime)
    run = left[-1].name.split(".")[1] if left else ""
    return [cell for path in left if path.name.split(".")[1] == run for cell in json.loads(path.read_text())]


def render(cells: list[dict[str, Any]]) -> str:
    """Return a section for each group of verbs: what held, and a table of the longest calls."""
    return "\n".join(
        _section(group, [cell for cell in cells if cell["group"] == group]) for group in _in_order(cells, "group")
    )


def _section(group: str, cells: list[dict[str, Any]]) -> str:
    """Return the title of a group, and tables of a row a fault and a column a verb: the longest call in ms."""
    verbs = _in_order(cells, "verb")
    count = -(-len(verbs) // WIDEST)
    width = -(-len(verbs) // count)
    held = f"{sum(cell['ok'] for cell in cells)} of {len(cells)} cells held."
    tables = [_longest_calls(cells, verbs[start : start + width]) for start in range(0, len(verbs), width)]
    return "\n".join([f"{group}\n{'-' * len(group)}\n\n{held}\n", *tables])


def _longest_calls(cells: list[dict[str, Any]], verbs: list[str]) -> str:
    rows = [
        [fault, *(_longest([c for c in cells if c["fault"] == fault and c["verb"] == verb]) for verb in verbs)]
        for fault in _in_order(cells, "fault")
    ]
    return _table([["Fault", *verbs], *rows])


def summarize(cells: list[dict[str, Any]]) -> str:
    """Return the short table: for each fault how many cells held, and the longest times in ms."""
    rows = [["Fault", "Cells that held", "Longest call, ms", "Ten gets, ms", "Back after, ms"]]
    for fault in _in_order(cells, "fault"):
        ours = [cell for cell in cells if cell["fault"] == fault]
        calls = [cell for cell in ours if cell["group"]]
        whole = [[cell for cell in ours if cell["verb"] == verb] for verb in WHOLE]
        held = f"{sum(cell['ok'] for cell in ours)} of {len(ours)}"
        rows.append([fault, held, *map(_worst, (calls, *whole))])
    return _table(rows)


def _in_order(cells: list[dict[str, Any]], of: str) -> list[str]:
    """Return the faults, the groups or the verbs that there are, in the order of rows or columns."""
    by = "row" if of == "fault" else "column"
    return [name for name in dict.fromkeys(cell[of] for cell in sorted(cells, key=lambda cell: cell[by])) if name]


def _table(rows: list[list[str]]) -> str:
    lines = [".. list-table::", "    :header-rows: 1", "    :stub-columns: 1", ""]
    for row in rows:
        lines += [f"    {'* -' if first else '  -'} {text}".rstrip() for first, text in _flagged(row)]
    return "\n".join(lines) + "\n"


def write() -> Path | None:
    """Put the table together and return where it is; None if no run has left anything."""
    cells = gather()
    if not cells:
        return None
    _write(TABLE, render(cells))
    _write(SUMMARY, summarize(cells))
    return TABLE


def _flagged(texts: list[str]) -> list[tuple[bool, str]]:
    return [(index == 0, text) for index, text in enumerate(texts)]


def _longest(cells: list[dict[str, Any]]) -> str:
    return _worst(cells) if all(cell["ok"] for cell in cells) else f"**failed** {_worst(cells)}"


def _worst(cells: list[dict[str, Any]]) -> str:
    return f"{max(cell['ms'] for cell in cells):.0f}" if cells else ""


def _write(path: Path, text: str) -> None:
    """Write a file as a whole: others may write it, or read it, at the same time."""
    number, name = tempfile.mkstemp(dir=path.parent, prefix=".fault-matrix")
    with os.fdopen(number, "w") as opened:
        opened.write(text)
    Path(name).replace(path)


if __name__ == "__main__":
    written = write()
    if written is None:
        sys.exit("There is nothing to put together: run the tests in tests/faults first.")
    print(written)  # noqa: T201 - it is a command
