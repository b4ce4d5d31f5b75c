"""The tables of the documentation say what the tables of the code say."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from segmentflow_cli.journey_files import read_journey_file
from segmentflow_core import ReentryPolicy, Tracker, ports
from segmentflow_core.domain.condition import (
    OPERATORS,
    ValueRule,
    compile_condition,
    truth_table,
)
from segmentflow_core.domain.condition.operators import STATE_KINDS, all_of, any_of, negation
from segmentflow_core.domain.event import SKIP_REASONS
from segmentflow_core.domain.hand_over import ENROLLMENT_STATUSES
from segmentflow_core.domain.identity import RESOLUTIONS
from segmentflow_core.journeys import journey_definitions, journey_file_json_schema
from segmentflow_core.ports.api_keys import ApiKeyRepository
from segmentflow_core.templates import OnMissing
from segmentflow_core.testing import (
    CAPABILITIES,
    FINGERPRINT_SECRET,
    HISTORY_RULES,
    FixedClock,
    a_journey,
    a_request,
)
from segmentflow_core.testing.__main__ import promise_table
from segmentflow_http.routes import ERRORS
from segmentflow_memory import MemoryStorage
from segmentflow_observers.counters import COUNTERS
from segmentflow_sql import metadata, postgresql

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"


def rows(page, heading):
    """Give the rows of the table whose first column has this heading."""
    whole = lines(page)
    start = next(i for i, line in enumerate(whole) if line.startswith(f"| {heading} |"))
    found = []
    for line in whole[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append(cells(line))
    return found


def lines(page):
    return (REFERENCE / page).read_text(encoding="utf-8").splitlines()


def cells(line):
    return tuple(cell.strip().strip("`") for cell in line.strip("|").split(" | "))


def test_the_identity_table():
    assert rows("request.md", "given") == [(g, h, r) for (g, h), r in RESOLUTIONS.items()]


def test_the_operators():
    def shown(value):
        if isinstance(value, ValueRule):
            return value.summary
        return "none" if value is None else f"a {value} on each item"

    assert rows("journeys.md", "op") == [
        (name, operator.summary, shown(operator.value)) for name, operator in OPERATORS.items()
    ]


def test_the_skip_reasons():
    assert rows("journeys.md", "reason") == list(SKIP_REASONS.items())


def test_the_statuses_of_an_enrollment():
    assert rows("journeys.md", "status") == list(ENROLLMENT_STATUSES.items())


def test_the_tables_of_the_schema():
    assert {name for name, _ in rows("storage.md", "table")} == set(metadata.tables)


def test_what_is_run_again():
    shown = " ".join(how for _, how in rows("storage.md", "what happened"))
    named = {*re.findall(r"\b[0-9A-Z]{5}\b", shown)}
    assert named == {
        *postgresql._RACES,
        postgresql._LOCK_NOT_AVAILABLE,
        *postgresql._PREPARED_ELSEWHERE,
    }
    assert {*re.findall(r"\b(\w+)…", shown)} == {*postgresql._SERVER_GOES}


def test_the_errors_over_http():
    retry = {True: "true", False: "false", None: "–"}
    assert rows("http.md", "code") == [
        (c.code, str(c.status), retry[c.should_retry], str(c.retry_after or "–")) for c in ERRORS
    ]


def test_the_counters():
    assert rows("../how-to/http/metrics.md", "counter") == [
        (name, ", ".join(counter.labels) or "–", counter.meaning)
        for name, counter in COUNTERS.items()
    ]


# --- How Journeys match -------------------------------------------------------------------

MATCHING = "../explanation/matching.md"
WORDS = {True: "true", False: "false", None: "unknown"}
SIGNS = {"true": "✔", "false": "✘", "unknown": "?", "compared": "="}


def test_the_reasons_are_looked_at_in_the_order_of_the_page():
    table = rows(MATCHING, "step")
    assert [reason for _, _, reason in table] == list(SKIP_REASONS)
    assert [number for number, _, _ in table] == [str(n + 1) for n in range(len(table))]


@pytest.mark.parametrize(("name", "combine"), [("all", all_of), ("any", any_of)])
def test_the_tables_of_all_and_any(name, combine):
    assert rows(MATCHING, f"`{name}`") == [
        (f"**{WORDS[one]}**", *(WORDS[combine([one, other])] for other in WORDS)) for one in WORDS
    ]


def test_the_table_of_not():
    assert rows(MATCHING, "condition") == [(WORDS[t], WORDS[negation(t)]) for t in WORDS]


def test_the_table_of_every_operator_on_every_kind_of_state():
    answers = {}
    for row in truth_table():
        of = answers.setdefault((row.operator, row.value.replace("_", " ")), [])
        of.append(SIGNS[row.answer])
    assert rows(MATCHING, "operator") == [(*of, *signs) for of, signs in answers.items()]
    (heading,) = (line for line in lines(MATCHING) if line.startswith("| operator |"))
    kinds = [kind.replace("_", " ") for kind in STATE_KINDS]
    assert cells(heading) == ("operator", "value", *kinds)


def test_the_examples_of_comparisons():
    table = rows(MATCHING, "found")
    assert len(table) == 16
    for found, op, value, answer in table:
        leaf = {"path": "/event/x", "op": op, "value": json.loads(value)}
        truth = compile_condition(leaf).evaluate({"event": {"x": json.loads(found)}})
        assert WORDS[truth] == answer, (found, op, value)


LETTERS = {None: "●", "already_enrolled": "a", "cooling_down": "c", "entry_key_missing": "k"}
REENTRY = {
    "every_event": {},
    "once": {},
    "once_per_key": {"key": "/event/order"},
    "cooldown": {"duration": "PT24H"},
}


def test_the_diagram_of_coming_back():
    drawn = [line.split() for line in lines(MATCHING)]
    start = next(i for i, line in enumerate(drawn) if line[:1] == ["order"])
    orders, hours = drawn[start][1:], [int(hour) for hour in drawn[start + 1][1:]]
    for policy, members in REENTRY.items():
        clock = FixedClock()
        tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, clock=clock)
        tracker.journeys.publish([a_journey(reentry={"policy": policy, **members})])
        found, now = [], 0
        for order, hour in zip(orders, hours, strict=True):
            clock.advance(hours=hour - now)
            now = hour
            data = {} if order == "–" else {"order": order}
            receipt = tracker.track(a_request(data=data), f"{hour}")
            found.append(LETTERS[tracker.records.event(receipt.event_id).outcomes[0].reason])
        assert [policy, *found] in drawn
    assert list(REENTRY) == list(ReentryPolicy)


def test_the_members_of_a_journey_file():
    schema = journey_file_json_schema()["$defs"]["journey"]["properties"]
    reentry = {name for one in schema["reentry"]["oneOf"] for name in one["properties"]}
    named = {
        *(name for name in schema if "properties" not in schema[name] and name != "reentry"),
        *(
            f"{name}.{inner}"
            for name, member in schema.items()
            for inner in member.get("properties", ())
        ),
        *(f"reentry.{name}" for name in reentry),
    }
    assert {name for name, _ in rows("journeys.md", "member")} == named


def test_the_example_of_a_journey_file_is_right(tmp_path):
    page = (REFERENCE / "journeys.md").read_text(encoding="utf-8")
    path = tmp_path / "journeys.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0])
    (definition,) = journey_definitions(read_journey_file(path))
    assert definition.sample is not None


def test_the_ways_with_what_is_missing():
    assert [name for name, _ in rows("templates.md", "`on_missing`")] == list(get_args(OnMissing))


# --- Write a storage adapter --------------------------------------------------------------

ADAPTER = "../how-to/storage-adapter.md"


def test_the_methods_of_the_ports():
    methods = []
    for subject, of in vars(ports.Transaction).items():
        if isinstance(of, property):
            repository = get_type_hints(of.fget)["return"]
            methods += [
                (f"{subject}.{name}", method.__doc__.splitlines()[0])
                for name, method in vars(repository).items()
                if not name.startswith("_") and callable(method)
            ]
    assert rows(ADAPTER, "method") == methods


def test_the_methods_of_the_port_of_api_keys():
    methods = [
        (name, method.__doc__.splitlines()[0])
        for name, method in vars(ApiKeyRepository).items()
        if not name.startswith("_") and callable(method)
    ]
    assert rows(ADAPTER, "method of `api_keys`") == methods


def test_the_capabilities():
    assert rows(ADAPTER, "capability") == list(CAPABILITIES.items())


def test_every_promise_of_the_contract():
    """`python -m segmentflow_core.testing` prints the table."""
    table = [cells(line) for line in promise_table().splitlines()]
    assert rows(ADAPTER, "subject") == table[2:]


def test_the_rules_of_every_history():
    assert [name for name, _ in rows("../how-to/test-your-code.md", "rule")] == list(HISTORY_RULES)


# --- What is imported ---------------------------------------------------------------------


def described(modules):
    """Give every object that a page of the reference describes by its docstring, or by hand."""
    whole, found, module = [], [], ""
    for page in sorted(REFERENCE.glob("*.md")):
        whole += page.read_text(encoding="utf-8").splitlines()
    for line in whole:
        if directive := re.match(r"\.\. (?:auto|current|py:|py:current)module:: (\S+)", line):
            module = directive[1]
        elif directive := re.match(r"\.\. (?:auto\w+|py:\w+):: ([\w.]+)", line):
            name = directive[1].rpartition(".")
            found.append(getattr(modules[name[0] or module], name[2]))
    return found


def test_every_public_name_is_in_the_reference():
    modules = {name: import_module(name) for name in (*DESCRIBED, *DESCRIBED_WHOLE)}
    objects = described(modules)
    objects += [
        getattr(modules[of], name) for of in DESCRIBED_WHOLE for name in modules[of].__all__
    ]
    missing = [
        f"{name}.{public}"
        for name, module in modules.items()
        for public in module.__all__
        if not any(getattr(module, public) is each for each in objects)
    ]
    # How the apps tell `on_answered`; a host has no use for it.
    assert missing == [
        "segmentflow_http.access.AnsweredHook",
        "segmentflow_http.access.tell_answered",
    ]


DESCRIBED = (
    "segmentflow_core",
    "segmentflow_core.api_keys",
    "segmentflow_core.colour",
    "segmentflow_core.explanation",
    "segmentflow_core.journeys",
    "segmentflow_core.system",
    "segmentflow_core.templates",
    "segmentflow_core.wire",
    "segmentflow_core.ports",
    "segmentflow_core.ports.api_keys",
    "segmentflow_core.ports.observation",
    "segmentflow_core.testing",
    "segmentflow_core.testing.api_keys",
    "segmentflow_http",
    "segmentflow_http.access",
    "segmentflow_http.client",
    "segmentflow_memory",
    "segmentflow_sql",
)
DESCRIBED_WHOLE = ("segmentflow_core.errors", "segmentflow_observers")
