"""Rate limits: one script decides about a hit, whatever number of rates there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .journalled import journalled
from .steps import Command, Script

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..rates import Algorithm, Rate
    from ..typing import Flow
    from .steps import Step

MICROSECONDS = 1_000_000

_SCRIPTS: Final[dict[Algorithm, Callable[..., Script]]] = {
    "fixed-window": lambda keys, *args: Script("limit_fixed_window", keys, *args),
    "sliding-window": lambda keys, *args: Script("limit_sliding_window", keys, *args),
    "gcra": lambda keys, *args: Script("limit_gcra", keys, *args),
}


def hit(
    keys: Sequence[bytes], rates: Sequence[Rate], cost: int, algorithm: Algorithm, burst: int | None, *, counts: bool
) -> Flow[list[list[int]]]:
    """
    Count a hit if it fits all rates, or only look; return for each what is used, and when it resets and may be retried.

    One round trip. The latter two are in microseconds; the last is 0 where the hit fits.
    """
    limits = [part for rate in rates for part in (rate.limit, rate.window * MICROSECONDS, burst or rate.limit)]
    return list((yield _SCRIPTS[algorithm](list(keys), cost, int(counts), *limits)))


def reset(keys: Sequence[bytes]) -> Flow[bool]:
    """Forget what was counted, and return whether something was: one round trip."""
    return bool((yield from journalled(_only(Command("UNLINK", *keys)), keys)))


def _only(step: Step) -> Flow[int]:
    return int((yield step))
