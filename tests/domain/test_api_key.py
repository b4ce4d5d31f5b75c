from __future__ import annotations

from attrs import evolve

from segmentflow_core.domain.api_key import ApiKey, find_match, lookup_of
from segmentflow_core.testing import FixedClock

NOW = FixedClock().now()
DIGEST = bytes(range(32))


def a_key(key_id="ours", digest=DIGEST, **changed):
    key = ApiKey(key_id, "default", digest, ("events:write",), None, test=True, created_at=NOW)
    return evolve(key, **changed)


def test_a_key_is_found_by_its_digest_among_those_of_its_lookup():
    others = [a_key("first", DIGEST[:31] + b"x"), a_key("last", DIGEST[:8] + bytes(24))]
    ours = a_key()
    assert find_match(DIGEST, [others[0], ours, others[1]]) is ours


def test_a_key_of_the_same_lookup_and_another_digest_is_not_found():
    for other in (DIGEST[:8] + bytes(24), DIGEST[:31] + b"x"):
        assert lookup_of(other) == lookup_of(DIGEST)
        assert find_match(DIGEST, [a_key(digest=other)]) is None


def test_a_revoked_key_is_not_found():
    assert find_match(DIGEST, [a_key(revoked_at=NOW)]) is None


def test_nothing_is_found_among_nothing():
    assert find_match(DIGEST, []) is None
