"""Requests to be digested and compared, and the keys that digest them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from segmentflow_core.domain.fingerprint import FingerprintKey
from segmentflow_core.domain.redaction_policy import RedactionPolicy
from segmentflow_core.domain.request import ValidRequest, check_request
from segmentflow_core.testing import DOCUMENTED_REQUEST, a_request

CANARY = "canary-tok_live_abc"
SECRET = b"canary-secret-of-thirty-two-byte"
KEY = FingerprintKey("first", SECRET)
OTHER_KEY = FingerprintKey("second", b"another-secret-of-thirty-two-byt")

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | names
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(names, inner, max_size=8),
    max_leaves=60,
)
requests = st.fixed_dictionaries(
    {"event": names}, optional={"data": st.dictionaries(names, json_values, max_size=8)}
)


def request(**changes: Any) -> dict[str, Any]:
    return {**DOCUMENTED_REQUEST, **changes}


def checked(document: Any) -> ValidRequest:
    return check_request(document, "key")


def by_policy(document: Any) -> ValidRequest:
    return check_request(document, "key", policy=RedactionPolicy(names=["ssn", "pin"]))


def with_properties(**properties: Any) -> Any:
    return a_request(profile={"email": "alex@example.com", "properties": properties})
