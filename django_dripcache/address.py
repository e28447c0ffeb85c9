"""Where a Redis is: its addresses or Sentinels, and how to connect to them. No password is in any ``repr``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Address:
    """One server that may be asked for. Its password is in no ``repr``."""

    host: str = "127.0.0.1"
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    path: str | None = None

    def __str__(self) -> str:
        user = f"{self.username or ''}:***@" if self.password else ""
        if self.path:
            return f"unix://{user}{self.path}?db={self.db}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis://{user}{host}:{self.port}/{self.db}"


@dataclass(frozen=True, slots=True, repr=False)
class Broker:
    """
    A Redis as it was found: its addresses in order of failover, or its Sentinels.

    ``origin`` says which setting it comes from. ``ssl`` are redis-py's TLS arguments, None for plaintext. ``explicit``
    is whether a URL was named for the cache: the timeouts in it are the cache's, where Celery's are its publisher's.
    """

    origin: str
    addresses: tuple[Address, ...]
    master_name: str | None = None
    ssl: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    credential_provider: Any = None
    explicit: bool = False

    def __str__(self) -> str:
        places = ";".join(str(address) for address in self.addresses)
        if self.master_name is not None:
            places = places.replace("redis://", "sentinel://") + f" (master {self.master_name})"
        elif self.ssl is not None:
            places = places.replace("redis://", "rediss://")
        return places

    def __repr__(self) -> str:
        return f"<Broker {self} from {self.origin}>"

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells two servers, databases or users apart: equal identities may share connections."""
        ssl = None if self.ssl is None else tuple(sorted((name, str(value)) for name, value in self.ssl.items()))
        canonical = tuple(replace(address, host=_canonical(address.host)) for address in self.addresses)
        return (canonical, self.master_name, ssl, id(self.credential_provider) if self.credential_provider else 0)

    @property
    def places(self) -> frozenset[tuple[str, int, str | None]]:
        """The servers, whatever the database and the user: they share their memory, and what is evicted from it."""
        return frozenset((_canonical(address.host), address.port, address.path) for address in self.addresses)

    @property
    def leaves_host(self) -> bool:
        """Whether a connection goes over a network, as far as the addresses tell."""
        local = ("localhost", "::1")
        return any(
            not (address.path or address.host in local or address.host.startswith("127.")) for address in self.addresses
        )


def _canonical(host: str) -> str:
    return "127.0.0.1" if host.lower() in {"localhost", "::1"} else host.lower()


class Route:
    """Where a server is now: one of its addresses, the next one after a failure to connect."""

    def __init__(self, addresses: tuple[Address, ...]) -> None:
        self.addresses = addresses
        self.current = addresses[0]

    def leave(self, address: Address | None) -> None:
        """Go on to the next address, if ``address`` is the current one: it took a connection and did not answer."""
        if address is self.current:
            following = self.addresses.index(self.current) + 1
            self.current = self.addresses[following % len(self.addresses)]

    def attempts(self) -> Iterator[Address]:
        """Yield every address once, the current one first; whoever asks for another has failed with the last one."""
        start = self.addresses.index(self.current)
        for address in (*self.addresses[start:], *self.addresses[:start]):
            self.current = address
            yield address
