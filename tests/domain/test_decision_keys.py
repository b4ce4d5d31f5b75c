"""The decision about keys: taken, repeated in a batch, freed, fingerprinted under another key."""

from __future__ import annotations

import pytest
from attrs import evolve

from deciding import KEYS, ONCE, a_profile, an_item, decided, digest, known, one, told
from segmentflow_core import FingerprintKey, FingerprintKeys, Receipt
from segmentflow_core.domain.fingerprint import Fingerprint
from segmentflow_core.domain.tracking import Changes
from segmentflow_core.errors import (
    FingerprintKeyUnknown,
    IdempotencyKeyReuse,
    ProfileEmailRequired,
)
from segmentflow_core.testing import a_journey

OLDER = FingerprintKey("older", b"another secret, as long as it must be")


def test_a_key_repeated_with_its_request_gets_the_receipt_of_the_first():
    decision = decided(an_item("key", "first"), an_item("key", "second"))
    first, second = decision.results
    assert first == second
    assert (first.replayed, second.replayed) == (False, True)
    assert [event.event_id for event in decision.changes.events] == ["first"]
    assert decision.changes.freed == ()


def test_a_key_repeated_with_another_request_is_refused_by_the_paths_that_differ():
    decision = decided(
        an_item("key", "first", data={"total": 1, "same": 1}),
        an_item("key", "second", data={"total": 2, "same": 1}),
    )
    assert isinstance(decision.results[1], IdempotencyKeyReuse)
    assert decision.results[1].details == told("/data/total")
    assert [event.event_id for event in decision.changes.events] == ["first"]
    assert decision.changes.freed == ()


def test_a_key_that_a_refused_item_freed_goes_to_the_next_that_is_accepted():
    refused = an_item("key", "first", profile={"externalId": "new"})
    accepted = an_item("key", "second")
    decision = decided(refused, accepted, an_item("key", "third"))
    assert isinstance(decision.results[0], ProfileEmailRequired)
    assert [result.replayed for result in decision.results[1:]] == [False, True]
    assert decision.results[2].event_id == "second"
    assert decision.changes.freed == ()
    (claim,) = decision.changes.key_claims
    assert (claim.fingerprint, claim.receipt.event_id) == (accepted.fingerprint, "second")


def test_a_key_under_which_everything_is_refused_is_freed_once():
    items = [an_item("key", f"e{n}", profile={"externalId": f"x{n}"}) for n in range(3)]
    assert decided(*items).changes == Changes(freed=(digest(),))


def test_keys_are_claimed_and_freed_in_the_order_of_their_digests():
    """Of whatever order they were sent in: stores lock them in that one."""
    keys = [f"key {number}" for number in range(12)]
    refused = [an_item(key, key, profile={"externalId": key}) for key in keys]
    assert list(decided(*refused).changes.freed) == sorted(map(digest, keys))
    accepted = [an_item(key, key) for key in keys]
    claims = decided(*accepted).changes.key_claims
    assert [claim.key_digest for claim in claims] == sorted(map(digest, keys))


def taken(item, **claim):
    """Say that an earlier call took an item's key for its request."""
    (theirs,) = decided(item, keys=item_keys(item)).changes.key_claims
    theirs = evolve(theirs, **{"receipt": Receipt("theirs", "p", 2, 1, 1), **claim})
    return known(taken={theirs.key_digest: theirs})


def item_keys(item):
    return KEYS if item.fingerprint.key_id == KEYS.current.key_id else FingerprintKeys(OLDER)


def recorded(item):
    (event,) = decided(item).changes.events
    return {"theirs": event}


def test_a_taken_key_with_its_request_gives_the_receipt_again_and_writes_nothing():
    decision = decided(an_item(), known=taken(an_item()))
    (receipt,) = decision.results
    assert receipt == Receipt("theirs", "p", 2, 1, 1)
    assert receipt.replayed
    assert decision.changes == Changes()
    assert decision.changes.empty


def test_a_taken_key_that_this_very_call_took_is_no_replay():
    assert not one(an_item(event_id="theirs"), taken(an_item())).replayed


def test_a_replay_names_the_redaction_paths_that_name_nothing():
    item = an_item(data={"a": 1}, redactedDataPaths=["/event/a", "/event/b"])
    assert one(item, taken(item)).unmatched_paths == ("/event/b",)


def test_a_taken_key_with_another_request_asks_for_the_recorded_event_first():
    decision = decided(an_item(referenceId="2"), known=taken(an_item(referenceId="1")))
    assert (decision.disputed, decision.probes, decision.final) == (("theirs",), (), False)
    assert decision.changes == Changes()


def test_what_a_batch_asks_for_it_asks_for_once_and_all_at_once():
    item = an_item("disputed", profile={"email": "b@example.com"})
    standing = known(profiles=[a_profile()], journeys=[a_journey(reentry=ONCE)])
    standing = evolve(standing, taken=taken(item).taken)
    others = [an_item("disputed", f"e{n}", data={"n": n}) for n in range(2)]
    decision = decided(*others, an_item("free", "e9"), known=standing)
    assert (decision.disputed, len(decision.probes)) == (("theirs",), 1)


def test_a_taken_key_with_another_request_is_refused_and_stays_taken():
    first = an_item(referenceId="1")
    decision = decided(an_item(referenceId="2"), known=taken(first), recorded=recorded(first))
    (refusal,) = decision.results
    assert decision.final
    assert isinstance(refusal, IdempotencyKeyReuse)
    assert refusal.details == told("/referenceId")
    assert decision.changes == Changes()


def test_where_the_event_is_gone_nothing_is_compared_and_its_key_stays_taken():
    first = an_item(profile={"email": "a@example.com"})
    second = an_item(data={"card": "4111"}, redactedDataPaths=["/event/card"])
    refusal = one(second, taken(first), recorded={"theirs": None})
    assert refusal.details == told("", redacted=["/data/card"])
    assert one(first, taken(first)).replayed


def test_a_taken_key_answers_every_item_that_has_it_and_leaves_the_others_alone():
    item = an_item("taken")
    decision = decided(item, an_item("free", "e2"), an_item("taken", "e3"), known=taken(item))
    assert [result.event_id for result in decision.results] == ["theirs", "e2", "theirs"]
    assert [event.event_id for event in decision.changes.events] == ["e2"]
    assert decision.changes.freed == ()


def test_a_fingerprint_made_under_an_older_key_is_compared_under_that_key():
    stored = an_item(keys=FingerprintKeys(OLDER), data={"total": 1})
    rotated = FingerprintKeys(KEYS.current, (OLDER,))
    assert one(an_item(data={"total": 1}), taken(stored), keys=rotated).replayed
    other = an_item(data={"total": 2}, profile={"email": "b@example.com"})
    refusal = one(other, taken(stored), keys=rotated, recorded=recorded(stored))
    assert refusal.details == told("/data/total", "/profile/email")


@pytest.mark.parametrize(
    ("scheme", "key_id", "details"),
    [
        (None, "lost", {"keyId": "lost"}),
        ("md5/guess/0", None, {"scheme": "md5/guess/0"}),
        ("md5/guess/0", "lost", {"keyId": "lost"}),
    ],
)
def test_a_fingerprint_that_cannot_be_compared_fails_closed(scheme, key_id, details):
    own = an_item().fingerprint
    stored = Fingerprint(scheme or own.scheme, key_id or own.key_id, own.digest)
    decision = decided(an_item(), known=taken(an_item(), fingerprint=stored))
    (refusal,) = decision.results
    assert isinstance(refusal, FingerprintKeyUnknown)
    assert refusal.details == details
    assert decision.changes == Changes()
