"""``python -m bench.refusals``: what the worst body found against each rule costs.

Every body is refused. The table shows the time at a quarter of the size and at the whole size
(linear: four times as long), the most memory held meanwhile, and the bytes of the answer.
`BODIES` is also what the tests read.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from attrs import frozen
from rich.console import Console
from rich.table import Table

from segmentflow_cli.importing import ImportReport, import_lines, read_lines
from segmentflow_core import SegmentflowError, Tracker
from segmentflow_core.errors import InvalidRequest
from segmentflow_core.journeys import journey_definitions
from segmentflow_core.templates import compile_template
from segmentflow_core.testing import FINGERPRINT_SECRET
from segmentflow_core.wire import parse_json, parse_request
from segmentflow_memory import MemoryStorage

__all__ = ["BODIES", "SIZE", "Body", "refuse"]

SIZE: Final = 256 * 1024
"""How many bytes a request may hold by default."""

MOST_SECONDS: Final = 0.3

Read: TypeAlias = Callable[[str], object]


@frozen
class Body:
    """A body to be refused.

    Attributes:
        rule: what reads it.
        name: what is wrong with it.
        make: makes it, about as many bytes long as asked for.
        read: reads it; raises the refusal.
    """

    rule: str
    name: str
    make: Callable[[int], str]
    read: Read

    def __str__(self) -> str:
        return f"{self.rule}: {self.name}"


def refuse(body: Body, text: str) -> SegmentflowError:
    """Return the refusal of a body.

    Raises:
        AssertionError: it was accepted.
    """
    try:
        body.read(text)
    except SegmentflowError as error:
        return error
    raise AssertionError(f"{body} was accepted")


def _tracker() -> Tracker:
    return Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)


def _track(text: str) -> object:
    return _tracker().track(parse_request(text), "key")


def _import(text: str) -> object:
    report = ImportReport(name="requests.ndjson")
    lines = read_lines(io.BytesIO(text.encode("utf-8", "surrogatepass") + b"\n"))
    import_lines(
        _tracker(),
        lines,
        report,
        organization_id="default",
        batch=500,
        match_journeys=True,
        on_progress=lambda _size, _refused: None,
    )
    raise report.refused[0].error


def _journeys(text: str) -> object:
    return journey_definitions(parse_json(text))


def _template(text: str) -> object:
    return compile_template(parse_json(text))


def _filled(size: int, before: str, item: str, after: str, between: str = ",") -> str:
    """Return `before`, as many items as fit, and `after`."""
    count = max((size - len(before) - len(after)) // (len(item) + len(between)), 1)
    return before + between.join([item] * count) + after


def _numbered(size: int, before: str, item: Callable[[int], str], after: str) -> str:
    """As `_filled`, with items that differ."""
    room, items = size - len(before) - len(after), list[str]()
    while room > 0:
        items.append(item(len(items)))
        room -= len(items[-1]) + 1
    if room < 0 and len(items) > 1:
        items.pop()
    return before + ",".join(items) + after


def _nested(
    size: int, depth: int, name: str, item: str, *, before: str = "", after: str = ""
) -> str:
    """Return items below `depth` objects, each in a member of the same name."""
    opened = f'{{"{name}":' * depth
    return _filled(size, f"{before}{opened}[", item, f"]{'}' * depth}{after}")


def _request(data: str = "{}", **members: str) -> tuple[str, str]:
    """Return the start and the end of a request around what stands for `…`."""
    given = {"event": '"e"', "profile": '{"email":"a@example.com"}', "data": data} | members
    start, _, end = (
        "{" + ",".join(f'"{name}":{value}' for name, value in given.items()) + "}"
    ).partition("…")
    return start, end


def _in_data(item: str, *, around: str = "[…]") -> Callable[[int], str]:
    start, end = _request(data=f'{{"a":{around}}}')
    return lambda size: _filled(size, start, item, end)


def _in(member: str, item: str, around: str) -> Callable[[int], str]:
    start, end = _request(**{member: around})
    return lambda size: _filled(size, start, item, end, "" if around.startswith('"') else ",")


def _paths(item: Callable[[int], str]) -> Callable[[int], str]:
    start, end = _request(redactedDataPaths="[…]")
    return lambda size: _numbered(size, start, item, end)


def _long_names(size: int) -> str:
    start, end = _request(data="…")
    return _nested(size, 60, "~" * min(400, size // 130), "NaN", before=start, after=end)


def _longest_name(size: int) -> str:
    start, end = _request(data="…")
    return _nested(size, 1, "~" * (size // 2), "NaN", before=start, after=end)


def _growing_paths(size: int) -> str:
    """Return paths that lead into each other, and a value at each of them."""
    start, end = _request(data="…")
    text, path, paths = size // 2, "/event", list[str]()
    while text > 0:
        path += "/a"
        paths.append(json.dumps(path + "~"))
        text -= len(paths[-1]) + 1
    paths.pop()
    data = _nested(size // 2 - 200, 60, "a", "NaN")
    return f'{start}{data}{end[:-1]},"redactedDataPaths":[{",".join(paths)}]}}'


def _redacted(size: int) -> str:
    """Return faults below one redacted place, in names that must not be shown."""
    start, end = _request(data="…")
    paths = f',"redactedDataPaths":["/event{"/a" * 30}"]}}'
    return _nested(size - len(paths), 60, "a", "NaN", before=start, after=end[:-1] + paths)


_REQUEST: Final = ("request", _track)
_IMPORT: Final = ("import line", _import)
_RAW: Final = ("raw JSON", _track)
_JOURNEY: Final = ("Journeys", _journeys)
_TEMPLATE: Final = ("template", _template)

_A_JOURNEY: Final = '{"journeys":[{"id":"a","status":"active","trigger":{"event":"e","where":…}}]}'


def _where(item: str, around: str) -> Callable[[int], str]:
    start, end = _A_JOURNEY.replace("…", around).split("…")
    return lambda size: _filled(size, start, item, end)


def _bodies() -> Iterator[Body]:
    def body(of: tuple[str, Read], name: str, make: Callable[[int], str]) -> Body:
        return Body(of[0], name, make, of[1])

    for of in (_REQUEST, _IMPORT):
        yield body(of, "NaN below 60 long names of tildes", _long_names)
        yield body(of, "NaN below one name of half the size", _longest_name)
        yield body(of, "NaN, many", _in_data("NaN"))
        yield body(
            of, "unknown fields", lambda size: _numbered(size, "{", lambda n: f'"{n}":0', "}")
        )
    yield body(_REQUEST, "1e400, many", _in_data("1e400"))
    yield body(_REQUEST, "NaN below 60 lists", _in_data("NaN", around=f"{'[' * 60}…{']' * 60}"))
    yield body(_REQUEST, "lists nested too deep, many", _in_data(f"{'[' * 64}{']' * 64}"))
    yield body(
        _REQUEST,
        "Properties that are no JSON",
        lambda size: _numbered(
            size,
            '{"event":"e","profile":{"email":"a@example.com","properties":{',
            lambda n: f'"{n}":NaN',
            "}}}",
        ),
    )
    yield body(
        _REQUEST,
        "unknown fields of the profile, long names",
        lambda size: _numbered(
            size, '{"event":"e","profile":{', lambda n: f'"{"~/" * 500}{n}":0', "}}"
        ),
    )
    yield body(_REQUEST, "pointers, one and the same", _paths(lambda _: '""'))
    yield body(_REQUEST, "pointers, all different", _paths(lambda n: f'"{n}"'))
    yield body(_REQUEST, "pointers with bad escapes", _paths(lambda n: f'"/event/~2{n}"'))
    yield body(_REQUEST, "pointers of many tokens", _paths(lambda n: f'"{"/a" * 500}{n}"'))
    yield body(_REQUEST, "pointers into each other", _growing_paths)
    yield body(
        _REQUEST, "one pointer of half as many tokens", _in("redactedDataPaths", "/~", '["…"]')
    )
    yield body(_REQUEST, "faults below a redacted place", _redacted)
    for name, item in (("dots", "a."), ("labels", "@a.a"), ("blanks", " "), ("hyphens", "a@-")):
        yield body(_REQUEST, f"an email of {name}", _in("profile", item, '{"email":"…"}'))
    yield body(_REQUEST, "a date of digits", _in("occurredAt", "0", '"2026-05-31T12:00:00.…"'))
    yield body(_REQUEST, "lone surrogates", _in_data(r'"\ud800"'))
    yield body(
        _REQUEST,
        "names with lone surrogates",
        lambda size: _numbered(
            size, '{"event":"e","data":{', lambda n: rf'"\ud800\u0001{n}":0', "}}"
        ),
    )
    yield body(
        _REQUEST,
        "names of control characters",
        lambda size: _numbered(size, "{", lambda n: rf'"{chr(92)}u0001{n}":0', "}"),
    )
    yield body(_RAW, "one name, many times", lambda size: _filled(size, "{", '"a":0', "}"))
    yield body(
        _RAW,
        "every name twice",
        lambda size: _numbered(size, "{", lambda n: f'"{n // 2}":0', "}"),
    )
    yield body(_RAW, "opening brackets", lambda size: "[" * size)
    yield body(_RAW, "brackets in pairs", lambda size: _filled(size, "[", "[]", ""))
    yield body(_RAW, "opening brackets in a string", lambda size: f'["{"[" * (size - 2)}')
    yield body(_RAW, "quotes", lambda size: "[[" * 101 + '"' * (size - 202))
    yield body(_RAW, "escaped quotes", lambda size: "[[" * 101 + '"' + r"\"" * (size // 2 - 102))
    yield body(_RAW, "backslashes", lambda size: "[[" * 101 + "\\" * (size - 202))
    yield body(_RAW, "white space", lambda size: " \n" * (size // 2))
    yield body(_RAW, "one integer", _digits("{}"))
    yield body(_RAW, "one real", _digits("0.{}e999"))
    yield body(_RAW, "one exponent", _digits("1e{}"))
    yield body(
        _JOURNEY,
        "NaN below 80 long names",
        lambda size: _nested(size, 80, "~" * min(6000, size // 200), "NaN"),
    )
    yield body(_JOURNEY, "Journeys without members", _listed("{}"))
    yield body(_JOURNEY, "Journeys that are none", _listed("0"))
    yield body(_JOURNEY, "Journeys of one id", _listed('{"id":"a"}'))
    yield body(
        _JOURNEY,
        "unknown members",
        lambda size: _numbered(size, '{"journeys":[{', lambda n: f'"{n}":0', "}]}"),
    )
    yield body(_JOURNEY, "conditions that are none", _where("0", '{"all":[…]}'))
    yield body(
        _JOURNEY,
        "Journeys of conditions that are none",
        _listed('{"trigger":{"where":{"all":[' + ",".join("0" * 1000) + "]}}}"),
    )
    yield body(
        _JOURNEY, "values that are none", _where("[]", '{"path":"/event/a","op":"in","value":[…]}')
    )
    yield body(
        _JOURNEY,
        "members of a condition",
        lambda size: _numbered(
            size, _A_JOURNEY.split("…")[0] + '{"path":"",', lambda n: f'"{n}":0', "}}}]}"
        ),
    )
    yield body(_JOURNEY, "a path of tildes", _where("~0", '{"op":"exists","path":"x…"}'))
    yield body(
        _TEMPLATE,
        "NaN below 60 long names",
        lambda size: _nested(size, 60, "~" * min(6000, size // 130), "NaN"),
    )
    yield body(
        _TEMPLATE, "places that lead nowhere", lambda size: _filled(size, "[", '{"$state":""}', "]")
    )
    yield body(
        _TEMPLATE,
        "places with another member",
        lambda size: _filled(size, "[", '{"$state":0,"":0}', "]"),
    )
    yield body(
        _TEMPLATE,
        "places below 60 long names",
        lambda size: _nested(size, 60, "~" * min(6000, size // 130), '{"$state":0}'),
    )


def _digits(form: str) -> Callable[[int], str]:
    start, end = _request(data='{"a":…}')
    return lambda size: start + form.format("1" * (size - len(start) - len(end) - len(form))) + end


def _listed(item: str) -> Callable[[int], str]:
    return lambda size: _filled(size, '{"journeys":[', item, "]}")


BODIES: Final[Sequence[Body]] = tuple(_bodies())
"""The worst bodies found, by rule."""


def _seconds(body: Body, text: str, rounds: int = 3) -> float:
    """Return the shortest processor time of a few: something else held up the others."""
    times: list[float] = []
    for _ in range(rounds):
        gc.collect()
        started = time.process_time()
        refuse(body, text)
        times.append(time.process_time() - started)
    return min(times)


def _memory(body: Body, text: str) -> tuple[int, SegmentflowError]:
    tracemalloc.start()
    error = refuse(body, text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak, error


def answer_bytes(error: SegmentflowError) -> int:
    """Return how long an error is over HTTP."""
    return len(json.dumps(error.envelope(), ensure_ascii=False, separators=(",", ":")).encode())


def main() -> int:
    """Measure every body and print the table; return 1 where one takes too long."""
    parser = argparse.ArgumentParser(prog="python -m bench.refusals", description=__doc__)
    parser.add_argument("--size", type=int, default=SIZE, help="bytes of the largest body")
    size: int = parser.parse_args().size
    table = Table("rule", "what is wrong", "size", "¼ size", "size", "memory", "answer", "listed")
    slow = 0
    for body in BODIES:
        small, large = body.make(size // 4), body.make(size)
        short, long = _seconds(body, small), _seconds(body, large)
        peak, error = _memory(body, large)
        listed = len(error.violations) if isinstance(error, InvalidRequest) else 0
        missed = long > MOST_SECONDS
        slow += missed
        table.add_row(
            body.rule,
            body.name,
            f"{len(large.encode('utf-8', 'surrogatepass')):,}",
            f"{short * 1e3:.1f} ms",
            f"{'[red]' if missed else ''}{long * 1e3:.1f} ms",
            f"{peak / 1e6:.1f} MB",
            f"{answer_bytes(error):,}",
            f"{listed}" if error.code != "payload_too_large" else error.code,
        )
    Console(width=140, highlight=False).print(table)
    return 1 if slow else 0


if __name__ == "__main__":
    raise SystemExit(main())
