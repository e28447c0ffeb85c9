"""A TCP proxy in front of a real server that does to it what networks do, on demand."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

POLL = 0.05
"""How often, in seconds, a thread that is in no hurry looks whether it is to end."""


class Proxy:
    """
    A proxy on a free port of loopback; use it as a context manager.

    ``become()`` sets what happens from now on, to open connections as well:

    - ``"pass"``: nothing;
    - ``"latency"``: each part of a reply is ``seconds`` late;
    - ``"drip"``: replies come byte by byte, each ``seconds`` after the other;
    - ``"reset"``: a reply is cut in its middle, and the connection reset;
    - ``"lose"``: requests reach the server, and replies are swallowed;
    - ``"silent"``: connections are accepted, and nothing is passed on;
    - ``"say"``: each request is answered with ``text``, and does not reach the server;
    - ``"garbage"``: each reply is replaced by ``text``;
    - ``"unreachable"``: open connections are reset, and no new ones come about: nobody answers to a SYN.
    """

    def __init__(self, port: int) -> None:
        self.upstream = port
        self.mode = "pass"
        self.seconds = 0.0
        self.text = b""
        self._ended = False
        self._open: list[socket.socket] = []
        self._fillers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.settimeout(POLL)
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        """The URL of database 0, through the proxy."""
        return f"redis://127.0.0.1:{self.port}/0"

    def become(self, mode: str, seconds: float = 0.0, text: bytes = b"") -> None:
        """Behave in another way from now on."""
        if self.mode == "unreachable":
            self._let_in()
        self.seconds, self.text, self.mode = seconds, text, mode
        if mode == "unreachable":
            self._shut_out()

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._threads[0].join(timeout=10)  # the accepting one: after it, there are no new connections
        self._drop()
        for thread in self._threads:
            thread.join(timeout=5)
        for filler in self._fillers:
            filler.close()
        self._listener.close()
        assert not any(thread.is_alive() for thread in self._threads)

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _drop(self) -> None:
        """Reset the connections that are open."""
        opened, self._open = self._open, []
        for end in opened:
            _reset(end)

    def _shut_out(self) -> None:
        time.sleep(2 * POLL)  # the accepting thread has seen it by then
        self._listener.listen(0)
        # A queue of nought takes one or two; the kernel then leaves a SYN unanswered.
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._fillers.append(filler)
        self._drop()

    def _let_in(self) -> None:
        for filler in self._fillers:
            filler.close()
        self._fillers = []
        self._listener.listen(128)

    def _accept(self) -> None:
        while not self._ended:
            if self.mode == "unreachable":
                time.sleep(POLL)
                continue
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            near.settimeout(None)
            far: socket.socket | None = None
            with contextlib.suppress(OSError):
                far = socket.create_connection(("127.0.0.1", self.upstream), timeout=5)
                far.settimeout(None)
            if far is None:
                _reset(near)
                continue
            self._open += [near, far]
            self._start(self._requests, near, far)
            self._start(self._replies, near, far)

    def _requests(self, near: socket.socket, far: socket.socket) -> None:
        while data := _received(near):
            if self.mode == "silent":
                continue
            if not (_sent(near, self.text) if self.mode == "say" else _sent(far, data)):
                break
        _end(far)

    def _replies(self, near: socket.socket, far: socket.socket) -> None:
        while data := _received(far):
            mode = self.mode
            if mode in {"lose", "silent"}:
                continue
            if mode == "reset":
                _sent(near, data[: max(1, len(data) // 2)])
                _reset(near)
                return
            if not self._passed(near, data, mode):
                break
        _end(near)

    def _passed(self, near: socket.socket, data: bytes, mode: str) -> bool:
        if mode == "latency":
            time.sleep(self.seconds)
        if mode == "drip":
            for number in range(len(data)):
                time.sleep(self.seconds)
                if not _sent(near, data[number : number + 1]):
                    return False
                if self.mode != "drip":
                    return _sent(near, data[number + 1 :])
            return True
        return _sent(near, self.text if mode == "garbage" else data)


def _received(opened: socket.socket) -> bytes:
    try:
        return opened.recv(65536)
    except OSError:
        return b""


def _sent(opened: socket.socket, data: bytes) -> bool:
    try:
        opened.sendall(data)
    except OSError:
        return False
    return True


def _end(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)
    opened.close()


def _reset(opened: socket.socket) -> None:
    """Close with an RST, and wake the thread that reads from it."""
    with contextlib.suppress(OSError):
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # A shutdown would send a FIN first; one of the reading side alone wakes who reads, and sends nothing.
        opened.shutdown(socket.SHUT_RD)
    opened.close()
