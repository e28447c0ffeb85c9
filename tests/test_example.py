"""The example project, run as a reader would run it: in processes of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "example_project"

pytest.importorskip("airportsdata")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A reader's environment: nothing of the test settings, and a place for temporary files that can be looked at."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "SYSTEMROOT") if name in os.environ}
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    return {**kept, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}


def start_demo(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start the demo without a terminal."""
    return subprocess.Popen(
        [sys.executable, str(EXAMPLE / "demo.py"), *arguments],
        env=environment,
        cwd=environment["TMPDIR"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_with(text: str) -> list[str]:
    """Return the command lines of the processes whose environment holds a text. Needs Linux."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def assert_nothing_is_left(environment: dict[str, str], runs_before: set[Path]) -> None:
    """Fail if a process, a temporary file or a run's directory is still there."""
    if Path("/proc/self/environ").exists():
        assert processes_with(environment["TMPDIR"]) == []
    assert list(Path(environment["TMPDIR"]).iterdir()) == []
    assert set(EXAMPLE.glob("var/demo-*")) <= runs_before


def figure(name: str, output: str) -> int:
    """Return the first number of a line of the table."""
    found = re.search(rf"^ *{re.escape(name)} +([\d,]+)", output, re.MULTILINE)
    assert found, f"There is no line {name!r} in:\n{output}"
    return int(found[1].replace(",", ""))


def test_checks_pass_without_a_server(environment: dict[str, str], tmp_path: Path) -> None:
    environment |= {"EXAMPLE_VAR": str(tmp_path / "var"), "REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [
        sys.executable,
        "-W",
        "error::DeprecationWarning:airports",
        "manage.py",
        "check",
        "--fail-level",
        "WARNING",
    ]
    result = subprocess.run(
        command, cwd=EXAMPLE, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "var" / "secret_key").stat().st_mode & 0o777 == 0o600


def test_migrations_are_complete(environment: dict[str, str], tmp_path: Path) -> None:
    environment |= {"EXAMPLE_VAR": str(tmp_path / "var"), "REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"]
    result = subprocess.run(
        command, cwd=EXAMPLE, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_demo_ends_by_itself_and_loses_no_task(environment: dict[str, str]) -> None:
    before = set(EXAMPLE.glob("var/demo-*"))
    demo = start_demo(environment, "--requests", "150")
    output, _ = demo.communicate(timeout=120)
    assert demo.returncode == 0, output
    assert figure("page views", output) == 150
    assert figure("pages failed", output) == 0
    assert figure("tasks lost", output) == 0
    assert figure("tasks done", output) == figure("tasks queued", output) > 150
    assert figure("waiting at clear()", output) > 0
    assert re.search(r"hit rate +\d+\.\d%", output)
    assert re.search(r"Dashboard +http://127\.0\.0\.1:\d+/admin/", output)
    assert_nothing_is_left(environment, before)


def test_interrupted_demo_leaves_nothing(environment: dict[str, str]) -> None:
    before = set(EXAMPLE.glob("var/demo-*"))
    demo = start_demo(environment)
    assert demo.stdout is not None
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if line.startswith("Replaying"):
            break
    time.sleep(0.5)
    demo.send_signal(signal.SIGTERM)
    rest, _ = demo.communicate(timeout=60)
    assert demo.returncode == 128 + signal.SIGTERM, "".join(lines) + rest
    assert "SIGTERM: stopping." in rest
    assert_nothing_is_left(environment, before)
