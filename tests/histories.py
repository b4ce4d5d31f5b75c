"""Made-up lives of Profiles, and a second evaluator of conditions that count earlier events.

It shares no code with the core: it keeps a list of what was sent, in the order it was accepted, and
counts by looking through all of it. Truth is a set of the answers that are possible.
"""

from __future__ import annotations

import random
from datetime import timedelta

from segmentflow_core.errors import SegmentflowError
from segmentflow_core.testing import a_journey, a_request

NAMES = ("order.created", "cart.filled")
PEOPLE = ("ann", "bob", "cid")
SKUS = (1, 1.0, True, "1", None, {"a": 1}, "[REDACTED]")
TOTALS = (0, 10, 49.5, "10", None)
DURATIONS = {"PT1H": timedelta(hours=1), "P1D": timedelta(days=1), "P30D": timedelta(days=30)}


def a_leaf(chance):
    """Make up a leaf."""
    leaf = {"did": chance.choice(NAMES)}
    low = chance.randrange(4)
    times = [{"eq": low}, {"gte": low}, {"lte": low}, {"between": [low, low + chance.randrange(3)]}]
    if chance.random() < 0.9:
        leaf["times"] = chance.choice(times)
    if chance.random() < 0.5:
        leaf["within"] = chance.choice(sorted(DURATIONS))
    if chance.random() < 0.4:
        leaf["where"] = chance.choice(
            [
                {"path": "/event/total", "op": "gte", "value": 10},
                {"path": "/profile/properties/plan", "op": "eq", "value": "Pro"},
                {"not": {"path": "/event/total", "op": "gte", "value": 10}},
            ]
        )
    if chance.random() < 0.4:
        leaf["same"] = chance.choice([["/event/sku"], ["/event/sku", "/profile/properties/plan"]])
    return leaf


def journeys(chance, count):
    """Make up Journeys with a leaf each, and one where leaves are combined."""
    leaves = [a_leaf(chance) for _ in range(count)]
    found = {f"leaf-{n:02}": leaf for n, leaf in enumerate(leaves)}
    found["mixed"] = {
        "any": [
            {"all": [leaves[0], {"not": leaves[1]}, {"path": "/event/total", "op": "exists"}]},
            {"all": [leaves[2], {"path": "/event/total", "op": "lt", "value": 10}]},
        ]
    }
    return [
        a_journey(journey_id, trigger={"event": NAMES[0], "where": where})
        for journey_id, where in found.items()
    ]


class Lives:
    """What was sent, and what must have come of it.

    Attributes:
        sent: every accepted event, in the order of acceptance.
    """

    def __init__(self, tracker, clock, definitions, seed):
        self.tracker = tracker
        self.clock = clock
        self.chance = random.Random(seed)
        self.conditions = {each["id"]: each["trigger"]["where"] for each in definitions}
        self.sent = []
        self.gone = []
        self.group_of = {}
        self._keys = 0

    def live(self, turns, *, merges=True, retains=True):
        """Let them do something so many times."""
        for _ in range(turns):
            self.clock.advance(hours=self.chance.choice([0, 0.25, 1, 30]))
            dice = self.chance.random()
            if dice < 0.05 and merges:
                self._merge()
            elif dice < 0.1 and retains:
                self._retain()
            else:
                self._send(self.chance.choice([1, 1, 1, 4]))

    def _request(self):
        chance = self.chance
        data = {"sku": chance.choice(SKUS), "total": chance.choice(TOTALS)}
        data = {name: value for name, value in data.items() if chance.random() < 0.9}
        redacted = ["/event/total"] if chance.random() < 0.1 else []
        who = {"email": f"{chance.choice(PEOPLE)}@example.com"}
        if chance.random() < 0.5:
            who["properties"] = {"plan": chance.choice(["Pro", "Free", None])}
        more = {}
        if chance.random() < 0.4:
            late = chance.choice([-1, 0, 0.5, 2, 24, 26])
            more["occurredAt"] = (self.clock.now() - timedelta(hours=late)).isoformat()
        name = NAMES[chance.random() < 0.3]
        return a_request(name, profile=who, data=data, redactedDataPaths=redacted, **more)

    def _send(self, count):
        requests = [self._request() for _ in range(count)]
        calls = []
        for request in requests:
            self._keys += 1
            calls.append((request, f"key {self._keys}"))
        receipts = self.tracker.track_many(calls)
        for request, receipt in zip(requests, receipts, strict=True):
            if not isinstance(receipt, SegmentflowError):
                self._note(request, receipt)

    def _note(self, request, receipt):
        event = self.tracker.records.event(receipt.event_id)
        group = self.group_of.setdefault(event.profile_id, {event.profile_id})
        self.sent.append(
            {
                "id": event.event_id,
                "whose": event.profile_id,
                "name": event.event,
                "state": {"event": dict(event.data), "profile": dict(event.profile)},
                "occurred": event.occurred_at,
                "open": "occurredAt" not in request or event.occurred_at == event.received_at,
                "earlier": [each for each in self.sent if each["whose"] in group],
                "gone": [each for each in self.gone if each["whose"] in group],
                "group": set(group),
                "reasons": {o.journey_id: o.reason for o in event.outcomes},
            }
        )

    def _merge(self):
        if len(self.group_of) < 2:
            return
        one, other = self.chance.sample(sorted(self.group_of), 2)
        try:
            merge = self.tracker.people.merge(one, other)
        except SegmentflowError:
            return
        if merge.changed:
            joined = self.group_of[one] | self.group_of[other]
            self.group_of.update(dict.fromkeys(joined, joined))

    def _retain(self):
        age = timedelta(hours=self.chance.choice([20, 50, 100]))
        there = {event.event_id for event in self.tracker.records.events(limit=100_000)}
        for claimed in self.tracker.enrollments.claim(limit=1000):
            self.tracker.enrollments.complete(claimed.lease)
        self.tracker.people.retain(events=age)
        left = {event.event_id for event in self.tracker.records.events(limit=100_000)}
        self.gone = self.gone + [each for each in self.sent if each["id"] in there - left]

    def reason(self, event, journey_id, *, now_gone=None):
        """Say with which reason a Journey must have skipped an event, None where it enrolled."""
        gone = event["gone"] if now_gone is None else now_gone
        answers = self._answers(self.conditions[journey_id], event, gone)
        if answers == {True}:
            return None
        return "condition_not_met" if answers == {False} else "condition_unknown"

    def _answers(self, condition, event, gone):
        """Return the answers that are possible: one where it is known."""
        if "all" in condition:
            parts = [self._answers(each, event, gone) for each in condition["all"]]
            if any(part == {False} for part in parts):
                return {False}
            return {True} if all(part == {True} for part in parts) else {True, False}
        if "any" in condition:
            parts = [self._answers(each, event, gone) for each in condition["any"]]
            if any(part == {True} for part in parts):
                return {True}
            return {False} if all(part == {False} for part in parts) else {True, False}
        if "not" in condition:
            return {not answer for answer in self._answers(condition["not"], event, gone)}
        if "did" in condition:
            return self._did(condition, event, gone)
        return _plain(condition, event["state"])

    def _did(self, leaf, event, gone):
        named = [each for each in event["earlier"] if each["name"] == leaf["did"]]
        removed = [each for each in named if each in gone]
        counts = {0}
        for each in named:
            if each not in removed:
                counts = _added(counts, self._counts(leaf, event, each))
        for whose in {each["whose"] for each in removed}:
            counts = _added(counts, _of_removed(leaf, event, whose, removed))
        own = [_found(path, event["state"]) for path in leaf.get("same", ())]
        if any(_equals_nothing(each) for each in own):
            counts = {0}
        return {_fits(leaf.get("times", {"gte": 1}), count) for count in counts}

    def _counts(self, leaf, event, each):
        if not _in_period(leaf, event, each["occurred"]):
            return {0}
        for path in leaf.get("same", ()):
            one, other = (_found(path, e["state"]) for e in (event, each))
            if _equals_nothing(one) or _equals_nothing(other) or not _is_same(one, other):
                return {0}
        where = leaf.get("where")
        return {1} if where is None else {int(a) for a in self._answers(where, each, ())}


def _of_removed(leaf, event, whose, removed):
    times = [each["occurred"] for each in removed if each["whose"] == whose]
    if "within" in leaf and max(times) < event["occurred"] - DURATIONS[leaf["within"]]:
        return {0}
    if "where" in leaf or "same" in leaf:
        return set(range(len(times) + 1))
    if "within" not in leaf:
        return {len(times)}
    low = 1 if event["open"] or max(times) <= event["occurred"] else 0
    return set(range(low, len(times) + 1))


def _added(counts, more):
    return {one + other for one in counts for other in more}


def _in_period(leaf, event, occurred):
    if "within" not in leaf:
        return True
    begin = event["occurred"] - DURATIONS[leaf["within"]]
    return begin <= occurred and (event["open"] or occurred <= event["occurred"])


def _found(path, state):
    value = state
    for name in path.split("/")[1:]:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _equals_nothing(value):
    return value is None or value == "[REDACTED]" or isinstance(value, dict)


def _is_same(one, other):
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def _fits(times, count):
    ((op, value),) = times.items()
    return {
        "eq": lambda: count == value,
        "gte": lambda: count >= value,
        "lte": lambda: count <= value,
        "between": lambda: value[0] <= count <= value[1],
    }[op]()


def _plain(leaf, state):
    value = _found(leaf["path"], state)
    known = {True, False}
    if leaf["op"] == "exists":
        is_there = leaf["path"].rpartition("/")[2] in state["event"]
        return known if value == "[REDACTED]" else {is_there}
    if leaf["op"] == "eq":
        return {value == leaf["value"]} if isinstance(value, str) else known
    if isinstance(value, bool) or not isinstance(value, int | float):
        return known
    return {value >= leaf["value"] if leaf["op"] == "gte" else value < leaf["value"]}
