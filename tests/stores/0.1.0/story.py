"""What the stores of version 0.1.0 hold, told as calls of its public API.

Each part below adds one kind of row, through `Tracker` and `ApiKeys` and never by a
statement of its own. Time stands still within a call and ids are counted, so that the
same story makes the same rows. Runs with the library of version 0.1.0 only.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from segmentflow_core import (
    ApiKeys,
    ClaimedEnrollment,
    FingerprintKey,
    FingerprintKeys,
    SegmentflowError,
    Tracker,
)
from segmentflow_core.ports import Storage
from stores.plain_rows import write_instant
from stores.records import answer, api_key_secret

__all__ = ["CANARIES", "KEYS", "ORGANIZATIONS", "Story", "host"]

START = datetime(2026, 9, 1, 8, tzinfo=UTC)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
"""When the story ends, and what a clock must say for the leases and keys to be as described."""

KEYS = {
    "0.1.0/second": "no secret: the second fingerprint key of the stores kept for tests",
    "0.1.0/first": "no secret: the first fingerprint key of the stores kept for tests",
}
"""Fingerprint keys, the newest first."""

DEFAULT = "default"
ODD = 'Åre · A\u030are · 東京 · שלום · 🦊 · it\'s "quoted" \\ %s'
LONG = "𝔒" * 255
ORGANIZATIONS = (DEFAULT, ODD, LONG)

FOX = "🦊" * 255
"""As long as a name may be, in characters of four bytes."""

NFC, NFD = "caf\u00e9", "cafe\u0301"
RTL = "\u05e9\u05dc\u05d5\u05dd \u202e\u0645\u0631\u062d\u0628\u0627\u202c"
COMBINING = "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324a\u0328\u0301lgo"
SEPARATORS = "line\u2028paragraph\u2029end\r\n\ttab\u0085\u00a0\u200d\ufeff\x01\x7f"
FAMILY = "👩🏽‍👩🏿‍👧🏻‍👦🏼 🏴󠁧󠁢󠁥󠁮󠁧󠁿 \U0010ffff"

CANARIES = tuple(f"canary-{number}-that-no-store-may-hold" for number in range(9))
"""Secrets that the story sends and redacts, or sends with a request that is refused."""


class Clock:
    """Says what it was set to, and only ever goes forward."""

    def __init__(self) -> None:
        self._now = START

    def now(self) -> datetime:
        return self._now

    def wait(self, **duration: float) -> None:
        self._now += timedelta(**duration)

    def wait_until(self, moment: datetime) -> None:
        assert self._now <= moment, f"it is later than {moment} already"
        self._now = moment


class CountedIds:
    """UUIDv7 with the clock's milliseconds and a count where others have random bits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = 0

    def new_id(self) -> str:
        self._count += 1
        milliseconds = int(self._clock.now().timestamp()) * 1000
        time = f"{milliseconds:012x}"
        return f"{time[:8]}-{time[8:]}-7000-8000-{self._count:012x}"


class Story:
    """Tells the story to one store, and keeps what was sent and what was answered.

    Attributes:
        calls: every call of `track`, in order.
        api_keys_made: what became of each API Key, with the bytes it was made of.
    """

    def __init__(self, storage: Storage) -> None:
        self.clock = Clock()
        ids = CountedIds(self.clock)
        second, first = (FingerprintKey(name, text.encode()) for name, text in KEYS.items())

        def tracker(keys: FingerprintKeys, **settings: Any) -> Tracker:
            return Tracker(storage, fingerprint_key=keys, clock=self.clock, ids=ids, **settings)

        rotated = FingerprintKeys(second, previous=(first,))
        self.before_rotation = tracker(FingerprintKeys(first))
        self.before_rotation_for_ever = tracker(FingerprintKeys(first), key_lifetime=None)
        self.tracker = tracker(rotated)
        self.remembers_for_ever = tracker(rotated, key_lifetime=None)
        self.admits_external_ids = tracker(rotated, create_without_email=True)
        self.api_keys = ApiKeys(storage, clock=self.clock, ids=ids)
        self.calls: list[dict[str, Any]] = []
        self.api_keys_made: list[dict[str, Any]] = []

    def tell(self) -> None:
        """Tell all of it."""
        _journeys(self)
        _under_the_first_fingerprint_key(self)
        _reentry(self)
        _new_versions(self)
        _late_events(self)
        _keys_at_the_bound_of_their_window(self)
        _identities(self)
        _properties(self)
        _values(self)
        _redaction(self)
        _times_and_samples(self)
        _conditions(self)
        _history(self)
        _keys_and_refusals(self)
        _longest(self)
        _another_organization(self)
        _status_changes(self)
        _hand_over(self)
        _api_keys(self)
        self.clock.wait_until(NOW)

    def track(
        self,
        key: str | None,
        event: Any,
        profile: Any,
        data: Any = None,
        *,
        by: Tracker | None = None,
        organization_id: str = DEFAULT,
        match_journeys: bool = True,
        **members: Any,
    ) -> None:
        """Track one event a moment later, and keep the answer; `members` as on the wire."""
        self.clock.wait(seconds=1, microseconds=1)
        request = {"event": event, "profile": profile, **members}
        if data is not None:
            request["data"] = data
        try:
            result = (by or self.tracker).track(
                request, key, organization_id=organization_id, match_journeys=match_journeys
            )
        except SegmentflowError as refusal:
            self._keep(key, request, organization_id, refusal)
        else:
            self._keep(key, request, organization_id, result)

    def track_many(self, calls: list[tuple[Any, str]]) -> None:
        """Track a batch in one transaction."""
        self.clock.wait(seconds=1, microseconds=1)
        for (request, key), result in zip(calls, self.tracker.track_many(calls), strict=True):
            self._keep(key, request, DEFAULT, result)

    def publish(self, *journeys: dict[str, Any], organization_id: str = DEFAULT) -> None:
        """Publish Journeys a moment later."""
        self.clock.wait(seconds=1)
        self.tracker.publish_journeys({"journeys": journeys}, organization_id=organization_id)

    def claim(self, journey_id: str, **terms: Any) -> list[ClaimedEnrollment]:
        """Claim what waits in one Journey, in every Organization."""
        self.clock.wait(seconds=1)
        claimed = self.tracker.claim_enrollments(
            journey_id=journey_id, organization_id=None, **terms
        )
        assert claimed, journey_id
        return claimed

    def _keep(self, key: str | None, request: Any, organization_id: str, result: Any) -> None:
        call = {"organization_id": organization_id, "idempotency_key": key, "request": request}
        self.calls.append(call | answer(result))


def a_journey(journey_id: str, event: str, status: str = "active", **members: Any) -> Any:
    """Return a Journey's document; `where` goes to its trigger."""
    trigger = {"event": event}
    if "where" in members:
        trigger["where"] = members.pop("where")
    return {"id": journey_id, "status": status, "trigger": trigger, **members}


def leaf(path: str, op: str, *value: Any) -> dict[str, Any]:
    """Return a condition's leaf."""
    return {"path": path, "op": op, **({"value": value[0]} if value else {})}


ALEX = {"email": "alex@example.com", "externalId": "cus_123"}
BO = {"email": "bo@example.com"}
BIG_ORDER = leaf("/event/total", "gte", 40)

REENTRY = (
    a_journey("every-event", "order.created"),
    a_journey("once", "order.created", reentry={"policy": "once"}),
    a_journey(
        "once-per-order",
        "order.created",
        reentry={"policy": "once_per_key", "key": "/event/orderId"},
    ),
    a_journey(
        "once-per-line",
        "order.created",
        reentry={
            "policy": "once_per_key",
            "key": ["/event/orderId", "/event/line", "/event/gift", "/profile/properties/plan"],
        },
    ),
    a_journey("cooldown", "order.created", reentry={"policy": "cooldown", "duration": "P7D"}),
)

CONDITIONS = (
    a_journey("not-met", "order.created", where=leaf("/event/total", "gt", 1_000_000)),
    a_journey("unknown", "order.created", where=leaf("/event/payment/token", "exists")),
    a_journey("versioned", "order.created", name="Version 1", where=BIG_ORDER),
)

STATUSES = (
    a_journey("draft", "order.created", "draft"),
    a_journey("paused", "order.created", "paused"),
    a_journey("archived", "order.created", "archived"),
    a_journey("draft-then-active", "order.created", "draft"),
    a_journey("paused-later", "order.created"),
    a_journey("archived-later", "order.created"),
    a_journey("paused-and-resumed", "order.created"),
)

WORK = (
    "work-pending",
    "work-claimed",
    "work-lease-over",
    "work-extended",
    "work-extended-lease-over",
    "work-completed",
    "work-completed-after-its-lease",
    "work-completed-at-the-second-attempt",
    "work-failed",
    "work-failed-and-delayed",
    "work-given-back",
    "work-dead",
    "work-dead-by-a-claim",
    "work-revived",
)


def _journeys(story: Story) -> None:
    story.publish(*REENTRY, *CONDITIONS, *STATUSES)
    story.publish(*(a_journey(name, "work.created") for name in WORK))
    # Published again without a change: no version comes of it.
    story.publish(*REENTRY)


def _under_the_first_fingerprint_key(story: Story) -> None:
    data = {"orderId": "ord_9421", "total": 49, "payment": {"token": CANARIES[0]}}
    for _ in range(2):
        # The second call is a replay.
        story.track(
            "order.created:ord_9421",
            "order.created",
            ALEX | {"properties": {"firstName": "Alex", "plan": "Pro"}},
            data,
            by=story.before_rotation,
            redactedDataPaths=["/event/payment/token"],
            referenceId="ord_9421",
            occurredAt="2026-05-31T12:00:00.000Z",
        )
    story.track(
        "first key, kept for ever",
        "order.created",
        BO,
        {"orderId": "ord_1", "total": 12.5},
        by=story.before_rotation_for_ever,
    )
    story.track("used again later", "page.viewed", BO, {"path": "/first"})


def _reentry(story: Story) -> None:
    order = {"orderId": "ord_9421", "total": 49}
    story.track("reentry:same order", "order.created", ALEX, order)
    story.clock.wait(days=8)
    story.track("reentry:after the cooldown", "order.created", ALEX, order)
    lines: list[tuple[Any, Any]] = [(1, True), (1.0, True), (2, False), ("1", True), (None, True)]
    for line, gift in lines:
        data = {"orderId": "ord_9422", "total": 80, "line": line, "gift": gift}
        story.track(f"reentry:line {line!r} {gift}", "order.created", ALEX, data)
    story.track(
        "reentry:a redacted part",
        "order.created",
        ALEX,
        {"orderId": CANARIES[1], "total": 80, "line": 1, "gift": True},
        redactedDataPaths=["/event/orderId"],
    )


def _new_versions(story: Story) -> None:
    """Bring out new versions while Enrollments are of the old ones."""
    story.publish(
        a_journey("versioned", "order.created", name="Version 2", where={"not": BIG_ORDER})
    )
    story.track("versions:2", "order.created", BO, {"orderId": "ord_2", "total": 1})
    story.publish(
        a_journey(
            "versioned",
            "order.created",
            name="Version 3 " + FAMILY,
            where={"not": BIG_ORDER},
            reentry={"policy": "once"},
        )
    )
    story.track("versions:3", "order.created", BO, {"orderId": "ord_3", "total": 1})
    other = {"email": "third@example.com"}
    story.track("versions:3, entered", "order.created", other, {"orderId": "ord_4", "total": 1})
    # The newest version listens for another event, and nobody has entered it.
    story.publish(a_journey("versioned", "order.paid", "draft", name="Version 4"))


def _late_events(story: Story) -> None:
    """Change Properties out of order: what is newer stays, what was removed stays removed."""
    late = {"email": "late@example.com"}

    def change(key: str, properties: Any, occurred_at: str | None) -> None:
        when = {} if occurred_at is None else {"occurredAt": occurred_at}
        story.track(f"late:{key}", "profile.changed", late | {"properties": properties}, **when)

    change("newest first", {"plan": "Pro", "city": "Rome", "gone": 1}, "2026-08-20T10:00Z")
    change("older", {"plan": "Free", "city": None, "pet": "cat"}, "2026-08-20T12:00:00+14:00")
    change("a removal", {"gone": None, "never": None}, "2026-08-22T10:00:00.123456Z")
    change("a late revival", {"gone": "zombie", "never": 1}, "2026-08-21T10:00:00z")
    change("the same time", {"plan": "Team"}, "2026-08-20T10:00Z")
    change("the first year", {"since": 1}, "0001-01-01T00:00:00Z")
    change("the last year", {"until": 9999}, "9999-12-31T23:59:59.999999Z")
    change("now", {"seen": True}, None)


def _keys_at_the_bound_of_their_window(story: Story) -> None:
    """Use keys so that one expires just as the story ends, and one soon after."""
    story.clock.wait_until(NOW - timedelta(days=30, seconds=1, microseconds=1))
    story.track("expires as the story ends", "page.viewed", BO)
    story.track("lives a second longer", "page.viewed", BO)


def _identities(story: Story) -> None:
    story.track("id:email", "signed.up", {"email": "  Mixed.O'Case+Tag@Example.COM "})
    story.track(
        "id:external", "signed.up", {"externalId": "anonymous-1"}, by=story.admits_external_ids
    )
    story.track("id:email first", "signed.up", {"email": "linked@example.com"})
    story.track(
        "id:takes external", "signed.up", {"email": "linked@example.com", "externalId": "linked"}
    )
    story.track("id:moves", "signed.up", {"email": "old@example.com", "externalId": "moving"})
    story.track("id:moved", "signed.up", {"email": "new@example.com", "externalId": "moving"})
    # The old email is free again, and somebody else's now.
    story.track("id:freed", "signed.up", {"email": "old@example.com"})
    story.track(
        "id:email later",
        "signed.up",
        {"email": "named@example.com", "externalId": "anonymous-1"},
    )
    longest = "l" * 200 + "@" + "d" * 50 + "." + "e" * 50 + ".example.com"
    story.track("id:longest email", "signed.up", {"email": longest})
    odd = (NFC, NFD, NFC.upper(), RTL, COMBINING, SEPARATORS, FAMILY, " ", "NULL", "undefined")
    for number, external_id in enumerate((*odd, 'it\'s "one" \\ %s ; -- $1')):
        story.track(
            f"id:odd {number}",
            "signed.up",
            {"externalId": external_id},
            by=story.admits_external_ids,
        )


def _properties(story: Story) -> None:
    story.track(
        "properties:every kind",
        "profile.changed",
        {
            "email": "kinds@example.com",
            "properties": {
                "string": "text",
                "empty": "",
                "integer": 1,
                "float": 1.5,
                "true": True,
                "false": False,
                "null": None,
                "object": {"a": {}, "b": None},
                "array": [1, "1", None, [], {}],
                "removed": "soon",
                "one, then true": 1,
                "": "no name",
                "a/b~c": "a pointer's signs",
                NFC: "composed",
                NFD: "decomposed",
                RTL: "from the right",
                FOX: "long",
            },
        },
    )
    story.track(
        "properties:removed",
        "profile.changed",
        {
            "email": "kinds@example.com",
            "properties": {"removed": None, "one, then true": True, "float": 1.0},
        },
    )
    story.track("properties:none", "profile.changed", BO | {"properties": {}})


def _nested(depth: int) -> Any:
    value: Any = "the innermost"
    for level in range(depth):
        value = [value] if level % 2 else {"inner": value}
    return value


def _values(story: Story) -> None:
    """Send values that a column type, a driver or a migration might change."""
    numbers = [-(2**63), 2**63 - 1, 2**63, 2**64 - 1, 2**53 + 1, 0, 1e22, 1e-7, 0.1, -0.0]
    numbers += [1.0, 1e21, 123456789012345680000.0, 5e-324, 1.7976931348623157e308, -1.5e300]
    story.track("values:numbers", "values.sent", BO, {"numbers": numbers})
    texts = [NFC, NFD, RTL, COMBINING, SEPARATORS, FAMILY, FOX, "", " ", "NULL", "null", "\\N"]
    texts += ["true", "1e22", "2026-02-30", "2026-05-31T12:00:00Z", "infinity", "\\u0000", "\\"]
    texts += ["it's", '"', "''", "$1", "%s", "{}", "'; DROP TABLE segmentflow_events; --", "é" * 99]
    story.track("values:texts", "values.sent", BO, {"texts": texts})
    template = {"$state": "/event/orderId", "{{x}}": "${y}", "like": '{"$state": "/profile/email"}'}
    story.track(
        "values:shapes",
        "values.sent",
        BO,
        {"template": template, "object": {}, "array": [], "arrays": [[], [[]]], "null": None},
    )
    names = dict.fromkeys(("", "a/b", "m~n", "~1", NFC, NFD, RTL, SEPARATORS, "__proto__", "01"), 1)
    story.track("values:names", "values.sent", BO, names)
    story.track("values:nested", "values.sent", BO, _nested(61))
    story.track("values:large", "values.sent", BO, {"rows": [{"n": n} for n in range(200)]})
    story.track("values:nothing", "values.sent", BO)
    story.track("values:empty", "values.sent", BO, {}, redactedDataPaths=[])
    for number, name in enumerate((NFC, NFD, RTL, SEPARATORS, 'it\'s "one" \\ %s ; --', " ")):
        story.track(f"values:named {number}", name, BO, referenceId=name)


def _redaction(story: Story) -> None:
    card = {"number": CANARIES[2], CANARIES[3]: {"deep": [CANARIES[4]]}}
    story.track(
        "redaction:several",
        "order.paid",
        ALEX,
        {
            "payment": card,
            "items": [{"token": CANARIES[2], "sku": "a"}, {"token": "shown", "sku": "b"}],
            "list": [1, CANARIES[5], 3],
            "": CANARIES[2],
            "a/b": CANARIES[3],
            "m~n": CANARIES[4],
            "~1": CANARIES[5],
            "flag": True,
            "nothing": None,
        },
        redactedDataPaths=[
            "/event/payment",
            "/event/payment/number",
            "/event/items/0/token",
            "/event/list/1",
            "/event/",
            "/event/a~1b",
            "/event/m~0n",
            "/event/~01",
            "/event/flag",
            "/event/nothing",
            "/event/items/9/token",
            "/event/list/-",
            "/event/not/there",
        ],
    )
    story.track(
        "redaction:whole item",
        "order.paid",
        ALEX,
        {"items": [card, {"sku": "b"}], "01": CANARIES[2], "-": CANARIES[3]},
        redactedDataPaths=["/event/items/0", "/event/01", "/event/-"],
    )
    story.track("redaction:the marker itself", "order.paid", ALEX, {"said": "[REDACTED]"})
    story.track(
        "redaction:nothing there", "order.paid", ALEX, redactedDataPaths=["/event/password"]
    )


def _times_and_samples(story: Story) -> None:
    window = {"from": "2026-10-01T00:00:00Z", "until": "2026-11-01T00:00:00+01:00"}
    seed = {"seed": "Ünïcode 🎲"}
    story.publish(
        a_journey("window", "visit.made", window=window),
        a_journey("window-from", "visit.made", window={"from": "0001-01-01T00:00:00Z"}),
        a_journey("window-until", "visit.made", window={"until": "9999-12-31T23:59:59.999999Z"}),
        a_journey("lateness", "visit.made", maxLateness="PT1H"),
        a_journey("sample-none", "visit.made", sample={"percent": 0, **seed}),
        a_journey("sample-half", "visit.made", sample={"percent": 50.5, **seed}),
        a_journey("sample-all", "visit.made", sample={"percent": 100, **seed}),
        a_journey(
            "everything",
            "visit.made",
            name=RTL,
            where=leaf("/profile/email", "ends_with", "@example.com"),
            reentry={"policy": "once_per_key", "key": ["/profile/externalId"]},
            window=window,
            maxLateness="P10DT0.5S",
            sample={"percent": 99.9, **seed},
        ),
    )
    within, before = "2026-10-20T00:00:00Z", "2026-09-30T23:59:59.999999Z"
    story.track("visit:within", "visit.made", ALEX, occurredAt=within)
    story.track("visit:before", "visit.made", ALEX, occurredAt=before)
    story.track("visit:at its end", "visit.made", BO, occurredAt="2026-10-31T23:00:00Z")
    story.track("visit:now", "visit.made", BO)
    # With 50.5 percent, some of these are in the sample and some are not.
    for number in range(4):
        story.track(f"visit:sample {number}", "visit.made", {"email": f"v{number}@example.com"})


def _conditions(story: Story) -> None:
    at = "2026-06-01T00:00:00Z"
    leaves = [
        leaf("/event/total", "eq", 49),
        leaf("/event/text", "ne", "red"),
        leaf("/event/total", "gt", 48.5),
        leaf("/event/total", "gte", 49),
        leaf("/event/total", "lt", 1e22),
        leaf("/event/total", "lte", 2**64 - 1),
        leaf("/event/total", "between", [-(2**63), 49.0]),
        leaf("/event/text", "in", [NFC, "blue " + RTL, 7, True]),
        leaf("/event/text", "not_in", [NFD, "red"]),
        leaf("/event/tags", "contains", "🦊"),
        leaf("/event/text", "starts_with", "blue"),
        leaf("/event/text", "ends_with", RTL),
        leaf("/event/a~1b", "exists"),
        leaf("/event/absent", "missing"),
        leaf("/event/nothing", "is_null"),
        leaf("/event/at", "before", at),
        leaf("/event/at", "after", "2026-05-31T13:00:00+02:00"),
        leaf("/event/items", "any_item", leaf("/sku", "eq", "b")),
        leaf("/event/items", "all_items", {"any": [leaf("/price", "gt", 0), leaf("", "is_null")]}),
    ]
    story.publish(
        a_journey("all-operators", "everything.compared", where={"all": leaves}),
        a_journey("none-of-them", "everything.compared", where={"not": {"any": leaves}}),
    )
    data = {
        "total": 49.0,
        "text": "blue " + RTL,
        "tags": ["a", "🦊"],
        "a/b": False,
        "nothing": None,
        "at": "2026-05-31T12:00:00Z",
        "items": [{"sku": "a", "price": 1}, {"sku": "b", "price": 0.5}],
    }
    story.track("conditions:met", "everything.compared", ALEX, data)
    story.track("conditions:unknown", "everything.compared", ALEX, {"total": "49"})


def _history(story: Story) -> None:
    """Record history that must start nothing, though Journeys listen."""
    story.track(
        "history:1",
        "order.created",
        {"email": "history@example.com", "properties": {"imported": True}},
        {"orderId": "ord_0", "total": 100},
        match_journeys=False,
        occurredAt="2020-02-29T23:59:59.999999-12:00",
    )


def _keys_and_refusals(story: Story) -> None:
    keys = (
        "with spaces  ",
        "a:b/c?d=e&f#g",
        "Case",
        "case",
        "~" * 255,
        "{\"json\": '\\'}",
        "%s $1",
    )
    for key in keys:
        story.track(key, "page.viewed", BO)
    story.track("kept for ever", "page.viewed", BO, by=story.remembers_for_ever)
    story.track("used again later", "page.viewed", ALEX, {"path": "/second"})
    story.track(
        "a conflict",
        "order.paid",
        ALEX,
        {"orderId": "1", "token": CANARIES[6]},
        redactedDataPaths=["/event/token"],
    )
    # Another order and another secret under the same key.
    story.track(
        "a conflict",
        "order.paid",
        ALEX,
        {"orderId": "2", "token": CANARIES[7]},
        redactedDataPaths=["/event/token"],
    )
    both = {"email": ALEX["email"], "externalId": "moving"}
    story.track("left free: conflict", "page.viewed", both, {"secret": CANARIES[8]})
    story.track("left free: email required", "page.viewed", {"externalId": "nobody's"})
    story.track("left free: invalid", "", {"email": CANARIES[8]}, redactedDataPath=["/event/x"])
    story.track(None, "page.viewed", BO, {"secret": CANARIES[8]})
    story.track("free at first", "", BO)
    story.track("free at first", "page.viewed", BO)
    one = {"event": "page.viewed", "profile": BO, "data": {"path": "/batch"}}
    story.track_many(
        [
            (one, "batch:1"),
            (one, "batch:1"),
            ({**one, "profile": both}, "batch:refused"),
            ({"event": "order.created", "profile": ALEX, "data": {"orderId": "ord_b"}}, "batch:2"),
            ({"event": "order.created", "profile": ALEX, "data": {"orderId": "ord_b"}}, "batch:3"),
            ({"event": "signed.up", "profile": {"email": "batch@example.com"}}, "batch:4"),
        ]
    )


def _longest(story: Story) -> None:
    """Fill every name with 255 characters of four bytes, in an Organization of such a name."""
    story.publish(
        a_journey(
            FOX,
            FOX,
            name="𝔑" * 255,
            reentry={"policy": "once_per_key", "key": [f"/event/{FOX}"] * 8},
            sample={"percent": 100, "seed": "𝔖" * 255},
        ),
        organization_id=LONG,
    )
    for number in range(2):
        story.track(
            f"{number}" * 255,
            FOX,
            {"email": "long@example.com", "externalId": "𝕏" * 255, "properties": {FOX: FOX}},
            {FOX: FOX},
            organization_id=LONG,
            referenceId="𝟛" * 255,
        )


def _another_organization(story: Story) -> None:
    """Use the ids, identities and keys of one Organization in another."""
    story.publish(
        *REENTRY, *(a_journey(name, "work.created") for name in WORK), organization_id=ODD
    )
    story.track(
        "order.created:ord_9421",
        "order.created",
        ALEX | {"properties": {"plan": NFD}},
        {"orderId": "ord_9421", "total": 1, "line": NFC, "gift": False},
        organization_id=ODD,
    )
    story.track("a conflict", "page.viewed", BO, organization_id=ODD)


def _status_changes(story: Story) -> None:
    """Change statuses alone: no version comes of it, and Enrollments are there already."""
    order = {"orderId": "ord_5", "total": 41}
    story.track("statuses:before", "order.created", {"email": "st@example.com"}, order)
    story.publish(
        a_journey("draft-then-active", "order.created"),
        a_journey("paused-later", "order.created", "paused"),
        a_journey("archived-later", "order.created", "archived"),
        a_journey("paused-and-resumed", "order.created", "paused"),
    )
    story.track("statuses:between", "order.created", {"email": "st@example.com"}, order)
    story.publish(a_journey("paused-and-resumed", "order.created"))
    story.track("statuses:after", "order.created", {"email": "st@example.com"}, order)


def _hand_over(story: Story) -> None:
    for number in (1, 2):
        story.track(f"work:{number}", "work.created", ALEX, {"number": number})
    story.track("work:3", "work.created", ALEX, {"number": 3}, organization_id=ODD)
    tracker, long = story.tracker, timedelta(days=300)
    story.clock.wait_until(NOW - timedelta(days=2))

    story.claim("work-claimed", lease=long)
    # What a status leaves behind of a claim is there for Journeys that do not listen, too.
    story.claim("paused-later", limit=1, lease=long)
    story.claim("archived-later", limit=1, lease=long)
    story.claim("work-lease-over")
    for name, by in (("work-extended", long), ("work-extended-lease-over", timedelta(hours=1))):
        for claimed in story.claim(name):
            tracker.extend_enrollment(claimed.lease, by=by)
    for claimed in story.claim("work-completed"):
        tracker.complete_enrollment(claimed.lease)
    for claimed in story.claim("work-completed-after-its-lease"):
        story.clock.wait(hours=1)
        tracker.complete_enrollment(claimed.lease)
    for claimed in story.claim("work-completed-at-the-second-attempt"):
        tracker.release_enrollment(claimed.lease)
    for claimed in story.claim("work-completed-at-the-second-attempt"):
        tracker.complete_enrollment(claimed.lease)
    for claimed in story.claim("work-failed"):
        tracker.release_enrollment(claimed.lease)
    for claimed in story.claim("work-failed-and-delayed"):
        tracker.release_enrollment(claimed.lease, delay=long)
    for claimed in story.claim("work-given-back"):
        tracker.release_enrollment(claimed.lease, failed=False)
    for claimed in story.claim("work-dead"):
        tracker.release_enrollment(claimed.lease, max_attempts=1)
    story.claim("work-dead-by-a-claim", lease=timedelta(seconds=5))
    story.clock.wait(hours=1)
    # They come back dead, with the lease that ran out.
    assert (
        tracker.claim_enrollments(
            journey_id="work-dead-by-a-claim", organization_id=None, max_attempts=1
        )
        == []
    )
    for claimed in story.claim("work-revived"):
        dead = tracker.release_enrollment(claimed.lease, max_attempts=1)
        tracker.revive_enrollment(dead.enrollment_id, organization_id=claimed.organization_id)


def _api_keys(story: Story) -> None:
    label = f'{NFC} {NFD} שלום 🦊 it\'s \\ "x"'

    def make(organization_id: str, label: str | None, *, test: bool, fate: str) -> None:
        story.clock.wait(minutes=1)
        number = len(story.api_keys_made)
        entropy = f"a test's API Key, number {number:07}"
        with patch("segmentflow_core.api_keys.os.urandom", lambda _: entropy.encode()):
            created = story.api_keys.create(
                ["events:write", "events:write"],
                label=label,
                test=test,
                organization_id=organization_id,
            )
        assert created.secret == api_key_secret(entropy, test=test)
        key_id = created.api_key.key_id
        if "used" in fate:
            story.clock.wait(minutes=1)
            story.api_keys.authenticate(created.secret, "events:write")
        if "revoked" in fate:
            story.clock.wait(minutes=1)
            story.api_keys.revoke(key_id, organization_id=organization_id)
        story.api_keys_made.append(
            {
                "organization_id": organization_id,
                "key_id": key_id,
                "entropy": entropy,
                "test": test,
                "revoked": "revoked" in fate,
            }
        )

    make(DEFAULT, None, test=False, fate="")
    make(DEFAULT, label, test=False, fate="used")
    make(DEFAULT, label, test=True, fate="used")
    make(DEFAULT, "revoked", test=False, fate="revoked")
    make(ODD, "used and revoked", test=True, fate="used, revoked")
    make(LONG, FOX, test=False, fate="used")


def host(story: Story) -> dict[str, Any]:
    """Return what the host of the stores would know: the time, the keys and the secrets."""
    return {
        "now": write_instant(NOW),
        "organizations": ORGANIZATIONS,
        "fingerprint_keys": KEYS,
        "api_keys": story.api_keys_made,
        "canaries": CANARIES,
    }
