"""One line per measurement: what was measured, the figure, the target, whether it is met."""

from __future__ import annotations

from typing import Any

from attrs import asdict, frozen

__all__ = ["Line", "Point", "absent", "as_json", "compared", "limited", "rated", "related", "told"]


@frozen
class Point:
    """One dot of a plot; `bench.plots` knows the plots, and what their axes are.

    Attributes:
        plot: which one.
        series: the dots of one name are joined.
        x: what was varied, such as how many callers there were.
        y: what was measured: seconds, or events a second.
    """

    plot: str
    series: str
    x: float
    y: float


@frozen
class Line:
    """One measurement, ready to print; `met` is None where there is no target."""

    name: str
    figure: str
    detail: str
    target: str
    met: bool | None
    points: tuple[Point, ...] = ()


def as_json(line: Line) -> dict[str, Any]:
    """Return a line as `python -m bench --json` prints it."""
    return asdict(line)


def limited(name: str, seconds: float, limit: float) -> Line:
    """Report a time that has a limit."""
    figure = f"{seconds * 1e6:.2f} µs"
    return Line(name, figure, "", f"≤ {limit * 1e6:g} µs", seconds <= limit)


def told(name: str, seconds: float, *points: Point) -> Line:
    """Report a time that has no target."""
    return Line(name, f"{seconds * 1e6:.2f} µs", "", "", None, points)


def absent(name: str, distribution: str) -> Line:
    """Report loudly that there was nothing to compare with."""
    how = f"{distribution} is missing: pip install -e '.[bench]'"
    return Line(name, "NOT MEASURED", how, "", False)


def compared(
    name: str,
    above: float,
    below: float,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Line:
    """Report the ratio of two times, `above` / `below`."""
    ratio = above / below
    detail = f"{above * 1e6:,.1f} / {below * 1e6:,.1f} µs"
    if at_least is not None:
        return Line(name, f"{ratio:.2f} ×", detail, f"≥ {at_least:g} ×", ratio >= at_least)
    assert at_most is not None
    return Line(name, f"{ratio:.2f} ×", detail, f"≤ {at_most:g} ×", ratio <= at_most)


def related(name: str, above: float, below: float) -> Line:
    """Report the ratio of two times, `above` / `below`; it has no target."""
    detail = f"{above * 1e6:,.1f} / {below * 1e6:,.1f} µs"
    return Line(name, f"{above / below:.2f} ×", detail, "", None)


def rated(name: str, seconds: float) -> Line:
    """Report how many a second there are of what takes so long; it has no target."""
    return Line(name, f"{1 / seconds:,.0f} a second", f"{seconds * 1e6:,.1f} µs", "", None)
