"""
A server in this process that speaks as Redis does: fakeredis, on a free port of loopback.

Behind a socket, what is tested is what runs in production: pools, deadlines and all. fakeredis' own TCP server closes
the connection after each error that it answers. And its scripts cannot read the text of an error, and have no
``sha1hex``: that is made good here. It has no INFO, no memory limit and no CLIENT TRACKING.
"""

from __future__ import annotations

import re
import threading
from hashlib import sha1
from importlib import import_module
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError, ResponseError

if TYPE_CHECKING:
    from io import BufferedIOBase

    from typing_extensions import Self

_PRELUDE: Final = b"""
local digests, theirs = {%s}, redis
local redis = setmetatable({}, {__index = theirs})
function redis.pcall(...)
  local found = theirs.pcall(...)
  if type(found) == 'table' and found.err then
    found.err = tostring(found.err)
  end
  return found
end
function redis.sha1hex(text)
  return digests[text] or ''
end
"""
_IS_DIGEST: Final = re.compile(rb"[0-9a-f]{40}")


class FakeServer(ThreadingTCPServer):
    """fakeredis on a port. It needs ``fakeredis[lua]``, or raises ImportError."""

    daemon_threads = True
    source = "fakeredis"

    def __init__(self) -> None:
        import_module("lupa")  # without it, fakeredis knows no scripts
        from fakeredis import FakeServer as Keys  # noqa: PLC0415 - who has a real server need not install it

        self.keys = Keys(server_type="redis", version=(7,))
        self.scripts: dict[bytes, bytes] = {}
        super().__init__(("127.0.0.1", 0), _Conversation)

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return f"redis://127.0.0.1:{self.server_address[1]}/0"

    def start(self) -> Self:
        """Take connections, in a thread."""
        threading.Thread(target=self.serve_forever, args=(0.05,), name="dripcache-fake", daemon=True).start()
        return self

    def stop(self) -> None:
        """Take no more connections."""
        self.shutdown()
        self.server_close()


class _Conversation(StreamRequestHandler):
    """One client. Its commands go to a connection of fakeredis' own, and the replies come back."""

    disable_nagle_algorithm = True
    server: FakeServer  # pyright: ignore[reportIncompatibleVariableOverride] - it is ours alone

    def setup(self) -> None:
        from fakeredis import FakeRedis  # noqa: PLC0415

        super().setup()
        self.inner = FakeRedis(server=self.server.keys, protocol=2).connection_pool.make_connection()

    def handle(self) -> None:
        """Answer until the client leaves."""
        while command := _read(self.rfile):
            self.wfile.write(_encode(self._answer(command)))

    def finish(self) -> None:
        """Leave nothing behind."""
        self.inner.disconnect()
        super().finish()

    def _answer(self, command: list[bytes]) -> Any:
        match [command[0].upper(), *command[1:]]:
            case [b"HELLO", *_]:
                return ResponseError("NOPROTO unsupported protocol version")
            case [b"SCRIPT", b"LOAD", text]:
                return self._keep(text)
            case [b"EVAL", text, *rest]:
                return self._evaluate(self._keep(text), rest)
            case [b"EVALSHA", digest, *rest]:
                return self._evaluate(digest, rest)
            case _:
                return self._ask(command)

    def _keep(self, text: bytes) -> bytes:
        digest = _digest(text)
        self.server.scripts[digest] = text
        return digest

    def _evaluate(self, digest: bytes, rest: list[bytes]) -> Any:
        text, digests = self.server.scripts.get(digest), b""
        if text is None:
            return ResponseError("NOSCRIPT No matching script. Please use EVAL.")
        if any(map(_IS_DIGEST.fullmatch, rest)):
            values = [self._ask([b"GET", key]) for key in rest[1 : 1 + int(rest[0])]]
            digests = b", ".join(_entry(value) for value in values if isinstance(value, bytes))
        return self._ask([b"EVAL", _PRELUDE % digests + text, *rest])

    def _ask(self, command: list[bytes]) -> Any:
        try:
            self.inner.send_command(*command)
            return self.inner.read_response()
        except RedisError as error:
            return error


def _digest(text: bytes) -> bytes:
    return sha1(text, usedforsecurity=False).hexdigest().encode()


def _entry(value: bytes) -> bytes:
    """Return a value and its digest as an entry of a Lua table."""
    return b"['%s'] = '%s'" % (b"".join(b"\\%03d" % byte for byte in value), _digest(value))


def _read(stream: BufferedIOBase) -> list[bytes] | None:
    """Return the next command, or None at the end."""
    try:
        head = stream.readline()
        if not head.startswith(b"*"):
            return None
        return [stream.read(int(stream.readline()[1:]) + 2)[:-2] for _ in range(int(head[1:]))]
    except (OSError, ValueError):
        return None


def _encode(reply: Any) -> bytes:
    """Return a reply in RESP2."""
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, Exception):
        text = " ".join(str(reply.args[0]).split())
        return f"-{text if text.partition(' ')[0].isupper() else f'ERR {text}'}\r\n".encode()
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, (list, tuple)):
        return b"*%d\r\n" % len(reply) + b"".join(map(_encode, reply))
    raw = reply if isinstance(reply, bytes) else str(reply).encode()
    return b"$%d\r\n%s\r\n" % (len(raw), raw)
