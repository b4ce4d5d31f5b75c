"""`segmentflow serve` in a process of its own, for the tests that need a real server."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from urllib.parse import urlsplit

import pytest

from segmentflow_core.testing import FINGERPRINT_SECRET

KEY = "sk_test_" + "0123456789" * 4 + "012"
READERS = [
    pytest.param(
        (),
        id="httptools",
        marks=pytest.mark.skipif(
            find_spec("httptools") is None, reason="httptools is not installed: NOT TESTED"
        ),
    ),
    pytest.param(("httptools", "uvloop"), id="h11"),
]
"""What `served` shall find not installed, so that requests are read by the one or the other."""

RUNNING = re.compile(r"Uvicorn running on (http://\S+)")


class Served:
    """A running server: its URL, its process, and what it has logged so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.out: list[str] = []
        self.err: list[str] = []
        self._ready = threading.Event()
        self.url = ""
        streams = ((process.stdout, self.out), (process.stderr, self.err))
        self._readers = [
            threading.Thread(target=self._read, args=each, daemon=True)
            for each in streams
            if each[0] is not None
        ]
        for reader in self._readers:
            reader.start()
        assert self._ready.wait(60), "".join(self.err)
        assert self.url, "".join(self.err)
        # Several workers announce the address before the first of them listens.
        while not self._listens():
            assert process.poll() is None, "".join(self.err)

    def _listens(self) -> bool:
        address = urlsplit(self.url)
        try:
            socket.create_connection((address.hostname, address.port), timeout=60).close()
        except ConnectionRefusedError:
            return False
        return True

    def _read(self, stream, lines: list[str]) -> None:
        for line in stream:
            lines.append(line)
            if (found := RUNNING.search(line)) is not None:
                self.url = found[1]
                self._ready.set()
        self._ready.set()

    def stop(self) -> int:
        """Ask it to stop, and wait until it and its logs have ended."""
        self.process.terminate()
        status = self.process.wait(60)
        for reader in self._readers:
            reader.join(60)
        return status


@contextmanager
def served(
    store: str,
    *arguments: str,
    key: str = KEY,
    stdout: int = subprocess.PIPE,
    without: Sequence[str] = (),
) -> Iterator[Served]:
    """Serve a store.

    Args:
        store: its URL.
        arguments: of the command.
        key: the keys that are known.
        stdout: where the access log goes.
        without: modules that one process shall find not installed.
    """
    environment = {
        **os.environ,
        "SEGMENTFLOW_FINGERPRINT_KEY": FINGERPRINT_SECRET,
        "SEGMENTFLOW_API_KEYS": key,
        "PYTHONUNBUFFERED": "1",
    }
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({list(without)}))\n"
        "from segmentflow_cli import main; sys.exit(main())"
    )
    start = ["-c", program] if without else ["-m", "segmentflow_cli"]
    command = [sys.executable, *start, "serve", "--store", store, "--port", "0"]
    with subprocess.Popen(
        [*command, *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        server = Served(process)
        try:
            yield server
        finally:
            if process.poll() is None:
                server.stop()
