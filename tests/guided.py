"""
Let the coverage of the code guide the inputs: ``python -m tests.guided [runs]``, 200,000 in about a minute at most.

Needs atheris, which the extra ``fuzz`` has. Each target runs in a process of its own and must hold what ``tests.fuzz``
says must hold. An input that breaks it is kept below ``.cache/guided``, and ``python -m tests.guided <target> <file>``
shows it again.
"""

from __future__ import annotations

import contextlib
import io
import random
import re
import subprocess
import sys
import tempfile
import time
import tracemalloc
import zlib
from pathlib import Path

try:
    import atheris
except ImportError:
    atheris = None

with (
    contextlib.redirect_stderr(io.StringIO()),  # every module that is watched has a line of its own there
    atheris.instrument_imports(include=["django_dripcache"]) if atheris else contextlib.nullcontext(),
):
    from django_dripcache.codecs import PickleCodec
    from django_dripcache.compression import PLAIN, ZLIB, ZSTD, TooLargeError, deflate, inflate
    from django_dripcache.keys import escape
    from tests import fuzz

RUNS = 200_000
SECONDS = 60
"""What ``RUNS`` may take."""

LONGEST = {"envelope": 4096, "decompressor": 4096, "keys": 64}
"""In bytes. Escaped, a character of a key may be nine."""

PAD = "x" * 250
"""Twice, it makes a key of a dozen characters almost too long, and cuts it off among them if it is."""

KEPT = Path(__file__).resolve().parents[1] / ".cache" / "guided"
SPARE = 1 << 17
"""What inflating may need besides, in bytes: zlib makes room for 32 KiB at first."""

OTHER = b"yek"
STRANGER = PickleCodec([b"another secret"], compress_above=64, inflate_limit=1 << 16)


def envelope(data: bytes) -> None:
    """Read bytes as they are, and then in envelopes: a good one, a changed one, a stranger's and another key's."""
    for codec in fuzz.READERS:
        fuzz.reads(codec, data)
    sealed = fuzz.CODEC.encode(data, fuzz.KEY)
    assert fuzz.CODEC.decode(sealed, fuzz.KEY) == data
    changed = fuzz.mutate(random.Random(data), sealed)
    for codec in fuzz.READERS:
        fuzz.reads(codec, changed, signed=[sealed])
        assert not fuzz.reads(codec, STRANGER.encode(data, fuzz.KEY))
        assert not fuzz.reads(codec, fuzz.CODEC.encode(data, OTHER))


def decompressor(data: bytes) -> None:
    """Inflate bytes whose first three choose the kind and the limit, in little memory, and what they are deflated."""
    head, payload = data[:3].ljust(3, b"\0"), data[3:]
    limit = int.from_bytes(head[1:], "big")
    tracemalloc.start()
    fuzz.inflates(head[0] % 5, payload, limit)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2 * limit + SPARE
    try:
        inflated = inflate(*deflate(payload), limit)
    except TooLargeError:
        assert len(payload) > limit
    else:
        assert inflated == payload
        assert len(payload) <= limit


def keys(data: bytes) -> None:
    """Name the text that bytes are, with and without a digest, and the texts that are most like its names."""
    try:
        key = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        key = data.decode("utf-8", "surrogateescape")
    long = PAD + key + PAD
    tails = (fuzz.SPACE.name(each).removeprefix(fuzz.SPACE.raw).decode() for each in (key, long))
    found = fuzz.SPACE.key(fuzz.SPACE.raw + data)
    for each in {key, long, escape(key), found, *tails}:
        fuzz.names(each)


def packed(kind: int, payload: bytes, limit: int = fuzz.LIMIT) -> bytes:
    """Return the input by which ``decompressor()`` inflates a payload."""
    return bytes((kind,)) + limit.to_bytes(2, "big") + payload


TARGETS = {"envelope": envelope, "decompressor": decompressor, "keys": keys}
BOMB = bytes(1 << 20)
SEEDS = {
    "envelope": [*fuzz.OURS, *fuzz.FOREIGN, b"-9223372036854775808", b"[" * 2000, b'"\\ud800"', b"1e999"],
    "decompressor": [
        *(packed(kind, payload) for kind, payload in fuzz.PACKED),
        *(packed(kind, payload, 0xFFFF) for kind, payload in fuzz.PACKED),
        *(packed(kind, b"x" * 40, limit) for kind in (PLAIN, ZLIB, ZSTD, 3) for limit in (0, 40)),
        packed(*deflate(b""), 0),
        packed(*deflate(BOMB)),
        packed(ZLIB, zlib.compress(BOMB)),
    ],
    "keys": [
        key.encode("utf-8", "surrogatepass")
        for key in ("", "user:1", "50% {a} ~b\x7f\0", "%7E%25", "\u00e9\u20ac\U0001f600\ud83d\ude00", "x~" + "0" * 48)
    ],
}


def run(name: str, arguments: list[str]) -> None:
    """Fuzz one target in this process, which libFuzzer ends."""
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name])
    with fuzz.watched:
        atheris.Fuzz()


def guide(name: str, runs: int, seconds: int) -> bool:
    """Fuzz one target in another process, print a line about it, and return whether all held."""
    KEPT.mkdir(parents=True, exist_ok=True)
    options = {
        "runs": runs,
        "max_total_time": seconds,
        "max_len": LONGEST[name],
        "timeout": 10,
        "rss_limit_mb": 1024,
        "artifact_prefix": f"{KEPT}/{name}-",
    }
    command = [sys.executable, "-m", "tests.guided", name, *(f"-{key}={value}" for key, value in options.items())]
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS[name]):
            Path(corpus, str(number)).write_bytes(seed)
        ended = subprocess.run(
            [*command, corpus], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=seconds + 60
        )
    output = ended.stdout.decode(errors="replace")
    done = re.search(r"DONE +cov: (\d+).*^Done (\d+) runs in (\d+) second", output, re.DOTALL | re.MULTILINE)
    if ended.returncode or not done:
        print(f"{name}: exit code {ended.returncode}\n{output[-4000:]}", flush=True)  # noqa: T201
        return False
    places, count, took = map(int, done.groups())
    print(f"{name}: {count:,} runs, {places} places in the code, no error, {took} s", flush=True)  # noqa: T201
    return True


def main(runs: int) -> int:
    """Fuzz the targets one after the other, each in its part of the time that is left, and return the exit code."""
    until, held = time.monotonic() + SECONDS * max(1, runs // RUNS), []
    for done, name in enumerate(TARGETS):
        targets = len(TARGETS)
        seconds = max(1, int((until - time.monotonic()) / (targets - done)))
        held.append(guide(name, runs // targets, seconds))
    return 0 if all(held) else 1


if __name__ == "__main__":
    if atheris is None:
        print("Coverage-guided fuzzing needs atheris, which is not installed: pip install atheris")  # noqa: T201
    elif sys.argv[1:] and sys.argv[1] in TARGETS:
        run(sys.argv[1], sys.argv[2:])
    else:
        sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else RUNS))
