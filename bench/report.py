"""One line per measurement: what was measured, the figure, the target, whether it is met."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Line", "absent", "compared", "limited", "rated", "related", "told"]


@frozen
class Line:
    """One measurement, ready to print; `met` is None where there is no target."""

    name: str
    figure: str
    detail: str
    target: str
    met: bool | None


def limited(name: str, seconds: float, limit: float) -> Line:
    """Report a time that has a limit."""
    figure = f"{seconds * 1e6:.2f} µs"
    return Line(name, figure, "", f"≤ {limit * 1e6:g} µs", seconds <= limit)


def told(name: str, seconds: float) -> Line:
    """Report a time that has no target."""
    return Line(name, f"{seconds * 1e6:.2f} µs", "", "", None)


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
