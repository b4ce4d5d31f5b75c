"""What a storage may lack: its author declares it, and the contract skips tests by it.

Knows each capability and what it means, as a table. Must never find out by trying.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from attrs import field, fields, frozen

__all__ = ["CAPABILITIES", "Capabilities", "needed_by", "needs"]

T = TypeVar("T", bound=Callable[..., Any])
_NEEDS: Final = "__needs__"


def _capability(summary: str, *, default: bool = True) -> Any:
    return field(default=default, metadata={"summary": summary}, kw_only=True)


@frozen
class Capabilities:
    """What a storage can do: unless its author says otherwise, everything but short waits.

    Attributes:
        concurrent_writers: callers may call at once; `CAPABILITIES` explains each.
        open_transactions: a transaction may wait.
        reruns: the storage runs work again that lost a race.
        durable: another connection sees what was written.
        processes: another process may use the data.
        cancellation: a task may be cancelled.
        finding: records are found by what they say.
        people: Profiles are suppressed, erased and merged.
        audit: the record of what was done is kept.
        retention: old records are removed.
        cancelling: Journeys may have `cancelOn`.
        pausing: what waits in a Journey that is not active is not handed over.
        history: what a Profile did before is told.
        short_waits: a transaction may wait for less than the storage would.
    """

    concurrent_writers: bool = _capability(
        "Several threads, or several tasks of one event loop, may call the storage at once."
    )
    open_transactions: bool = _capability(
        "A transaction may stay open while its caller waits for something else;"
        " a caller that needs what it holds waits, or one of the two runs again."
    )
    reruns: bool = _capability(
        "Work that lost a race runs again by itself; a storage without this refuses it with"
        " storage_unavailable, and its caller calls again."
    )
    durable: bool = _capability(
        "What was acknowledged is there for a connection that shares no memory with the first."
    )
    processes: bool = _capability(
        "Another process may open the same data at the same time, as `open_elsewhere` says."
    )
    cancellation: bool = _capability(
        "An asynchronous call may be cancelled anywhere, as asyncio does it."
    )
    finding: bool = _capability(
        "Its transactions have `finding`: Profiles by email or external id, events and"
        " Enrollments by what they say. A storage without this is complete all the same."
    )
    people: bool = _capability(
        "Its transactions have `people`: Profiles are suppressed, erased and merged. A storage"
        " without this is complete all the same."
    )
    audit: bool = _capability(
        "Its transactions have `audit`: the record of what was done to people, Journeys and API"
        " Keys. A storage without this is complete all the same."
    )
    retention: bool = _capability(
        "Its transactions have `retention`: old events and finished Enrollments are removed. A"
        " storage without this is complete all the same."
    )
    cancelling: bool = _capability(
        "Its transactions have `cancelling`: later events withdraw Enrollments, as `cancelOn` says."
        " A storage without this is complete all the same, and publishes no such Journey."
    )
    pausing: bool = _capability(
        "Its transactions have `pausing`: a claim reads active Journeys alone, and what waits in an"
        " archived one reads as withdrawn at once. A storage without this is complete all the same."
    )
    history: bool = _capability(
        "Its transactions have `history`: what a Profile did before, for conditions that count it."
        " A storage without this is complete all the same; a Journey with such a condition is"
        " refused when it is published."
    )
    short_waits: bool = _capability(
        "A transaction waits for what others hold no longer than `Intent.wait` says. A storage"
        " without this is complete all the same; calls that share transactions on it may have to"
        " wait for each other's keys.",
        default=False,
    )


CAPABILITIES: Final[dict[str, str]] = {
    attribute.name: attribute.metadata["summary"] for attribute in fields(Capabilities)
}
"""Every capability, with what it means."""


def needs(*names: str) -> Callable[[T], T]:
    """Mark a test of the contract as needing capabilities that a storage may lack."""

    def mark(test: T) -> T:
        setattr(test, _NEEDS, names)
        return test

    return mark


def needed_by(test: Callable[..., Any]) -> tuple[str, ...]:
    """Return the capabilities that a test needs."""
    names: tuple[str, ...] = getattr(test, _NEEDS, ())
    return names
