"""How large and how deep a request may be, and how much is said of a refused one."""

from __future__ import annotations

import json

import pytest

from request_faults import CANARY, paths, violations
from segmentflow_core import Limits
from segmentflow_core.domain.request import check_request
from segmentflow_core.errors import ConfigurationError, InvalidRequest, PayloadTooLarge
from segmentflow_core.testing import a_request
from segmentflow_core.wire import parse_request


def nested(depth):
    value = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def test_depth_64_is_taken_and_65_is_refused_with_its_path():
    assert check_request(a_request(data=nested(63)), "key").data
    ((path, message),) = violations(a_request(data=nested(64)))
    assert path == "/data" + "/a" * 63
    assert "64" in message
    arrays = []
    for _ in range(70):
        arrays = [arrays]
    assert paths(a_request(data={"a": arrays})) == ["/data/a" + "/0" * 62]


def test_256_kib_are_taken_and_more_is_too_large():
    room = 256 * 1024 - len(check_request(a_request(data={"a": ""}), "key").canonical)
    assert check_request(a_request(data={"a": "x" * room}), "key")
    for size in (room + 1, 300 * 1024):
        with pytest.raises(PayloadTooLarge) as refusal:
            check_request(a_request(data={"a": "x" * size}), "key")
        assert refusal.value.details == {"maxBytes": 256 * 1024}


def test_a_large_request_of_small_parts_is_taken_whole():
    """Its redaction comes after the data, and is heeded."""
    rows = [[0, 1]] * 40_000
    request = a_request(data={"rows": rows, "token": CANARY}, redactedDataPaths=["/event/token"])
    valid = check_request(parse_request(json.dumps(request, separators=(",", ":"))), "key")
    assert valid.data == request["data"]
    assert valid.redaction.apply(valid.data).data["token"] == "[REDACTED]"


def test_a_document_larger_than_the_limits_is_refused_whoever_measured_it():
    document = parse_request(json.dumps(a_request(data={"a": ["x" * 9] * 99})))
    with pytest.raises(PayloadTooLarge):
        check_request(document, "key", Limits(max_bytes=500))


def test_the_limits_are_settings():
    with pytest.raises(PayloadTooLarge):
        check_request(a_request(data={"a": "é" * 60}), "key", Limits(max_bytes=150))
    assert violations(a_request(data={"a": {}}), limits=Limits(max_depth=2))[0][0] == "/data/a"
    for wrong in (
        {"max_bytes": 0},
        {"max_depth": 0},
        {"max_depth": 129},
        {"max_bytes": "x"},
        {"max_depth": None},
    ):
        with pytest.raises(ConfigurationError):
            Limits(**wrong)


def test_shared_and_cyclic_objects_are_bounded():
    bomb = ["x"]
    for _ in range(60):
        bomb = [bomb, bomb]
    with pytest.raises(PayloadTooLarge):
        check_request(a_request(data={"bomb": bomb}), "key")
    bomb = {"x": 1}
    for _ in range(60):
        bomb = {"a": bomb, "b": bomb}
    with pytest.raises(PayloadTooLarge):
        check_request(a_request(data=bomb), "key")
    with pytest.raises(PayloadTooLarge):
        check_request(a_request(profile={"email": "a@b.co", "properties": bomb}), "key")
    wide = {str(number): None for number in range(200_000)}
    with pytest.raises(PayloadTooLarge):
        check_request(a_request(data={"a": wide, "b": 1}), "key")
    cycle = {}
    cycle["again"] = cycle
    assert len(paths(a_request(data=cycle))) == 1


def test_the_list_of_faults_is_bounded_and_says_how_many_it_leaves_out():
    with pytest.raises(InvalidRequest) as refusal:
        check_request(a_request(data={"a": [2**64] * 1500}), "key")
    assert len(refusal.value.violations) == 1000
    assert refusal.value.details["omittedViolations"] == 500


def test_a_path_too_long_to_show_is_cut_at_an_ancestor():
    assert paths(a_request(data={"a": {"x" * 2000: float("nan")}})) == ["/data/a"]


def test_names_below_a_redacted_path_are_not_shown():
    request = a_request(
        data={"card": {CANARY: float("nan")}, "cards": float("nan")},
        redactedDataPaths=["/event/card"],
    )
    assert paths(request) == ["/data/card", "/data/cards"]
