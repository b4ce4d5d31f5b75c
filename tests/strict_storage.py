"""A storage that takes nothing of what it is told to write on trust, and notes what it is asked.

What a store that keeps rows refuses by its keys, the storage in memory writes over. Here it is
refused: an id that is there already, a change of what is not there, a version twice.
"""

from __future__ import annotations

from segmentflow_memory import MemoryStorage


class StrictTracking:
    def __init__(self, tables, inner, asked):
        self._tables, self._inner, self._asked = tables, inner, asked
        self._intent = None

    def load(self, organization_id, intent):
        self._asked.append(("load", intent))
        self._intent = intent
        for named in (intent.keys, intent.emails, intent.external_ids, intent.events):
            assert list(named) == sorted(set(named))
        return self._inner.load(organization_id, intent)

    def prior_entries(self, organization_id, probes):
        self._asked.append(("prior_entries", tuple(probes)))
        assert probes
        assert len(set(probes)) == len(probes)
        return self._inner.prior_entries(organization_id, probes)

    def write(self, organization_id, changes):
        self._asked.append(("write", changes))
        self._check(organization_id, changes)
        self._inner.write(organization_id, changes)

    def _check(self, organization_id, changes):
        profiles = self._tables.profiles.rows
        pairs = list(zip(changes.previous_profiles, changes.changed_profiles, strict=True))
        written = [*changes.changed_profiles, *changes.created_profiles]
        assert not changes.empty
        by_a_host = not (changes.events or changes.created_profiles or changes.freed)
        for before, after in pairs:
            assert before == profiles[organization_id, before.profile_id]
            assert after.profile_id == before.profile_id
            assert after.number >= before.number + (not by_a_host)
            assert not (by_a_host and before == after)
        for kind, new in (
            (profiles, [profile.profile_id for profile in changes.created_profiles]),
            (self._tables.events.rows, [event.event_id for event in changes.events]),
            (self._tables.enrollments.rows, [e.enrollment_id for e in changes.enrollments]),
        ):
            assert len(set(new)) == len(new)
            assert [each for each in new if (organization_id, each) in kind] == []
        claimed = [claim.key_digest for claim in changes.key_claims]
        assert claimed == sorted(set(claimed))
        assert list(changes.freed) == sorted(set(changes.freed))
        # Each key that this call took is claimed or freed, never both.
        assert set(claimed).isdisjoint(changes.freed)
        if claimed or changes.freed:
            assert {*claimed, *changes.freed} <= set(self._intent.keys)
        versions = [(version.profile_id, version.version) for version in changes.new_versions]
        known = {(p.profile_id, p.version) for p in changes.previous_profiles}
        assert len(set(versions)) == len(versions)
        assert known.isdisjoint(versions)
        assert {(e.profile_id, e.profile_version) for e in changes.events} <= known | set(versions)
        if not by_a_host:
            assert {event.profile_id for event in changes.events} == {p.profile_id for p in written}


class StrictTransaction:
    def __init__(self, tables, inner, asked):
        self._inner = inner
        self.tracking = StrictTracking(tables, inner.tracking, asked)

    def __getattr__(self, name):
        return getattr(self._inner, name)


class StrictStorage(MemoryStorage):
    """The storage in memory; `asked` has each call of its tracking port, with what it was given."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.asked = []

    def run(self, work, **how):
        tables, asked = self._tables, self.asked
        return super().run(lambda inner: work(StrictTransaction(tables, inner, asked)), **how)
