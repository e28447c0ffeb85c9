"""
Run the tests of Django REST framework's throttles and of django-ratelimit over this package, on a server of their own.

It takes some seconds; what does not end within two minutes is ended and has failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import django

from tests.conftest import Server
from tests.foreign.fetch import fetch
from tests.foreign.projects import PROJECTS, Project

REPOSITORY = Path(__file__).resolve().parents[2]
RUN_TIMEOUT = 120.0

Files = dict[str, dict[str, int]]
"""For each file of tests how many of them ended how."""


def main() -> int:
    """Return 0 if tests of every project ran and none failed, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.foreign", description=(__doc__ or "").strip())
    parser.add_argument("--sdist", type=Path, help="Django REST framework's sdist, instead of downloading it")
    sdist = parser.parse_args().sdist
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with Server() as server:
        runs = {project: run(project, sdist, server.url) for project in PROJECTS}
    say("", f"Django {django.__version__}, Python {platform.python_version()}, {server.source}")
    failed = [project for project, ended in runs.items() if not report(project, *ended)]
    return 1 if failed else 0


def run(project: Project, sdist: Path | None, server: str) -> tuple[int, Files]:
    """Run the tests of a project with pytest, in a process of their own; return its status and what ran."""
    targets = [str(path) for path in fetch(project.distribution, project.files, sdist)]
    targets += ["--pyargs", *project.modules] if project.modules else []
    command = [sys.executable, "-m", "pytest", "-c", "tests/foreign/pytest.ini", *project.options, *targets]
    with tempfile.TemporaryDirectory() as scratch:
        counts = Path(scratch) / "counts.json"
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.foreign.settings",
            "FOREIGN_COUNTS": str(counts),
            "FOREIGN_SERVER": server,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
        }
        try:
            status = subprocess.run(
                command, cwd=REPOSITORY, env=environment, check=False, timeout=RUN_TIMEOUT
            ).returncode
        except subprocess.TimeoutExpired:
            say(f"Ended after {RUN_TIMEOUT:.0f} seconds.")
            status = 1
        return status, json.loads(counts.read_text()) if counts.exists() else {}


def report(project: Project, status: int, files: Files) -> bool:
    """Print what ran, and return whether something did and all passed."""
    passed = status == 0 and bool(files) and all(outcomes.get("passed") for outcomes in files.values())
    say("", f"{project.distribution} {version(project.distribution)}: {'OK' if passed else 'FAILED'}")
    for file, outcomes in files.items():
        say(f"  {file}: {', '.join(f'{count} {outcome}' for outcome, count in outcomes.items())}")
    say(*(f"  {note}" for note in project.notes))
    return passed


def say(*lines: str) -> None:
    """Print lines, after what the tests have printed."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
