"""Short ids: the end of an id, as tables show it, taken back for the whole id.

An id begins with its time, so ids of one moment begin alike; the last group, of twelve characters,
is what tells them apart. No store can look for the end of an id. So a short one is looked for
among the newest records, a bounded number of them, and one that two of those have is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from segmentflow_cli.not_found import WHO, sought
from segmentflow_core import ApiKeys, Enrollments, Records, SegmentflowError
from segmentflow_core.errors import ConfigurationError, NotFound

__all__ = [
    "NEWEST",
    "AmbiguousId",
    "Page",
    "is_short",
    "whole_enrollments",
    "whole_events",
    "whole_ids",
    "whole_key",
    "whole_profile",
    "whole_profile_id",
]

NEWEST: Final = 1000
"""Among how many of the newest records a short id is looked for."""

_AT_ONCE: Final = 100
_LISTED: Final = 10
_LAST_GROUP: Final = 12
_ZERO: Final = "00000000-0000-0000-0000-000000000000"
_ID: Final = re.compile(_ZERO.replace("0", "[0-9a-f]"))

Page: TypeAlias = Callable[[int, str | None], Sequence[str]]
"""Gives so many ids at most, newest first, below an id."""


class AmbiguousId(SegmentflowError):
    """More than one record has an id that ends so. Nothing was done."""

    code = "ambiguous_id"
    status = 409
    should_retry = False
    default_message = "More than one id ends so."


def is_short(given: str) -> bool:
    """Say whether a word may be the end of an id: its last group, or more.

    >>> is_short("589343ef9f32"), is_short("019bf964-302b-7a7f-add2-589343ef9f32")
    (True, False)
    """
    missing = len(_ZERO) - len(given)
    return 0 < missing <= len(_ZERO) - _LAST_GROUP and bool(_ID.fullmatch(_ZERO[:missing] + given))


def whole_ids(given: Sequence[str], page: Page, kind: str) -> list[str]:
    """Return whole ids for ids of which some may be short; only then is anything read.

    Args:
        given: the ids, as somebody typed them.
        page: gives the ids there are.
        kind: what they are ids of, such as ``events``.

    Raises:
        AmbiguousId: more than one of the newest records has an id that ends so.
        NotFound: none of them has.
    """
    if not any(map(is_short, given)):
        return list(given)
    newest = _newest(page)
    return [_whole(each, newest, kind) if is_short(each) else each for each in given]


def whole_events(records: Records, given: Sequence[str], organization: str) -> list[str]:
    """Return whole ids of events; see `whole_ids`."""

    def page(limit: int, before: str | None) -> list[str]:
        found = records.events(limit=limit, before=before, organization_id=organization)
        return [event.event_id for event in found]

    return whole_ids(given, page, "events")


def whole_enrollments(
    enrollments: Enrollments, given: Sequence[str], organization: str
) -> list[str]:
    """Return whole ids of Enrollments; see `whole_ids`."""

    def page(limit: int, before: str | None) -> list[str]:
        found = enrollments.list(limit=limit, before=before, organization_id=organization)
        return [enrollment.enrollment_id for enrollment in found]

    return whole_ids(given, page, "Enrollments")


def whole_key(api_keys: ApiKeys, given: str, organization: str) -> str:
    """Return the whole id of an API Key; see `whole_ids`."""

    def page(limit: int, before: str | None) -> list[str]:
        found = api_keys.list(organization_id=organization)
        ids = [key.key_id for key in found]
        return [each for each in ids if before is None or each < before][:limit]

    (whole,) = whole_ids([given], page, "API Keys")
    return whole


def whole_profile_id(records: Records, given: str, organization: str) -> str:
    """Return the whole id of a Profile; see `whole_ids`."""

    def page(limit: int, before: str | None) -> list[str]:
        found = records.profiles(limit=limit, before=before, organization_id=organization)
        return [profile.profile_id for profile in found]

    (whole,) = whole_ids([given], page, "Profiles")
    return whole


def whole_profile(records: Records, who: str, organization: str) -> str:
    """Return the id of the Profile that somebody's word means; a short id is tried last.

    An email or an external id that looks like a short id is one: those come first.

    Raises:
        AmbiguousId: more than one of the newest Profiles has an id that ends so.
        NotFound: nobody is called so, and no id of the newest Profiles ends so.
    """
    try:
        with sought(WHO):
            return records.find_profile(who, organization_id=organization).profile_id
    except NotFound:  # neither an email, an external id nor a whole id
        if not is_short(who):
            raise
    return whole_profile_id(records, who, organization)


def _newest(page: Page) -> list[str]:
    newest: list[str] = []
    before: str | None = None
    while len(newest) < NEWEST:
        try:
            found = page(_AT_ONCE, before)
        except ConfigurationError:
            break  # this store does not list them
        newest += found
        if len(found) < _AT_ONCE:
            break
        before = found[-1]
    return newest[:NEWEST]


def _whole(given: str, newest: Sequence[str], kind: str) -> str:
    matching = [each for each in newest if each.endswith(given)]
    if not matching:
        raise NotFound(
            f"Not found: of the newest {NEWEST:,} {kind}, none has an id that ends so. "
            "Give a whole id, as --json prints it."
        )
    if len(matching) > 1:
        raise AmbiguousId(
            f"The ids of {len(matching)} {kind} end so: give one of them whole.",
            details={"ids": matching[:_LISTED]},
        )
    return matching[0]
