"""
Run Django's own cache and session tests against a cache backend, on a Redis server started for the run.

It takes about a minute; what does not end within five is ended and has failed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

from tests.conftest import Server
from tests.django_suite.fetch import django_tests
from tests.django_suite.table import CONSUMERS, EXCLUDED, IN_PLACE

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
RUN_TIMEOUT = 300.0


def main() -> int:
    """Return 0 if tests ran and none failed, else 1."""
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    tests = django_tests(options.sdist)
    with Server() as server, tempfile.TemporaryDirectory(prefix="django-suite-") as scratch:
        counts = Path(scratch) / "counts.json"
        environment = {
            **os.environ,
            "DJANGO_SUITE_BACKEND": options.backend,
            "DJANGO_SUITE_SERVER": server.url.removesuffix("/0"),
            "DJANGO_SUITE_COUNTS": str(counts),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
            "TMPDIR": scratch,
        }
        command = [sys.executable, "runtests.py", "--settings=tests.django_suite.settings", "--noinput", "--parallel=1"]
        command += [f"--verbosity={options.verbosity}", *(f"-k={pattern}" for pattern in options.patterns)]
        command += ["tests.django_suite.suite", *IN_PLACE, *CONSUMERS]
        with group(command, tests, environment) as process:
            try:
                status = process.wait(RUN_TIMEOUT)
            except subprocess.TimeoutExpired:
                say(f"Ended after {RUN_TIMEOUT:.0f} seconds.")
                status = 1
        return report(options.backend, server.source, status, json.loads(counts.read_text()) if counts.exists() else {})


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.django_suite", description=(__doc__ or "").strip())
    parser.add_argument("--backend", default="django_dripcache.backend.DripCache", help="a cache backend's dotted path")
    parser.add_argument("--sdist", type=Path, help="Django's source distribution, instead of downloading it")
    parser.add_argument("-k", dest="patterns", action="append", default=[], help="run only matching tests, as unittest")
    parser.add_argument("-v", "--verbosity", type=int, default=1, choices=[0, 1, 2, 3])
    return parser.parse_args()


@contextlib.contextmanager
def group(command: list[str], directory: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process in a group of its own, and end whatever is left of the group."""
    process = subprocess.Popen(command, cwd=directory, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def report(backend: str, server: str, status: int, counts: dict[str, Any]) -> int:
    """Print what ran as unittest does, and return the exit status."""
    ran, details, failed = counts.get("ran", 0), counts.get("details", {}), counts.get("failed", [])
    say("\nNot run:", *(f"  {name}: {reason}" for name, reason in EXCLUDED.items()))
    say("\nRun, of Django's suites:", *(f"  {name}: {count}" for name, count in counts.get("suites", {}).items()))
    if failed:
        say(f"\n{len(failed)} tests failed:", *(f"  {name}" for name in failed))
    say(f"\n{backend}, Django {django.__version__}, Python {platform.python_version()}, {server}")
    passed = status == 0 and ran > details.get("skipped", 0)
    shown = ", ".join(f"{name}={count}" for name, count in details.items() if count)
    say(f"Ran {ran} tests", "", f"{'OK' if passed else 'FAILED'}{f' ({shown})' if shown else ''}")
    return 0 if passed else 1


def say(*lines: str) -> None:
    """Print lines, after what the tests have printed."""
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
