"""Django's tests, as its source distribution of exactly the installed version has them."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import django

CACHE_DIRECTORY = Path(__file__).resolve().parents[2] / ".cache" / "django-suite"
DOWNLOAD_TIMEOUT = 180.0


def django_tests(sdist: Path | None = None) -> Path:
    """
    Return the directory of Django's tests, from the cache directory of the repository or else from ``sdist``.

    Without ``sdist`` pip downloads it, in at most 180 seconds. Raises RuntimeError where that fails.
    """
    target = CACHE_DIRECTORY / f"django-{django.__version__}"
    if not (target / "runtests.py").exists():
        CACHE_DIRECTORY.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE_DIRECTORY) as scratch:
            unpacked = _unpack(sdist or _download(Path(scratch)), Path(scratch))
            # Two runs may unpack at once: a rename of the whole leaves either the one or the other.
            if not target.exists():
                unpacked.rename(target)
    return target


def _download(directory: Path) -> Path:
    # Of Django alone no wheel is taken: what pip needs to look into the sdist may come as wheels.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", "django", "--dest", str(directory), f"django=={django.__version__}"]
    try:
        subprocess.run(command, check=True, timeout=DOWNLOAD_TIMEOUT)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        message = f"pip could not download Django {django.__version__}'s sdist; give it with --sdist. {error}"
        raise RuntimeError(message) from error
    return next(directory.glob("[dD]jango-*.tar.gz"))


def _unpack(sdist: Path, directory: Path) -> Path:
    name = f"django-{django.__version__}"
    if sdist.name.lower() != f"{name}.tar.gz":
        message = f"{sdist} is not the sdist of the installed Django, {name}.tar.gz."
        raise RuntimeError(message)
    with tarfile.open(sdist) as archive:
        root = archive.getnames()[0].split("/")[0]
        tests = [member for member in archive.getmembers() if member.name.startswith(f"{root}/tests/")]
        archive.extractall(directory, members=tests, filter="data")
    return directory / root / "tests"
