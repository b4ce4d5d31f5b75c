from __future__ import annotations

import json
import math
import time
import tomllib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_cli import yaml_text
from segmentflow_cli.journey_files import _has_very_long_key, load_journeys, read_journey_file
from segmentflow_cli.yaml_text import YamlFault
from segmentflow_core import Tracker
from segmentflow_core.errors import InvalidJourney
from segmentflow_core.journeys import journey_definitions
from segmentflow_core.testing import FINGERPRINT_SECRET
from segmentflow_core.wire import published_document
from segmentflow_memory import MemoryStorage

AS_IN_YAML_1_2 = [
    *((text, text) for text in ("NO", "no", "Yes", "y", "N", "on", "Off", "tRUE", "nULL")),
    *((text, text) for text in ("12:30", "190:20:30.15", "1_000", "0b101", "0o8", "-0x1F", "0xG")),
    *((text, text) for text in ("2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01 00:00:00")),
    *((text, text) for text in ("=", "<<", "1e", ".", "e3", "+", "-.nan", ".iNF", "1.2.3", "abc")),
    *((text, True) for text in ("true", "True", "TRUE")),
    *((text, False) for text in ("false", "False", "FALSE")),
    *((text, None) for text in ("null", "Null", "NULL", "~", "")),
    *(("0", 0), ("-7", -7), ("+12", 12), ("010", 10), ("0o17", 15), ("0x1F", 31)),
    *(("1e3", 1000.0), ("-.5E+2", -50.0), ("12.", 12.0), ("0.25", 0.25), ("+1e-1", 0.1)),
    *((".inf", math.inf), ("-.INF", -math.inf), ("+.Inf", math.inf)),
    *(("'40'", "40"), ('"true"', "true"), ('""', ""), ("|-\n    40", "40")),
]


@pytest.fixture
def read(tmp_path):
    def read(text, name="a.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_journey_file(path)

    return read


@pytest.fixture
def why(read):
    """Give the one reason for which a file is refused."""

    def why(text, name="a.yaml"):
        with pytest.raises(InvalidJourney) as refused:
            read(text, name)
        assert refused.value.__context__ is None
        (violation,) = refused.value.violations
        assert violation.path == ""
        return violation.message

    return why


@pytest.mark.parametrize(("text", "value"), AS_IN_YAML_1_2)
def test_a_plain_value_is_what_yaml_1_2_says(read, text, value):
    found = read(f"value: {text}\n")["value"]
    assert (found, type(found)) == (value, type(value))


def test_not_a_number_is_read_as_such(read):
    assert all(math.isnan(number) for number in read("[.nan, .NaN, .NAN]"))


@pytest.mark.parametrize(
    "value",
    ["NO", "12:30", "1e3", "", "~", "2026-01-01", True, None, 40, 0.5, 1e300, [1], {"a": 1}],
)
def test_json_means_the_same_when_it_is_read_as_yaml(read, value):
    text = json.dumps({"value": value})
    assert read(text) == read(text, "a.json") == {"value": value}


@pytest.mark.parametrize(("text", "value"), [("NO", "NO"), ("12:30", "12:30"), ("1e3", 1000.0)])
def test_the_value_of_a_condition_is_published_as_it_is_written(read, text, value):
    where = f"{{path: /event/a, op: eq, value: {text}}}"
    written = f"journeys: [{{id: a, status: active, trigger: {{event: x, where: {where}}}}}]"
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish(journey_definitions(read(written)))
    published = published_document(tracker.journeys.get("a"))
    assert published["trigger"]["where"]["value"] == value


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        ("journeys:\n\t- id: canary", "line 2, column 1", "a tab cannot stand here"),
        ("a: canary\nb: 1\na: 2", "line 3, column 1", "must not give a member twice"),
        ("a: &x canary\nb: *x", "line 2, column 4", "must not use aliases"),
        ("a: canary: b", "line 1, column 10", "a colon where no member is"),
        ("a: 'canary", "line 1, column 11", "a quoted text does not end"),
        ("- canary\n- [a, b", "line 2, column 8", "a comma or a closing bracket"),
        ('a: "canary\\q"', "line 1, column 12", "a backslash in double quotes"),
        ("a: @canary", "line 1, column 4", "must be quoted"),
        ("a: 1\n b: canary", "line 2, column 3", "a colon where no member is"),
        ("a:\n  b: 1\n c: canary", "line 3, column 2", "its indentation fits nothing"),
        ("canary\nb: 1", "line 2, column 2", "a colon where no member is"),
        ("a: canary\n---\nb: 1", "line 2, column 1", "a file holds one document"),
        ("a: 1\nb: x\x07canary", "line 2, column 5", "a character that text cannot hold"),
        ("a: 1\n? [canary]\n: 2", "line 2, column 3", "lists or mappings as members' names"),
        (f"a: 1\nb: {'7' * 5000}", "line 2, column 4", "holds a number too long to read"),
        ("%YAML 9.canary\n---\na: 1", "line 1, column 9", "is not valid YAML"),
    ],
)
def test_a_yaml_refusal_says_where_and_why_but_repeats_nothing(why, text, where, reason):
    message = why(text)
    assert f"at {where}" in message
    assert reason in message
    assert "canary" not in message


@pytest.mark.parametrize(
    "tagged",
    [
        *("!!bool canary", "!!bool true", "!!timestamp canary", "!!timestamp 2026-01-01"),
        *('!!int ""', '!!float ""', "!!int canary", "!!null x", "!!str 12", "! 12", "!canary 12"),
        *("!!binary canary", "!!set {canary}", "!!omap [a: 1]", "!!pairs [a: 1]", "!!seq {}"),
        *("!!map []", "!!python/object:os.system {}", "!!python/name:os.system ''", "!<x:y> 1"),
    ],
)
@pytest.mark.parametrize("around", ["a: {}", "[{}]", "? {}\n: 1"])
def test_a_tag_is_refused_whatever_it_is(why, tagged, around):
    message = why(around.format(tagged))
    assert message.startswith("must not use tags, at line 1, column ")
    assert message.endswith(": quote what is text")
    assert "canary" not in message


@pytest.mark.parametrize("name", ["a.yaml", "a.yml", "a.toml", "a.json"])
def test_what_is_not_utf_8_is_named_as_such(why, name):
    assert why(b'a = "\xff"', name) == "is not UTF-8"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('a = 1\nb = "canary', "at end of document"),
        ("a = 1\ncanary\nb = 2", "at line 2, column 7"),
        ("canary = 1\ncanary = 2\n", "at line 2, column 11"),
        (f"a = {'7' * 5000}", ""),
    ],
)
def test_a_toml_refusal_says_where(why, text, where):
    message = why(text, "a.toml")
    assert message.startswith("is not valid TOML")
    assert message.endswith(where)
    assert "canary" not in message


LONG_NAME = ".".join("a" * 4000)


@pytest.mark.parametrize(
    "text",
    [
        f"{LONG_NAME} = 1",
        f"[{LONG_NAME}]",
        f"[[{LONG_NAME.replace('.', ' . ')}]]",
        f"a = {{{LONG_NAME} = 1}}",
        LONG_NAME.replace("a.a", "\"a\".'#'") + " = 1",
    ],
    ids=lambda text: text[:10],
)
def test_a_toml_key_of_very_many_parts_is_refused_unparsed(why, text):
    assert why(text, "a.toml") == "is nested too deep to read"


@pytest.mark.parametrize(
    "text",
    [
        f'a = "{LONG_NAME}"',
        f"a = '{LONG_NAME}'",
        f'a = """\\"""{LONG_NAME}\n"{LONG_NAME}""\n"""',
        f"a = '''\\{LONG_NAME}\n'{LONG_NAME}''\n'''",
        f"# {LONG_NAME}\na = 1 # '{LONG_NAME}",
        'a = ["\'", \'"\', "#", "\\""] # """\n' + f'b = "{LONG_NAME}"',
        ".".join("a" * 100) + " = 1.5",
    ],
    ids=lambda text: text[:10],
)
def test_a_long_text_with_dots_is_no_key(read, text):
    assert read(text, "a.toml") == tomllib.loads(text)


@pytest.mark.parametrize("part", ['"""', "'''", '"', "'", '"""\\', "#", '"\\', "a.", "a .", "a\n"])
def test_toml_is_looked_through_in_time_that_grows_with_it(part):
    started = time.perf_counter()
    _has_very_long_key(part * (1_000_000 // len(part)))
    assert time.perf_counter() - started < 5  # a tenth of a second; by the square, an hour


PARTS = (
    *("a", "b: ", "- ", "\n", "  ", "[", "]", "{", "}", ", ", ": ", "? ", "'", '"', "|\n", "> \n"),
    *("#x", "&a ", "*a", "!!str ", "1", "0x1F", "true", "~", "1e3", "é", "\t", "---\n", "...\n"),
    *("%YAML 1.1\n", "\\n", "\x85", "\u2028", "\ufeff", "<<", "@", "`", "\x00", "\r", "|2-\n"),
)


def outcome(text):
    try:
        return repr(yaml_text.parse_yaml(text))
    except YamlFault as fault:
        return str(fault)


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="there is one parser only")
@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
def test_libyaml_reads_what_pyyaml_reads_and_refuses_the_same(text):
    quick, yaml_text._QUICK = yaml_text._QUICK, yaml.SafeLoader
    try:
        plain = outcome(text)
    finally:
        yaml_text._QUICK = quick
    assert outcome(text) == plain


def test_a_very_long_text_is_refused_without_being_read_twice(why):
    assert why("a: 1\n" * 100_000) == "must not give a member twice, at line 2, column 1"
    assert why("- a\n" * 100_000 + "b: [") == "is not valid YAML, at line 100001, column 1"


def test_text_that_yaml_reads_as_something_else_is_named(tmp_path):
    text = "journeys:\n  - {id: 007, name: true, status: NO, trigger: {event: ~}}"
    expected = {
        "/journeys/0/id": True,
        "/journeys/0/name": True,
        "/journeys/0/status": False,
        "/journeys/0/trigger/event": True,
    }
    for form, hinted in (("yaml", True), ("json", False)):
        path = tmp_path / f"j.{form}"
        document = {"id": 7, "name": True, "status": "NO", "trigger": {"event": None}}
        path.write_text(text if hinted else json.dumps({"journeys": [document]}))
        with pytest.raises(InvalidJourney) as refused:
            load_journeys(path)
        assert {each.path: "quote" in each.message for each in refused.value.violations} == {
            each: hinted and wants for each, wants in expected.items()
        }
        assert refused.value.__context__ is None
