"""A Redis server of the tests' own, in a directory of its own, behind a Unix socket there."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

__all__ = ["RedisServer"]


class RedisServer:
    """A server that has its log on the disk before it acknowledges anything.

    Args:
        settings: of the server, as its command takes them, in place of ours.

    Where redis-server is not installed, the test that wants one is skipped.
    """

    def __init__(self, *settings: str) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed: nothing was tested on Redis")
        self._program = program
        # Not among pytest's own directories: their paths are too long for a socket.
        self._folder = Path(tempfile.mkdtemp(prefix="segmentflow-redis-"))
        self._settings = ("--appendonly", "yes", "--appendfsync", "always", *settings)
        self._process = self._start()

    @property
    def url(self) -> str:
        return f"redis+unix://{self.socket}"

    def client(self) -> Redis:
        return Redis(unix_socket_path=str(self.socket))

    def kill(self) -> None:
        """Kill the server at once, as the kernel would when memory runs out."""
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        self._process = self._start()

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self._folder)

    @property
    def socket(self) -> Path:
        return self._folder / "socket"

    @property
    def log(self) -> Path:
        """The file that everything acknowledged is appended to."""
        # From version 7 on, the log is of several files, and this one grows.
        (log,) = [*self._folder.rglob("*.incr.aof"), *self._folder.glob("appendonly.aof")]
        return log

    def _start(self) -> subprocess.Popen[bytes]:
        place = ("--dir", str(self._folder), "--port", "0", "--unixsocket", str(self.socket))
        process = subprocess.Popen(
            [self._program, *place, "--save", "", "--logfile", "log", *self._settings]
        )
        deadline = time.monotonic() + 30
        with self.client() as client:
            while True:
                try:
                    client.ping()
                    return process
                except RedisError:
                    assert process.poll() is None, "the Redis server ended"
                    assert time.monotonic() < deadline, "the Redis server does not answer"
