"""Every number of the domain that a caller or a stored row may run into, as the documents say it.

A test that asks for `MAX_PATHS` items follows the constant wherever it goes. Here each stands in
digits: another one is another promise, and some are in stored rows.
"""

from __future__ import annotations

import importlib
import pkgutil
from datetime import timedelta

from segmentflow_core import Limits, domain, errors
from segmentflow_core.domain.profile import ProfileLimits

PROMISED = {
    "admission.MAX_INTEGER": 2**64 - 1,
    "admission.MIN_INTEGER": -(2**63),
    "api_key.SECRET_BYTES": 32,
    "api_key.USE_PRECISION": timedelta(hours=1),
    "api_key._LOOKUP_DIGITS": 16,
    "api_key._MAX_LABEL": 255,
    "cancelling.LOOKED_AT": 1_000,
    "cancelling._RULE_DIGITS": 8,
    "cancelling._VALUE_DIGITS": 32,
    "condition.check.DEPTH_LIMIT": 32,
    "condition.check.NODE_LIMIT": 1000,
    "condition.did.DID_LIMIT": 16,
    "condition.did.MAX_EVENT_NAME": 255,
    "condition.did.MAX_SAME": 8,
    "condition.did.MAX_TIMES": 100,
    "condition.explain.ITEM_LIMIT": 100,
    "condition.values.LIST_LIMIT": 10_000,
    "conflict.MAX_PATHS": 64,
    "conflict._MAX_POINTER": 255,
    "conflict._PATH_DIGEST_BYTES": 8,
    "conflict._PATH_DIGEST_DIGITS": 8,
    "faults.MAX_PATH": 1024,
    "fingerprint.MIN_SECRET_BYTES": 32,
    "fingerprint._KEY_ID_BYTES": 8,
    "gathering.MAX_ASIDE": 64,
    "gathering.MAX_TOGETHER": 128,
    "gathering.MAX_WRITERS": 4,
    "hand_over.MAX_FAILURE": 1_000,
    "earlier_events.MAX_BYTES": 4 * 2**20,
    "earlier_events.MAX_EVENTS": 1_000,
    "idempotency_key._LENGTH": 43,
    "journey.definition.MAX_CANCEL_RULES": 8,
    "journey.definition.MAX_KEY_PARTS": 8,
    "journey.definition.MAX_NAME": 255,
    "journey.definition.MAX_TIMES": 1_000,
    "journey.document.MAX_JOURNEYS_BYTES": 4 * 2**20,
    "journey.document._MAX_DEPTH": 100,
    "organization._MAX_ORGANIZATION": 255,
    "request.check.MAX_EMAIL": 320,
    "request.check.MAX_NAME": 255,
    "template.MAX_TEMPLATE_BYTES": 2**20,
    "template._MAX_DEPTH": 64,
    "template._MAX_PLACES": 1000,
}
NOBODY_SEES = {
    "conflict._CACHED_LENGTH",
    "conflict._CACHED_SHAPES",
    "emails._FOR_EVER",
    "instant._MICROSECOND",
    "profile._MICROSECOND",
    "redaction._CACHED_LENGTH",
    "redaction._CACHED_PATHS",
    "stack_room.MANY",
    "stack_room._FRAME",
}
"""Numbers that change how fast something is, or are what their name says."""


def numbers():
    for found in pkgutil.walk_packages(domain.__path__, f"{domain.__name__}."):
        module = importlib.import_module(found.name)
        for name in module.__annotations__:
            if isinstance(value := getattr(module, name, None), int | float | timedelta):
                place = f"{found.name.removeprefix(f'{domain.__name__}.')}.{name}"
                if name.isupper() and not isinstance(value, bool):
                    yield place, value


def test_every_limit_is_the_one_promised():
    assert {place: value for place, value in numbers() if place not in NOBODY_SEES} == PROMISED


def test_the_usual_settings_are_the_ones_promised():
    assert Limits() == Limits(max_bytes=256 * 1024, max_depth=64, allow_placeholder_ids=False)
    assert ProfileLimits() == ProfileLimits(
        max_properties=1000,
        max_bytes=100 * 1024,
        forget_removed_after=timedelta(days=30),
        max_former_emails=100,
    )


def test_a_refusal_is_as_long_as_promised():
    assert (errors.MAX_VIOLATIONS, errors.MAX_VIOLATIONS_BYTES) == (1000, 64 * 1024)
