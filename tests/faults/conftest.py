"""Keeping what each cell of the matrix came to, for the table."""

from __future__ import annotations

import os
from typing import Any

import pytest

from . import table

CELLS = pytest.StashKey[list[dict[str, Any]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash.setdefault(CELLS, [])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.when == "call" and not report.skipped:
        cells = item.config.stash.setdefault(CELLS, [])
        cells += [{"ok": report.passed, **cell} for name, cell in item.user_properties if name == "cell"]
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    cells = session.config.stash.get(CELLS, [])
    worker = getattr(session.config, "workerinput", {}).get("workerid", "main")
    if cells:
        table.leave(cells, os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid())), worker)
    if cells or worker == "main":
        table.write()
