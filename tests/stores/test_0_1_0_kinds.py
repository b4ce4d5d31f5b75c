"""Every kind of row that the stores of version 0.1.0 must hold is among them.

Knows the rows only, so that it stays true whatever becomes of the library.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from stores.made_by_0_1_0 import NOW, Row, rows_of


def after(moment: str, days: int) -> bool:
    return (datetime.fromisoformat(NOW) - datetime.fromisoformat(moment)).days >= days


def holds(row: Row, **values: Any) -> bool:
    return all(row[name] == value for name, value in values.items())


def depth(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, items), default=0) if isinstance(value, (dict, list)) else 0


def text_of(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False)


KINDS: dict[str, tuple[str, Callable[[Row], object]]] = {
    "a key that expired": ("claims", lambda r: r["expires_at"] and r["expires_at"] < NOW),
    "a key that expires this very moment": ("claims", lambda r: r["expires_at"] == NOW),
    "a key that expires later": ("claims", lambda r: r["expires_at"] and r["expires_at"] > NOW),
    "a key that is kept for ever": ("claims", lambda r: r["expires_at"] is None),
    "a key used again after it expired": (
        "claims",
        lambda r: r["key"] == "used again later" and not after(r["claimed_at"], 30),
    ),
    "a key with spaces": ("claims", lambda r: r["key"].endswith("  ")),
    "a key with colons and slashes": ("claims", lambda r: ":" in r["key"] and "/" in r["key"]),
    "a key of 255 characters": ("claims", lambda r: len(r["key"]) == 255),
    "a fingerprint under the first key": ("claims", lambda r: r["key_id"] == "0.1.0/first"),
    "a fingerprint under the second key": ("claims", lambda r: r["key_id"] == "0.1.0/second"),
    "an unexpired fingerprint under the first key": (
        "claims",
        lambda r: r["key_id"] == "0.1.0/first" and r["expires_at"] is None,
    ),
    "a Profile with an email only": ("profiles", lambda r: r["email"] and not r["external_id"]),
    "a Profile with an external id only": ("profiles", lambda r: r["email"] is None),
    "a Profile with both": ("profiles", lambda r: r["email"] and r["external_id"]),
    "a Profile whose email changed": (
        "profiles",
        lambda r: holds(r, email="new@example.com", external_id="moving"),
    ),
    "an email that was another Profile's": ("profiles", lambda r: r["email"] == "old@example.com"),
    "an email of 320 characters": ("profiles", lambda r: len(r["email"] or "") > 300),
    "an external id in NFC": ("profiles", lambda r: r["external_id"] == "caf\u00e9"),
    "an external id in NFD": ("profiles", lambda r: r["external_id"] == "cafe\u0301"),
    "an external id of 255 characters of four bytes": (
        "profiles",
        lambda r: len((r["external_id"] or "").encode()) == 1020,
    ),
    "an external id that a broken client sends": (
        "profiles",
        lambda r: r["external_id"] == "undefined",
    ),
    "an external id of white space": ("profiles", lambda r: r["external_id"] == " "),
    "a removed Property that is remembered": (
        "profiles",
        lambda r: r["property_times"].keys() - r["properties"].keys(),
    ),
    "a Property set in the first year": (
        "profiles",
        lambda r: any(time < 0 for time, _ in r["property_times"].values()),
    ),
    "Properties of every kind of JSON": (
        "profiles",
        lambda r: (
            {str, int, float, bool, dict, list} <= {type(v) for v in r["properties"].values()}
        ),
    ),
    "a Profile with no Properties": ("profiles", lambda r: r["property_times"] == {}),
    "an event without data": ("events", lambda r: r["data"] == {}),
    "data nested 60 deep": ("events", lambda r: depth(r["data"]) >= 60),
    "the least integer": ("events", lambda r: "-9223372036854775808" in text_of(r)),
    "the greatest integer": ("events", lambda r: "18446744073709551615" in text_of(r)),
    "a float past the integers": ("events", lambda r: "1e+22" in text_of(r)),
    "a small float": ("events", lambda r: "1e-07" in text_of(r)),
    "U+2028 in a text": ("events", lambda r: "\u2028" in text_of(r)),
    "an emoji of several code points": ("events", lambda r: "\u200d👩" in text_of(r)),
    "text from right to left": ("events", lambda r: "שלום" in text_of(r)),
    "combining marks": ("events", lambda r: "\u0351" in text_of(r)),
    "a text that looks like a template": ("events", lambda r: '"$state"' in text_of(r)),
    "an empty member name": ("events", lambda r: "" in r["data"]),
    "a whole subtree redacted": ("events", lambda r: r["data"].get("payment") == "[REDACTED]"),
    "an item of an array redacted": (
        "events",
        lambda r: r["data"].get("list") == [1, "[REDACTED]", 3],
    ),
    "an event with a referenceId": ("events", lambda r: r["reference_id"] == "ord_9421"),
    "an event that occurred earlier": ("events", lambda r: r["occurred_at"] < r["received_at"]),
    "an event on receipt": ("events", lambda r: r["occurred_at"] == r["received_at"]),
    "an event in the first year": ("events", lambda r: r["occurred_at"].startswith("0001-")),
    "an event in the last year": ("events", lambda r: r["occurred_at"].startswith("9999-")),
    "history that matched no Journey": (
        "events",
        lambda r: holds(r, event="order.created", outcomes=[]),
    ),
    "an event with several outcomes": ("events", lambda r: len(r["outcomes"]) > 8),
    "an event's name of 255 characters of four bytes": (
        "events",
        lambda r: len(r["event"].encode()) == 1020,
    ),
    "a Journey in its fourth version": ("journeys", lambda r: r["version"] == 4),
    "a Journey's id of 255 characters of four bytes": (
        "journeys",
        lambda r: len(r["journey_id"].encode()) == 1020,
    ),
    "an entry into the first of several versions": (
        "enrollments",
        lambda r: holds(r, journey_id="versioned", version=1),
    ),
    "an entry into the third version": ("enrollments", lambda r: r["version"] == 3),
    "an entry with no key": ("enrollments", lambda r: r["entry_key"] is None),
    "an entry with the key of once": ("enrollments", lambda r: r["entry_key"] == ""),
    "an entry with a key of parts": ("enrollments", lambda r: r["entry_key"]),
    "one that was never claimed": (
        "enrollments",
        lambda r: holds(r, status="pending", token=None, available_at=r["entered_at"]),
    ),
    "one with a live lease": (
        "enrollments",
        lambda r: r["status"] == "claimed" and r["lease_until"] > NOW,
    ),
    "one whose lease is over": (
        "enrollments",
        lambda r: r["status"] == "claimed" and r["lease_until"] < NOW,
    ),
    "one with an extended lease": (
        "enrollments",
        lambda r: r["journey_id"] == "work-extended" and r["lease_until"] > NOW,
    ),
    "one that was given back": (
        "enrollments",
        lambda r: holds(r, status="pending", attempts=0) and r["token"],
    ),
    "one that failed": (
        "enrollments",
        lambda r: holds(r, status="pending", attempts=1) and r["available_at"] < NOW,
    ),
    "one that is delayed": (
        "enrollments",
        lambda r: r["status"] == "pending" and r["available_at"] > NOW,
    ),
    "one completed at the second attempt": (
        "enrollments",
        lambda r: holds(r, status="completed", attempts=2),
    ),
    "one dead by a failure": ("enrollments", lambda r: holds(r, status="dead", lease_until=None)),
    "one dead by a claim": ("enrollments", lambda r: r["status"] == "dead" and r["lease_until"]),
    "one that was revived": (
        "enrollments",
        lambda r: holds(r, status="pending", token=None) and r["available_at"] > r["entered_at"],
    ),
    "a live API Key": ("api_keys", lambda r: r["test"] == 0),
    "a test API Key": ("api_keys", lambda r: r["test"] == 1),
    "an API Key without a label": ("api_keys", lambda r: r["label"] is None),
    "an API Key with an odd label": ("api_keys", lambda r: "\u0301" in (r["label"] or "")),
    "an API Key that was used": ("api_keys", lambda r: r["last_used_at"] and not r["revoked_at"]),
    "an API Key that was revoked": ("api_keys", lambda r: r["revoked_at"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_stores_hold(kind):
    table, is_one = KINDS[kind]
    assert any(is_one(row) for row in rows_of(table))
