"""Callers of a server over plain sockets, kept alive: so many requests, or for so many seconds.

Each request is the documented one about the next of 1,000 Profiles, with a key of its own. The work
of the callers is in the figures, since they share the machine with the server.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from attrs import frozen

from segmentflow_core.testing import DOCUMENTED_REQUEST

__all__ = ["KEY", "PROFILES", "Answers", "call", "call_for", "request_about"]

KEY: Final = "sk_test_" + "0123456789" * 4 + "012"
PROFILES: Final = 1000
_LENGTH: Final = re.compile(rb"content-length: ([0-9]+)")
_PATIENCE: Final = 1.0
"""Seconds until a caller in a hurry closes its connection; and as many as `retry-after` says."""

_CONNECTING: Final = 2.0

_keys = itertools.count()


def request_about(profile: int) -> dict[str, Any]:
    """Return the documented request about one of the Profiles, without a time of its own."""
    identities = {"email": f"p{profile}@example.com", "externalId": f"p{profile}"}
    request = {**DOCUMENTED_REQUEST, "profile": {**DOCUMENTED_REQUEST["profile"], **identities}}
    del request["occurredAt"]
    return request


_bodies: Final = [json.dumps(request_about(number)).encode() for number in range(PROFILES)]


@frozen
class Answers:
    """What callers saw.

    Attributes:
        rate: how many events a second were accepted.
        latencies: of those, in seconds, sorted.
        counts: how many answers there were of each status, and how often none came in time.
    """

    rate: float
    latencies: list[float]
    counts: Counter[str]

    def at(self, quantile: float) -> float:
        """Return a quantile of the latencies, in milliseconds."""
        return self.latencies[int(len(self.latencies) * quantile)] * 1000


async def call(address: tuple[str, int], connections: int, requests: int) -> Answers:
    """Send requests over so many connections; each is to be accepted."""
    latencies: list[float] = []
    left = iter(range(requests))

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection(*address)
        for _ in left:
            started = time.perf_counter()
            status = await _asked(reader, writer)
            assert status == "202", status
            latencies.append(time.perf_counter() - started)
        writer.close()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one_connection())
    rate = requests / (time.perf_counter() - started)
    return Answers(rate, sorted(latencies), Counter({"202": requests}))


async def call_for(address: tuple[str, int], connections: int, seconds: float) -> Answers:
    """Send requests for so many seconds; a caller waits a second for its answer, and no longer.

    One that is told to come again comes after the second that it is told. Nothing counts before
    all have had the time to connect.
    """
    counts: Counter[str] = Counter()
    latencies: list[float] = []
    begin = time.perf_counter() + _CONNECTING
    end = begin + seconds

    async def one_caller() -> None:
        while time.perf_counter() < end:
            try:
                async with asyncio.timeout(_PATIENCE):
                    reader, writer = await asyncio.open_connection(*address)
            except (OSError, TimeoutError):
                counts["no connection"] += time.perf_counter() >= begin
                continue
            try:
                await _until(begin, end, (reader, writer), counts, latencies)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                counts["no answer"] += time.perf_counter() >= begin
            finally:
                writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one_caller())
    return Answers(counts["202"] / seconds, sorted(latencies), counts)


async def _until(
    begin: float,
    end: float,
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    counts: Counter[str],
    latencies: list[float],
) -> None:
    while (started := time.perf_counter()) < end:
        async with asyncio.timeout(_PATIENCE):
            status = await _asked(*streams)
        if time.perf_counter() >= begin:
            counts[status] += 1
            if status == "202":
                latencies.append(time.perf_counter() - started)
        if status != "202":
            await asyncio.sleep(_PATIENCE)


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Send the next request; return the status of its answer."""
    writer.write(b"".join(_next_message()))
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    assert length is not None
    await reader.readexactly(int(length[1]))
    return head[9:12].decode()


def _next_message() -> Iterator[bytes]:
    number = next(_keys)
    body = _bodies[number % PROFILES]
    yield (
        "POST /api/v1/events HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        f"x-api-key: {KEY}\r\nidempotency-key: {number}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode()
    yield body
