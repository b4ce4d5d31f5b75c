"""What a request may say, in which forms, and how what it may not say is named."""

from __future__ import annotations

import copy
import json
from collections import ChainMap, OrderedDict, UserDict
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

import pytest

from request_faults import CANARY, paths, violations
from segmentflow_core import Limits, ProfileInput, TrackRequest
from segmentflow_core.domain.request import PLACEHOLDERS, check_request, plain_request
from segmentflow_core.errors import IdempotencyKeyRequired, InvalidRequest, PayloadTooLarge
from segmentflow_core.testing import DOCUMENTED_REQUEST, a_request
from segmentflow_core.wire import parse_request


def test_the_documented_request_is_valid_in_every_form():
    as_value = TrackRequest(
        event="order.created",
        profile=ProfileInput(
            "alex@example.com", "cus_123", properties={"firstName": "Alex", "plan": "Pro"}
        ),
        data=DOCUMENTED_REQUEST["data"],
        redacted_data_paths=("/event/payment/token",),
        reference_id="ord_9421",
        occurred_at=datetime(2026, 5, 31, 14, tzinfo=timezone(timedelta(hours=2))),
    )
    forms = [as_value, DOCUMENTED_REQUEST, parse_request(json.dumps(DOCUMENTED_REQUEST))]
    checked = [check_request(form, "key") for form in forms]
    assert len({valid.canonical for valid in checked}) == 1
    assert checked[0] == checked[1] == checked[2]


def test_a_request_that_is_sent_on_is_plain_json_and_its_rules_are_the_others():
    moment = datetime(2026, 5, 31, 14, tzinfo=timezone(timedelta(hours=2)))
    stated = TrackRequest(
        "", ProfileInput("nobody", properties=MappingProxyType({"a": (1,)})), occurred_at=moment
    )
    assert plain_request(stated) == {
        "event": "",
        "profile": {"email": "nobody", "properties": {"a": [1]}},
        "occurredAt": "2026-05-31T12:00:00.000Z",
    }
    assert plain_request(a_request(unknown=1)) == a_request(unknown=1)
    assert plain_request([1]) == [1]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"data": {"a": {"b": CANARY.encode()}}}, "/data/a/b"),
        ({"data": {"at": datetime(2026, 5, 31, tzinfo=UTC)}}, "/data/at"),
        ({"occurredAt": datetime(2026, 5, 31)}, "/occurredAt"),  # noqa: DTZ001
    ],
)
def test_what_is_no_json_is_not_sent_on(change, path):
    with pytest.raises(InvalidRequest) as raised:
        plain_request(a_request(**change))
    assert [each.path for each in raised.value.violations] == [path]
    assert CANARY not in str(raised.value)


def test_what_no_service_would_take_is_not_sent_on():
    shared = "x" * 1024 * 1024
    with pytest.raises(PayloadTooLarge):
        plain_request(a_request(data={"items": [shared] * 65}))


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"event": None}, "/event"),
        ({"event": ""}, "/event"),
        ({"event": "x" * 256}, "/event"),
        ({"event": 5}, "/event"),
        ({"event": f"{CANARY}\0"}, "/event"),
        ({"event": f"{CANARY}\ud800"}, "/event"),
        ({"profile": None}, "/profile"),
        ({"profile": CANARY}, "/profile"),
        ({"profile": {}}, "/profile"),
        ({"profile": {"properties": {}}}, "/profile"),
        ({"profile": {"email": CANARY}}, "/profile/email"),
        ({"profile": {"email": None}}, "/profile/email"),
        ({"profile": {"email": None, "externalId": "x"}}, "/profile/email"),
        ({"profile": {"email": "a@example.com", "externalId": None}}, "/profile/externalId"),
        ({"profile": {"email": f"{CANARY}@example"}}, "/profile/email"),
        ({"profile": {"email": f".{CANARY}@example.com"}}, "/profile/email"),
        ({"profile": {"email": f"{CANARY}..a@example.com"}}, "/profile/email"),
        ({"profile": {"email": "\u212a@example.com"}}, "/profile/email"),
        ({"profile": {"email": f"{'a' * 320}@example.com"}}, "/profile/email"),
        ({"profile": {"email": f"{CANARY}\ud800@example.com"}}, "/profile/email"),
        ({"profile": {"externalId": ""}}, "/profile/externalId"),
        ({"profile": {"externalId": "x" * 256}}, "/profile/externalId"),
        ({"profile": {"externalId": 7}}, "/profile/externalId"),
        ({"profile": {"externalId": "x", "properties": [CANARY]}}, "/profile/properties"),
        ({"profile": {"externalId": "x", "name": CANARY}}, "/profile/name"),
        ({"data": None}, "/data"),
        ({"data": [CANARY]}, "/data"),
        ({"data": {"a": [{"b": float("nan")}]}}, "/data/a/0/b"),
        ({"data": {"a": float("inf")}}, "/data/a"),
        ({"data": {"a": 10**29}}, "/data/a"),
        ({"data": {"a": -(2**63) - 1}}, "/data/a"),
        ({"data": {"a": 2**64}}, "/data/a"),
        ({"data": {"a": Decimal(1)}}, "/data/a"),
        ({"data": {"a": date(2026, 1, 1)}}, "/data/a"),
        ({"data": {"a": {CANARY}}}, "/data/a"),
        ({"data": {"a": CANARY.encode()}}, "/data/a"),
        ({"data": {"a": f"{CANARY}\0"}}, "/data/a"),
        ({"data": {"a": f"é{CANARY}\0"}}, "/data/a"),
        ({"data": {"a": f"{CANARY}\udfff"}}, "/data/a"),
        ({"data": {"a\0": 1}}, "/data/a\\u0000"),
        ({"data": {"a\ud800": 1}}, "/data/a\\ud800"),
        ({"data": {5: CANARY}}, "/data"),
        ({"referenceId": ""}, "/referenceId"),
        ({"referenceId": None}, "/referenceId"),
        ({"redactedDataPaths": "/event/a"}, "/redactedDataPaths"),
        ({"redactedDataPaths": None}, "/redactedDataPaths"),
        ({"redactedDataPaths": {"/event/a"}}, "/redactedDataPaths"),
        ({"redactedDataPaths": ["/event/a", 5]}, "/redactedDataPaths/1"),
        ({"redactedDataPaths": ["/event/a", float("nan")]}, "/redactedDataPaths/1"),
        ({"redactedDataPaths": [CANARY]}, "/redactedDataPaths/0"),
        ({"redactedDataPaths": ["/event"]}, "/redactedDataPaths/0"),
        ({"redactedDataPaths": ["/event/~2"]}, "/redactedDataPaths/0"),
        ({"occurredAt": "2025-02-29T00:00Z"}, "/occurredAt"),
        ({"occurredAt": "2026-05-31T12:00:00"}, "/occurredAt"),
        ({"occurredAt": "٢٠٢٦-05-31T12:00:00Z"}, "/occurredAt"),
        ({"occurredAt": 1748692800}, "/occurredAt"),
        ({"occurredAt": None}, "/occurredAt"),
        ({"occurredAt": float("nan")}, "/occurredAt"),
        ({"occurredAt": datetime(2026, 5, 31)}, "/occurredAt"),  # noqa: DTZ001
        (
            {"occurredAt": datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))},
            "/occurredAt",
        ),
        ({"redactedDataPath": ["/event/card"]}, "/redactedDataPath"),
        ({"a/b~c": CANARY}, "/a~1b~0c"),
    ],
)
def test_each_broken_rule_is_named_by_its_path_and_no_value(change, path):
    assert paths(a_request(**change)) == [path]


def test_every_fault_is_listed_at_once():
    request = {
        "event": "",
        "profile": {"email": CANARY, "externalId": "", "x": 1},
        "data": {"a": float("nan"), "b": [10**30]},
        "redactedDataPaths": ["nonsense", "/event/ok"],
        "referenceId": 5,
        "occurredAt": CANARY,
        "unknown": 1,
    }
    assert sorted(paths(request, "")) == sorted(
        [
            "/data/a",
            "/data/b/0",
            "/unknown",
            "/event",
            "/profile/x",
            "/profile/email",
            "/profile/externalId",
            "/redactedDataPaths/0",
            "/referenceId",
            "/occurredAt",
            "/idempotencyKey",
        ]
    )


def test_what_is_missing_is_named():
    assert violations({}) == [("/event", "is required"), ("/profile", "is required")]
    assert violations(TrackRequest("x", None)) == [("/profile", "is required")]
    assert violations(TrackRequest("x", ProfileInput())) == [
        ("/profile", "must have an email or an externalId")
    ]


@pytest.mark.parametrize("request_", [None, 5, [], "text", float("nan"), object()])
def test_what_is_no_object_is_refused_as_a_whole(request_):
    assert paths(request_) == [""]


@pytest.mark.parametrize("key", [None, ""])
def test_a_missing_key_has_a_code_of_its_own(key):
    with pytest.raises(IdempotencyKeyRequired) as refusal:
        check_request(a_request(event=""), key)
    assert refusal.value.code == "idempotency_key_required"
    assert [v.path for v in refusal.value.violations] == ["/event", "/idempotencyKey"]


@pytest.mark.parametrize("key", ["x" * 256, "a\tb", "a\nb", "\x7f", "é", 5, b"key"])
def test_a_bad_key_is_refused(key):
    assert paths(a_request(), key) == ["/idempotencyKey"]


@pytest.mark.parametrize("key", ["x", "x" * 255, "a b~!"])
def test_a_good_key_is_taken(key):
    assert check_request(a_request(), key).event == "order.created"


def test_lookalikes_of_json_types_become_plain_and_nothing_is_shared():
    class Plan(StrEnum):
        PRO = "Pro"

    class Count(int):
        pass

    class Price(float):
        pass

    class Name(str):
        __slots__ = ()

    original = {"list": [1, {"a": 1}], "tuple": (1,), "proxy": MappingProxyType({"a": 1})}
    data = {
        **original,
        "plan": Plan.PRO,
        "count": Count(3),
        "price": Price(1.5),
        "user": UserDict({"b": 2}),
        Name("name"): 1,
        "rows": type("Rows", (list,), {})([1]),
    }
    before = copy.deepcopy(original["list"])
    valid = check_request(a_request(data=data), "key")
    assert valid.data["tuple"] == [1]
    assert valid.data["proxy"] == {"a": 1}
    assert [type(valid.data[name]) for name in ("plan", "count", "price", "user", "rows")] == [
        str,
        int,
        float,
        dict,
        list,
    ]
    assert {type(name) for name in valid.data} == {str}
    valid.data["list"][1]["a"] = 2
    assert original["list"] == before


@pytest.mark.parametrize(
    "external_id",
    [
        *PLACEHOLDERS,
        *map(str.upper, PLACEHOLDERS),
        *map(str.lower, PLACEHOLDERS),
        " ",
        "\t\n",
        "\u3000",
    ],
)
def test_an_external_id_of_a_broken_client_is_refused_unless_a_setting_allows_it(external_id):
    request = a_request(profile={"email": "a@example.com", "externalId": external_id})
    ((path, message),) = violations(request)
    assert path == "/profile/externalId"
    assert message == "must not be a placeholder like undefined or null, nor white space alone"
    allowed = check_request(request, "key", Limits(allow_placeholder_ids=True))
    assert allowed.external_id == external_id


@pytest.mark.parametrize(
    "external_id", ["0", "none of them", " null", "nulls", "object Object", "-", "false", "\u200b"]
)
def test_an_external_id_that_only_looks_like_a_placeholder_is_taken(external_id):
    assert check_request(a_request(profile={"externalId": external_id}), "key").external_id


@pytest.mark.parametrize("kind", [dict, OrderedDict, UserDict, ChainMap, MappingProxyType])
def test_any_mapping_is_a_request_with_a_datetime_too(kind):
    moment = datetime(2026, 5, 31, 12, tzinfo=UTC)
    profile = {"email": "a@example.com"}
    request = kind(a_request(occurredAt=moment, profile=kind(profile)))
    plain = a_request(occurredAt=moment, profile=profile)
    valid = check_request(request, "key")
    assert valid.occurred_at == moment
    assert valid.canonical == check_request(plain, "key").canonical


@pytest.mark.parametrize("request_", [None, 5, "text", b"bytes", [], object(), {1: 2}, {None: 1}])
def test_what_is_no_request_is_told(request_):
    assert "" in paths(request_)


@pytest.mark.parametrize("key", [b"key", 5, True, ["key"], object(), float("nan")])
def test_an_idempotency_key_is_a_string(key):
    assert paths(a_request(), key) == ["/idempotencyKey"]


def test_an_idempotency_key_may_be_of_a_subclass_of_str():
    class Key(StrEnum):
        ORDER = "order"

    assert check_request(a_request(), Key.ORDER)


def test_a_datetime_whose_own_code_raises_is_refused():
    class Broken(tzinfo):
        def utcoffset(self, _moment):
            raise LookupError(CANARY)

    moments = [datetime(2026, 5, 31, 12, tzinfo=Broken()), datetime(2026, 5, 31)]  # noqa: DTZ001
    for moment in moments:
        assert paths(a_request(occurredAt=moment)) == ["/occurredAt"]


def test_absent_is_not_null_and_1_is_1_0_in_what_is_hashed():
    def hashed(**fields):
        return check_request(a_request(**fields), "key").canonical

    assert hashed() != hashed(data={})
    assert hashed(data={"a": 1}) == hashed(data={"a": 1.0})
    assert hashed(data={"a": None}) != hashed(data={})
    assert hashed(occurredAt="2026-05-31T12:00Z") == hashed(occurredAt="2026-05-31T14:00:00+02:00")
    assert hashed(occurredAt="2026-05-31T12:00Z") == hashed(
        occurredAt=datetime(2026, 5, 31, 12, tzinfo=UTC)
    )
    two = ["/event/b", "/event/a"]
    assert hashed(redactedDataPaths=two) == hashed(redactedDataPaths=[*two[::-1], "/event/a"])
    assert hashed(profile={"email": "A@example.com"}) != hashed(profile={"email": "a@example.com"})


def test_a_repr_names_fields_and_shows_no_value():
    request = TrackRequest(CANARY, ProfileInput(CANARY), data={"a": CANARY})
    assert repr(request) == "<TrackRequest with event, profile, data>"
    assert repr(request.profile) == "<ProfileInput with email>"
    assert repr(ProfileInput()) == "<ProfileInput with nothing>"
    assert CANARY not in repr(check_request(a_request(data={"a": CANARY}), "key"))
    assert CANARY not in repr(parse_request(f'"{CANARY}"'))


def test_a_negative_zero_is_zero_everywhere_in_a_request():
    request = a_request(
        data={"a": -0.0, "list": [-0.0]},
        profile={"email": "a@example.com", "properties": {"balance": -0.0}},
    )
    valid = check_request(request, "key")
    assert str((valid.data, valid.properties)) == "({'a': 0.0, 'list': [0.0]}, {'balance': 0.0})"
