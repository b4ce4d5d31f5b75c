"""The record of what was done, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses.

See docs/reference/rules/people.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from segmentflow_core.colour import settle
from segmentflow_core.ports import AuditRecord
from segmentflow_core.testing import specimens
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.comparing import exact
from segmentflow_core.testing.contract.doors import Doors
from segmentflow_core.testing.facts import build, facts_of, values_of
from segmentflow_core.testing.faults import InjectedFault

__all__ = ["AuditContract"]

_FACTS: Final = {
    fact: tried
    for fact, tried in values_of(AuditRecord).items()
    if fact in ("audit_id", "done_at", "action", "subjects", "counts", "by")
}


class AuditContract:
    """Records are kept as they are, and with what they record."""

    @needs("audit")
    @pytest.mark.parametrize("fact", _FACTS)
    def test_every_value_of_a_record_of_what_was_done_comes_back_as_it_was(
        self, doors: Doors, fact: str
    ) -> None:
        """Another Organization has records of the same ids, with other words."""
        written = {
            record.audit_id: record
            for number, values in enumerate(_FACTS[fact])
            for record in [build(AuditRecord, facts_of(number, **values))]
        }
        for audit_id, record in written.items():
            doors.ask("audit", "add", "default", record)
            other = build(AuditRecord, facts_of(0, audit_id=audit_id, by="acme"))
            doors.ask("audit", "add", "acme", other)
        listed = {each.audit_id: each for each in doors.audited("default")}
        assert exact(listed) == exact(written)
        assert {each.by for each in doors.audited("acme")} == {"acme"}
        assert not doors.audited("nobody")

    @needs("audit")
    def test_records_of_what_was_done_are_listed_newest_first_and_page_by_page(
        self, doors: Doors
    ) -> None:
        """One that is kept again, by a second run of its work, is there once."""
        ids = [specimens.an_id(2**90 + n) for n in (3, 1, 5, 2, 4)]
        for number, audit_id in enumerate(ids):
            record = build(AuditRecord, facts_of(number, audit_id=audit_id))
            doors.ask("audit", "add", "default", record)
            doors.ask("audit", "add", "default", record)
        newest = sorted(ids, reverse=True)

        def page(limit: int, before: str | None) -> list[str]:
            found = doors.ask("audit", "list", "default", limit, before)
            return sorted((record.audit_id for record in found), reverse=True)

        assert page(2, None) == newest[:2]
        assert page(2, newest[1]) == newest[2:4]
        assert page(9, newest[3]) == newest[4:]
        assert page(9, newest[4]) == []

    @needs("audit")
    def test_a_record_of_what_was_done_is_kept_only_where_its_transaction_is(
        self, doors: Doors, in_transaction: Callable[[Any], Any]
    ) -> None:
        async def work(transaction: Any) -> None:
            record = build(AuditRecord, facts_of(0))
            await settle(transaction.audit.add("default", record))
            raise InjectedFault

        with pytest.raises(InjectedFault):
            in_transaction(work)
        assert not doors.audited("default")
