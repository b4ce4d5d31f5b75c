"""The worst bodies found against each rule; every one is refused. `refusals` measures them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from attrs import frozen

from segmentflow_cli.importing import ImportReport, import_lines, read_lines
from segmentflow_core import SegmentflowError, Tracker
from segmentflow_core.journeys import journey_definitions
from segmentflow_core.templates import compile_template
from segmentflow_core.testing import FINGERPRINT_SECRET
from segmentflow_core.wire import parse_json, parse_request
from segmentflow_memory import MemoryStorage

__all__ = ["BODIES", "SIZE", "Body", "refuse"]

SIZE: Final = 256 * 1024
"""How many bytes a request may hold by default."""

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


def _body(of: tuple[str, Read], name: str, make: Callable[[int], str]) -> Body:
    return Body(of[0], name, make, of[1])


def _of_requests_and_lines() -> Iterator[Body]:
    for of in (_REQUEST, _IMPORT):
        yield _body(of, "NaN below 60 long names of tildes", _long_names)
        yield _body(of, "NaN below one name of half the size", _longest_name)
        yield _body(of, "NaN, many", _in_data("NaN"))
        yield _body(
            of, "unknown fields", lambda size: _numbered(size, "{", lambda n: f'"{n}":0', "}")
        )


def _of_values() -> Iterator[Body]:
    yield _body(_REQUEST, "1e400, many", _in_data("1e400"))
    yield _body(_REQUEST, "NaN below 60 lists", _in_data("NaN", around=f"{'[' * 60}…{']' * 60}"))
    yield _body(_REQUEST, "lists nested too deep, many", _in_data(f"{'[' * 64}{']' * 64}"))
    yield _body(_REQUEST, "integers out of range", _in_data("-9999999999999999999"))
    yield _body(_REQUEST, "integers of 22 digits", _in_data("1" * 22))
    yield _body(_REQUEST, "empty lists, and no profile", _in("event", "[]", '0,"x":[…]'))
    yield _body(_REQUEST, "empty objects, and no event", _in("event", "{}", '0,"x":[…]'))
    yield _body(_REQUEST, "characters beyond ASCII, and no event", _in("event", '"é"', '0,"x":[…]'))
    yield _body(_REQUEST, "NaN in lists of their own", _in_data(f"{'[' * 57}NaN{']' * 57}"))
    yield _body(
        _REQUEST,
        "Properties that are no JSON",
        lambda size: _numbered(
            size,
            '{"event":"e","profile":{"email":"a@example.com","properties":{',
            lambda n: f'"{n}":NaN',
            "}}}",
        ),
    )
    yield _body(
        _REQUEST,
        "unknown fields of the profile, long names",
        lambda size: _numbered(
            size, '{"event":"e","profile":{', lambda n: f'"{"~/" * 500}{n}":0', "}}"
        ),
    )


def _of_fields() -> Iterator[Body]:
    yield _body(_REQUEST, "pointers, one and the same", _paths(lambda _: '""'))
    yield _body(_REQUEST, "pointers, all different", _paths(lambda n: f'"{n}"'))
    yield _body(_REQUEST, "pointers with bad escapes", _paths(lambda n: f'"/event/~2{n}"'))
    yield _body(_REQUEST, "pointers of many tokens", _paths(lambda n: f'"{"/a" * 500}{n}"'))
    yield _body(_REQUEST, "pointers into each other", _growing_paths)
    yield _body(
        _REQUEST, "one pointer of half as many tokens", _in("redactedDataPaths", "/~", '["…"]')
    )
    yield _body(_REQUEST, "faults below a redacted place", _redacted)
    for name, item in (("dots", "a."), ("labels", "@a.a"), ("blanks", " "), ("hyphens", "a@-")):
        yield _body(_REQUEST, f"an email of {name}", _in("profile", item, '{"email":"…"}'))
    yield _body(_REQUEST, "a date of digits", _in("occurredAt", "0", '"2026-05-31T12:00:00.…"'))
    yield _body(_REQUEST, "lone surrogates", _in_data(r'"\ud800"'))
    yield _body(
        _REQUEST,
        "names with lone surrogates",
        lambda size: _numbered(
            size, '{"event":"e","data":{', lambda n: rf'"\ud800\u0001{n}":0', "}}"
        ),
    )
    yield _body(
        _REQUEST,
        "names of control characters",
        lambda size: _numbered(size, "{", lambda n: rf'"{chr(92)}u0001{n}":0', "}"),
    )


def _of_raw_json() -> Iterator[Body]:
    yield _body(_RAW, "one name, many times", lambda size: _filled(size, "{", '"a":0', "}"))
    yield _body(
        _RAW,
        "every name twice",
        lambda size: _numbered(size, "{", lambda n: f'"{n // 2}":0', "}"),
    )
    yield _body(_RAW, "one name twice, in many objects", _in_data('{"":0,"":0}'))
    yield _body(_RAW, "escapes", _in("event", r"\u0041", '0,"x":"…"'))
    yield _body(_RAW, "200 brackets, many times", _in_data("[" * 190 + "]" * 190))
    yield _body(_RAW, "opening brackets", lambda size: "[" * size)
    yield _body(_RAW, "brackets in pairs", lambda size: _filled(size, "[", "[]", ""))
    yield _body(_RAW, "opening brackets in a string", lambda size: f'["{"[" * (size - 2)}')
    yield _body(_RAW, "quotes", lambda size: "[[" * 101 + '"' * (size - 202))
    yield _body(_RAW, "escaped quotes", lambda size: "[[" * 101 + '"' + r"\"" * (size // 2 - 102))
    yield _body(_RAW, "backslashes", lambda size: "[[" * 101 + "\\" * (size - 202))
    yield _body(_RAW, "white space", lambda size: " \n" * (size // 2))
    yield _body(_RAW, "one integer", _digits("{}"))
    yield _body(_RAW, "one real", _digits("0.{}e999"))
    yield _body(_RAW, "one exponent", _digits("1e{}"))


def _of_journeys() -> Iterator[Body]:
    yield _body(
        _JOURNEY,
        "NaN below 80 long names",
        lambda size: _nested(size, 80, "~" * min(6000, size // 200), "NaN"),
    )
    yield _body(_JOURNEY, "Journeys without members", _listed("{}"))
    yield _body(_JOURNEY, "Journeys that are none", _listed("0"))
    yield _body(_JOURNEY, "Journeys of one id", _listed('{"id":"a"}'))
    yield _body(
        _JOURNEY,
        "unknown members",
        lambda size: _numbered(size, '{"journeys":[{', lambda n: f'"{n}":0', "}]}"),
    )
    yield _body(_JOURNEY, "conditions that are none", _where("0", '{"all":[…]}'))
    yield _body(
        _JOURNEY,
        "Journeys of conditions that are none",
        _listed('{"trigger":{"where":{"all":[' + ",".join("0" * 1000) + "]}}}"),
    )
    yield _body(
        _JOURNEY, "values that are none", _where("[]", '{"path":"/event/a","op":"in","value":[…]}')
    )
    yield _body(
        _JOURNEY,
        "members of a condition",
        lambda size: _numbered(
            size, _A_JOURNEY.split("…")[0] + '{"path":"",', lambda n: f'"{n}":0', "}}}]}"
        ),
    )


def _of_parts_of_journeys() -> Iterator[Body]:
    yield _body(
        _JOURNEY,
        "conditions in each other, many times",
        _listed('{"trigger":{"where":' + '{"not":' * 40 + "0" + "}" * 42),
    )
    yield _body(
        _JOURNEY,
        "conditions without an operator",
        _where('{"path":"/event/a"}', '{"any":[…]}'),
    )
    yield _body(
        _JOURNEY,
        "Journeys of every fault",
        _listed(
            '{"id":0,"name":"","status":"","trigger":{"event":"","where":{}},"window":{"until":0},'
            '"reentry":{"policy":"once_per_key","key":["","a"]},"maxLateness":"P","sample":{"":0}}'
        ),
    )
    for name, item in (("digits", "1"), ("parts", "1D")):
        start, end = f'{{"journeys":[{{"maxLateness":"P…{item}"}}]}}'.split("…")
        yield _body(_JOURNEY, f"a duration of {name}", _repeated(start, item, end))
    start, end = ['{"journeys":[{"window":{"from":"2026-05-31T12:00:00.', 'Z"}}]}']
    yield _body(_JOURNEY, "a window of digits", _repeated(start, "0", end))
    start, end = ['{"journeys":[{"reentry":{"policy":"once_per_key","key":[', "]}}]}"]
    yield _body(_JOURNEY, "parts of an entry key", _repeated(start, '"",', f'""{end}'))
    yield _body(_JOURNEY, "a path of tildes", _where("~0", '{"op":"exists","path":"x…"}'))


def _of_templates() -> Iterator[Body]:
    yield _body(
        _TEMPLATE,
        "NaN below 60 long names",
        lambda size: _nested(size, 60, "~" * min(6000, size // 130), "NaN"),
    )
    yield _body(
        _TEMPLATE, "places that lead nowhere", lambda size: _filled(size, "[", '{"$state":""}', "]")
    )
    yield _body(
        _TEMPLATE,
        "places with another member",
        lambda size: _filled(size, "[", '{"$state":0,"":0}', "]"),
    )
    yield _body(
        _TEMPLATE,
        "places below 60 long names",
        lambda size: _nested(size, 60, "~" * min(6000, size // 130), '{"$state":0}'),
    )


def _repeated(start: str, item: str, end: str) -> Callable[[int], str]:
    return lambda size: _filled(size, start, item, end, "")


def _digits(form: str) -> Callable[[int], str]:
    start, end = _request(data='{"a":…}')
    return lambda size: start + form.format("1" * (size - len(start) - len(end) - len(form))) + end


def _listed(item: str) -> Callable[[int], str]:
    return lambda size: _filled(size, '{"journeys":[', item, "]}")


BODIES: Final[Sequence[Body]] = (
    *_of_requests_and_lines(),
    *_of_values(),
    *_of_fields(),
    *_of_raw_json(),
    *_of_journeys(),
    *_of_parts_of_journeys(),
    *_of_templates(),
)
"""The worst bodies found, by rule."""
