"""Every value of every field of an API Key, as tests of an adapter that keeps them.

A part of `ApiKeyContract`, whose fixtures it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from itertools import product
from typing import Any, Final

import pytest
from attrs import evolve

from segmentflow_core.colour import driven, settle
from segmentflow_core.domain.api_key import ApiKey
from segmentflow_core.errors import NotFound
from segmentflow_core.testing import specimens
from segmentflow_core.testing.callers import is_asynchronous
from segmentflow_core.testing.contract.comparing import exact
from segmentflow_core.testing.facts import Facts, build, facts_of, values_of
from segmentflow_core.usecases.api_keys import (
    create_api_key,
    list_api_keys,
    note_api_key_use,
    revoke_api_key,
)

__all__ = ["ApiKeyValueContract"]

Ask = Callable[..., Any]

_FACTS: Final[Mapping[str, tuple[Facts, ...]]] = {
    fact: tried
    for fact, tried in values_of(ApiKey).items()
    if fact not in ("other_outcomes", "removed", "set_at")
}
_STEP: Final = timedelta(microseconds=1)
_MANY: Final = 1_100


class ApiKeyValueContract:
    """What is kept of an API Key is what was written, one test each."""

    @pytest.fixture
    def ask(self, storage: Any, request: pytest.FixtureRequest) -> Ask:
        """Give a function that does one thing with keys, as the core does it, in a transaction."""

        def call(what: str, *arguments: Any) -> Any:
            async def work(transaction: Any) -> Any:
                return await _CALLS[what](transaction, *arguments)

            if is_asynchronous(storage):
                return request.getfixturevalue("run_async")(storage.run(work))
            return storage.run(driven(work))

        return call

    @pytest.mark.parametrize("fact", _FACTS)
    def test_every_value_of_every_field_of_a_key_comes_back_as_it_was(
        self, ask: Ask, fact: str
    ) -> None:
        keys = [_key(number, **values) for number, values in enumerate(_FACTS[fact])]
        ask("create", *keys)
        for key in keys:
            alike = [each for each in keys if each.lookup == key.lookup]
            assert exact(sorted(ask("find", key.lookup), key=_newest)) == exact(
                sorted(alike, key=_newest)
            )
        for organization_id in {key.organization_id for key in keys}:
            own = [each for each in keys if each.organization_id == organization_id]
            assert exact(ask("list", organization_id)) == exact(sorted(own, key=_newest))

    @pytest.mark.parametrize("what", ["use", "revoke"])
    def test_when_a_key_was_used_and_revoked_comes_back_at_every_instant(
        self, ask: Ask, what: str
    ) -> None:
        keys = [_key(number, organization_id="acme") for number in range(len(specimens.INSTANTS))]
        ask("create", *keys)
        after: list[ApiKey] = []
        for key, moment in zip(keys, specimens.INSTANTS, strict=True):
            answer = ask(what, key, moment)
            if what == "revoke":
                after.append(evolve(key, revoked_at=moment))
                assert exact(answer) == exact(after[-1])
            else:
                after.append(evolve(key, last_used_at=moment))
        for key in after:
            assert exact(ask("find", key.lookup)) == exact([key])
        assert exact(ask("list", "acme")) == exact(sorted(after, key=_newest))

    @pytest.mark.parametrize("end", specimens.INSTANTS[1:-1], ids=str)
    def test_a_use_counts_if_it_is_later_and_a_revocation_if_it_is_the_first(
        self, ask: Ask, end: Any
    ) -> None:
        key = _key(0)
        ask("create", key)
        seen: list[ApiKey] = []
        for what, offset in (
            *(("use", offset) for offset in (0, -1, 0, 1)),
            *(("revoke", offset) for offset in (0, -1, 1)),
        ):
            ask(what, key, end + offset * _STEP)
            (found,) = ask("find", key.lookup)
            seen.append(found)
        assert [found.last_used_at for found in seen[:4]] == [end, end, end, end + _STEP]
        assert [found.revoked_at for found in seen[3:]] == [None, end, end, end]

    def test_when_a_key_was_used_and_when_revoked_are_stored_together(self, ask: Ask) -> None:
        """Also of a key that was used, or revoked, before."""
        states: list[dict[str, Any]] = [
            {"last_used_at": used, "revoked_at": revoked}
            for used in (None, *specimens.INSTANTS[2:4])
            for revoked in (None, specimens.INSTANTS[5])
        ]
        for number, (before, after) in enumerate(product(states, states)):
            if not any(before[name] and not after[name] for name in before):
                key = _key(number, organization_id="acme")
                ask("create", key)
                for state in (before, after):
                    ask("save", evolve(key, **state))
                    assert exact(ask("find", key.lookup)) == exact([evolve(key, **state)])

    def test_keys_with_one_lookup_are_all_found_and_keys_of_one_id_are_apart(
        self, ask: Ask
    ) -> None:
        """The first digits of two digests may agree; and an id may be in two Organizations."""
        keys = [
            _key(number, organization_id=name, api_key_digest=bytes(8) + bytes([n]) * 24)
            for number, (name, n) in enumerate((("a", 1), ("a", 2), ("b", 3)))
        ]
        keys.append(evolve(keys[0], organization_id="b", digest=bytes(8) + b"\x04" * 24))
        ask("create", *keys)
        assert {key.lookup for key in keys} == {"0" * 16}
        revoked = evolve(keys[0], revoked_at=keys[0].created_at)
        assert exact(ask("revoke", keys[0], keys[0].created_at)) == exact(revoked)
        ask("use", keys[3], keys[0].created_at)
        used = evolve(keys[3], last_used_at=keys[0].created_at)
        expected = [revoked, keys[1], keys[2], used]
        found = sorted(ask("find", "0" * 16), key=lambda key: str(key.digest))
        assert exact(found) == exact(expected)
        for name in ("a", "b", "c"):
            own = [key for key in expected if key.organization_id == name]
            assert exact(ask("list", name)) == exact(sorted(own, key=_newest))
        with pytest.raises(NotFound):
            ask("revoke", evolve(keys[0], organization_id="c"), keys[0].created_at)
        assert ask("find", "0" * 15 + "1") == []

    def test_a_thousand_keys_are_listed_newest_first_by_id(self, ask: Ask) -> None:
        ask("create", *(_key(7 * n % _MANY, organization_id="acme") for n in range(_MANY)))
        ids = [key.key_id for key in ask("list", "acme")]
        assert ids == sorted(ids, reverse=True)
        assert len(ids) == _MANY


async def _create(transaction: Any, *keys: ApiKey) -> None:
    for key in keys:
        await create_api_key(transaction, key)


async def _find(transaction: Any, lookup: str) -> list[ApiKey]:
    return [*await settle(transaction.api_keys.find(lookup))]


async def _revoke(transaction: Any, key: ApiKey, now: datetime) -> ApiKey:
    return await revoke_api_key(transaction, key.organization_id, key.key_id, now)


async def _save(transaction: Any, key: ApiKey) -> None:
    assert await settle(transaction.api_keys.lock(key.organization_id, key.key_id)) is not None
    await settle(transaction.api_keys.save(key))


_CALLS: Final[dict[str, Callable[..., Any]]] = {
    "create": _create,
    "find": _find,
    "list": list_api_keys,
    "use": note_api_key_use,
    "revoke": _revoke,
    "save": _save,
}


def _key(number: int, **known: Any) -> ApiKey:
    return build(ApiKey, facts_of(number, **known))


def _newest(key: ApiKey) -> int:
    return -int(key.key_id.replace("-", ""), 16)
