"""Mistakes with what a transaction has written that fails: a part of it stays."""

from __future__ import annotations

from broken_storages.altered import Broken
from segmentflow_memory.tables import Table

_TOLD = "test_nothing_is_told_of_what_a_transaction_wrote_that_failed[InjectedFault]"


class Forgotten(Table):
    """A table of which nothing is undone."""

    def put(self, key, value):
        self.rows[key] = value

    def remove(self, key):
        del self.rows[key]


class Kept(Broken):
    """A storage one of whose tables is not part of its transactions."""

    table = ""

    def __init__(self):
        super().__init__()
        setattr(self._tables, self.table, Forgotten([]))


class WhatIsBlockedStaysSo(Kept):
    caught_by = _TOLD
    table = "blocked"


class WhatIsCountedStaysSo(Kept):
    caught_by = _TOLD
    table = "gone"


class VersionsOfJourneysStay(Kept):
    caught_by = _TOLD
    table = "versions"


class TheRecordStays(Kept):
    caught_by = _TOLD
    table = "audit"


class AliasesOutliveAFailure(Kept):
    caught_by = _TOLD
    table = "aliases"


class RevocationsStay(Kept):
    caught_by = "test_a_failed_revocation_leaves_the_key_as_it_was[InjectedFault-after]"
    table = "api_keys"


class EntriesAreForgottenForGood(Broken):
    """A removal that failed has forgotten entries all the same."""

    caught_by = "test_entries_count_of_enrollments_whose_removal_failed"

    def retention_remove_enrollments(self, call, *asked):
        result = call(*asked)
        history, undo = self._tables.history, self._tables.undo
        undo[:] = [each for each in undo if each[0] != history._entries.__setitem__]
        return result


class CommitsByItself(Broken):
    """A removal is a transaction of its own."""

    caught_by = _TOLD

    def retention_remove_events(self, call, *asked):
        result = call(*asked)
        self._tables.undo.clear()
        return result
