"""The Profiles that a batch is about, as its events leave them one after another.

Knows which Profile each identity leads to by now, and what has changed since they were loaded.
Must never know what an event holds beside its Profile, nor which Journeys there are.

See docs/reference/rules/identity.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from attrs import evolve

from segmentflow_core.domain.cancelling import CancelOn
from segmentflow_core.domain.emails import given_again, leads_before, with_email
from segmentflow_core.domain.identity import (
    REFUSALS,
    RESOLUTIONS,
    IdentityKind,
    Resolution,
    classify,
)
from segmentflow_core.domain.json_value import JsonObject
from segmentflow_core.domain.profile import (
    Alias,
    EmailTimes,
    Profile,
    ProfileLimits,
    ProfileVersion,
    PropertyTime,
    event_time,
    with_properties,
)
from segmentflow_core.domain.request import ValidRequest
from segmentflow_core.errors import IdentityBlocked

__all__ = ["ProfilesInHand"]


class ProfilesInHand:
    """The Profiles of a batch while it is decided.

    Args:
        loaded: what the store knows of whom the batch is about.
        blocked: identities that no Profile may have.
        now: when the batch was received.
        new_id: gives a fresh id on every call.
        create_without_email: whether a new external id alone creates a Profile.
        limits: how much a Profile may hold.

    Attributes:
        created: new Profiles, by id, in the order they were decided.
        changed: the Profiles that were loaded and got events, by id, in that order.
        new_versions: the versions that were made, in that order.
    """

    def __init__(
        self,
        loaded: Sequence[Profile],
        blocked: Collection[Alias],
        *,
        now: datetime,
        new_id: Callable[[], str],
        create_without_email: bool,
        limits: ProfileLimits,
    ) -> None:
        self._now = now
        self._new_id = new_id
        self._create_without_email = create_without_email
        self._limits = limits
        self._blocked = blocked
        self._loaded: dict[str, Profile] = {}
        self._by_email: dict[str, Profile] = {}
        self._by_external_id: dict[str, Profile] = {}
        self._formerly: dict[str, set[str]] = {}
        self._alias_emails: dict[str, str] = {}
        for profile in loaded:
            self._loaded[profile.profile_id] = profile
            if profile.email is not None:
                self._by_email[profile.email] = profile
            if profile.external_id is not None:
                self._by_external_id[profile.external_id] = profile
            for email in profile.former_emails:
                self._formerly.setdefault(email, set()).add(profile.profile_id)
            for alias in profile.aliases:
                if alias.kind is IdentityKind.EMAIL:
                    self._alias_emails[alias.value] = profile.profile_id
                else:
                    self._by_external_id[alias.value] = profile
        self._by_id = self._loaded.copy()
        self.created: dict[str, Profile] = {}
        self.changed: dict[str, Profile] = {}
        self.new_versions: list[ProfileVersion] = []

    def previous(self) -> tuple[Profile, ...]:
        """Return the changed Profiles as they were loaded, in the order of `changed`."""
        return tuple([self._loaded[profile_id] for profile_id in self.changed])

    def take(self, request: ValidRequest) -> Profile:
        """Return the Profile of a request as its event leaves it, current from now on.

        Raises:
            SegmentflowError: the request is refused; nothing has changed.
        """
        occurred_at = request.occurred_at
        time = event_time(occurred_at, self._now)
        profile, email_times = self._resolve(request, time)
        changed = with_properties(
            profile, request.properties, time, self._limits, is_timed=occurred_at is not None
        )
        return self._keep(profile, email_times, changed)

    def _resolve(self, request: ValidRequest, time: PropertyTime) -> tuple[Profile, EmailTimes]:
        """Find or make the Profile of a request, and say when its email was given."""
        email, external_id = request.email, request.external_id
        if self._blocked:
            self._check_blocked(email, external_id)
        by_email = None if email is None else self._led_to_by(email, request.occurred_at)
        by_external_id = None if external_id is None else self._by_external_id.get(external_id)
        resolution = RESOLUTIONS[
            classify(
                email,
                external_id,
                None if by_email is None else by_email.profile_id,
                None if by_external_id is None else by_external_id.profile_id,
                None if by_email is None else by_email.external_id,
            )
        ]
        if resolution is Resolution.EMAIL_REQUIRED and self._create_without_email:
            resolution = Resolution.CREATE
        if resolution in REFUSALS:
            raise REFUSALS[resolution]
        if resolution is Resolution.CREATE:
            found = Profile(self._new_id(), None, external_id, {}, {}, self._now, self._now)
        elif resolution is Resolution.E_TAKES_EXTERNAL_ID:
            assert by_email is not None
            found = evolve(by_email, external_id=external_id, updated_at=self._now)
        else:
            either = by_external_id if by_email is None else by_email
            assert either is not None
            if external_id is None:
                return either, either.email_times
            found = either
        if email is None or email in self._alias_emails:
            return found, found.email_times
        if email == found.email:
            return found, given_again(found.email_times, *time)
        found = with_email(found, email, request.occurred_at, self._now, self._limits)
        return found, found.email_times

    def _check_blocked(self, email: str | None, external_id: str | None) -> None:
        """Refuse an identity that is blocked.

        Raises:
            IdentityBlocked: it is; which of the two, the caller is not told.
        """
        for kind, value in (
            (IdentityKind.EMAIL, email),
            (IdentityKind.EXTERNAL_ID, external_id),
        ):
            if value is not None and Alias(kind, value) in self._blocked:
                raise IdentityBlocked

    def _led_to_by(self, email: str, occurred_at: datetime | None) -> Profile | None:
        """Find the Profile that an email leads to for an event of that time.

        An event without a time is never older than what stands, so for it no email leads to a
        Profile in which it gave way.
        """
        alias = self._alias_emails.get(email)
        if alias is not None:
            return self._by_id[alias]
        formerly = self._formerly.get(email)
        if formerly is not None and occurred_at is not None:
            occurred, _ = event_time(occurred_at, self._now)
            profiles = [self._by_id[profile_id] for profile_id in formerly]
            led = [(leads_before(profile, email), profile.profile_id) for profile in profiles]
            leading = min([each for each in led if occurred < each[0]], default=None)
            if leading is not None:
                return self._by_id[leading[1]]
        return self._by_email.get(email)

    def _keep(
        self,
        profile: Profile,
        email_times: EmailTimes,
        changed: tuple[JsonObject, Mapping[str, PropertyTime]] | None,
    ) -> Profile:
        """Make a Profile current for the rest of the batch, with the number of one more event.

        It gets a new version where its identities or the values of its Properties changed.
        """
        before = self._by_id.get(profile.profile_id)
        properties, times = changed or (profile.properties, profile.property_times)
        is_new = (
            before is None
            or properties is not before.properties
            or (before.email, before.external_id) != (profile.email, profile.external_id)
        )
        kept = Profile(
            profile.profile_id,
            profile.email,
            profile.external_id,
            properties,
            times,
            profile.created_at,
            profile.updated_at if changed is None else self._now,
            profile.number + 1,
            profile.version + is_new,
            email_times,
            profile.former_emails,
            profile.aliases,
            profile.merged,
            suppressed_at=profile.suppressed_at,
            awaits=profile.awaits,
        )
        if is_new:
            self.new_versions.append(
                ProfileVersion(
                    kept.profile_id, kept.version, kept.email, kept.external_id, properties
                )
            )
        self._by_id[kept.profile_id] = kept
        self._index(kept, before)
        if before is None or kept.profile_id in self.created:
            self.created[kept.profile_id] = kept
        else:
            self.changed[kept.profile_id] = kept
        return kept

    def current(self, profile_id: str) -> Profile:
        """Return a Profile as the last event leaves it."""
        return self._by_id[profile_id]

    def change_awaits(self, profile: Profile, awaits: tuple[CancelOn, ...]) -> Profile:
        """Make a Profile that an event was taken for wait for other events from now on."""
        if awaits == profile.awaits:
            return profile
        kept = evolve(profile, awaits=awaits)
        self._by_id[kept.profile_id] = kept
        self._index(kept, profile)
        (self.created if kept.profile_id in self.created else self.changed)[kept.profile_id] = kept
        return kept

    def _index(self, kept: Profile, before: Profile | None) -> None:
        """Let the identities of a Profile lead to it as it is now."""
        if kept.email is not None:
            self._by_email[kept.email] = kept
        if kept.external_id is not None:
            self._by_external_id[kept.external_id] = kept
        for alias in kept.aliases:
            if alias.kind is IdentityKind.EXTERNAL_ID:
                self._by_external_id[alias.value] = kept
        if before is None or kept.former_emails is before.former_emails:
            return
        if before.email not in (None, kept.email):
            del self._by_email[before.email]
        for email in before.former_emails:
            self._formerly[email].remove(kept.profile_id)
        for email in kept.former_emails:
            self._formerly.setdefault(email, set()).add(kept.profile_id)
