"""Files of a source distribution, of exactly the version that is installed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CACHE_DIRECTORY = Path(__file__).resolve().parents[2] / ".cache" / "foreign"
DOWNLOAD_TIMEOUT = 180.0


def fetch(distribution: str, files: Iterable[str], sdist: Path | None = None) -> list[Path]:
    """
    Return the paths of files of an sdist, which lie beside each other in the cache directory of the repository.

    Where they are not there yet they come from ``sdist``, or else pip downloads it, in at most 180 seconds. Raises
    RuntimeError where that fails, and KeyError for a file that is not in it.
    """
    name = f"{distribution}-{version(distribution)}"
    found = [CACHE_DIRECTORY / name / Path(file).name for file in files]
    if not all(path.exists() for path in found):
        CACHE_DIRECTORY.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE_DIRECTORY) as scratch:
            archive = sdist or _download(distribution, Path(scratch))
            for file, path in zip(files, found, strict=True):
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(_read(archive, f"{name}/{file}"))
    return found


def _download(distribution: str, directory: Path) -> Path:
    wanted = f"{distribution}=={version(distribution)}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", distribution, "--dest", str(directory), wanted]
    try:
        subprocess.run(command, check=True, timeout=DOWNLOAD_TIMEOUT)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        message = f"pip could not download the sdist of {wanted}; give it with --sdist. {error}"
        raise RuntimeError(message) from error
    return next(directory.glob("*.tar.gz"))


def _read(sdist: Path, name: str) -> bytes:
    with tarfile.open(sdist) as archive:
        member = archive.extractfile(name)
        if member is None:
            message = f"{name} in {sdist} is no file."
            raise KeyError(message)
        return member.read()
