"""The core alone: tracking on memory, canonical form and hash, redaction."""

from __future__ import annotations

import hmac
import itertools
import json
import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import rfc8785

from bench.machine import is_optimised
from bench.report import Line, compared, limited
from bench.timing import alternate
from segmentflow_core import RedactionPolicy, Tracker
from segmentflow_core.domain.fingerprint import FingerprintKey, compute_fingerprint
from segmentflow_core.domain.redaction import compile_redaction
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_memory import MemoryStorage

__all__ = ["measure"]

_SECRET_NAMES = (
    *("password", "passphrase", "secret", "pin", "cvv", "cvc", "ssn"),
    *("iban", "apiKey", "authorization"),
)
_WHERE = {
    "all": [
        {"path": "/event/total", "op": "gte", "value": 40},
        {"path": "/profile/properties/plan", "op": "eq", "value": "Pro"},
    ]
}
_NOT_MET = {"path": "/event/total", "op": "gte", "value": 1000}
_LISTENING = a_journey(trigger={"event": "order.created", "where": _WHERE})


_FURTHER = 20


def _tracker(other_journeys: int = 0, profiles: int = 1, further_journeys: int = 0) -> Tracker:
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)
    others = [
        a_journey(f"other-{number}", trigger={"event": f"other.{number}"})
        for number in range(other_journeys)
    ]
    tracker.journeys.publish([_LISTENING])
    for number in range(further_journeys):
        skipping = {"event": "order.created", "where": _NOT_MET}
        tracker.journeys.publish([a_journey(f"further-{number}", trigger=skipping)])
    for start in range(0, len(others), 10_000):
        tracker.journeys.publish(others[start : start + 10_000])
    for start in range(0, profiles, 10_000):
        tracker.track_many(
            [
                (
                    a_request("signed.up", profile={"email": f"p{number}@example.com"}),
                    f"profile {number}",
                )
                for number in range(start, min(start + 10_000, profiles))
            ]
        )
    return tracker


_keys = map(str, itertools.count())
_BATCH = 100


def _step(tracker: Tracker) -> Any:
    return lambda: tracker.track(DOCUMENTED_REQUEST, next(_keys))


def _batch(tracker: Tracker) -> Any:
    return lambda: tracker.track_many([(DOCUMENTED_REQUEST, next(_keys)) for _ in range(_BATCH)])


def measure(*, quick: bool, full: bool) -> Iterator[Line]:
    """Yield one line per measurement."""
    calls, rounds = (1000, 3) if quick else (5000, 7)
    few = _tracker(other_journeys=10)
    alone, _ = alternate(_step(_tracker()), _step(_tracker()), calls, rounds)
    yield limited("track on memory, one Journey", alone, 65e-6 if is_optimised() else 75e-6)
    further = _step(_tracker(further_journeys=_FURTHER))
    more, less = alternate(further, _step(_tracker()), calls, rounds)
    yield limited(
        "  a further Journey on the same event, which skips it", (more - less) / _FURTHER, 4e-6
    )

    batching = _tracker()
    batch, _ = alternate(_batch(batching), _batch(batching), max(calls // _BATCH, 5), rounds)
    yield compared(
        f"  a batch of {_BATCH} against single events", alone, batch / _BATCH, at_least=1
    )

    many = 10_000 if quick else 100_000
    small, large = alternate(_step(few), _step(_tracker(other_journeys=many)), calls, rounds)
    yield compared(f"  10 to {many:,} Journeys on other events", large, small, at_most=1.1)
    profiles = 10_000 if quick else 1_000_000 if full else 100_000
    small, large = alternate(
        _step(_tracker(profiles=1000)), _step(_tracker(profiles=profiles)), calls, rounds
    )
    yield compared(f"  1,000 to {profiles:,} Profiles", large, small, at_most=1.1)

    key = FingerprintKey.derive(FINGERPRINT_SECRET)
    random_ = random.Random(7)
    documents = {
        "the documented request": (dict(DOCUMENTED_REQUEST), calls),
        "50 kB": (_fifty_kilobytes(random_), max(calls // 50, 10)),
    }
    for name, (document, times) in documents.items():
        ours, theirs = alternate(
            partial(compute_fingerprint, document, key),
            partial(_with_rfc8785, document, key.secret),
            times,
            rounds,
        )
        yield compared(f"canonical + HMAC against rfc8785, {name}", theirs, ours, at_least=3)

    data = DOCUMENTED_REQUEST["data"]
    paths = DOCUMENTED_REQUEST["redactedDataPaths"]
    compiled = compile_redaction(paths)
    with_compile, apply = alternate(
        lambda: compile_redaction(paths).apply(data), lambda: compiled.apply(data), calls, rounds
    )
    yield limited("redaction, one path", apply, 5e-6)
    yield limited("redaction, one path, compiling included", with_compile, 5e-6)

    properties = DOCUMENTED_REQUEST["profile"]["properties"]
    policy = RedactionPolicy(names=_SECRET_NAMES)
    one_found = RedactionPolicy(names=[*_SECRET_NAMES[1:], "token"])
    nothing_found, something_found = alternate(
        lambda: policy.redaction(paths, data, properties).apply(data),
        lambda: one_found.redaction(paths, data, properties).apply(data),
        calls,
        rounds,
    )
    yield limited("redaction, one path and a policy of 10 names", nothing_found, 5e-6)
    yield limited("redaction, the same, where it finds one", something_found, 10e-6)


def _with_rfc8785(document: Any, secret: bytes) -> bytes:
    return hmac.digest(secret, rfc8785.dumps({"request": document, "v": 1}), "sha256")


def _fifty_kilobytes(random_: random.Random) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    while len(json.dumps(items)) < 50_000:
        items.append(
            {
                "sku": f"sku-{random_.randrange(10**6)}",
                "price": round(random_.uniform(1, 500), 2),
                "quantity": random_.randrange(1, 9),
                "tags": ["new", "sale", "größe"],
                "gift": random_.random() < 0.5,
            }
        )
    return {"event": "order.created", "data": {"items": items}}
