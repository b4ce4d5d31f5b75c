"""Counting earlier events: the bounds of what is looked at, and what has gone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from segmentflow_core.domain.condition import ITEM_LIMIT, compile_condition
from segmentflow_core.domain.condition.did import Did
from segmentflow_core.domain.earlier_events import (
    MAX_BYTES,
    MAX_EVENTS,
    EarlierEvent,
    EarlierEvents,
    HistoryProbe,
    Question,
    Series,
    series_before,
    series_of,
)
from segmentflow_core.domain.history import History
from segmentflow_core.domain.profile import MergedSeries, Profile
from segmentflow_core.domain.retention import GoneEvents
from segmentflow_core.ports import UserEvent

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LARGE = {"path": "/event/total", "op": "gte", "value": 40}
PRO = {"path": "/profile/properties/plan", "op": "eq", "value": "Pro"}


def a_leaf(**members: Any) -> Did:
    (leaf,) = compile_condition({"did": "order.created", **members}).dids
    return leaf


def an_event(number: int, *, hours: float = 1, **data: Any) -> EarlierEvent:
    state = {"event": data, "profile": {"properties": {"plan": "Pro"}}}
    return EarlierEvent(f"event {number}", number, NOW - hours * HOUR, state)


def gone(count: int, *, hours: float, highest: int = 3) -> GoneEvents:
    return GoneEvents("p", "order.created", count, NOW - hours * HOUR, highest)


class Known(dict[Question, EarlierEvents]):
    """Answers by series, whatever else is asked."""

    def __init__(self, *answers: EarlierEvents) -> None:
        super().__init__()
        self.by_series = dict(zip("pqr", answers, strict=False))
        self.asked: list[Question] = []

    def get(self, question: Question, _: Any = None) -> Any:
        self.asked.append(question)
        return self.by_series.get(question[0])


def a_history(
    *answers: EarlierEvents,
    series: Sequence[Series] = (Series("p"), Series("q"), Series("r")),
    occurred: datetime = NOW,
    data: Any = None,
    **more: Any,
) -> History:
    return History(
        {"event": data or {}, "profile": {"properties": {}}},
        occurred,
        NOW,
        series[: max(1, len(answers))],
        answers=Known(*answers),
        unanswered=more.pop("unanswered", {}),
        **more,
    )


def told(leaf: Did, *answers: EarlierEvents, **how: Any) -> Any:
    """Return what is told of a leaf, which deciding agrees with."""
    truth, fact = a_history(*answers, **how, thorough=True).recall(leaf)
    assert a_history(*answers, **how).judge(leaf) is truth
    assert a_history(*answers, **how, thorough=True).judge(leaf) is truth
    return truth, fact


def test_what_is_answered_already_is_not_asked_again() -> None:
    leaf = a_leaf(times={"gte": 1})
    state = {"event": {}, "profile": {"properties": {}}}
    series = (Series("p"), Series("q"))

    def asked(answers: dict[Question, EarlierEvents]) -> set[Question]:
        unanswered: dict[Question, Any] = {}
        history = History(state, NOW, NOW, series, answers=answers, unanswered=unanswered)
        history.judge(leaf)
        return set(unanswered)

    both = asked({})
    (of_p,) = (question for question in both if question[0] == "p")
    assert asked({of_p: EarlierEvents()}) == both - {of_p}
    assert asked(dict.fromkeys(both, EarlierEvents())) == set()


def test_no_more_events_are_looked_at_than_promised() -> None:
    events = [an_event(n, total=n) for n in range(MAX_EVENTS + 1, 0, -1)]
    of_all = EarlierEvents(events)
    truth, fact = told(a_leaf(times={"lte": 100}, where={**LARGE, "value": 9_000}), of_all)
    assert (truth, fact.least, fact.most, fact.gaps) == (None, 0, None, ("not_looked_at",))
    truth, fact = told(
        a_leaf(times={"lte": 100}, where={**LARGE, "value": 9_000}), EarlierEvents(events[1:])
    )
    assert (truth, fact.least, fact.most, fact.gaps) == (True, 0, 0, ())
    # What was seen decides all the same.
    assert told(a_leaf(times={"gte": 3}, where=LARGE), of_all)[0] is True
    assert told(a_leaf(times={"lte": 3}, where=LARGE), of_all)[0] is False


@pytest.mark.parametrize("reads", ["data", "state"])
def test_no_more_bytes_are_looked_at_than_promised(reads: str) -> None:
    """They are counted as compact JSON, the Profile only where it is read."""
    where = {"all": [LARGE, PRO]} if reads == "state" else LARGE
    leaf = a_leaf(times={"gte": 5}, where=where)
    size = MAX_BYTES // 4 - len('{"total":41,"note":""}')
    if reads == "state":
        size -= len('{"properties":{"plan":"Pro"}}')
    events = [an_event(n, total=41, note="x" * size) for n in range(4, 0, -1)]
    _, fact = told(leaf, EarlierEvents(events))
    assert (fact.least, fact.most) == (4, 4)
    events[0] = an_event(4, total=41, note="x" * (size - 1) + "é")
    _, fact = told(leaf, EarlierEvents(events))
    assert (fact.least, fact.most, fact.gaps) == (3, None, ("not_looked_at",))
    # Of what is only counted nothing is read.
    assert told(a_leaf(times={"eq": 4}), EarlierEvents(events))[0] is True


def test_what_a_store_leaves_out_may_count() -> None:
    answer = EarlierEvents([an_event(2, total=50)], more=True)
    assert told(a_leaf(where=LARGE), answer)[0] is True
    truth, fact = told(a_leaf(times={"eq": 1}, where=LARGE), answer)
    assert (truth, fact.most, fact.gaps) == (None, None, ("not_looked_at",))
    assert told(a_leaf(times={"eq": 0}, where=LARGE), answer)[0] is False


def test_events_of_which_nobody_knows_may_count() -> None:
    answer = EarlierEvents([an_event(3, total=50), an_event(2), an_event(1, total=1)])
    truth, fact = told(a_leaf(times={"gte": 2}, where=LARGE), answer)
    assert (truth, fact.least, fact.most, fact.gaps) == (None, 1, 2, ("unclear",))
    assert [(each.event_id, each.counts) for each in fact.events] == [
        ("event 3", True),
        ("event 2", None),
    ]
    assert told(a_leaf(times={"lte": 2}, where=LARGE), answer)[0] is True
    assert told(a_leaf(times={"gte": 3}, where=LARGE), answer)[0] is False


@pytest.mark.parametrize(
    ("members", "left", "least", "most"),
    [
        ({}, gone(2, hours=50), 3, 3),
        # All of them occurred before the period.
        ({"within": "P2D"}, gone(2, hours=48.001), 1, 1),
        # The last one occurred in the period, and so may the other.
        ({"within": "P2D"}, gone(2, hours=48), 2, 3),
        ({"within": "P2D"}, gone(1, hours=1), 2, 2),
        # It may be the only one that did not.
        ({"within": "P2D"}, gone(2, hours=-1), 1, 3),
        ({"where": LARGE}, gone(2, hours=50), 1, 3),
        ({"where": LARGE, "within": "P2D"}, gone(2, hours=50), 1, 1),
        ({"same": ["/event/total"]}, gone(2, hours=50), 1, 3),
        # Of those that went, some may have come later.
        ({}, gone(2, hours=50, highest=9), 1, 3),
    ],
)
def test_what_retention_removed_counts_as_far_as_it_is_known(
    members: Any, left: GoneEvents, least: int, most: int
) -> None:
    answer = EarlierEvents([an_event(4, total=50)], gone=left)
    how: dict[str, Any] = {"occurred": NOW - timedelta(microseconds=1), "data": {"total": 50}}
    series = [Series("p", 9)]
    _, fact = told(a_leaf(**members), answer, series=series, **how)
    assert (fact.least, fact.most) == (least, most)
    assert fact.gaps == (("removed",) if least != most else ())
    mattered = most > 1
    assert (fact.removed, fact.removed_until) == (
        (left.count, left.last_occurred_at) if mattered else (0, None)
    )


def test_what_says_nothing_of_its_time_is_later_than_all_that_is_recorded() -> None:
    leaf = a_leaf(within="P1D")
    known = Known(EarlierEvents())
    for occurred, until in ((NOW, None), (NOW - HOUR, NOW - HOUR)):
        history = History(
            {}, occurred, NOW, [Series("p")], answers=known, unanswered={}, thorough=True
        )
        _, fact = history.recall(leaf)
        assert (fact.since, fact.until) == (occurred - 24 * HOUR, until)
        assert known.asked[-1] == ("p", "order.created", until, None, "nothing")
    ahead = EarlierEvents([], gone=gone(1, hours=-1))
    assert told(leaf, ahead)[0] is True
    assert told(leaf, ahead, occurred=NOW - HOUR)[0] is None
    early = datetime.min.replace(tzinfo=UTC)
    told(leaf, EarlierEvents(), occurred=early)


@pytest.mark.parametrize("value", ["[REDACTED]", None, {"a": 1}, [1]])
def test_nothing_is_the_same_as_what_equals_nothing(value: Any) -> None:
    """Nothing is asked: the count is known."""
    unanswered: dict[Question, HistoryProbe] = {}
    for data in ({"sku": value}, {}):
        for times, truth in (({"gte": 1}, False), ({"lte": 0}, True)):
            leaf = a_leaf(times=times, same=["/event/total", "/event/sku"])
            history = a_history(data={**data, "total": 1}, unanswered=unanswered)
            assert history.judge(leaf) is truth
            found, fact = history.recall(leaf)
            assert (found, fact.least, fact.most) == (truth, 0, 0)
            assert fact.unequal == ("/event/sku",)
    assert unanswered == {}
    answer = EarlierEvents([an_event(1, total=1, sku=value), an_event(2, total=1)])
    leaf = a_leaf(times={"eq": 0}, same=["/event/sku"])
    assert told(leaf, answer, data={"sku": 1})[0] is True


def test_of_an_erased_profile_only_what_was_left_is_known() -> None:
    events = EarlierEvents([an_event(2, total=50), an_event(1, total=50)])
    how: dict[str, Any] = {"is_erased": True}
    assert told(a_leaf(times={"eq": 2}), events, **how)[0] is True
    for members in ({"where": LARGE}, {"same": ["/event/sku"]}):
        truth, fact = told(a_leaf(times={"eq": 0}, **members), events, **how)
        assert (truth, fact.least, fact.most, fact.gaps) == (None, 0, 2, ("erased",))
        assert told(a_leaf(times={"gte": 3}, **members), events, **how)[0] is False


def test_series_are_counted_together_and_told_newest_first() -> None:
    own = EarlierEvents([an_event(9, hours=1), an_event(8, hours=3)])
    other = EarlierEvents([an_event(7, hours=1), an_event(6, hours=2)], gone=gone(2, hours=99))
    _, fact = told(a_leaf(), own, other, EarlierEvents())
    assert [each.event_id for each in fact.events] == [f"event {number}" for number in (9, 7, 6, 8)]
    assert (fact.least, fact.most) == (6, 6)


def test_an_explanation_tells_of_so_many_events() -> None:
    events = [an_event(n) for n in range(ITEM_LIMIT + 5, 0, -1)]
    _, fact = told(a_leaf(), EarlierEvents(events))
    assert (len(fact.events), fact.omitted, fact.least) == (ITEM_LIMIT, 5, ITEM_LIMIT + 5)


@pytest.mark.parametrize(
    ("times", "limit"),
    [({"gte": 3}, 3), ({"eq": 0}, 1), ({"lte": 100}, 101), ({"between": [2, 5]}, 6)],
)
def test_no_more_is_asked_for_than_decides(times: Any, limit: int) -> None:
    unanswered: dict[Question, HistoryProbe] = {}
    history = a_history(unanswered=unanswered)
    assert history.judge(a_leaf(times=times)) is None
    assert history.is_open
    assert [probe.limit for probe in unanswered.values()] == [limit]
    events = EarlierEvents([an_event(n) for n in range(limit, 0, -1)], more=True)
    assert a_history(events).judge(a_leaf(times=times)) is (times == {"gte": 3})


def test_what_was_not_asked_is_not_told() -> None:
    truth, fact = a_history().recall(a_leaf())
    assert (truth, fact.most, fact.gaps) == (None, None, ("not_looked_at",))
    assert a_history().judge(a_leaf(times={"gte": 0})) is True


def test_the_series_before_an_event_are_those_merged_before_it() -> None:
    merged = (MergedSeries("q", 4), MergedSeries("r", 5))
    event = UserEvent("e", "p", 4, "order.created", {}, {}, 1, None, NOW, NOW, ())
    assert series_before(event, merged) == (Series("p", 4), Series("q"))
    assert series_before(event, ()) == (Series("p", 4),)
    profile = Profile("p", None, None, {}, {}, NOW, NOW, merged=merged)
    assert series_of(profile) == (Series("p"), Series("q"), Series("r"))


def test_an_earlier_event_does_not_show_what_it_holds() -> None:
    assert repr(an_event(1, total="c4n4ry")) == "<EarlierEvent event 1>"


def test_one_question_serves_leaves_of_one_name_whatever_their_periods() -> None:
    unanswered: dict[Question, HistoryProbe] = {}
    leaves = [
        a_leaf(times=times, **members)
        for times, members in (
            ({"gte": 2}, {"within": "PT2H"}),
            ({"lte": 4}, {"within": "PT9H"}),
            ({"gte": 1}, {"within": "PT1H"}),
        )
    ]
    history = a_history(unanswered=unanswered)
    for leaf in leaves:
        assert history.judge(leaf) is None
    (probe,) = unanswered.values()
    assert (probe.since, probe.until, probe.limit) == (NOW - 9 * HOUR, None, 5)
    history.judge(a_leaf())
    (probe,) = unanswered.values()
    assert (probe.since, probe.limit) == (None, 5)
    events = [an_event(n, hours=6 - n) for n in range(5, 0, -1)]
    for more in (False, True):
        answer = EarlierEvents(events, more=more)
        found = [told(leaf, answer)[1] for leaf in leaves]
        # What is older than an event that was told of cannot be missing.
        assert [(fact.least, fact.most) for fact in found] == [
            (2, 2),
            (5, None if more else 5),
            (1, 1),
        ]


def test_what_retention_removed_is_told_of_a_part_of_an_answer_too() -> None:
    events = [an_event(3, hours=1), an_event(2, hours=9)]
    answer = EarlierEvents(events, gone=gone(1, hours=1.5))
    assert told(a_leaf(times={"eq": 2}, within="PT2H"), answer)[0] is True
    assert told(a_leaf(times={"eq": 1}, within="PT1H"), answer)[0] is True
