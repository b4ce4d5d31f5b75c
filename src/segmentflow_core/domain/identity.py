"""Which Profile a request is about. The table below is the rule; the rest reads it.

Knows which Profile holds the email and which the external id. Must never show either: a
refusal says that the two disagree, and names no Profile.

See docs/reference/rules/identity.md.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

from segmentflow_core.errors import IdentityConflict, ProfileEmailRequired, SegmentflowError

__all__ = ["REFUSALS", "RESOLUTIONS", "Given", "Holders", "IdentityKind", "Resolution", "classify"]


class IdentityKind(StrEnum):
    """What leads to a Profile."""

    EMAIL = "email"
    EXTERNAL_ID = "externalId"


class Given(StrEnum):
    """What the request identifies the Profile by."""

    EMAIL = "email"
    EXTERNAL_ID = "externalId"
    BOTH = "both"


class Holders(StrEnum):
    """Who holds what was given: E the email, X the external id."""

    NOBODY = "nobody"
    E = "E only"
    E_WITH_OTHER_EXTERNAL_ID = "E only, and E has another external id"
    X = "X only"
    SAME = "E and X, one Profile"
    DIFFERENT = "E and X, two Profiles"


class Resolution(StrEnum):
    """What happens to the Profile."""

    CREATE = "create"
    USE_E = "E"
    USE_X = "X"
    E_TAKES_EXTERNAL_ID = "E takes the external id"
    X_TAKES_EMAIL = "X, and its email becomes the new one, unless the event is older"
    EMAIL_REQUIRED = "profile_email_required"
    CONFLICT = "identity_conflict"


Row: TypeAlias = tuple[Given, Holders]

RESOLUTIONS: Final[dict[Row, Resolution]] = {
    (Given.EMAIL, Holders.NOBODY): Resolution.CREATE,
    (Given.EMAIL, Holders.E): Resolution.USE_E,
    (Given.EXTERNAL_ID, Holders.NOBODY): Resolution.EMAIL_REQUIRED,
    (Given.EXTERNAL_ID, Holders.X): Resolution.USE_X,
    (Given.BOTH, Holders.NOBODY): Resolution.CREATE,
    (Given.BOTH, Holders.E): Resolution.E_TAKES_EXTERNAL_ID,
    (Given.BOTH, Holders.E_WITH_OTHER_EXTERNAL_ID): Resolution.CONFLICT,
    (Given.BOTH, Holders.X): Resolution.X_TAKES_EMAIL,
    (Given.BOTH, Holders.SAME): Resolution.USE_E,
    (Given.BOTH, Holders.DIFFERENT): Resolution.CONFLICT,
}
"""Every case, with its resolution. A setting turns EMAIL_REQUIRED into CREATE."""

REFUSALS: Final[dict[Resolution, type[SegmentflowError]]] = {
    Resolution.EMAIL_REQUIRED: ProfileEmailRequired,
    Resolution.CONFLICT: IdentityConflict,
}
"""The resolutions that refuse the request, and the error each one is."""


def classify(
    email: str | None,
    external_id: str | None,
    holder_of_email: str | None,
    holder_of_external_id: str | None,
    external_id_of_holder: str | None,
) -> Row:
    """Find the row of `RESOLUTIONS` for a request that gives at least one identity.

    Args:
        email: as given, trimmed and lowercased.
        external_id: as given.
        holder_of_email: the Profile that the email leads to.
        holder_of_external_id: the Profile that has the external id.
        external_id_of_holder: the external id that the email's holder already has.
    """
    if external_id is None:
        return Given.EMAIL, Holders.NOBODY if holder_of_email is None else Holders.E
    if email is None:
        return Given.EXTERNAL_ID, Holders.NOBODY if holder_of_external_id is None else Holders.X
    if holder_of_email is None:
        return Given.BOTH, Holders.NOBODY if holder_of_external_id is None else Holders.X
    if holder_of_external_id is None:
        taken = external_id_of_holder is not None
        return Given.BOTH, Holders.E_WITH_OTHER_EXTERNAL_ID if taken else Holders.E
    same = holder_of_email == holder_of_external_id
    return Given.BOTH, Holders.SAME if same else Holders.DIFFERENT
