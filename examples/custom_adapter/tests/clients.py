"""Clients in processes of their own, for the tests to kill while they track."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from attrs import frozen

from segmentflow_core import Tracker
from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
from segmentflow_redis import open_storage

__all__ = ["Answer", "Clients", "an_order"]

# Forks come from a server without threads, which has imported what takes long.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["segmentflow_core.testing", "segmentflow_redis"])


@frozen
class Answer:
    """What a client was told for a key."""

    key: int
    event_id: str
    replayed: bool


def an_order(key: int) -> dict[str, Any]:
    """Return the request that belongs to a key: of one of 7 Profiles, about one of 5 orders."""
    profile = {"email": f"p{key % 7}@example.com", "externalId": f"p{key % 7}"}
    return a_request(profile=profile, data={"orderId": key % 5})


def _track(url: str, keys: Sequence[int], teller: Connection) -> None:
    """Track the requests of these keys, and tell each answer; try again as a host would."""
    storage = open_storage(url)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    for key in keys:
        while True:
            try:
                receipt = tracker.track(an_order(key), f"key {key}")
                break
            except StorageUnavailable:
                continue
        teller.send(Answer(key, receipt.event_id, receipt.replayed))
    storage.close()


class Clients:
    """Clients of one store; each that is killed has a successor, which starts all over."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._alive: dict[Connection, tuple[Any, Sequence[int]]] = {}

    def start(self, keys: Sequence[int]) -> None:
        """Start a client that tracks the requests of these keys, in this order."""
        reader, teller = _processes.Pipe(duplex=False)
        process = _processes.Process(target=_track, args=(self._url, keys, teller))
        process.start()
        teller.close()
        self._alive[reader] = (process, keys)

    def answers(self) -> Iterator[Answer]:
        """Yield what the clients are told, until all of them are done."""
        while self._alive:
            for reader in wait(list(self._alive)):
                assert isinstance(reader, Connection)
                if reader not in self._alive:
                    continue  # killed while the others were heard
                try:
                    yield reader.recv()
                except EOFError:
                    process, _ = self._alive.pop(reader)
                    process.join()
                    assert process.exitcode == 0

    def kill_one(self) -> None:
        """Kill the client that has been at work longest, and start its successor."""
        reader = next(iter(self._alive))
        process, keys = self._alive.pop(reader)
        process.kill()
        process.join()
        reader.close()
        self.start(keys)
