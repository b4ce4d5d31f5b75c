"""What may be done from the page: each is asked about on a page of its own, then done.

Knows what each action says before and after. Who does it, the record says where the core keeps one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from attrs import field, frozen

from segmentflow_console.access import Scope
from segmentflow_console.asked import Asked, GoTo
from segmentflow_console.forms import FormRefused
from segmentflow_core import Enrollment, EnrollmentStatus, Journey, Profile
from segmentflow_core.colour import settle
from segmentflow_core.people import Erasure

__all__ = ["ACTIONS", "DONE", "Action"]

_AT_ONCE: Final = 2_000
"""How many records one request of an erasure scrubs."""

_Step: TypeAlias = Callable[[Asked], Awaitable[GoTo]]


@frozen(repr=False)
class Action:
    """Something that may be done.

    Attributes:
        name: the last part of its path.
        of: what it is done to: ``people``, ``enrollments`` or ``journeys``.
        scope: what somebody needs who does it.
        question: what is asked.
        button: what the button says.
        meaning: what comes of it, a sentence a line.
        exists: raises where there is nothing to do it to; says where it came from.
        do: does it, and says where to go.
        is_final: whether nothing brings back what it destroys; its name then has to be written.
        options: the names of boxes to tick, with what each says.
    """

    name: str
    of: str
    scope: Scope
    question: str
    button: str
    meaning: tuple[str, ...]
    exists: _Step
    do: _Step
    is_final: bool = False
    options: Mapping[str, str] = field(factory=dict[str, str])


DONE: Final[Mapping[str, str]] = {
    "revived": "The Enrollment is available to workers again.",
    "withdrawn": "The Enrollment is withdrawn.",
    "suppressed": "She is suppressed: no Journey enrols her, and what waited is withdrawn.",
    "unsuppressed": "Journeys may enrol her again.",
    "erased": "She is erased.",
    "erasing": "She is erased; some of what her events held is still there. Go on with it below.",
    "paused": "The Journey is paused.",
    "activated": "The Journey is active.",
    "unchanged": "Nothing had to be changed.",
}
"""What a page says after something was done, by the code in its URL."""


def _done(path: str, code: str) -> GoTo:
    return GoTo(path, {"done": code})


async def _person(asked: Asked) -> GoTo:
    profile: Profile = await settle(
        asked.facades.records.profile(asked.subject, organization_id=asked.organization_id)
    )
    if profile.profile_id != asked.subject:
        # Somebody else may have merged them since the page that asks was opened.
        raise FormRefused("This Profile was merged into another one. Nothing was done.")
    return GoTo(f"/people/{profile.profile_id}")


async def _enrollment(asked: Asked) -> GoTo:
    entry: Enrollment = await settle(
        asked.facades.enrollments.get(asked.subject, organization_id=asked.organization_id)
    )
    return GoTo(f"/enrollments/{entry.enrollment_id}")


async def _journey(asked: Asked) -> GoTo:
    journey: Journey = await settle(
        asked.facades.journeys.get(asked.subject, organization_id=asked.organization_id)
    )
    return GoTo("/journeys/show", {"id": journey.journey_id})


async def _suppress(asked: Asked) -> GoTo:
    who, by = asked.operator, asked.operator.name
    done = await settle(
        asked.facades.people.suppress(asked.subject, by=by, organization_id=who.organization_id)
    )
    return _done(
        f"/people/{done.profile.profile_id}", "suppressed" if done.changed else "unchanged"
    )


async def _unsuppress(asked: Asked) -> GoTo:
    who, by = asked.operator, asked.operator.name
    done = await settle(
        asked.facades.people.unsuppress(asked.subject, by=by, organization_id=who.organization_id)
    )
    code = "unsuppressed" if done.changed else "unchanged"
    return _done(f"/people/{done.profile.profile_id}", code)


async def _erase(asked: Asked) -> GoTo:
    if asked.form.get("word", "").strip().lower() != "erase":
        raise FormRefused("Write the word erase to confirm. Nothing was erased.")
    erased: Erasure = await settle(
        asked.facades.people.erase(
            asked.subject,
            block="block" in asked.form,
            by=asked.operator.name,
            at_most=_AT_ONCE,
            organization_id=asked.organization_id,
        )
    )
    return _done(f"/people/{erased.profile_id}", "erased" if erased.done else "erasing")


async def _revive(asked: Asked) -> GoTo:
    before: Enrollment = await settle(
        asked.facades.enrollments.get(asked.subject, organization_id=asked.organization_id)
    )
    after: Enrollment = await settle(
        asked.facades.enrollments.revive(asked.subject, organization_id=asked.organization_id)
    )
    changed = before.status is EnrollmentStatus.DEAD and after.status is EnrollmentStatus.PENDING
    return _done(f"/enrollments/{after.enrollment_id}", "revived" if changed else "unchanged")


async def _withdraw(asked: Asked) -> GoTo:
    before: Enrollment = await settle(
        asked.facades.enrollments.get(asked.subject, organization_id=asked.organization_id)
    )
    after: Enrollment = await settle(
        asked.facades.enrollments.withdraw(
            asked.subject, by=asked.operator.name, organization_id=asked.organization_id
        )
    )
    changed = before.status is not after.status
    return _done(f"/enrollments/{after.enrollment_id}", "withdrawn" if changed else "unchanged")


async def _pause(asked: Asked) -> GoTo:
    done = await settle(
        asked.facades.journeys.pause(
            asked.subject, by=asked.operator.name, organization_id=asked.organization_id
        )
    )
    code = "unchanged" if done.change == "unchanged" else "paused"
    return GoTo("/journeys/show", {"id": done.journey.journey_id, "done": code})


async def _activate(asked: Asked) -> GoTo:
    done = await settle(
        asked.facades.journeys.activate(
            asked.subject, by=asked.operator.name, organization_id=asked.organization_id
        )
    )
    code = "unchanged" if done.change == "unchanged" else "activated"
    return GoTo("/journeys/show", {"id": done.journey.journey_id, "done": code})


ACTIONS: Final = (
    Action(
        "suppress",
        "people",
        Scope.ACT,
        "Suppress this person?",
        "Suppress",
        (
            "Her events are recorded as before, and every Journey skips her.",
            "Enrollments of hers that wait are withdrawn for good.",
        ),
        _person,
        _suppress,
    ),
    Action(
        "unsuppress",
        "people",
        Scope.ACT,
        "Lift the suppression of this person?",
        "Lift the suppression",
        ("Journeys may enrol her again. What was withdrawn stays so.",),
        _person,
        _unsuppress,
    ),
    Action(
        "erase",
        "people",
        Scope.ERASE,
        "Erase this person?",
        "Erase for good",
        (
            "Her identities, her Properties and what her events hold go. Nothing brings them back.",
            "Enrollments of hers that wait are withdrawn. Event names, times and counts stay.",
        ),
        _person,
        _erase,
        is_final=True,
        options={"block": "Refuse events with her identities from now on"},
    ),
    Action(
        "revive",
        "enrollments",
        Scope.ACT,
        "Revive this Enrollment?",
        "Revive",
        ("Workers are handed it again, and its attempts count from none.",),
        _enrollment,
        _revive,
    ),
    Action(
        "withdraw",
        "enrollments",
        Scope.ACT,
        "Withdraw this Enrollment?",
        "Withdraw",
        (
            "No worker is handed it again; one that holds it has lost it. It cannot be undone.",
            "It still counts as an entry into the Journey.",
        ),
        _enrollment,
        _withdraw,
    ),
    Action(
        "pause",
        "journeys",
        Scope.ACT,
        "Pause this Journey?",
        "Pause",
        ("It enrols nobody, and what waits in it waits until it is active again.",),
        _journey,
        _pause,
    ),
    Action(
        "activate",
        "journeys",
        Scope.ACT,
        "Activate this Journey?",
        "Activate",
        (
            "It enrols again, and workers are handed what has waited.",
            "Of an archived Journey, what was withdrawn stays withdrawn.",
        ),
        _journey,
        _activate,
    ),
)
"""Everything that may be done."""
