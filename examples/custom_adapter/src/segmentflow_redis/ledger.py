"""What a transaction has read and means to write, and why committing it is safe.

A transaction keeps nothing on the server until its end. It reads values and remembers
them as they were; it notes what it will write; the commit is one script, which first
compares every value that was read with what is stored now, and writes all or nothing.

Why that is exactly once:

- *Serializable.* Redis runs a script with nothing in between. Where every value still is
  what was read, reading it all again at that instant would have told the work the same,
  so it is as if the whole work had happened at that instant. Values are compared, not
  versions: work that reads the same decides the same.
- *Unique.* A free idempotency key, email, external id or entry key was read as an absent
  value. Of two transactions that read it so, the second to commit finds it present and runs
  again: then it finds the key taken by the first, and replays. What a transaction creates
  without having read it is compared with absent as well.
- *All or nothing.* A client that dies before it sends the script leaves nothing; one that
  dies afterwards leaves everything. A server that dies keeps all of a script or nothing: its
  log holds what one script wrote as one unit, and an incomplete unit is dropped at the start.
- *Acknowledged means kept*, where the server logs with ``appendfsync always``: it answers
  the script after the log has reached the disk, and shows nobody what has not.
- *In doubt.* The work runs again when the commit succeeded but its answer was lost. It then
  finds the key taken with the very event id that this call drew, so the call knows its own
  event. A script that arrives twice, or late, no longer finds what it compares with, and
  does nothing: each commit replaces something that never comes back, such as the event id
  of a key, the token of a lease or a Journey's count of publications.

Ranges of sorted sets are not compared: they would differ all the time. So nothing is
decided by a range alone; what it names is read, and that is compared.

What asks the server is an `async def`, written once for both colours: over a synchronous
client it never suspends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from importlib.resources import files
from typing import Any, Final, TypeAlias

from attrs import frozen

from segmentflow_core.errors import ConfigurationError
from segmentflow_redis.keys import FORMAT, WAITING

__all__ = ["Command", "Exchange", "Ledger", "LostRace", "Range"]

Command: TypeAlias = tuple[Any, ...]
Exchange: TypeAlias = Callable[[list[Command]], Awaitable[list[Any]]]
"""Sends commands together, and returns the reply to each."""

_COMMIT: Final = files("segmentflow_redis").joinpath("commit.lua").read_text(encoding="utf-8")
_VERSION: Final = b"3"


class LostRace(Exception):
    """Another transaction was first: everything is to be run again."""


@frozen
class Range:
    """The first members of a sorted set, or the last ones.

    Attributes:
        index: the sorted set's key.
        limit: how many members at most; None is all.
        below: only members that sort before these bytes.
        newest_first: from the end.
    """

    index: str
    limit: int | None
    below: bytes | None = None
    newest_first: bool = False

    @classmethod
    def newest(cls, index: str, limit: int, before: str | None) -> Range:
        """Return a page of ids, newest first; only ids below `before`."""
        return cls(index, limit, None if before is None else before.encode(), newest_first=True)

    def command(self, more: int) -> Command:
        """Ask for the members, and for some `more`, as some may turn out to be gone."""
        highest = "+" if self.below is None else b"(" + self.below
        bounds = (highest, "-", "BYLEX", "REV") if self.newest_first else ("-", highest, "BYLEX")
        count = -1 if self.limit is None else self.limit + more
        return ("ZRANGE", self.index, *bounds, "LIMIT", 0, count)

    def merge(self, found: Iterable[bytes], changed: dict[bytes, bool]) -> list[bytes]:
        """Return the members found, with this transaction's own changes to them."""
        members = {member for member in found if changed.get(member, True)}
        members |= {
            member
            for member, present in changed.items()
            if present and (self.below is None or member < self.below)
        }
        return sorted(members, reverse=self.newest_first)[: self.limit]


class Ledger:
    """The reads and writes of one transaction, which sees its own writes.

    Attributes:
        exchange: asks the server something that the commit shall not compare.
        queues: the queues it changes, each with its Organization.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.queues: dict[str, str] = {}
        self._seen: dict[str, bytes | None] = {}
        self._passed: dict[str, bytes | None] = {}
        self._written: dict[str, bytes | None] = {}
        self._raised: dict[str, bytes] = {}
        self._moved: dict[str, dict[bytes, bool]] = {}

    async def values(self, keys: Sequence[str], *, compared: bool = True) -> list[bytes | None]:
        """Read the values of keys, None where there is none; ask only for what is not known.

        Where they are not to be compared, the commit compares those that are then written.

        Raises:
            ConfigurationError: what is stored is of a format that this version cannot read.
        """
        unknown = [key for key in dict.fromkeys((FORMAT, *keys)) if key not in self._seen]
        if unknown and keys:
            (found,) = await self.exchange([("MGET", *unknown)])
            (self._seen if compared else self._passed).update(zip(unknown, found, strict=True))
            if self._known(FORMAT) not in (None, _VERSION):
                raise ConfigurationError("The store was written by another version of the adapter.")
        return [self._written.get(key, self._known(key)) for key in keys]

    def _known(self, key: str) -> bytes | None:
        return self._seen.get(key, self._passed.get(key))

    async def value(self, key: str) -> bytes | None:
        """Read the value of one key, None where there is none."""
        (value,) = await self.values([key])
        return value

    async def existing(self, keys: Sequence[str]) -> list[bytes]:
        """Read the values of keys, without those that have none."""
        return [value for value in await self.values(keys) if value is not None]

    async def members(self, ranges: Sequence[Range]) -> list[list[bytes]]:
        """Read ranges of sorted sets."""
        if not ranges:
            return []
        changes = [self._moved.get(each.index, {}) for each in ranges]
        found = await self.exchange(
            [each.command(more=len(changed)) for each, changed in zip(ranges, changes, strict=True)]
        )
        return [
            each.merge(members, changed)
            for each, members, changed in zip(ranges, found, changes, strict=True)
        ]

    def put(self, key: str, value: bytes | None) -> None:
        """Write the value of a key, or remove it; a key not read is new, or the race is lost."""
        self._seen.setdefault(key, self._passed.get(key))
        self._written[key] = value

    def raise_to(self, key: str, instant: bytes) -> None:
        """Write an instant where nothing later stands: the order of writers does not matter."""
        self._raised[key] = max(instant, self._raised.get(key, instant))

    def move(self, index: str, member: bytes, *, present: bool) -> None:
        """Add to a sorted set what is not in it, or remove what is."""
        changed = self._moved.setdefault(index, {})
        if changed.get(member) is (not present):
            del changed[member]
        else:
            changed[member] = present

    async def commit(self) -> None:
        """Write everything, if all that was read is as it was; nothing, if nothing changes.

        Raises:
            LostRace: something is not as it was, and nothing was written.
        """
        writes = list(self._writes())
        if not writes:
            return
        if self._known(FORMAT) is None:
            self._seen[FORMAT] = None
            writes.append(("set", FORMAT, _VERSION))
        keys = [WAITING, *self._seen, *(key for _, key, _ in writes)]
        arguments: list[bytes | str | int] = [len(self._seen)]
        arguments += [b"" if value is None else b"=" + value for value in self._seen.values()]
        for operation, _, argument in writes:
            arguments += (operation, argument)
        (written,) = await self.exchange([("EVAL", _COMMIT, len(keys), *keys, *arguments)])
        if not written:
            raise LostRace

    def _writes(self) -> Iterable[tuple[str, str, bytes]]:
        for key, value in self._written.items():
            if value != self._seen[key]:
                yield ("delete", key, b"") if value is None else ("set", key, value)
        for key, instant in self._raised.items():
            yield "raise", key, instant
        for index, changed in self._moved.items():
            for member, present in changed.items():
                yield "add" if present else "remove", index, member
        for queue, organization_id in self.queues.items():
            yield "wait", queue, organization_id.encode()
