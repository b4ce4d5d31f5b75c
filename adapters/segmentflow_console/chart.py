"""A chart of days: how many were enrolled, and skipped by reason, as the geometry of an SVG.

Knows counts and sizes. Must never write markup: the template does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from attrs import frozen

from segmentflow_core import SkipReason
from segmentflow_core.explanation import SKIP_REASONS
from segmentflow_core.journeys import JourneyDay

__all__ = ["Bar", "Chart", "Kind", "Tick", "chart_of"]

WIDTH: Final = 720
HEIGHT: Final = 220
_LEFT, _TOP, _BOTTOM = 52, 14, 28
_NAMED: Final = 4
"""How many reasons have a colour of their own; the rarer ones share one."""
_LABELS: Final = 8


@frozen
class Kind:
    """One colour of the chart.

    Attributes:
        style: the name of its colour, as the style sheet has it.
        label: what it stands for.
        total: how many there are on all days.
    """

    style: str
    label: str
    total: int


@frozen
class Bar:
    """A rectangle: one kind on one day."""

    style: str
    x: float
    y: float
    width: float
    height: float
    title: str


@frozen
class Tick:
    """A label beside an axis; on a narrow screen only what is major is shown."""

    at: float
    label: str
    is_major: bool = True


@frozen
class Chart:
    """All that is drawn, in units of a view box of `width` by `height`.

    Attributes:
        rows: the numbers of each day, one for each of `kinds`, for a table.
    """

    kinds: tuple[Kind, ...]
    bars: tuple[Bar, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    rows: tuple[tuple[date, tuple[int, ...]], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    floor: int = HEIGHT - _BOTTOM


def chart_of(days: Sequence[JourneyDay], first: date, last: date) -> Chart:
    """Lay out the days from `first` to `last`, with those that have no count."""
    counted = {day.day: day for day in days}
    shown = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    reasons = sum((Counter(day.skipped) for day in days), Counter[SkipReason]())
    common = sorted(dict(reasons.most_common(_NAMED)), key=list(SKIP_REASONS).index)
    rest = set(reasons) - set(common)

    def numbers(day: date) -> tuple[int, ...]:
        of = counted.get(day)
        if of is None:
            return (0,) * (1 + len(common) + bool(rest))
        others = [sum(of.skipped.get(reason, 0) for reason in rest)] if rest else []
        return (of.enrolled, *[of.skipped.get(reason, 0) for reason in common], *others)

    rows = tuple((day, numbers(day)) for day in shown)
    labels = ["enrolled", *[str(reason).replace("_", " ") for reason in common]]
    labels += ["other reasons"] if rest else []
    styles = ["enrolled", *[f"skip{n}" for n in range(1, len(common) + 1)], "other"]
    kinds = tuple(
        Kind(style, label, sum(row[n] for _, row in rows))
        for n, (style, label) in enumerate(zip(styles, labels, strict=False))
    )
    top = _round_up(max((sum(row) for _, row in rows), default=0))
    return Chart(kinds, _bars(rows, kinds, top), _across(shown), _up(top), rows)


def _bars(
    rows: Sequence[tuple[date, tuple[int, ...]]], kinds: Sequence[Kind], top: int
) -> tuple[Bar, ...]:
    slot = (WIDTH - _LEFT) / len(rows)
    bars: list[Bar] = []
    for n, (day, row) in enumerate(rows):
        floor = float(HEIGHT - _BOTTOM)
        for kind, count in zip(kinds, row, strict=True):
            if count:
                height = count / top * (HEIGHT - _TOP - _BOTTOM)
                floor -= height
                x = _LEFT + n * slot + slot * 0.14
                title = f"{day.isoformat()}: {count:,} {kind.label}"
                bars.append(
                    Bar(
                        kind.style,
                        round(x, 2),
                        round(floor, 2),
                        round(slot * 0.72, 2),
                        round(height, 2),
                        title,
                    )
                )
    return tuple(bars)


def _across(shown: Sequence[date]) -> tuple[Tick, ...]:
    """Label some of the days, counted from the last one."""
    slot = (WIDTH - _LEFT) / len(shown)
    step = -(-len(shown) // _LABELS)
    ticks: list[Tick] = []
    for n, day in enumerate(reversed(shown)):
        if n % step == 0:
            at = round(WIDTH - (n + 0.5) * slot, 2)
            ticks.append(Tick(at, f"{day:%b} {day.day}", n // step % 2 == 0))
    return tuple(ticks)


def _up(top: int) -> tuple[Tick, ...]:
    high = HEIGHT - _TOP - _BOTTOM
    return tuple(
        Tick(round(_TOP + high * (1 - part), 2), f"{int(top * part):,}")
        for part in ((0, 0.5, 1) if top % 2 == 0 else (0, 1))
    )


def _round_up(most: int) -> int:
    """Return a round number that is not less, and at least 1."""
    power = 1
    while power * 10 <= most:
        power *= 10
    step = max(power // 5, 1)
    return max(-(-most // step) * step, 1)
