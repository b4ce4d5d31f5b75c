"""A proxy before a Redis server that loses a chosen request, or the answer to it, once."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import BinaryIO

__all__ = ["LossyProxy"]


class LossyProxy:
    """Passes on what clients and server say, but for what it is told to lose.

    Attributes:
        lost: how often it has lost something, and broken the connection.
    """

    def __init__(self, server: Path) -> None:
        self.lost = 0
        self._server = server
        self._losing: tuple[bytes, str] | None = None
        self._last_lost = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}"

    def lose_next(self, command: bytes, what: str) -> None:
        """Lose the next request with this command, or the answer to it."""
        self._losing = (command, what)

    def send_what_was_lost(self) -> bytes:
        """Send the request that was lost, and return the answer."""
        with self._connected() as server:
            server.sendall(self._last_lost)
            return server.recv(1 << 16)

    def close(self) -> None:
        self._listener.close()

    def _connected(self) -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self._server))
        return server

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, self._connected() as server, client.makefile("rb") as requests:
            losing = threading.Event()
            answers = threading.Thread(target=_pass_on, args=(server, client, losing))
            answers.start()
            with contextlib.suppress(OSError):
                while request := _one_request(requests):
                    if self._losing is not None and self._losing[0] in request:
                        _, what = self._losing
                        self._losing = None
                        self.lost += 1
                        self._last_lost = request
                        if what == "request":
                            break
                        losing.set()
                    server.sendall(request)
            for end in (server, client):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            answers.join()


def _one_request(requests: BinaryIO) -> bytes:
    """Read an array of strings, as clients send them; nothing, where the client has gone."""
    request = line = requests.readline()
    for _ in range(int(line[1:]) if line else 0):
        line = requests.readline()
        request += line + requests.read(int(line[1:]) + 2)
    return request


def _pass_on(server: socket.socket, client: socket.socket, losing: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while answer := server.recv(1 << 20):
            if losing.is_set():
                client.shutdown(socket.SHUT_RDWR)
                return
            client.sendall(answer)
