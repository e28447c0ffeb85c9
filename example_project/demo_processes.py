"""Child processes that are always stopped, and signals that never interrupt the start or the stop of one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

STOP_TIMEOUT = 6.0
HERE = Path(__file__).resolve().parent


class Interrupted(BaseException):
    """Somebody asked the demo to end. It is no Exception, so that nothing on the way takes it for an error."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Signals:
    """
    Turn SIGINT, SIGTERM and SIGHUP into Interrupted, in the main thread.

    Within ``held()`` a signal waits until the end of the block: a process that has just been started must be known
    before anything can interrupt. After ``ignore()`` signals do nothing: stopping takes a bounded time anyway.
    """

    def __init__(self) -> None:
        self._holding = False
        self._waiting: int | None = None

    def install(self) -> None:
        """Take over the signals."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._arrive)

    def ignore(self) -> None:
        """Let nothing interrupt from now on."""
        self._holding = True

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep signals waiting for the length of a block."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
            if self._waiting is not None:
                raise Interrupted(self._waiting)

    def _arrive(self, number: int, _frame: FrameType | None) -> None:
        self._waiting = number
        if not self._holding:
            raise Interrupted(number)


class Child:
    """A process with a log file, at the head of a process group of its own."""

    def __init__(self, name: str, command: list[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=HERE,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise RuntimeError, with the end of the log, if the process has ended."""
        code = self.process.poll()
        if code is not None:
            message = f"{self.name} ended with code {code}. The end of its log:\n{self.log_end()}"
            raise RuntimeError(message)

    def log_end(self) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def stop(self) -> None:
        """Ask the process to end, wait a bounded time, and then end whatever is left of its group."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=STOP_TIMEOUT)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def wait_until(happened: Callable[[], bool], seconds: float, *watched: Child) -> bool:
    """Return True as soon as something has happened, False after a time. Raises if a watched process ends meanwhile."""
    deadline = time.monotonic() + seconds
    while not happened():
        for child in watched:
            child.check()
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
