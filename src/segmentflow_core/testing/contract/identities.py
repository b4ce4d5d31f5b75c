"""Identities that are created, changed and given up in one batch, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses. What one Profile gives up another one may
take in the same batch, whichever of the two the storage writes first.

See docs/reference/rules/identity.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any, Final

import pytest
from attrs import evolve

from segmentflow_core import ProfileLimits
from segmentflow_core.colour import settle
from segmentflow_core.ports import Changes
from segmentflow_core.testing.builders import a_request
from segmentflow_core.testing.port_calls import CallCount, listened_run

__all__ = ["IdentityContract"]

_Who = tuple[str | None, str | None]

_BATCHES: Final[dict[str, tuple[tuple[_Who, ...], dict[str, int]]]] = {
    "swapped": (
        (("t", "A"), ("a", "B"), ("b", "A")),
        {"a": 1, "b": 0, "c": 2, "d": 3},
    ),
    "passed-round": (
        (("t", "A"), ("a", "B"), ("b", "C"), ("c", "A")),
        {"a": 1, "b": 2, "c": 0},
    ),
    "given-up-and-created": (
        (("t", "A"), ("a", None)),
        {"a": 4, "t": 0},
    ),
    "given-up-and-created-with-both": (
        (("t", "A"), ("a", "N"), ("u", "B"), ("b", "M")),
        {"a": 4, "t": 0, "b": 5, "u": 1},
    ),
    "created-and-changed": (
        (("n", "N"), ("m", "N"), ("n", "M"), ("a", "A")),
        {"m": 4, "n": 5, "a": 0},
    ),
    "created-then-taken-by-a-known-one": (
        (("n", "N"), ("m", "N"), ("n", "A"), ("a", None)),
        {"n": 0, "m": 4, "a": 5},
    ),
    "passed-on-along-a-chain": (
        (("t", "C"), ("c", "B"), ("b", "A"), ("a", "N")),
        {"t": 2, "c": 1, "b": 0, "a": 4},
    ),
    "given-up-and-taken-back": (
        (("t", "A"), ("a", "A"), ("t", "B"), ("b", None)),
        {"a": 0, "t": 1, "b": 4},
    ),
    "linked": (
        (("d", "D"), ("e", "E"), ("t", "A"), ("a", None), ("a", "N"), ("u", "D"), ("d", "B")),
        {"d": 1, "u": 3, "e": 4, "t": 0, "a": 5},
    ),
}
"""By name: who the events of a batch are about, as emails and external ids, and whose each email
is in the end. Before it, four Profiles, numbered from 0, have a and A, b and B, c and C, and d."""

_ORDERS: Final = [*permutations(range(3))]


class IdentityContract:
    """An identity leads to the Profile that has it, whatever one batch did to it."""

    @pytest.mark.parametrize("order", _ORDERS, ids=str)
    @pytest.mark.parametrize("name", _BATCHES)
    def test_an_identity_that_is_given_up_may_be_taken_in_the_same_batch(
        self, storage: Any, new_tracker: Callable[..., Any], name: str, order: tuple[int, ...]
    ) -> None:
        batch, holders = _BATCHES[name]
        tracker = new_tracker()
        profile_ids = _track(tracker, [("a", "A"), ("b", "B"), ("c", "C"), ("d", None)], "before")
        for receipt in _track(new_tracker(_Reordered(storage, order)), batch, "batch"):
            if receipt not in profile_ids:
                profile_ids.append(receipt)
        external_ids = {each: None for _, each in batch if each is not None}
        for email, holder in holders.items():
            (found,) = _track(tracker, [(email, None)], f"who is {email}")
            assert profile_ids.index(found) == holder
            assert tracker.records.profile(found).email == f"{email}@example.com"
        for external_id in (*external_ids, "A", "B", "C"):
            (found,) = _track(tracker, [(None, external_id)], f"who is {external_id}")
            assert tracker.records.profile(found).external_id == external_id
        assert len(profile_ids) == len({*profile_ids})

    @pytest.mark.parametrize("moves", range(3))
    def test_what_one_former_holder_of_an_email_does_changes_nothing_for_the_others(
        self, tracker: Any, new_tracker: Callable[..., Any], moves: int
    ) -> None:
        """One of three takes a new email and forgets the oldest one, so its index is rewritten."""
        holders: list[str] = []
        for number in range(3):
            has, moved = 1 + 4 * number, 3 + 4 * number
            holders.append(_on(tracker, has, "a", f"X{number}"))
            _on(tracker, moved, f"own{number}", f"X{number}")
        forgetful = new_tracker(profile_limits=ProfileLimits(max_former_emails=1))
        assert _on(forgetful, 20, "newest", f"X{moves}") == holders[moves]
        found = [_on(tracker, 2 + 4 * number, "a") for number in range(3)]
        others = [number for number in range(3) if number != moves]
        assert [found[number] for number in others] == [holders[number] for number in others]
        assert found[moves] != holders[moves]


class _Reordered:
    """A storage to which the changed Profiles of a batch come in another order."""

    def __init__(self, storage: Any, order: Sequence[int]) -> None:
        async def called(method: Callable[..., Any], *args: Any) -> Any:
            return await settle(method(*[_reordered(arg, order) for arg in args]))

        self.run = listened_run(storage, called, CallCount())


def _reordered(argument: Any, order: Sequence[int]) -> Any:
    if not isinstance(argument, Changes):
        return argument
    count = len(argument.changed_profiles)
    places = [*(place for place in order if place < count), *range(len(order), count)]
    return evolve(
        argument,
        changed_profiles=tuple(argument.changed_profiles[place] for place in places),
        previous_profiles=tuple(argument.previous_profiles[place] for place in places),
    )


def _on(tracker: Any, day: int, email: str, external_id: str | None = None) -> str:
    """Track an event of a day in May; return the id of its Profile."""
    profile = {"email": f"{email}@example.com", "externalId": external_id}
    given = {name: value for name, value in profile.items() if value is not None}
    request = a_request(profile=given, occurredAt=f"2026-05-{day:02}T00:00:00Z")
    return str(tracker.track(request, f"{day} {email} {external_id}").profile_id)


def _track(tracker: Any, whom: Sequence[_Who], key: str) -> list[str]:
    """Track one batch of an event about each; return the ids of their Profiles."""
    calls: list[tuple[dict[str, Any], str]] = []
    for number, (email, external_id) in enumerate(whom):
        profile = {"email": email and f"{email}@example.com", "externalId": external_id}
        given = {name: value for name, value in profile.items() if value is not None}
        calls.append((a_request(profile=given), f"{key} {number}"))
    return [receipt.profile_id for receipt in tracker.track_many(calls)]
