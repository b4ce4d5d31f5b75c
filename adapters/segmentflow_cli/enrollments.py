"""`segmentflow enrollments`: read Enrollments, and take them from the store as a worker does.

A claim has one token for all the Enrollments it took, so the commands that finish them take
several ids at once. They print what they changed, then the refusal of the first id that they
could not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Final

from cyclopts import App, Parameter

from segmentflow_cli.confirming import Yes, confirm
from segmentflow_cli.flags import FLAG
from segmentflow_cli.ids import whole_enrollments, whole_events, whole_profile
from segmentflow_cli.options import COMMON, Before, By, Common, Limit, MaxAttempts
from segmentflow_cli.pages import enrollment_page
from segmentflow_cli.times import WAIT
from segmentflow_core import Enrollment, Enrollments, EnrollmentStatus, Lease, SegmentflowError
from segmentflow_core.wire import claimed_document, enrollment_document

__all__ = ["enrollments"]

enrollments = App(name="enrollments", help="Read Enrollments, and hand them over to workers.")


_LEASE: Final = timedelta(minutes=5)
_NO_DELAY: Final = timedelta()

Ids = Annotated[list[str], Parameter(name="ID", help="The Enrollments' ids, whole or short.")]
Journey = Annotated[str | None, Parameter(help="Only of this Journey.")]
LeaseLength = Annotated[
    timedelta,
    Parameter(
        help="How long the lease is, such as 5m or PT5M.",
        show_default=lambda _: "5m",
    ),
    WAIT,
]
TokenOption = Annotated[str, Parameter(name="--token", help="Of the claim that handed them over.")]


@enrollments.command(name="list")
def list_enrollments(
    *,
    journey: Journey = None,
    status: Annotated[EnrollmentStatus | None, Parameter(help="Only of this status.")] = None,
    profile: Annotated[str | None, Parameter(help="Only of this Profile, as WHO.")] = None,
    event: Annotated[str | None, Parameter(help="Only those that this event caused.")] = None,
    limit: Limit = 20,
    before: Before = None,
    common: Common = COMMON,
) -> None:
    """List Enrollments, newest first; those that all of the options are true of."""
    whose = common.organization
    profile_id: str | None = None
    if profile is not None or event is not None:
        with common.records() as records:
            if profile is not None:
                who = whole_profile(records, profile, whose)
                profile_id = records.find_profile(who, organization_id=whose).profile_id
            if event is not None:
                (event,) = whole_events(records, [event], whose)
    with common.enrollments() as enrollments:
        if before is not None:
            (before,) = whole_enrollments(enrollments, [before], whose)
        found = enrollments.list(
            profile_id=profile_id,
            event_id=event,
            journey_id=journey,
            status=status,
            limit=limit,
            before=before,
            organization_id=whose,
        )
    common.printer.enrollments([enrollment_document(each) for each in found], limit)


@enrollments.command(name="show")
def show_enrollment(
    enrollment_id: Annotated[str, Parameter(name="ID", help="Its id, whole or short.")],
    /,
    *,
    common: Common = COMMON,
) -> None:
    """Show one Enrollment."""
    with common.enrollments() as enrollments:
        (enrollment_id,) = whole_enrollments(enrollments, [enrollment_id], common.organization)
        found = enrollments.get(enrollment_id, organization_id=common.organization)
    common.printer.page(enrollment_document(found), enrollment_page)


@enrollments.command(name="claim")
def claim(
    *,
    limit: Limit = 20,
    lease: LeaseLength = _LEASE,
    max_attempts: MaxAttempts = 10,
    journey: Journey = None,
    all_organizations: Annotated[
        bool, Parameter(help="Whatever Organization they are of."), FLAG
    ] = False,
    common: Common = COMMON,
) -> None:
    """Take Enrollments under a lease, with the state their templates read, longest waiting first.

    The token it prints completes, extends or releases them.
    """
    with common.enrollments() as enrollments:
        found = enrollments.claim(
            limit=limit,
            lease=lease,
            max_attempts=max_attempts,
            journey_id=journey,
            organization_id=None if all_organizations else common.organization,
        )
    common.printer.claimed([claimed_document(item) for item in found])


@enrollments.command(name="complete")
def complete(ids: Ids, /, *, token: TokenOption, common: Common = COMMON) -> None:
    """Complete claimed Enrollments; with the same token again, nothing changes."""
    with common.enrollments() as enrollments:
        answers = enrollments.complete_many(_leases(enrollments, common, ids, token))
        _print(common, answers)


@enrollments.command(name="release")
def release(
    ids: Ids,
    /,
    *,
    token: TokenOption,
    delay: Annotated[
        timedelta,
        Parameter(
            help="Hand them to nobody for this long, such as 30s or PT30S.",
            show_default=lambda _: "none",
        ),
        WAIT,
    ] = _NO_DELAY,
    uncounted: Annotated[
        bool,
        Parameter(help="As if never handed over: nothing failed."),
        FLAG,
    ] = False,
    error: Annotated[
        str | None, Parameter(help="The failure in words; 1,000 characters are kept.")
    ] = None,
    max_attempts: MaxAttempts = 10,
    common: Common = COMMON,
) -> None:
    """Give claimed Enrollments back, to be handed over again."""
    with common.enrollments() as enrollments:
        answers = enrollments.release_many(
            _leases(enrollments, common, ids, token),
            delay=delay,
            failed=not uncounted,
            error=error,
            max_attempts=max_attempts,
        )
        _print(common, answers)


@enrollments.command(name="extend")
def extend(
    ids: Ids, /, *, token: TokenOption, lease: LeaseLength = _LEASE, common: Common = COMMON
) -> None:
    """Let the lease of claimed Enrollments run out later."""
    with common.enrollments() as enrollments:
        answers = enrollments.extend_many(_leases(enrollments, common, ids, token), by=lease)
        _print(common, answers)


@enrollments.command(name="revive")
def revive(ids: Ids, /, *, common: Common = COMMON) -> None:
    """Make dead Enrollments available again, with all their attempts before them."""
    with common.enrollments() as enrollments:
        whole = whole_enrollments(enrollments, ids, common.organization)
        answers = enrollments.revive_many(whole, organization_id=common.organization)
        _print(common, answers)


@enrollments.command(name="withdraw")
def withdraw(ids: Ids, /, *, by: By = None, yes: Yes = False, common: Common = COMMON) -> None:
    """Withdraw Enrollments that are not finished: no worker is handed them any more."""
    with common.enrollments() as enrollments:
        whole = whole_enrollments(enrollments, ids, common.organization)
        counted = f"Enrollment {whole[0]}" if len(ids) == 1 else f"these {len(ids)} Enrollments"
        confirm(f"Withdraw {counted}?", yes=yes)
        answers = enrollments.withdraw_many(whole, by=by, organization_id=common.organization)
        _print(common, answers)


def _leases(
    enrollments: Enrollments, common: Common, ids: Sequence[str], token: str
) -> list[Lease]:
    whole = whole_enrollments(enrollments, ids, common.organization)
    return [Lease(common.organization, enrollment_id, token) for enrollment_id in whole]


def _print(common: Common, answers: Sequence[Enrollment | SegmentflowError]) -> None:
    done = [enrollment_document(item) for item in answers if isinstance(item, Enrollment)]
    if done:
        common.printer.enrollments(done)
    for item in answers:
        if isinstance(item, SegmentflowError):
            raise item
