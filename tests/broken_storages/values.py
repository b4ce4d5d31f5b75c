"""Mistakes with what an event and its Profile hold."""

from __future__ import annotations

from attrs import evolve

from broken_storages.altered import Broken
from segmentflow_core.ports import PriorEntries


def with_data(changes, alter):
    events = tuple(evolve(event, data=alter(event.data)) for event in changes.events)
    return evolve(changes, events=events)


def everywhere(value, alter):
    if isinstance(value, dict):
        return {name: everywhere(item, alter) for name, item in value.items()}
    if isinstance(value, list):
        return [everywhere(item, alter) for item in value]
    return alter(value)


class WholeFloatsBecomeIntegers(Broken):
    caught_by = "test_every_value_of_every_field_comes_back_as_it_was[data]"

    def tracking_write(self, call, organization_id, changes):
        def lossy(value):
            return int(value) if isinstance(value, float) and value.is_integer() else value

        call(organization_id, with_data(changes, lambda data: everywhere(data, lossy)))


class LargeIntegersBecomeFloats(Broken):
    caught_by = "test_numbers_at_the_limits_come_back_exactly"

    def tracking_write(self, call, organization_id, changes):
        def lossy(value):
            return float(value) if type(value) is int and abs(value) > 2**53 else value

        call(organization_id, with_data(changes, lambda data: everywhere(data, lossy)))


class NullsAreDropped(Broken):
    caught_by = "test_every_value_of_every_field_comes_back_as_it_was[data]"

    def tracking_write(self, call, organization_id, changes):
        def lossy(data):
            return {name: value for name, value in data.items() if value is not None}

        call(organization_id, with_data(changes, lossy))


class NamesAreNormalized(Broken):
    caught_by = "test_names_are_kept_as_they_are"

    def tracking_write(self, call, organization_id, changes):
        import unicodedata

        def lossy(data):
            return {unicodedata.normalize("NFC", name): value for name, value in data.items()}

        call(organization_id, with_data(changes, lossy))


class MicrosecondsLost(Broken):
    caught_by = "test_times_are_kept_to_the_microsecond"

    def tracking_write(self, call, organization_id, changes):
        events = tuple(
            evolve(
                event,
                occurred_at=event.occurred_at.replace(
                    microsecond=event.occurred_at.microsecond // 1000 * 1000
                ),
            )
            for event in changes.events
        )
        call(organization_id, evolve(changes, events=events))


class EventsByInsertion(Broken):
    caught_by = "test_events_are_listed_by_id_whatever_order_they_were_written_in"

    def events_list(self, call, organization_id, limit, before=None):
        written = list(self._tables.events.rows)
        place = {event_id: number for number, (_, event_id) in enumerate(written)}
        events = call(organization_id, 100_000, before)
        return sorted(events, key=lambda event: place[event.event_id], reverse=True)[:limit]


class ReadsShareTheStoredJson(Broken):
    caught_by = "test_what_is_read_is_a_copy"

    def events_get(self, _, organization_id, event_id):
        return self._tables.events.rows.get((organization_id, event_id))


class OutcomesWithoutReason(Broken):
    caught_by = "test_outcomes_are_stored_with_the_event_and_the_version_that_decided"

    def tracking_write(self, call, organization_id, changes):
        events = tuple(
            evolve(event, outcomes=tuple(evolve(o, reason=None) for o in event.outcomes))
            for event in changes.events
        )
        call(organization_id, evolve(changes, events=events))


def with_profiles(changes, alter):
    return evolve(
        changes,
        created_profiles=tuple(map(alter, changes.created_profiles)),
        changed_profiles=tuple(map(alter, changes.changed_profiles)),
    )


class PropertyTimesDropped(Broken):
    caught_by = "test_each_property_remembers_when_it_was_set_or_removed"

    def tracking_write(self, call, organization_id, changes):
        call(organization_id, with_profiles(changes, lambda p: evolve(p, property_times={})))


class RemovedPropertiesForgotten(Broken):
    caught_by = "test_an_older_event_neither_overwrites_nor_revives_a_property"

    def tracking_write(self, call, organization_id, changes):
        def alter(profile):
            times = {n: t for n, t in profile.property_times.items() if n in profile.properties}
            return evolve(profile, property_times=times)

        call(organization_id, with_profiles(changes, alter))


class ExternalIdsWithoutCase(Broken):
    caught_by = "test_external_ids_that_look_alike_are_different"

    def tracking_load(self, call, organization_id, intent):
        known = call(organization_id, intent)
        wanted = {external_id.lower() for external_id in intent.external_ids}
        more = [
            evolve(profile, external_id=external_id)
            for external_id in intent.external_ids
            for (of, _), profile in self._tables.profiles.rows.items()
            if of == organization_id
            and profile.external_id is not None
            and profile.external_id.lower() in wanted
        ]
        return evolve(known, profiles=(*known.profiles, *more))


class EmailsAreNeverChanged(Broken):
    caught_by = "test_a_known_external_id_takes_a_new_email_and_frees_the_old_one"

    def tracking_write(self, call, organization_id, changes):
        stored = self._tables.profiles.rows
        changed = tuple(
            evolve(profile, email=stored[organization_id, profile.profile_id].email)
            for profile in changes.changed_profiles
        )
        call(organization_id, evolve(changes, changed_profiles=changed))


class OnlyChangesAreWritten(Broken):
    """A Profile that an event leaves as it is keeps its number; the next event gets it again."""

    caught_by = "test_events_of_a_profile_are_numbered_from_one"

    def tracking_write(self, call, organization_id, changes):
        stored = self._tables.profiles.rows
        changed = tuple(
            profile
            for profile in changes.changed_profiles
            if evolve(stored[organization_id, profile.profile_id], number=profile.number) != profile
        )
        call(organization_id, evolve(changes, changed_profiles=changed))


class NumbersAreWrittenByTheNextTransaction(Broken):
    """One that crashes takes the number of the one before along, and it is given again."""

    caught_by = "test_a_crash_takes_no_number_and_gives_none_back"

    def __init__(self):
        super().__init__()
        self._later = {}

    def tracking_load(self, call, organization_id, intent):
        for at, profile in self._later.items():
            self._tables.profiles.put(at, profile)
        self._later = {}
        return call(organization_id, intent)

    def tracking_write(self, call, organization_id, changes):
        stored = self._tables.profiles.rows
        before = {
            p.profile_id: stored[organization_id, p.profile_id] for p in changes.changed_profiles
        }
        call(organization_id, changes)
        for profile in changes.changed_profiles:
            at = (organization_id, profile.profile_id)
            self._later[at] = profile
            self._tables.profiles.put(at, evolve(profile, number=before[profile.profile_id].number))


class VersionsOfABatchAreOverwritten(Broken):
    caught_by = "test_each_event_of_a_batch_keeps_the_profile_as_it_left_it"

    def tracking_write(self, call, organization_id, changes):
        latest = {event.profile_id: event.profile for event in changes.events}
        events = tuple(evolve(event, profile=latest[event.profile_id]) for event in changes.events)
        call(organization_id, evolve(changes, events=events))


def with_todays_profile(tables, organization_id, event):
    profile = tables.profiles.rows[organization_id, event.profile_id]
    return evolve(event, profile=profile.state())


class EventShowsTodaysProfile(Broken):
    caught_by = "test_an_event_keeps_the_profile_as_it_left_it"

    def events_get(self, call, organization_id, event_id):
        event = call(organization_id, event_id)
        return event and with_todays_profile(self._tables, organization_id, event)


class ClaimShowsTodaysProfile(Broken):
    caught_by = "test_the_state_is_that_of_the_event_whatever_the_profile_became"

    def hand_over_claim(self, call, hand_over):
        return [
            evolve(c, event=with_todays_profile(self._tables, c.organization_id, c.event))
            for c in call(hand_over)
        ]


class EarlierGoesByTheId(Broken):
    caught_by = "test_explaining_goes_by_numbers_whatever_the_ids"

    def tracking_prior_entries(self, call, organization_id, probes):
        events = self._tables.events.rows
        ids = {(of, e.profile_id, e.number): e.event_id for (of, _), e in events.items()}
        answers = dict(call(organization_id, probes))
        for probe in probes:
            if probe.before is None:
                continue
            own = ids[organization_id, probe.profile_id, probe.before]
            entered = [
                entry.entered_at
                for (of, _), entry in self._tables.enrollments.rows.items()
                if (of, entry.journey_id, entry.profile_id)
                == (organization_id, probe.journey_id, probe.profile_id)
                and entry.event_id < own
            ]
            answers[probe] = PriorEntries(max(entered, default=None), bool(entered))
        return answers
