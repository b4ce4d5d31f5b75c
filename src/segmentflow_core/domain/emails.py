"""The emails that a Profile has and had, in the order in which events gave them to it.

The email given last is the Profile's own. Every other one gave way to a newer one: it leads to
the Profile for events that occurred before the newer one, and is free for later events. What
was given last goes by event times, so the answer is the same in whatever order events arrive.

See docs/reference/rules/identity.md.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from attrs import evolve

from segmentflow_core.domain.profile import EmailTimes, Profile, ProfileLimits, event_time

__all__ = ["given_again", "leads_before", "with_email"]


def with_email(
    profile: Profile,
    email: str,
    occurred_at: datetime | None,
    received_at: datetime,
    limits: ProfileLimits,
) -> Profile:
    """Return the Profile once an event with both identities has given it another email.

    Time is that of Properties: the event time decides, the receipt time breaks ties, an
    event time after the receipt counts as the receipt time, and an event without an event
    time is never older than what stands.

    Args:
        profile: as it stands.
        email: in its identifying form; not the one that is the Profile's own.
        occurred_at: when the event happened; None where the request does not say.
        received_at: when it was received.
        limits: how many emails that gave way the Profile remembers.
    """
    own, own_times = profile.email, profile.email_times
    happened, received = event_time(occurred_at, received_at)
    if own is None:
        given = (happened, happened, received)
        return evolve(profile, email=email, email_times=given, updated_at=received_at)
    last = own_times[1:]
    time = (happened, received)
    if time == last or (time < last and occurred_at is None):
        happened, received = last[0], last[1] + 1
    former = dict(profile.former_emails)
    known = former.pop(email, None)
    # A merge leaves emails that were given after the Profile's own, and that gave way all the same.
    gave_way = (
        known is not None and occurred_at is not None and time[0] < leads_before(profile, email)
    )
    times = (happened, happened, received)
    if known is not None:
        times = given_again(known, happened, received)
    if gave_way or times[1:] < last:
        former[email] = times
        kept = evolve(profile, former_emails=former)
    else:
        former[own] = own_times
        kept = evolve(
            profile,
            email=email,
            email_times=times,
            former_emails=former,
            updated_at=received_at,
        )
    if len(former) > limits.max_former_emails:
        del former[min(former, key=lambda each: (leads_before(kept, each), each))]
    return kept


def given_again(times: EmailTimes, happened: int, received: int) -> EmailTimes:
    """Return when an email was given, once another event has given it.

    Args:
        times: when it was given so far.
        happened: as `event_time` says of the event, like `received`.
        received: when it was received.
    """
    first, last, last_received = times
    return min(first, happened), *max((last, last_received), (happened, received))


def leads_before(profile: Profile, email: str) -> int:
    """Return up to which event time, exclusive, an email that gave way leads to its Profile.

    It leads until the first event that gave the email which followed. Of an email that had been
    given before this one too, the last event counts: its first one was earlier.

    Args:
        profile: has the email in `former_emails`.
        email: the one that gave way.

    Returns:
        Microseconds since 1970 UTC.
    """
    former = profile.former_emails
    _, last, received = former[email]
    followed = [
        times for times in (profile.email_times, *former.values()) if times[1:] > (last, received)
    ]
    until = [first if first > last else latest for first, latest, _ in followed]
    return min(until, default=_FOR_EVER)


_FOR_EVER: Final = 2**63 - 1
"""After every event time: no email followed, which is so of an alias that was given last."""
