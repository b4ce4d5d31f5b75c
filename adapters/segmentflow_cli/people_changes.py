"""`segmentflow profiles suppress`, `unsuppress`, `merge` and `erase`: what is done to people.

Must never show anything of a Profile but its id: what is erased is not to stay in a terminal.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from cyclopts import Parameter

from segmentflow_cli.confirming import Yes, confirm
from segmentflow_cli.flags import FLAG
from segmentflow_cli.ids import whole_profile
from segmentflow_cli.options import COMMON, By, Common
from segmentflow_cli.people import Who
from segmentflow_cli.printing import counted
from segmentflow_cli.progress import progress
from segmentflow_core.wire import erasure_document, merge_document, suppression_document

__all__ = [
    "check_erase",
    "erase_profile",
    "merge_profiles",
    "suppress_profile",
    "unsuppress_profile",
]

_INTERRUPTED: Final = 130


def suppress_profile(who: Who, /, *, by: By = None, common: Common = COMMON) -> None:
    """Let no Journey enrol a Profile from now on, and withdraw what waits for it."""
    profile_id = _profile_id(common, who)
    with common.people() as people:
        done = people.suppress(profile_id, by=by, organization_id=common.organization)
    document = suppression_document(done)
    withdrawn = counted(document["withdrawn"], "Enrollment")
    which = "is suppressed" if document["changed"] else "was suppressed already"
    common.printer.told(
        document, f"Profile {document['profileId']} {which}; {withdrawn} withdrawn."
    )


def unsuppress_profile(who: Who, /, *, by: By = None, common: Common = COMMON) -> None:
    """Let Journeys enrol a Profile again. What was withdrawn stays so."""
    profile_id = _profile_id(common, who)
    with common.people() as people:
        done = people.unsuppress(profile_id, by=by, organization_id=common.organization)
    document = suppression_document(done)
    which = "is no longer suppressed" if document["changed"] else "was not suppressed"
    common.printer.told(document, f"Profile {document['profileId']} {which}.")


def merge_profiles(
    stays: Annotated[str, Parameter(name="STAYS", help="The Profile that stays, as WHO.")],
    goes: Annotated[str, Parameter(name="GOES", help="The Profile that becomes part of it.")],
    /,
    *,
    by: By = None,
    yes: Yes = False,
    common: Common = COMMON,
) -> None:
    """Merge two Profiles of one person: everything that led to the second leads to the first."""
    one, other = (_profile_id(common, who) for who in (stays, goes))
    if one != other:
        confirm(f"Merge Profile {other} into Profile {one}?", yes=yes)
    with common.people() as people:
        done = people.merge(one, other, by=by, organization_id=common.organization)
    document = merge_document(done)
    withdrawn = counted(document["withdrawn"], "Enrollment")
    line = f"These are one Profile already: {one}."
    if document["changed"]:
        line = f"Merged Profile {other} into Profile {one}; {withdrawn} withdrawn."
    common.printer.told(document, line)


def check_erase(**given: Any) -> None:
    """Check that the options of `erase` go together.

    Raises:
        ValueError: they do not; this is wrong usage.
    """
    if (given.get("who") is None) is not bool(given.get("resume")):
        raise ValueError("Give WHO, or --resume to go on with what was begun.")
    if given.get("resume") and given.get("block"):
        raise ValueError("--block is decided when an erasure begins: leave it out.")


def erase_profile(
    who: Annotated[
        str | None,
        Parameter(name="WHO", help="An id, an email, an external id or a short id, in that order."),
    ] = None,
    /,
    *,
    block: Annotated[
        bool,
        Parameter(help="Refuse events with the same email or external id later."),
        FLAG,
    ] = False,
    resume: Annotated[
        bool,
        Parameter(help="Go on with every erasure that was begun and not done."),
        FLAG,
    ] = False,
    by: By = None,
    yes: Yes = False,
    common: Common = COMMON,
) -> int:
    """Erase a person: identities, Properties, what her events say, and what waits for her.

    Event names, times, outcomes and counts stay. If it is stopped, --resume goes on.
    """
    try:
        if resume:
            _resume(common, by)
        else:
            assert who is not None
            _erase(common, who, block=block, by=by, yes=yes)
    except KeyboardInterrupt:
        common.printer.warned("Interrupted. Go on with: segmentflow profiles erase --resume")
        return _INTERRUPTED
    return 0


def _erase(common: Common, who: str, *, block: bool, by: str | None, yes: bool) -> None:
    profile_id = _profile_id(common, who)
    ends = " and refuse its identities later?" if block else "?"
    confirm(f"Erase Profile {profile_id}, with what its events say of the person{ends}", yes=yes)
    with common.people() as people, progress("erasing") as on_progress:
        done = people.erase(
            profile_id,
            block=block,
            by=by,
            on_progress=on_progress,
            organization_id=common.organization,
        )
    document = erasure_document(done)
    late = " She was erased before, so nothing was left to be blocked."
    common.printer.told(
        document,
        f"Erased Profile {profile_id}: {counted(document['scrubbed'], 'record')} scrubbed, "
        f"{counted(document['withdrawn'], 'Enrollment')} withdrawn, "
        f"{counted(document['blocked'], 'identity', 'identities')} blocked."
        + (late if block and not document["blocked"] else ""),
    )


def _resume(common: Common, by: str | None) -> None:
    finished = 0
    with common.people() as people, progress("erasing") as on_progress:
        while count := people.finish_erasures(
            by=by, on_progress=on_progress, organization_id=common.organization
        ):
            finished += count
    common.printer.told(
        {"finished": finished}, f"{counted(finished, 'Profile')} erased to the end."
    )


def _profile_id(common: Common, who: str) -> str:
    with common.records() as records:
        whole = whole_profile(records, who, common.organization)
        return records.find_profile(whole, organization_id=common.organization).profile_id
