"""Every write of every port is undone with its transaction, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses. Each write is made in a transaction that fails
afterwards; then all that the ports tell is as it was before.

See docs/reference/rules/storage.md.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import pytest
from attrs import evolve

from segmentflow_core import JourneyStatus
from segmentflow_core.colour import settle
from segmentflow_core.domain.people import identities_of
from segmentflow_core.ports import Alias, AuditRecord, Changes, EnrollmentChange, Probe, answer
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.comparing import check_same
from segmentflow_core.testing.contract.doors import Doors, InTransaction, batch_of
from segmentflow_core.testing.contract.earlier_entries import (
    completed,
    entries_of,
    series,
    write_series,
)
from segmentflow_core.testing.contract.told import (
    a_batch,
    alias,
    all_told,
    person,
    write_people,
)
from segmentflow_core.testing.facts import build, facts_of
from segmentflow_core.testing.faults import InjectedFault, InjectedInterrupt

__all__ = ["UndoingContract"]

_Write: TypeAlias = Callable[[Any], Coroutine[Any, Any, None]]
_LATER: Final = datetime(2030, 1, 1, tzinfo=UTC)
_WHOSE: Final = "default"


class UndoingContract:
    """What a transaction wrote that failed, one test for each repository that writes."""

    @pytest.mark.parametrize("fault", [InjectedFault, InjectedInterrupt])
    def test_nothing_is_told_of_what_a_transaction_wrote_that_failed(
        self, doors: Doors, in_transaction: InTransaction, fault: type[BaseException]
    ) -> None:
        """Versions, what is blocked, what is counted of removed events, entries that are left."""
        write_people(doors, _WHOSE, [0, 1, 2], "own")
        for write in [write for repository, write in _WRITES if doors.offers(repository)]:
            before = all_told(doors, _WHOSE)
            with pytest.raises(fault):
                in_transaction(_failing(write, fault))
            check_same(all_told(doors, _WHOSE), before)
            in_transaction(write)
            assert all_told(doors, _WHOSE) != before, write

    @needs("retention")
    def test_entries_count_of_enrollments_whose_removal_failed(
        self, doors: Doors, in_transaction: InTransaction
    ) -> None:
        """Those without a key, too, of which the latest alone would have been left."""
        batches = series(3)
        write_series(doors, batches)
        entries = entries_of(batches)
        doors.become(_WHOSE, [entry.enrollment_id for entry in entries], completed)
        with pytest.raises(InjectedFault):
            in_transaction(_failing(_remove_enrollments, InjectedFault))
        pair = (entries[0].journey_id, entries[0].profile_id)
        probes = [Probe(*pair, None, before) for before in (1, 2, 3, 4, None)]
        answers = doors.ask("tracking", "prior_entries", _WHOSE, probes)
        assert answers == {probe: answer(probe, entries) for probe in probes}
        assert len([*doors.ask("enrollments", "list", _WHOSE, 9)]) == 3


def _failing(write: _Write, fault: type[BaseException]) -> Callable[[Any], Any]:
    async def work(transaction: Any) -> None:
        await write(transaction)
        raise fault

    return work


async def _record(transaction: Any) -> None:
    """Record another event of the second person."""
    batch = a_batch(1, "own", aliases=(alias(1),))
    profile = evolve(batch.profile, number=batch.profile.number + 1)
    event_id = facts_of(9)["event_id"]
    changes = Changes(
        events=(evolve(batch.event, event_id=event_id, number=profile.number),),
        changed_profiles=(profile,),
        previous_profiles=(batch.profile,),
    )
    await settle(transaction.tracking.write(_WHOSE, changes))


async def _finish(transaction: Any) -> None:
    """Complete what the second person entered."""
    entry = a_batch(1, "own").enrollment
    assert entry is not None
    named = [(_WHOSE, entry.enrollment_id)]
    ((_, before),) = await settle(transaction.hand_over.lock(named))
    await settle(transaction.hand_over.save([EnrollmentChange(_WHOSE, before, completed(before))]))


async def _publish(transaction: Any) -> None:
    """Publish a second version of one Journey, and another status of another one."""
    version = a_batch(0, "own", journey_version=2, trigger="another").journey
    paused = a_batch(1, "own").journey
    paused = evolve(paused, definition=evolve(paused.definition, status=JourneyStatus.PAUSED))
    await settle(transaction.journeys.publish(_WHOSE, [version], [paused]))


async def _add_alias(transaction: Any) -> None:
    """Let another identity lead to the third person, as a merge does."""
    before = a_batch(2, "own", aliases=(alias(2),)).profile
    await settle(transaction.people.lock(_WHOSE, [before.profile_id]))
    after = evolve(before, aliases=(alias(0, "another"), *before.aliases))
    changes = Changes(changed_profiles=(after,), previous_profiles=(before,))
    await settle(transaction.tracking.write(_WHOSE, changes))


async def _block(transaction: Any) -> None:
    """Block what leads to the first person."""
    profile = a_batch(0, "own", aliases=(alias(0),)).profile
    await settle(transaction.people.lock(_WHOSE, [profile.profile_id]))
    identities = identities_of(profile)
    await settle(transaction.people.block(_WHOSE, profile.profile_id, identities))


def _erasing(number: int, *, aliases: tuple[Alias, ...]) -> _Write:
    """Return what erases a person, and scrubs all that is left of her."""

    async def erase(transaction: Any) -> None:
        before = a_batch(number, "own", aliases=aliases)
        gone: dict[str, Any] = {"email": None, "external_id": None, "properties": {}}
        after = batch_of({**facts_of(number), **gone, "version": 2, "erased_at": _LATER})
        await settle(transaction.people.lock(_WHOSE, [person(number)]))
        changes = Changes(
            changed_profiles=(after.profile,),
            previous_profiles=(before.profile,),
            new_versions=(after.version,),
        )
        await settle(transaction.tracking.write(_WHOSE, changes))
        while await settle(transaction.people.scrub(_WHOSE, person(number), 99)):
            pass

    return erase


async def _remove_enrollments(transaction: Any) -> None:
    await settle(transaction.retention.remove_enrollments(_WHOSE, _LATER, 99))


async def _remove_events(transaction: Any) -> None:
    await settle(transaction.retention.remove_events(_WHOSE, _LATER, 99, None))


async def _keep_record(transaction: Any) -> None:
    await settle(transaction.audit.add(_WHOSE, build(AuditRecord, facts_of(0))))


_WRITES: Final[tuple[tuple[str, _Write], ...]] = (
    ("tracking", _record),
    ("hand_over", _finish),
    ("journeys", _publish),
    ("people", _add_alias),
    ("people", _block),
    ("people", _erasing(0, aliases=(alias(0),))),
    ("retention", _remove_enrollments),
    ("retention", _remove_events),
    ("people", _erasing(2, aliases=(alias(0, "another"), alias(2)))),
    ("audit", _keep_record),
)
"""Each write, with the repository that it needs. The last one erased has entries that were left."""
