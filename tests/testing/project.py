"""A site with tests, in a directory of its own, run as its developers would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = """
SECRET_KEY = "a secret for the tests of a project of its own"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_dripcache"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}}
BACKEND = "django_dripcache.backend.DripCache"
CACHES = {{
    "default": {{"BACKEND": BACKEND, "LOCATION": "{url}"}},
    "reports": {{"BACKEND": BACKEND, "LOCATION": "{url}", "KEY_PREFIX": "reports"}},
    "local": {{"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
}}
DRIPCACHE = {{}}
"""


class Project:
    """Its files, and its runs. The plugin is found by its entry point, as of an installed package."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.write("shop_settings.py", SETTINGS.format(url=url))
        self.write("plugin-1.dist-info/entry_points.txt", "[pytest11]\ndripcache = django_dripcache.testing.plugin\n")
        self.write("plugin-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: plugin\nVersion: 1\n")

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))

    def pytest(self, *arguments: str, ini: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        loops = "" if "no:asyncio" in arguments else "asyncio_default_fixture_loop_scope = function\n"
        self.write("pytest.ini", f"[pytest]\naddopts = -p no:cacheprovider\n{loops}{ini}\n")
        return self.run("-m", "pytest", "-q", *arguments, **environment)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(self.directory), str(ROOT)])
        given = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "shop_settings"}
        return subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            cwd=self.directory,
            env={**given, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def outcomes(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line of a run, such as ``2 passed``, without the time that it took."""
    lines = done.stdout.strip().splitlines() or [done.stderr]
    return lines[-1].partition(" in ")[0].strip("= ")
