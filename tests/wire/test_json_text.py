from __future__ import annotations

import json
import sys

import pytest

from segmentflow_core import Limits, Tracker
from segmentflow_core.errors import InvalidRequest, PayloadTooLarge
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET
from segmentflow_core.wire import parse_json, parse_request
from segmentflow_memory import MemoryStorage

START = b'{"event": "x", "profile": {"email": "a@example.com"}, "data": '


def violations(raw):
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)
    with pytest.raises(InvalidRequest) as refusal:
        tracker.track(parse_request(raw), "key")
    assert not tracker.records.events()
    return [(v.path, v.message) for v in refusal.value.violations]


@pytest.mark.parametrize("form", [json.dumps, lambda d: json.dumps(d, indent=2).encode()])
def test_the_documented_request_is_read(form):
    assert parse_request(form(DOCUMENTED_REQUEST)).document == DOCUMENTED_REQUEST


@pytest.mark.parametrize(
    ("data", "path", "message"),
    [
        (b'{"a": NaN}', "/data/a", "finite"),
        (b'{"a": -Infinity}', "/data/a", "finite"),
        (b'{"a": 1e400}', "/data/a", "finite"),
        (b'{"a": 123456789012345678901234567890}', "/data/a", "2^64-1"),
        (b'{"a": 18446744073709551616}', "/data/a", "2^64-1"),
        (b'{"a": [' + b"1" * 5000 + b"]}", "/data/a/0", "2^64-1"),
        (b'{"a": 1, "b": 2, "a": 3}', "/data/a", "more than once"),
        (b'{"x": [{"a": 1, "a": 1, "a": 1}]}', "/data/x/0/a", "more than once"),
        (b'{"a": "\\ud800"}', "/data/a", "surrogate"),
        (b'{"a": "\\u0000"}', "/data/a", "U+0000"),
    ],
)
def test_what_python_cannot_hold_is_named_by_its_path(data, path, message):
    ((where, why),) = violations(START + data + b"}")
    assert where == path
    assert message in why


def test_a_name_given_twice_hides_no_other_fault():
    found = violations(b'{"event": "", "event": "x", "profile": {"email": "a@b.cd"}, "zz": 1e999}')
    assert found == [
        ("/event", "is given more than once"),
        ("/zz", "must be a finite number: NaN and infinities are not JSON"),
        ("/zz", "is not a known field"),
    ]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is not valid JSON, at line 1, column 1"),
        (b'{"event": canary}', "is not valid JSON, at line 1, column 11"),
        (b'{"event": "x"} {}', "is not valid JSON, at line 1, column 16"),
        (b'{"event": "a\nb"}', "is not valid JSON, at line 1, column 13"),
        (b"\xef\xbb\xbf{}", "must not start with a byte order mark"),
        ("\ufeff{}", "must not start with a byte order mark"),
        (b'"\xff"', "is not UTF-8"),
        (b'"\xed\xa0\x80"', "is not UTF-8"),
        (b"[" * 100_000, "is nested too deep to read"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "is nested too deep to read"),
    ],
)
def test_what_cannot_be_read_is_refused_as_a_whole(raw, message):
    assert violations(raw) == [("", message)]


@pytest.mark.parametrize("raw", [b'{"event": canary}', b'{"canary": "\xff"}'])
def test_a_refusal_keeps_no_part_of_what_was_read(raw):
    with pytest.raises(InvalidRequest) as refusal:
        parse_request(raw)
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None


@pytest.mark.parametrize("end", ["", "\\"])
def test_a_string_without_an_end_is_read_once_however_many_quotes_it_holds(end):
    """Reading from each quote anew would take minutes here."""
    raw = "[" * 201 + '"' + '\\"' * 100_000 + end
    assert violations(raw) == [("", "is nested too deep to read")]


def test_depth_is_counted_outside_strings_and_named_where_it_can_be_read():
    brackets = '"' + "[" * 1000 + '\\"{"'
    assert parse_request(START.decode() + f'{{"a": {brackets}}}}}').document["data"]
    many = b"[" + b"[],[]," * 300 + b"[]]"
    assert parse_request(START + b'{"a": ' + many + b"}}").document["data"]
    deep = START + b'{"a":' * 70 + b"1" + b"}" * 71
    ((path, message),) = violations(deep)
    assert path == "/data" + "/a" * 63
    assert message == "is nested deeper than 64"


def test_the_size_is_held_against_the_raw_bytes_before_anything_is_parsed():
    for raw in (b" " * (256 * 1024 + 1), "é" * (128 * 1024 + 1)):
        with pytest.raises(PayloadTooLarge):
            parse_request(raw)
    assert parse_request(b"{}" + b" " * 98, Limits(max_bytes=100)).document == {}


def test_a_request_within_the_raw_limit_is_not_refused_for_its_canonical_size():
    numbers = b"[" + b",".join([b"1e20"] * 20_000) + b"]"
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)
    assert tracker.track(parse_request(START + b'{"a": ' + numbers + b"}}"), "key")


def test_reading_leaves_the_interpreters_limits_alone():
    before = sys.getrecursionlimit()
    parse_request(b'{"a": 1}')
    assert sys.getrecursionlimit() == before


@pytest.mark.parametrize("raw", [None, 1, ["{}"], {}])
def test_what_is_neither_bytes_nor_text_is_refused(raw):
    with pytest.raises(InvalidRequest) as refusal:
        parse_json(raw)
    assert [v.message for v in refusal.value.violations] == ["must be bytes or text"]
