"""What stands in the place of a site's server: one for each test, over pools that all tests of the process share."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import redis

from ..address import Route
from ..pools import PoolOptions, make_pool
from ..server import Call, Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from ..address import Address, Broker

PATIENCE: Final = 5.0
"""How long a call may take, in seconds: the machine of a test is busy, and a miss for that would be a riddle."""


def make_client(broker: Broker) -> redis.Redis:
    """Return a client for what is to be done beside the tests."""
    return redis.Redis(connection_pool=make_pool(broker, patient(PoolOptions()), Route(broker.addresses)))


def patient(options: PoolOptions) -> PoolOptions:
    """Return the options of an alias, with the patience of a test."""
    times = ("wait", "socket_timeout", "socket_connect_timeout")
    return replace(options, **{name: max(PATIENCE, getattr(options, name)) for name in times})


def _nowhere(address: Address) -> Address:
    """Return an address at which nobody listens."""
    if address.path is not None:
        return replace(address, path=f"{address.path}.nowhere")
    return replace(address, host="127.0.0.1", port=1)


class Pools(Server):
    """The pools of one database; ``cut()`` leads their connections nowhere, and ``mend()`` back."""

    def cut(self) -> None:
        """Let nobody reach the server from now on."""
        self._lead(_nowhere(self.broker.addresses[0]))

    def mend(self) -> None:
        """Let the server be reached again."""
        self._lead(self.broker.addresses[0])

    def _lead(self, address: Address) -> None:
        # A connection that was made to another address than the current one connects anew before it is used.
        self._route.addresses, self._route.current = (address,), address


class Place(Server):
    """A server as one test sees it: nothing is remembered of the tests before. ``on_exchange`` is told of each trip."""

    def __init__(self, broker: Broker, options: PoolOptions, pools: Pools, on_exchange: Callable[[], None]) -> None:
        super().__init__(broker, options)
        self.pools = pools
        self.on_exchange = on_exchange

    @property
    def pool(self) -> Any:
        """The pool of this process' threads."""
        return self.pools.pool

    async def async_pool(self) -> Any:
        """Return the pool of the running event loop."""
        return await self.pools.async_pool()

    def call(self) -> Call:
        """Return what an exchange happens in."""
        return _Told(self, self.on_exchange)


class _Told(Call):
    __slots__ = ("_tell",)

    def __init__(self, server: Server, tell: Callable[[], None]) -> None:
        super().__init__(server)
        self._tell = tell

    def __enter__(self) -> Self:
        call = super().__enter__()
        self._tell()
        return call
