"""What a subcommand prints to: text for people or JSON for scripts, questions, and progress."""

from __future__ import annotations

import json
from argparse import SUPPRESS
from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import CommandError

from ..areas import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Iterable

Report = tuple[Any, list[str], int]
"""What is printed as JSON, what is printed as text, and the exit code."""

WELL: Final = 0
FOUND: Final = 1
"""The exit code for findings, for what is not there, and for what was not done."""
BROKEN: Final = 2
"""The exit code where Redis does not answer, or what was asked for makes no sense."""

_BAR: Final = 30


class Console:
    """
    The output of one run. With ``as_json`` it is JSON alone, a document for each ``tell()``.

    Names and values come from Redis: a character that a terminal would act upon is printed as its bytes.
    """

    def __init__(self, stdout: Any, stderr: Any, *, as_json: bool = False) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self.as_json = as_json

    @property
    def is_live(self) -> bool:
        """Whether a person looks at a terminal."""
        return not self.as_json and bool(self._stdout.isatty())

    def tell(self, data: Any, lines: Iterable[str], *, streams: bool = False) -> None:
        """Print ``data`` as JSON or else ``lines``; what ``streams`` is JSON of one line each."""
        if not self.as_json:
            self.say(*lines)
            return
        self._stdout.write(json.dumps(data, default=str, indent=None if streams else 2))
        self._stdout.flush()

    def wipe(self) -> None:
        """Begin anew at the top of a terminal."""
        if self.is_live:
            self._stdout.write("\x1b[2J\x1b[H", ending="")

    def say(self, *lines: str) -> None:
        """Print lines for people."""
        if not self.as_json:
            for line in lines:
                self._stdout.write("\n".join(map(printable, line.split("\n"))))
        self._stdout.flush()

    def confirm(self, question: str, *, yes: bool) -> bool:
        """
        Return whether to go on: with ``yes`` at once, else as is answered.

        Raises CommandError where nobody can be asked.
        """
        if yes:
            return True
        answer = None if self.as_json else self._ask(question)
        if answer is None:
            message = "Nobody can be asked here. Add --yes to do it."
            raise CommandError(message, returncode=BROKEN)
        if answer.strip().lower() not in {"y", "yes"}:
            self.say("Nothing was done.")
            return False
        return True

    def _ask(self, question: str) -> str | None:
        self._stderr.write(f"{printable(question)} [y/N] ", str, "")
        self._stderr.flush()
        try:
            return input()
        except (EOFError, OSError):
            return None

    def progress(self, total: int, what: str) -> Callable[[int], None]:
        """Return a function that is told how many of ``total`` are done, and shows it on a terminal."""
        if self.as_json or not self._stderr.isatty():
            return lambda _: None

        def show(done: int) -> None:
            part = min(done / total, 1) if total else 1.0
            bar = "#" * round(part * _BAR)
            end = "\n" if done >= total else ""
            self._stderr.write(f"\r[{bar:<{_BAR}}] {done:,} of {max(total, done):,} {what}", str, end)
            self._stderr.flush()

        return show


def add_json(parser: ArgumentParser) -> None:
    """Add the argument that asks for JSON; a subcommand and its acts may both be given it."""
    parser.add_argument("--json", action="store_true", default=SUPPRESS, help="Print JSON.")


def add_yes(parser: ArgumentParser) -> None:
    """Add the argument that answers the question beforehand."""
    parser.add_argument("--yes", action="store_true", help="Do not ask.")
