"""The history of a race, and what must be true of every history.

A caller notes each call before it makes it, and how it ended: accepted, refused, or unknown
where the answer was lost. `contradictions` compares the history with what the store shows
afterwards. The rules are a table of functions; each knows the calls and the stored rows, and
must never know how the callers were run.

See docs/reference/rules/idempotency.md and docs/reference/rules/storage.md.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from attrs import frozen

from segmentflow_core import Enrollment, Receipt, SegmentflowError, UserEvent
from segmentflow_core.colour import settle
from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.testing.builders import a_request
from segmentflow_core.testing.faults import InjectedFault, InjectedInterrupt

__all__ = ["HISTORY_RULES", "Call", "Ending", "History", "Stored", "contradictions"]


class Ending(StrEnum):
    """How a call ended, as far as its caller knows."""

    INVOKED = "invoked"
    OK = "ok"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@frozen
class Call:
    """One call of `track`.

    Attributes:
        key: its idempotency key.
        variant: which request was sent under the key; equal variants are equal requests.
        ending: how it ended; `INVOKED` where the caller never came back.
        receipt: the receipt of an accepted call.
        code: the error code of a refused one.
    """

    key: str
    variant: int
    ending: Ending = Ending.INVOKED
    receipt: Receipt | None = None
    code: str | None = None

    @property
    def may_have_happened(self) -> bool:
        """Whether the store may hold the effect of the call."""
        return self.ending is not Ending.REFUSED


@frozen
class Stored:
    """What a store shows when every caller is done.

    Attributes:
        events: every event; its data names the key and the variant that made it.
        enrollments: every Enrollment.
    """

    events: Sequence[UserEvent]
    enrollments: Sequence[Enrollment] = ()

    def of_key(self, key: str) -> list[UserEvent]:
        """Return the events made under a key."""
        return [event for event in self.events if event.data["key"] == key]


class History:
    """Records calls from any number of threads or tasks."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._lock = threading.Lock()

    @property
    def calls(self) -> tuple[Call, ...]:
        """Return the calls so far, in the order they were made."""
        with self._lock:
            return tuple(self._calls)

    async def track(self, tracker: Any, key: str, variant: int = 0, **profile: Any) -> None:
        """Track one variant of a key's request and note how it ends.

        Args:
            tracker: of either colour.
            key: the idempotency key.
            variant: goes into the event's data, so that each variant is another request.
            profile: members of the request's profile; default those of `a_request`.
        """
        request = a_request(data={"key": key, "variant": variant})
        if profile:
            request["profile"] = profile
        place = self.invoke(key, variant)
        try:
            receipt = await settle(tracker.track(request, key))
        except (StorageUnavailable, InjectedFault, InjectedInterrupt):
            self._end(place, Call(key, variant, Ending.UNKNOWN))
        except SegmentflowError as refusal:
            self._end(place, Call(key, variant, Ending.REFUSED, code=refusal.code))
        else:
            self._end(place, Call(key, variant, Ending.OK, receipt))

    def invoke(self, key: str, variant: int = 0) -> int:
        """Note a call before it is made; return its place in the history."""
        with self._lock:
            self._calls.append(Call(key, variant))
            return len(self._calls) - 1

    def _end(self, place: int, call: Call) -> None:
        with self._lock:
            self._calls[place] = call


def contradictions(calls: Sequence[Call], stored: Stored) -> list[str]:
    """Compare a history with what the store shows; return every broken rule, in words.

    Args:
        calls: as recorded.
        stored: read after every caller was done and before any key expired.
    """
    by_key: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_key[call.key].append(call)
    return [
        f"{name}: {found}" for name, rule in HISTORY_RULES.items() for found in rule(by_key, stored)
    ]


_Calls = Mapping[str, Sequence[Call]]


def _receipts(calls: Sequence[Call]) -> list[Receipt]:
    return [call.receipt for call in calls if call.receipt is not None]


def _one_event_a_key(calls: _Calls, stored: Stored) -> Iterator[str]:
    for key in calls:
        count = len(stored.of_key(key))
        if count > 1:
            yield f"{count} events were made under {key!r}"


def _identical_receipts(calls: _Calls, _: Stored) -> Iterator[str]:
    for key, of_key in calls.items():
        receipts = _receipts(of_key)
        if any(receipt != receipts[0] for receipt in receipts):
            yield f"{key!r} got receipts that differ"


def _one_first_answer(calls: _Calls, _: Stored) -> Iterator[str]:
    for key, of_key in calls.items():
        receipts = _receipts(of_key)
        first = [receipt.replayed for receipt in receipts].count(False)
        # The first answer may be one that was lost.
        lost = any(call.ending in (Ending.INVOKED, Ending.UNKNOWN) for call in of_key)
        if first > 1 or (receipts and not first and not lost):
            yield f"{first} calls were told that they were the first under {key!r}"


def _others_refused(calls: _Calls, stored: Stored) -> Iterator[str]:
    for key, of_key in calls.items():
        for event in stored.of_key(key)[:1]:
            variant = event.data["variant"]
            if any(call.receipt is not None and call.variant != variant for call in of_key):
                yield f"another request under {key!r} was accepted"
            if any(
                call.code == "idempotency_key_reuse" and call.variant == variant for call in of_key
            ):
                yield f"the very request that {key!r} was used for was refused"


def _acknowledged_present(calls: _Calls, stored: Stored) -> Iterator[str]:
    present = {(event.event_id, event.profile_id) for event in stored.events}
    for key, of_key in calls.items():
        if any((r.event_id, r.profile_id) not in present for r in _receipts(of_key)):
            yield f"an event acknowledged under {key!r} is not in the store"


def _no_orphan(calls: _Calls, stored: Stored) -> Iterator[str]:
    for event in stored.events:
        key, variant = event.data["key"], event.data["variant"]
        if not any(c.may_have_happened and c.variant == variant for c in calls.get(key, ())):
            yield f"nobody whose call was accepted made the event under {key!r}"
    entered: dict[str, int] = defaultdict(int)
    for enrollment in stored.enrollments:
        entered[enrollment.event_id] += 1
    for event in stored.events:
        if entered.pop(event.event_id, 0) != Receipt.of(event).enrolled_journeys:
            yield f"the event under {event.data['key']!r} does not account for its Enrollments"
    if entered:
        yield f"{len(entered)} events that caused Enrollments are not in the store"


HISTORY_RULES: Final[Mapping[str, Callable[[_Calls, Stored], Iterator[str]]]] = {
    "one event a key": _one_event_a_key,
    "identical receipts": _identical_receipts,
    "one first answer": _one_first_answer,
    "other requests are refused": _others_refused,
    "acknowledged means present": _acknowledged_present,
    "no orphan": _no_orphan,
}
"""Every rule of a history, by name."""
