"""Redis' globs, as this process reads them."""

from __future__ import annotations

import pytest

from django_dripcache.globs import scope


@pytest.mark.parametrize(
    ("glob", "head", "yes", "no"),
    [
        (b"a:*", b"a:", [b"a:", b"a:b", b"a:\n"], [b"b:a:", b"a"]),
        (b"a:?c", b"a:", [b"a:bc"], [b"a:c", b"a:bbc"]),
        (b"a:[bc]d", b"a:", [b"a:bd", b"a:cd"], [b"a:d", b"a:xd"]),
        (b"a:[^bc]d", b"a:", [b"a:xd"], [b"a:bd"]),
        (b"a:[b-d]", b"a:", [b"a:c"], [b"a:e", b"a:-"]),
        (rb"a:[\]\-]", b"a:", [b"a:]", b"a:-"], [b"a:\\"]),
        (rb"my\-site:\*:*", b"my-site:*:", [b"my-site:*:x"], [b"my-site:x:x"]),
        (b"a.b:*", b"a.b:", [b"a.b:c"], [b"axb:c"]),
        (b"exact", b"exact", [b"exact"], [b"exactly"]),
        (b"a:[]b", b"a:", [], [b"a:b", b"a:"]),
    ],
)
def test_patterns_are_redis_globs(raw, glob, head, yes, no):
    prefixes, accepts = scope([glob])
    assert prefixes == (head,)
    assert [name for name in [*yes, *no] if accepts(name)] == yes
    for name in [*yes, *no]:
        raw.set(name, 1)
    assert sorted(raw.keys(glob)) == sorted(yes)
