"""The checks of what a host passes to a facade: each refuses by name what breaks its rule.

Knows arguments, their bounds and defaults. Must never look into a request: its rules are the
domain's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar, cast

from segmentflow_core.colour import is_asynchronous
from segmentflow_core.domain.admission import text_fault
from segmentflow_core.domain.count import is_count
from segmentflow_core.domain.event import EnrollmentStatus
from segmentflow_core.domain.hand_over import Lease, failure_text
from segmentflow_core.domain.identifier import is_id
from segmentflow_core.domain.identity import IdentityKind
from segmentflow_core.domain.journey import (
    JourneyDefinition,
    journey_definitions,
    journey_document,
)
from segmentflow_core.domain.organization import check_organization
from segmentflow_core.domain.profile import ProfileLimits
from segmentflow_core.domain.redaction_policy import RedactionPolicy
from segmentflow_core.domain.request import Limits
from segmentflow_core.errors import ConfigurationError, NotFound, SegmentflowError
from segmentflow_core.ports import Clock, IdFactory
from segmentflow_core.ports.observation import Observer
from segmentflow_core.system import SystemClock, Uuid7Factory

__all__ = [
    "DEFAULT_KEY_LIFETIME",
    "DEFAULT_LEASE",
    "DEFAULT_MAX_ATTEMPTS",
    "DEFAULT_ORGANIZATION",
    "NO_DELAY",
    "check_actor",
    "check_ages",
    "check_at_most",
    "check_before",
    "check_block",
    "check_colour",
    "check_delay",
    "check_filter_id",
    "check_flag",
    "check_id",
    "check_journey_id",
    "check_journey_version",
    "check_key_lifetime",
    "check_lease",
    "check_leases",
    "check_limit",
    "check_limits",
    "check_max_attempts",
    "check_moment",
    "check_organization",
    "check_policy",
    "check_profile_limits",
    "check_status",
    "check_text",
    "check_word",
    "checked_calls",
    "checked_clock",
    "checked_definitions",
    "checked_failure",
    "checked_ids",
    "checked_observers",
    "checked_who",
    "found",
    "only",
]

T = TypeVar("T")

DEFAULT_ORGANIZATION: Final = "default"
DEFAULT_KEY_LIFETIME: Final = timedelta(days=30)
DEFAULT_LEASE: Final = timedelta(minutes=5)
DEFAULT_MAX_ATTEMPTS: Final = 10
NO_DELAY: Final = timedelta()
_MAX_VERSION: Final = 2**31 - 1
_MAX_LIMIT: Final = 100_000
_MAX_ATTEMPTS: Final = 1_000_000
_MAX_WAIT: Final = timedelta(days=366)
_LONGEST_MEMORY: Final = timedelta(days=36_500)
"""Now and so much later is an instant that a datetime can say; much more is not."""


def check_colour(storage: object, face: str, *, asynchronous: bool) -> None:
    """Refuse a storage of the other colour, naming the class that takes it.

    Raises:
        ConfigurationError: `storage` is no storage but, say, a class of them; or its `run` is
            asynchronous where `face` calls it, or the other way round. See `is_asynchronous`.
    """
    if isinstance(storage, type):
        name = storage.__name__
        raise ConfigurationError(f"{face} needs a storage; {name} is a class: make one of it.")
    name = type(storage).__name__
    run: Any = getattr(storage, "run", None)
    if not callable(run):
        raise ConfigurationError(f"{face} needs a storage; {name} has no method run.")
    if is_asynchronous(run) is asynchronous:
        return
    own, other = "asynchronous", "synchronous"
    if not asynchronous:
        own, other = other, own
    twin = face.removeprefix("Async") if asynchronous else f"Async{face}"
    raise ConfigurationError(
        f"{face} needs a storage that is {own}, and {name} is {other}. Use {twin}."
    )


def checked_clock(clock: Clock | None) -> Clock:
    """Return a clock that tells the time: the machine's where none is given.

    Raises:
        ConfigurationError: it is no clock.
    """
    if clock is None:
        return SystemClock()
    _check_method("clock", clock, "now")
    return clock


def checked_ids(ids: IdFactory | None) -> IdFactory:
    """Return what makes ids: UUIDv7 where nothing is given.

    Raises:
        ConfigurationError: it makes none.
    """
    if ids is None:
        return Uuid7Factory()
    _check_method("ids", ids, "new_id")
    return ids


def checked_observers(observers: object) -> tuple[Observer, ...]:
    """Return observers that hear everything.

    Raises:
        ConfigurationError: one does not have each method of an `Observer`: what it raised when
            it is told would be dropped.
    """
    if isinstance(observers, (str, bytes)) or not isinstance(observers, Iterable):
        raise ConfigurationError("observers must be a list of observers.")
    checked = tuple(cast("Iterable[Observer]", observers))
    for observer in checked:
        for method in _HEARD:
            _check_method("Each of observers", observer, method)
    return checked


_HEARD: Final = ("tracked", "replayed", "refused", "retried", "journey_outcome")


def _check_method(name: str, given: object, method: str) -> None:
    if isinstance(given, type) or not callable(getattr(given, method, None)):
        raise ConfigurationError(f"{name} must have a method {method}.")


def check_flag(name: str, given: object) -> None:
    """Refuse what only counts as true or false: ``"false"`` would be true."""
    if not isinstance(given, bool):
        raise ConfigurationError(f"{name} must be True or False.")


def check_profile_limits(limits: object) -> None:
    """Hold what a Profile may hold against its rule."""
    if not isinstance(limits, ProfileLimits):
        raise ConfigurationError("profile_limits must be ProfileLimits.")


def check_key_lifetime(lifetime: object) -> None:
    """Hold how long a key is remembered against its rule."""
    if lifetime is not None and not (
        isinstance(lifetime, timedelta) and timedelta() < lifetime <= _LONGEST_MEMORY
    ):
        raise ConfigurationError(
            "key_lifetime must be a timedelta longer than nothing, up to 36,500 days, or None."
        )


def check_limits(limits: object) -> None:
    """Hold what a request may hold against its rule."""
    if not isinstance(limits, Limits):
        raise ConfigurationError("limits must be Limits.")


def check_policy(policy: object) -> None:
    """Refuse what is no policy: paths alone, say, would redact nothing."""
    if not isinstance(policy, RedactionPolicy):
        raise ConfigurationError("redaction must be a RedactionPolicy.")


def check_limit(limit: object) -> None:
    """Hold the size of a page or a batch against its rule."""
    if not is_count(limit, _MAX_LIMIT):
        raise ConfigurationError(f"limit must be an integer from 1 to {_MAX_LIMIT}.")


def check_at_most(at_most: object) -> None:
    """Hold how much a call may do against its rule; None is everything."""
    if not (at_most is None or is_count(at_most)):
        raise ConfigurationError("at_most must be a positive integer, or None.")


def check_block(block: object) -> None:
    """Refuse what only counts as true or false: ``"false"`` would block, and nothing lifts that."""
    check_flag("block", block)


def check_lease(lease: object) -> None:
    """Hold how long a lease lasts against its rule."""
    if not isinstance(lease, timedelta) or not timedelta() < lease <= _MAX_WAIT:
        raise ConfigurationError("lease must be a timedelta, longer than nothing, up to 366 days.")


def check_delay(delay: object) -> None:
    """Hold how long an Enrollment rests against its rule."""
    if not isinstance(delay, timedelta) or not timedelta() <= delay <= _MAX_WAIT:
        raise ConfigurationError("delay must be a timedelta of nothing to 366 days.")


def check_max_attempts(max_attempts: object) -> None:
    """Hold how many attempts there may be against its rule."""
    if not is_count(max_attempts, _MAX_ATTEMPTS):
        raise ConfigurationError(f"max_attempts must be an integer from 1 to {_MAX_ATTEMPTS}.")


def checked_failure(error: object, *, failed: bool) -> str | None:
    """Return what is kept of a failure in words; None where nothing was said.

    Raises:
        ConfigurationError: it is no string, or nothing failed.
    """
    if error is None:
        return None
    if not isinstance(error, str):
        raise ConfigurationError("error must be a string, or None.")
    if not failed:
        raise ConfigurationError("error tells of a failure: leave it out with failed=False.")
    return failure_text(error)


def check_leases(leases: object) -> None:
    """Hold each lease and its Organization against their rules."""
    if not isinstance(leases, Sequence):
        raise ConfigurationError("leases must be a list of Lease values.")
    for lease in cast("Sequence[object]", leases):
        if not isinstance(lease, Lease):
            raise ConfigurationError("leases must be a list of Lease values.")
        check_organization(lease.organization_id)


def check_id(identifier: object) -> None:
    """Refuse what cannot be an id before any store is asked.

    Raises:
        NotFound: it is no UUID.
    """
    if not is_id(identifier):
        raise NotFound


def check_journey_version(journey_id: object, version: object) -> None:
    """Refuse what can be no Journey's id or version before any store is asked.

    Raises:
        NotFound: no Journey can have it.
    """
    check_word(journey_id)
    if not (version is None or is_count(version, _MAX_VERSION)):
        raise NotFound


def checked_who(who: object, email: object, external_id: object) -> tuple[str, IdentityKind | None]:
    """Return the word that somebody is looked for by, and what it is; None where that is open.

    Raises:
        ConfigurationError: not exactly one is given.
        NotFound: nobody can have it.
    """
    kinds: dict[IdentityKind | None, object] = {
        None: who,
        IdentityKind.EMAIL: email,
        IdentityKind.EXTERNAL_ID: external_id,
    }
    given = [(word, kind) for kind, word in kinds.items() if word is not None]
    if len(given) != 1:
        raise ConfigurationError("Give one of who, email and external_id.")
    ((word, kind),) = given
    return check_word(word), kind


def check_actor(by: object) -> None:
    """Hold who does something against its rule: a text of 1 to 255 characters; None says nobody."""
    check_text("by", by)
    if isinstance(by, str) and not 0 < len(by) <= _LONGEST_ACTOR:
        raise ConfigurationError(f"by must have 1 to {_LONGEST_ACTOR} characters.")


_LONGEST_ACTOR: Final = 255


def check_ages(**ages: object) -> None:
    """Hold how long records are kept against its rule: longer than nothing, and one at least."""
    for name, age in ages.items():
        if age is not None and not (isinstance(age, timedelta) and age > timedelta()):
            raise ConfigurationError(f"{name} must be a timedelta longer than nothing, or None.")
    if all(age is None for age in ages.values()):
        raise ConfigurationError(f"Give at least one of {' and '.join(ages)}.")


def check_journey_id(journey_id: object) -> None:
    """Hold the Journey that an answer is limited to against its rule; None is any."""
    check_text("journey_id", journey_id)


def check_text(name: str, text: object) -> None:
    """Hold a text that an answer is limited to against its rule; None is any."""
    if text is not None and (not isinstance(text, str) or text_fault(text) is not None):
        raise ConfigurationError(f"{name} must be a string without U+0000 or a lone surrogate.")


def check_filter_id(name: str, identifier: object) -> None:
    """Hold an id that an answer is limited to against its rule; None is any."""
    if identifier is not None and not is_id(identifier):
        raise ConfigurationError(f"{name} must be an id, as records have it.")


def check_status(status: object) -> None:
    """Hold the status that an answer is limited to against its rule; None is any."""
    if status is not None and status not in [*EnrollmentStatus]:
        known = ", ".join(EnrollmentStatus)
        raise ConfigurationError(f"status must be one of {known}, or None.")


def check_word(word: object) -> str:
    """Return a word that something is looked for by, before any store is asked.

    Raises:
        NotFound: nothing can have it: it is no text that a store keeps.
    """
    if not isinstance(word, str) or text_fault(word) is not None:
        raise NotFound
    return word


def check_before(before: object) -> None:
    """Hold where a page starts against its rule; None is the first page."""
    if before is not None and not is_id(before):
        raise ConfigurationError("before must be an id, as a page's last item has it.")


def check_moment(name: str, moment: object) -> None:
    """Refuse what is no datetime, or does not say its offset; None is none."""
    if moment is not None and not (isinstance(moment, datetime) and moment.utcoffset() is not None):
        raise ConfigurationError(f"{name} must be an aware datetime.")


def checked_calls(calls: object) -> list[tuple[Any, Any]]:
    """Return the calls of a batch as pairs of request and key, neither of them checked.

    Raises:
        ConfigurationError: they are no sequence of pairs.
    """
    if not isinstance(calls, Sequence) or isinstance(calls, (str, bytes, bytearray)):
        raise ConfigurationError("calls must be a list of pairs: request and idempotency key.")
    pairs: list[tuple[Any, Any]] = []
    for index, call in enumerate(cast("Sequence[object]", calls)):
        pair = cast("Sequence[Any]", call)
        if not isinstance(call, (tuple, list)) or len(pair) != 2:
            raise ConfigurationError(
                f"calls must be pairs of request and idempotency key; number {index} is not."
            )
        pairs.append((pair[0], pair[1]))
    return pairs


def checked_definitions(journeys: object) -> Sequence[JourneyDefinition]:
    """Read a Journey file's document, or a list of definitions, documents or both.

    Definitions are checked by way of their JSON, so that both are held to the same rules.

    Raises:
        InvalidJourney: with every fault of every Journey.
    """
    if isinstance(journeys, (list, tuple)):
        given = cast("Sequence[object]", journeys)
        documents = [
            journey_document(item) if isinstance(item, JourneyDefinition) else item
            for item in given
        ]
        return journey_definitions({"journeys": documents})
    return journey_definitions(journeys)


def found(value: T | None) -> T:
    """Return what a store has found.

    Raises:
        NotFound: it has found nothing.
    """
    if value is None:
        raise NotFound
    return value


def only(results: Sequence[T | SegmentflowError]) -> T:
    """Return the result of a batch of one, or raise its refusal."""
    (result,) = results
    if isinstance(result, SegmentflowError):
        raise result
    return result
