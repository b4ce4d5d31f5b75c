"""A line between a driver and its server that loses what it is told to lose.

Knows bytes and connections. Must never know a protocol: an exchange is whatever a client sends
until the server answers, so it serves any database behind a socket.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeAlias

from attrs import define

__all__ = ["Line", "LossyLine"]

Target: TypeAlias = str | tuple[str, int]
"""A server's Unix socket, or its host and port."""


class Line(Protocol):
    """What the contract asks of a line; `LossyLine` is one, and a driver may be made one.

    Attributes:
        lost: how many exchanges it has lost.
    """

    lost: int

    def lose(self, exchange: int, *, answer: bool) -> None:
        """Lose one exchange from now on, and its connection with it.

        Args:
            exchange: which, counted from 0; those that make a connection count as well.
            answer: whether the answer gets lost, when the server has done what was asked, or the
                question, before the server hears of it.
        """
        ...

    def cut(self) -> None:
        """Let nothing through any more; what is connected is disconnected."""
        ...

    def restore(self) -> None:
        """Let everything through again, from now on."""
        ...


@define(eq=False)
class _Connection:
    client: socket.socket
    server: socket.socket
    answered: bool = True
    doomed: bool = False

    def cut(self) -> None:
        for each in (self.client, self.server):
            # Only this ends a `recv` that another thread is in.
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class LossyLine:
    """Listens on a port of this machine and passes everything on to a server; see `Line`.

    Args:
        target: the server.

    Attributes:
        port: where it listens, at 127.0.0.1.
        lost: how many exchanges it has lost.
    """

    def __init__(self, target: Target) -> None:
        self.lost = 0
        self._target = target
        self._lock = threading.Lock()
        self._connections: list[_Connection] = []
        self._count = 0
        self._losing: int | None = None
        self._loses_answer = False
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._begin(self._accept)

    def lose(self, exchange: int, *, answer: bool) -> None:
        """Lose one exchange from now on, counted from 0: the question or its answer."""
        with self._lock:
            self._count, self._losing, self._loses_answer = 0, exchange, answer

    def cut(self) -> None:
        """Disconnect everybody, and listen to nobody."""
        # Only this ends an `accept` that another thread is in.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        # The first one accepts: after it nobody new is connected.
        acceptor, *_ = self._threads
        acceptor.join()
        for connection in self._connections:
            connection.cut()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def restore(self) -> None:
        """Let everything through again."""
        self._losing = None
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._begin(self._accept)

    def close(self) -> None:
        """Disconnect everybody and stop listening."""
        self.cut()
        for connection in self._connections:
            connection.client.close()
            connection.server.close()

    def _begin(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                connection = _Connection(client, _connected(self._target))
                self._connections.append(connection)
                self._begin(self._ask, connection)
                self._begin(self._answer, connection)

    def _ask(self, connection: _Connection) -> None:
        with suppress(OSError):
            while data := connection.client.recv(1 << 20):
                with self._lock:
                    if connection.answered and self._count == self._losing:
                        connection.doomed = True
                    self._count += connection.answered
                    connection.answered = False
                    if connection.doomed and not self._loses_answer:
                        self._lose(connection)
                        return
                connection.server.sendall(data)
        connection.cut()

    def _answer(self, connection: _Connection) -> None:
        with suppress(OSError):
            while data := connection.server.recv(1 << 20):
                with self._lock:
                    connection.answered = True
                    if connection.doomed:
                        self._lose(connection)
                        return
                connection.client.sendall(data)
        connection.cut()

    def _lose(self, connection: _Connection) -> None:
        self.lost += 1
        connection.cut()


def _connected(target: Target) -> socket.socket:
    if isinstance(target, tuple):
        return socket.create_connection(target)
    server = socket.socket(socket.AF_UNIX)
    server.connect(target)
    return server
