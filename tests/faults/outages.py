"""The nineteen faults of a server, and one of the wire: each can be begun and ended, any number of times."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import threading
from typing import TYPE_CHECKING, Any, Final, Literal

import redis

from django_dripcache.testing.server import RedisServer, free_port

from .proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Self

    from .verbs import Spot

Answers = Literal["nothing", "either", "reads", "reads and removes", "empty", "unreadable", "odd"]
"""
What a server still does during a fault: nothing; this or that; what does not write; what does not grow it; all, from
an empty database; all, over values that nobody can read, or that are of another type.
"""

LATE: Final = 0.5
APART: Final = 0.05

DATABASES: Final = 128
"""How many databases each server has: every cell of the matrix has one of its own."""

GARBAGE: Final = b"\x80\x04\xff\x00 no value of ours"


class Fault:
    """One thing that can happen to a server. Between ``begin()`` and ``end()`` it happens."""

    answers: Answers = "nothing"
    through_a_proxy = False
    waits = False
    """Whether a call may have to wait for an answer."""

    interrupts = False
    """Whether the caller itself is interrupted."""

    loses_values = False
    """Whether what was stored before is gone after it."""

    was_there = True
    """Whether the server was there before it."""

    def __init__(self) -> None:
        self.server = RedisServer(databases=str(DATABASES), **self.config())
        self.proxy: Proxy | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.start()
        self._stack.callback(self.server.stop)
        if self.through_a_proxy:
            self.proxy = self._stack.enter_context(Proxy(self.server.port))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def config(self) -> dict[str, str]:
        """Return what the server is started with."""
        return {}

    def start(self) -> None:
        """Start the server."""
        self.server.start()

    @property
    def port(self) -> int:
        """Where the cache is to look for the server."""
        return self.server.port if self.proxy is None else self.proxy.port

    user = ""
    """What the site says of itself in its URL."""

    def url(self, database: int = 0) -> str:
        """Return the URL that the site has."""
        return f"redis://{self.user}127.0.0.1:{self.port}/{database}"

    @contextlib.contextmanager
    def look(self) -> Iterator[Any]:
        """Yield a plain client, which goes past the proxy."""
        with self.server.client() as client:
            yield client

    def prepare(self) -> None:
        """Empty the server before a cell."""
        with self.look() as client:
            names = list(client.scan_iter(count=1000))
            if names:
                client.delete(*names)
            client.config_resetstat()

    def begin(self, spots: Iterable[tuple[int, Spot]]) -> None:
        """Let it happen; ``spots`` are the databases and the values in them that it may spoil."""

    def end(self) -> None:
        """Let it be over."""


class NotStarted(Fault):
    loses_values = True
    was_there = False

    def start(self) -> None:
        pass

    def prepare(self) -> None:
        self.server.stop()

    def begin(self, spots):
        self.server.stop()

    def end(self):
        self.server.start()


class Killed(Fault):
    """A crash of a server that keeps what it has on disk."""

    def __init__(self) -> None:
        self._disk = tempfile.mkdtemp(prefix="dripcache-")
        super().__init__()

    def config(self) -> dict[str, str]:
        return {"dir": self._disk, "appendonly": "yes", "appendfsync": "always"}

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        shutil.rmtree(self._disk, ignore_errors=True)

    def begin(self, spots):
        self.server.kill()
        self.server.stop()

    def end(self):
        self.server.start()


class Frozen(Fault):
    waits = True

    def begin(self, spots):
        self.server.pause()

    def end(self):
        self.server.resume()


class RestartedEmpty(Fault):
    answers = "empty"
    loses_values = True

    def begin(self, spots):
        self.server.kill()
        self.server.stop()
        self.server.start()


class Wire(Fault):
    """What the proxy does."""

    through_a_proxy = True
    mode = "pass"
    seconds = 0.0
    text = b""

    def begin(self, spots):
        self.proxy.become(self.mode, self.seconds, self.text)

    def end(self):
        self.proxy.become("pass")


class Late(Wire):
    waits = True
    mode, seconds = "latency", LATE


class Reset(Wire):
    mode = "reset"


class LostReply(Wire):
    waits = True
    mode = "lose"


class Drip(Wire):
    waits = True
    # A short reply, as of EXISTS, comes in time all the same.
    answers = "either"
    mode, seconds = "drip", APART


class Unreachable(Wire):
    waits = True
    mode = "unreachable"


class Full(Fault):
    answers = "reads and removes"

    def begin(self, spots):
        with self.look() as client:
            client.config_set("maxmemory", 1)

    def end(self):
        with self.look() as client:
            client.config_set("maxmemory", 0)


class ReadOnly(Fault):
    answers = "reads"

    def begin(self, spots):
        with self.look() as client:
            client.replicaof("127.0.0.1", free_port())

    def end(self):
        with self.look() as client:
            client.replicaof("NO", "ONE")


class Loading(Wire):
    mode, text = "say", b"-LOADING Redis is loading the dataset in memory\r\n"


class PasswordChanged(Fault):
    first, second = "the-first-password", "the-second-password"
    user = f":{first}@"

    def __enter__(self) -> Self:
        super().__enter__()
        self._admin = self._stack.enter_context(self.server.client())
        self._admin.ping()
        self._change(self.first)
        return self

    @contextlib.contextmanager
    def look(self) -> Iterator[Any]:
        yield self._admin

    def begin(self, spots):
        self._change(self.second)

    def end(self):
        self._change(self.first)

    def _change(self, password: str) -> None:
        # This connection stays the administrator's; those of others are closed, and have to come again.
        self._admin.config_set("requirepass", password)
        self._admin.client_kill_filter(_type="normal", skipme=True)


class PasswordWanted(PasswordChanged):
    """A server that wants a password, of a site that has none."""

    first = user = ""


class NotPermitted(Fault):
    user = "site:pass-of-the-site@"

    def __enter__(self) -> Self:
        super().__enter__()
        with self.look() as client:
            client.execute_command("ACL", "SETUSER", "site", "on", ">pass-of-the-site", "~*", "&*", "+@all")
        return self

    def begin(self, spots):
        with self.look() as client:
            client.execute_command("ACL", "SETUSER", "site", "-@all")

    def end(self):
        with self.look() as client:
            client.execute_command("ACL", "SETUSER", "site", "+@all")


class TooManyClients(Fault):
    def __enter__(self) -> Self:
        super().__enter__()
        self._admin = self._stack.enter_context(self.server.client())
        return self

    @contextlib.contextmanager
    def look(self) -> Iterator[Any]:
        yield self._admin

    def begin(self, spots):
        self._admin.config_set("maxclients", 1)
        self._admin.client_kill_filter(_type="normal", skipme=True)

    def end(self):
        self._admin.config_set("maxclients", 1000)


class Cut(Exception):  # noqa: N818 - named for what happens to the call
    """What the handler of the signal raises, as Celery's soft time limit does."""


class Interrupted(Wire):
    """A signal in the middle of a call, whose reply comes later."""

    mode, seconds = "latency", 0.1
    waits = interrupts = True
    after = 0.03

    def begin(self, spots):
        super().begin(spots)
        assert threading.current_thread() is threading.main_thread()
        self._before = signal.signal(signal.SIGALRM, self._raise)

    def arm(self) -> None:
        """Let the signal come soon."""
        signal.setitimer(signal.ITIMER_REAL, self.after)

    def disarm(self) -> None:
        """Let no signal come any more."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def end(self):
        self.disarm()
        signal.signal(signal.SIGALRM, self._before)
        super().end()

    @staticmethod
    def _raise(*_: object) -> None:
        raise Cut


class Spoiled(Fault):
    """Values are there that nobody of this site has written."""

    answers = "unreadable"

    def begin(self, spots):
        with redis.Redis(port=self.server.port, protocol=2, single_connection_client=True) as client:
            for database, spot in spots:
                client.select(database)
                self.spoil(client, spot)
                client.pexpire(spot.name, 300_000)

    def spoil(self, client: Any, spot: Spot) -> None:
        """Put something else there."""
        if spot.field is None:
            client.set(spot.name, GARBAGE)
        else:
            client.hset(spot.name, spot.field, GARBAGE)


class OtherType(Spoiled):
    answers = "odd"

    def spoil(self, client, spot):
        # A list, since nothing of ours is one.
        client.delete(spot.name)
        client.rpush(spot.name, "a", "b")


class Garbage(Wire):
    mode, text = "garbage", b"\x00\xff?!HTTP/1.1 400 Bad Request\r\n\r\n"


FAULTS: Final[dict[str, type[Fault]]] = {
    "server not started": NotStarted,
    "kill -9": Killed,
    "SIGSTOP": Frozen,
    "restart, empty": RestartedEmpty,
    "500 ms latency": Late,
    "reset in a reply": Reset,
    "lost reply": LostReply,
    "slow drip": Drip,
    "connect black hole": Unreachable,
    "OOM": Full,
    "READONLY": ReadOnly,
    "LOADING": Loading,
    "password changed": PasswordChanged,
    "NOAUTH": PasswordWanted,
    "NOPERM": NotPermitted,
    "maxclients": TooManyClients,
    "cut by a signal": Interrupted,
    "garbage in a value": Spoiled,
    "value of another type": OtherType,
    "garbage on the wire": Garbage,
}
