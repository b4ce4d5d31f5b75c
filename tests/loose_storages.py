"""A legal storage in memory that keeps to no more than the ports say of what they return.

What may come in any order comes in another one each time, as a generator where any iterable will
do, and otherwise as a tuple or a mapping that is no dictionary. More is loaded than was asked for
where that is allowed.
"""

from __future__ import annotations

import random
from types import MappingProxyType

from attrs import evolve

from segmentflow_core.ports import Cancellable, Known
from segmentflow_memory import MemoryStorage

_ITERABLES = (
    *("people_lock", "people_unfinished", "retention_gone", "pausing_overdue"),
    *("hand_over_waiting", "hand_over_lock"),
)
_SEQUENCES = (
    *("events_list", "journeys_list", "enrollments_list", "audit_list", "people_unscrubbed"),
    *("finding_profiles", "finding_events", "finding_enrollments", "finding_entries"),
    *("api_keys_find", "api_keys_list"),
)
_MAPPINGS = ("events_get_many", "tracking_prior_entries", "finding_backlogs", "cancelling_recorded")


class Loose:
    """A transaction, or a part of one, whose answers are made loose."""

    def __init__(self, inner, storage, name=""):
        self._inner = inner
        self._storage = storage
        self._name = name

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if not callable(found):
            return Loose(found, self._storage, f"{name}_")
        called = f"{self._name}{name}"
        return lambda *asked: self._storage.loose(called, asked, found(*asked))


class LooseStorage(MemoryStorage):
    """Shared by threads."""

    def __init__(self, **how):
        super().__init__(**how)
        self._chance = random.Random(7)

    def run(self, work, **how):
        return super().run(lambda transaction: work(Loose(transaction, self)), **how)

    def loose(self, called, asked, answer):
        if called in _ITERABLES:
            return (each for each in self._mixed(answer))
        if called in _SEQUENCES:
            return tuple(self._mixed(answer))
        if called in _MAPPINGS:
            if called == "cancelling_recorded":
                answer = {probe: tuple(self._mixed(found)) for probe, found in answer.items()}
            return MappingProxyType(dict(self._mixed(answer.items())))
        if called == "cancelling_cancellable":
            return Cancellable(self._mixed(answer.enrollments), answer.complete)
        if called == "tracking_load":
            return self._loaded(asked[0], answer)
        return answer

    def _loaded(self, organization_id, known):
        """Return what was loaded with every other Profile that the Organization has."""
        loaded = {profile.profile_id: profile for profile in known.profiles}
        others = [
            evolve(profile)
            for at, profile in self._tables.profiles.rows.items()
            if at[0] == organization_id and at[1] not in loaded
        ]
        return Known(
            MappingProxyType(dict(known.taken)),
            tuple(self._mixed([*known.profiles, *others])),
            tuple(self._mixed(known.journeys)),
            known.blocked,
        )

    def _mixed(self, several):
        found = list(several)
        self._chance.shuffle(found)
        return found
