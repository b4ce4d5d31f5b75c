"""The values that cross the ports show nothing of a request, and say whether there is work."""

from __future__ import annotations

from segmentflow_core import FingerprintKey, FingerprintKeys
from segmentflow_core.domain.decision import decide
from segmentflow_core.domain.item import item_for
from segmentflow_core.domain.request import check_request
from segmentflow_core.domain.tracking import Changes, Intent, Known
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, SequentialIds, a_request

KEYS = FingerprintKeys.of(FINGERPRINT_SECRET)
NOW = FixedClock().now()


def test_values_that_cross_the_ports_show_nothing_of_the_request():
    request = check_request(
        a_request(data={"card": "canary"}, profile={"email": "canary@example.com"}), "canary"
    )
    item = item_for(request, "canary", "default", "mine", KEYS)
    intent = Intent((item.key_digest,), ("canary@example.com",), (), (), NOW)
    known = Known({}, (), ())
    decision = decide([item], known, {}, keys=KEYS, now=NOW, new_id=SequentialIds().new_id)
    shown = [request, item, intent, known, decision, decision.changes, decision.changes.key_claims]
    assert "canary" not in repr(shown)
    (claim,) = decision.changes.key_claims
    assert claim.paths
    assert not any(digest in repr(claim) for digest in claim.paths.values())


def test_fingerprint_keys_do_not_show_their_secret():
    assert FINGERPRINT_SECRET not in repr([KEYS, FingerprintKey.derive(FINGERPRINT_SECRET)])


def test_there_is_nothing_to_write_where_nothing_was_accepted_and_no_key_was_taken():
    assert Changes().empty
    assert not Changes(freed=("key",)).empty
