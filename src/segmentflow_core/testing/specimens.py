"""Values that storage is known to alter, by what kind of value they are.

Each is legal: a request, a Journey or the library itself may bring it. Every text here differs
from every other one by a code point at least, and some engine takes it for another one. Must
never know which field holds what; that is in `facts`.
"""

from __future__ import annotations

import math
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from segmentflow_core.domain.admission import MAX_INTEGER, MIN_INTEGER
from segmentflow_core.domain.cancelling import Cancellers, CancelOn, Withdrawal
from segmentflow_core.domain.identity import IdentityKind
from segmentflow_core.domain.journey import Reentry, ReentryPolicy
from segmentflow_core.domain.profile import Alias, MergedSeries

__all__ = [
    "ALIASES",
    "AUDIT_COUNTS",
    "CANCELLERS",
    "CANCEL_RULES",
    "CONDITIONS",
    "COUNTS",
    "DIGESTS",
    "DIGEST_TEXTS",
    "DURATIONS",
    "EMAILS",
    "EMAIL_TIMES",
    "ENTRY_KEYS",
    "FAILURES",
    "FORMER_ALIAS",
    "FORMER_EMAILS",
    "IDS",
    "INSTANTS",
    "JSON_OBJECTS",
    "KEY_IDS",
    "LONGEST",
    "MERGED",
    "NAMES",
    "NUMBERS",
    "PATHS",
    "PERCENTS",
    "POINTERS",
    "PRINTABLE",
    "PROPERTY_TIMES",
    "REENTRIES",
    "SUBJECTS",
    "VERSIONS",
    "WITHDRAWALS",
    "an_id",
    "digest_text",
]

LONGEST: Final = "\U0001f600" * 255
"""255 characters of four bytes each, in UTF-8."""

_ALIKE: Final = (
    # By case, in every language; by accent; by normal form: NFC, NFD, NFKC.
    *("name", "Name", "NAME", "\u00df", "ss", "\u1e9e", "\u0130", "\u0131", "i", "I", "\u03c3"),
    *("\u03c2", "\u00e9", "e\u0301", "e", "\u212b", "\u00c5", "A\u030a", "\ufb01", "fi", "\u2460"),
    *("a\u0328\u0301", "a\u0301\u0328", "\uac00", "\u1100\u1161", "\u30ac", "\u30ab\u3099"),
    # By white space before, behind and within, and by what is not seen.
    *("name ", " name", "name  ", "name\t", "name\n", "name\r\n", "name\r", "na\r\nme", "na\nme"),
    *("name\u00a0", "na\u200bme", "\ufeffname", "na\u00adme", "\u2028", "name\x1f", "\x7f", "\x01"),
    # By what each looks like: a number, a time, a constant, an empty value.
    *("1", "01", "1.0", "+1", "1e0", "1e400", "0x1", "NaN", "Infinity", "true", "null", "NULL"),
    *("2026-05-31", "2026-05-31T12:00:00Z", "12:00", "None", "undefined", "[]", "{}", '""', "\\0"),
    # By what a statement, a pattern, a path or a template makes of them.
    *("'", '"', "`", "\\", "\\\\", "\\n", "%", "_", "n%", "n_me", "*", "n*", "?", "[n]ame", "$1"),
    *(":name", "%s", "%(name)s", "{name}", "${name}", "';--", "a/b", "a|b", "a:b", "a\x1fb", ".."),
    # By characters that some encodings lack, and by their number.
    *("\U0001f600", "\U0010ffff", "\uffff", "\ufffd", "\u05d0\u0031", "\U0001f468\u200d\U0001f469"),
    *("x" * 254, "x" * 255, "\u00e9" * 255, LONGEST),
)
NAMES: Final = tuple(dict.fromkeys(_ALIKE))
"""Texts of 1 to 255 characters, of which none is another."""

PRINTABLE: Final = tuple(name for name in NAMES if name.isprintable())
"""Those `NAMES` that an Organization or a label may have."""

_LONG_EMAIL: Final = f"{'x' * 64}@{'y' * 63}.{'z' * 187}.org"
EMAILS: Final = (
    *("a@example.com", "aa@example.com", "a@a.example.com", "o'brien@example.com", "_@example.com"),
    *("a.b@example.com", "ab@example.com", "a+b@example.com", "a-b@example.com", "1@example.com"),
    *("1e5@example.com", "01@example.com", "null@example.com", "-@example.com", _LONG_EMAIL),
)
"""Addresses as they are stored, in small letters; the last one has 320 characters."""

FAILURES: Final = (
    *("No answer.", "no answer.", "no answer. ", "0", "null", "\n"),
    *("\U0001f600" * 1_000, "".join(NAMES[:-4]), "".join(NAMES[-4:])[:1_000]),
)
"""Failures in words, of 1 to 1,000 characters."""

KEY_IDS: Final = ("1", "01", "A", "a", "a ", " a", "'", '"', "\\", "null", "2026-05", "~" * 64)
DIGESTS: Final = (
    bytes(32),
    b"\xff" * 32,
    bytes(range(32)),
    b"'\"\\\n\r\t%_" * 4,
    b"\x00" * 31 + b"\x01",
    b"\x80" + b" " * 31,
)
"""32 bytes, of which none is text in every encoding."""


def digest_text(digest: bytes) -> str:
    """Write 32 bytes as 43 characters: base64url without padding (RFC 4648, section 5)."""
    return urlsafe_b64encode(digest).decode("ascii").rstrip("=")


DIGEST_TEXTS: Final = tuple(map(digest_text, DIGESTS))


def an_id(number: int) -> str:
    """Return the nth id, in the form of a UUIDv7: a higher number has a higher id."""
    digits = f"{number:030x}"
    return f"{digits[:8]}-{digits[8:12]}-7{digits[12:15]}-8{digits[15:18]}-{digits[18:]}"


ENTRY_KEYS: Final = (
    *("", "0" * 64, f"1e{'0' * 62}", sha256(b"").hexdigest()),
    *(f"-{an_id(1)}", f"{'0' * 64}-{an_id(1)}", f"{'0' * 64}-{an_id(2)}"),
)

IDS: Final = (
    "00000000-0000-7000-8000-000000000000",
    "00000000-0000-7000-8000-000000000001",
    "12345678-1234-7123-8123-123456789012",
    "1e100000-0000-7000-8000-000000000000",
    "abcdefab-cdef-7abc-8def-abcdefabcdef",
    "ffffffff-ffff-7fff-bfff-ffffffffffff",
)

INSTANTS: Final = (
    datetime.min.replace(tzinfo=UTC),
    datetime(1, 1, 1, 0, 0, 0, 1, UTC),
    datetime(1582, 10, 10, 12, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1970, 1, 1, 0, 0, 0, 1, UTC),
    datetime(2001, 9, 9, 1, 46, 39, 999_999, UTC),
    datetime(2026, 3, 29, 1, 30, tzinfo=UTC),  # an hour that Europe's clocks leave out
    datetime(2026, 5, 31, 12, 0, 0, 1, UTC),
    datetime(2026, 5, 31, 12, 0, 0, 120_000, UTC),
    datetime(2026, 10, 25, 1, 30, 0, 999_999, UTC),  # an hour that they have twice
    datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
    datetime(2262, 4, 11, 23, 47, 16, 854_776, UTC),
    datetime.max.replace(tzinfo=UTC),
)
"""Ends of the ranges that engines have for times, and microseconds that a double cannot hold."""

_MOMENT: Final = (1_780_000_000_123_457, 1_780_000_000_123_458)
PROPERTY_TIMES: Final = (
    _MOMENT,
    (0, 0),
    (-1, 0),
    (-62_135_596_800_000_000, 253_402_300_799_999_999),
    (253_402_300_799_999_999, 253_402_300_799_999_999),
)
EMAIL_TIMES: Final = (
    *((first, first, last) for first, last in PROPERTY_TIMES),
    (PROPERTY_TIMES[3][0], *_MOMENT),
)
FORMER_EMAILS: Final[tuple[dict[str, tuple[int, int, int]], ...]] = (
    {},
    {EMAILS[-1]: EMAIL_TIMES[0]},
    {email: EMAIL_TIMES[number % len(EMAIL_TIMES)] for number, email in enumerate(EMAILS)},
)
"""Emails that gave way, each with its times."""


def _external_ids(*names: str) -> tuple[Alias, ...]:
    return tuple(Alias(IdentityKind.EXTERNAL_ID, name) for name in sorted(names))


ALIASES: Final = (
    (),
    (Alias(IdentityKind.EMAIL, EMAILS[-1]),),
    tuple(Alias(IdentityKind.EMAIL, email) for email in sorted(EMAILS[:-1])),
    # An external id may look like an email, which is another identity.
    _external_ids(*EMAILS),
    _external_ids(*NAMES[:60]),
    _external_ids(*NAMES[60:]),
)
"""What leads to a Profile since a merge; no two of these have an identity in common."""

FORMER_ALIAS: Final = {EMAILS[0]: EMAIL_TIMES[0]}
"""An email that gave way and, where it is one of `ALIASES`, leads to its Profile all the same."""


COUNTS: Final = (0, 1, 255, 256, 32_768, 65_536)
VERSIONS: Final = (1, 2, 10, 127, 128, 32_768, 65_536, 2**31 - 1)
NUMBERS: Final = (1, 9, 10, 128, 32_768, 2**31 - 1, 2**31, 2**32, 2**53 - 1)
"""Numbers of events: one Profile has never more than a double can count."""

MERGED: Final = (
    (),
    (MergedSeries(an_id(2**80), 1),),
    tuple(MergedSeries(an_id(2**81 - n), number) for n, number in enumerate(NUMBERS)),
    tuple(MergedSeries(an_id(2**82 + n), 7) for n in range(100)),
)
"""Series that went into a Profile, in the order of the merges, which is that of no id."""

AUDIT_COUNTS: Final[tuple[dict[str, int], ...]] = (
    {},
    {"withdrawn": 0, "blocked": 2**31, "profiles": 2**53 - 1},
    dict.fromkeys(NAMES, 1),
)
SUBJECTS: Final = ((), ("b", "a", "b"), NAMES, IDS)
"""Of what a record of what was done tells: Journeys have any name, and one has an order."""

_NUMBERS_OF_JSON: Final[tuple[Any, ...]] = (
    *(0, 1, -1, 1.0, True, False, None, 0.0, 0.1, 0.30000000000000004, 1e-7, 1e16, 1e17),
    *(2**31, 2**53, 2**53 + 1, -(2**53) - 1, 1e15, 123456789.123456789, 100.0, 1.5e300),
    *(MIN_INTEGER, MAX_INTEGER, 2**63 - 1, 2**63, 5e-324, 2.2250738585072014e-308),
    *(1.7976931348623157e308, 1e21, 1e22, 1e23, -1e22, math.pi, 9007199254740993.0),
)
JSON_OBJECTS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"n": None},
    {"n": ""},
    {"n": []},
    {"n": {}},
    {"n": [None]},
    {"": ""},
    *({"n": number} for number in _NUMBERS_OF_JSON),
    {"n": list(_NUMBERS_OF_JSON)},
    {"n": [1, 1.0, True, "1", "1.0", "true"]},
    {"n": [3, 1, 2, 1, [], [[]], {}]},
    dict.fromkeys(NAMES, 1),
    {"n": list(NAMES)},
    {"b": 1, "a": 2, "B": 3, "\u00e9": 4, "e\u0301": 5, "10": 6, "9": 7},
    {"$date": "2026-05-31", "$numberLong": "1", "__proto__": 1, "constructor": 2, "_id": 3},
    {"n": "x" * 70_000},
    {"n": "\u00e9" * 40_000},
)
"""JSON objects, each kept as it is by few."""

PATHS: Final[tuple[dict[str, str], ...]] = (
    {},
    {"": "0" * 16},
    {"/profile/email": ""},
    {f"/profile/properties/{name.replace('~', '~0').replace('/', '~1')}": "1" for name in NAMES},
)
"""Digests by JSON Pointer, as a key claim has them."""

DURATIONS: Final = ("PT1H", "PT60M", "PT3600S", "P1D", "PT24H", "P30DT12H")
"""ISO 8601 durations, some of one length: each is kept as it was written."""

POINTERS: Final = (
    ("/event/b", "/event/a"),
    ("/event/a", "/event/b"),
    ("/event/a~1b", "/event/m~0n", "/event/", "/profile/email"),
    ("/event/\u00e9", "/event/e\u0301", "/event/ a", "/event/a"),
)
REENTRIES: Final = (
    Reentry(ReentryPolicy.EVERY_EVENT),
    Reentry(ReentryPolicy.ONCE),
    *(Reentry(ReentryPolicy.ONCE_PER_KEY, key=pointers) for pointers in POINTERS),
    *(Reentry(ReentryPolicy.COOLDOWN, duration=duration) for duration in DURATIONS),
    *(Reentry(ReentryPolicy.AT_MOST, times=n, within=each) for n, each in enumerate(DURATIONS, 1)),
    Reentry(ReentryPolicy.AT_MOST, POINTERS[0], times=1_000, within=DURATIONS[0]),
)
CANCEL_RULES: Final = (
    (CancelOn("order.paid"),),
    tuple(CancelOn(name, POINTERS[place % 4]) for place, name in enumerate(NAMES[:8])),
    tuple(CancelOn(name) for name in NAMES[-8:]),
)
CANCELLERS: Final = tuple(
    Cancellers(
        since, tuple(sorted(sha256(b"%d" % n).hexdigest()[:40] for n in range(place % 8 + 1)))
    )
    for place, since in enumerate(INSTANTS)
)
WITHDRAWALS: Final = (
    tuple(Withdrawal(each, NAMES[place], bool(place % 2)) for place, each in enumerate(IDS)),
    (Withdrawal(IDS[0], LONGEST),),
    tuple(Withdrawal(an_id(2**83 + place), name) for place, name in enumerate(NAMES)),
)
PERCENTS: Final = (0, 0.0, 1, 1.0, 12.5, 0.1, 1e-7, 33.333333333333336, 100, 100.0)
CONDITIONS: Final[tuple[dict[str, Any], ...]] = (
    *(
        {"path": "/event/n", "op": "eq", "value": value}
        for value in (1, 1.0, True, "1", "", 1e22, 2**53 + 1, "\u00e9", "e\u0301", "name ")
    ),
    {"path": "/event/n", "op": "in", "value": [2, 1, 1.5, "1", True]},
    {"path": "/event/a~1b/m~0n/", "op": "exists"},
    {"all": [{"not": {"any": [{"path": "/event/b", "op": "missing"}]}}]},
)
