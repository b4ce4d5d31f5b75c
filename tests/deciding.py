"""Items, Profiles, Journeys and what a store knows, for tests that call `decide` itself."""

from __future__ import annotations

from segmentflow_core import FingerprintKeys
from segmentflow_core.domain.decision import decide
from segmentflow_core.domain.idempotency_key import key_digest
from segmentflow_core.domain.item import item_for
from segmentflow_core.domain.journey import Journey
from segmentflow_core.domain.profile import Profile
from segmentflow_core.domain.request import check_request
from segmentflow_core.domain.tracking import Known
from segmentflow_core.journeys import journey_definition
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    FixedClock,
    SequentialIds,
    a_request,
)

KEYS = FingerprintKeys.of(FINGERPRINT_SECRET)


NOW = FixedClock().now()


NOTHING = Known({}, (), ())


def an_item(key="key", event_id="mine", keys=KEYS, **fields):
    request = check_request(a_request(**fields), key)
    return item_for(request, key, "default", event_id, keys)


def digest(key="key"):
    return key_digest("default", key)


def a_profile(profile_id="p", email="alex@example.com", external_id=None, **properties):
    return Profile(profile_id, email, external_id, properties, {}, NOW, NOW, 7, 3)


def published(*documents):
    return tuple(
        [Journey(journey_definition(document), 1, "digest", NOW) for document in documents]
    )


def known(*, taken=(), profiles=(), journeys=()):
    return Known(dict(taken), tuple(profiles), published(*journeys))


def decided(*items, known=NOTHING, prior=None, recorded=None, **options):
    options = {"keys": KEYS, "now": NOW, "new_id": SequentialIds().new_id, **options}
    return decide(items, known, prior or {}, recorded or {}, **options)


def one(item, known=NOTHING, **options):
    (result,) = decided(item, known=known, **options).results
    return result


def told(*changed, redacted=()):
    """Return the details of a conflict."""
    return {"changedPaths": list(changed), "redactedPaths": list(redacted)}


ONCE = {"policy": "once"}


PER_ORDER = {"policy": "once_per_key", "key": "/event/order"}


DAILY = {"policy": "cooldown", "duration": "P1D"}
