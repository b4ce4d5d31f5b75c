"""The tables of the documentation say what the tables of the code say."""

from __future__ import annotations

import json
import re
import sqlite3
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from attrs import evolve

from segmentflow_cli.journey_files import read_journey_file
from segmentflow_core import (
    Enrollment,
    Limits,
    ProfileLimits,
    RedactionPolicy,
    ReentryPolicy,
    Tracker,
    ports,
)
from segmentflow_core.domain.api_key import SCOPES
from segmentflow_core.domain.condition import (
    OPERATORS,
    Reason,
    ValueRule,
    compile_condition,
    truth_table,
)
from segmentflow_core.domain.condition.operators import STATE_KINDS
from segmentflow_core.domain.condition.truth import all_of, any_of, negation
from segmentflow_core.domain.event import SKIP_REASONS
from segmentflow_core.domain.faults import MAX_PATH
from segmentflow_core.domain.hand_over import ENROLLMENT_STATUSES
from segmentflow_core.domain.identity import RESOLUTIONS
from segmentflow_core.domain.journey import REENTRY_MEMBERS
from segmentflow_core.domain.request import EMAIL_PATTERN, PLACEHOLDERS, check_request
from segmentflow_core.errors import (
    ERROR_CLASSES,
    MAX_VIOLATIONS,
    MAX_VIOLATIONS_BYTES,
    ConfigurationError,
    IdempotencyKeyReuse,
    InvalidRequest,
)
from segmentflow_core.journeys import journey_definitions, journey_file_json_schema, parse_duration
from segmentflow_core.ports import (
    completed,
    extended,
    format_instant,
    parse_instant,
    released,
)
from segmentflow_core.ports.api_keys import ApiKeyRepository
from segmentflow_core.templates import OnMissing
from segmentflow_core.testing import (
    CAPABILITIES,
    DOCUMENTED_REQUEST,
    FINGERPRINT_SECRET,
    HISTORY_RULES,
    FixedClock,
    a_journey,
    a_request,
)
from segmentflow_core.testing.__main__ import promise_table
from segmentflow_core.wire import (
    event_document,
    parse_request,
    receipt_document,
    request_json_schema,
)
from segmentflow_http.routes import ERRORS
from segmentflow_memory import MemoryStorage
from segmentflow_observers.counters import COUNTERS
from segmentflow_sql import metadata, result_codes, sqlstates

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


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
    assert rows("rules/identity.md", "given") == [(g, h, r) for (g, h), r in RESOLUTIONS.items()]


def test_the_operators():
    def shown(value):
        if isinstance(value, ValueRule):
            return value.summary
        return "none" if value is None else f"a {value} on each item"

    assert rows("rules/conditions.md", "op") == [
        (name, operator.summary, shown(operator.value)) for name, operator in OPERATORS.items()
    ]


def test_the_skip_reasons():
    assert rows("rules/matching.md", "reason") == list(SKIP_REASONS.items())


def test_the_statuses_of_an_enrollment():
    assert rows("rules/hand-over.md", "status") == list(ENROLLMENT_STATUSES.items())


def test_the_tables_of_the_schema():
    assert {name for name, _ in rows("storage.md", "table")} == set(metadata.tables)


def test_what_is_run_again():
    shown = " ".join(how for _, how in rows("storage.md", "what happened"))
    named = {*re.findall(r"\b[0-9A-Z]{5}\b", shown)}
    assert named == {
        *sqlstates.RACES,
        sqlstates.LOCK_NOT_AVAILABLE,
        *sqlstates.PREPARED_ELSEWHERE,
        sqlstates.CHANGED_RESULT,
        sqlstates.READ_ONLY,
        sqlstates.COMPLETION_UNKNOWN,
    }
    assert {*re.findall(r"\b(\w+)…", shown)} == {*sqlstates.SERVER_GOES}


def test_what_is_final():
    codes = {"StorageRefused": set(), "ConfigurationError": set(), "storage_unavailable": set()}
    for _, how, error, _ in rows("storage.md", "what else happened"):
        (name,) = (name for name in codes if name in error)
        codes[name] |= {*re.findall(r"\b(\w+)…", how), *re.findall(r"SQLITE_\w+", how)}
    assert codes["StorageRefused"] == {
        *sqlstates.VALUE_REFUSED,
        *(names_of(result_codes.VALUE_REFUSED)),
    }
    assert codes["ConfigurationError"] == {
        *sqlstates.WRONGLY_SET_UP,
        *(names_of(result_codes.WRONGLY_SET_UP)),
    }


def names_of(codes):
    known = {f"SQLITE_{name}" for name in _PRIMARY}
    return {name for name in known if getattr(sqlite3, name) in codes}


_PRIMARY = (
    *("ERROR", "PERM", "BUSY", "LOCKED", "READONLY", "IOERR", "CORRUPT", "FULL", "CANTOPEN"),
    *("TOOBIG", "CONSTRAINT", "MISMATCH", "NOTADB"),
)


def test_the_errors():
    retry = {True: "true", False: "false", None: "–"}
    assert [row[:5] for row in rows("rules/errors.md", "code")] == [
        (
            c.code,
            str(c.status),
            retry[c.should_retry],
            str(c.retry_after or "–"),
            "yes" if c in ERRORS else "–",
        )
        for c in (*ERROR_CLASSES, ConfigurationError)
    ]


def test_the_counters():
    assert rows("../how-to/http/metrics.md", "counter") == [
        (name, ", ".join(counter.labels) or "–", counter.meaning)
        for name, counter in COUNTERS.items()
    ]


# --- What a request may say ---------------------------------------------------------------

REQUEST = "rules/request.md"


def a_tracker(**options):
    return Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, **options)


def test_the_fields_of_a_request():
    schema = request_json_schema()["properties"]
    schema |= {f"profile.{name}": {} for name in schema["profile"]["properties"]}
    assert {name for name, _ in rows(REQUEST, "field")} == set(schema)


def test_the_pattern_of_an_email():
    assert EMAIL_PATTERN in lines(REQUEST)


def test_the_documented_request():
    page = (REFERENCE / REQUEST).read_text(encoding="utf-8")
    assert json.loads(page.split("```json\n")[1].split("```")[0]) == DOCUMENTED_REQUEST


def test_the_external_ids_of_a_broken_client():
    sent = [json.loads(f'"{text}"') for text, _ in rows(REQUEST, "external id")]
    assert tuple(sent[: len(PLACEHOLDERS)]) == PLACEHOLDERS
    for external_id in sent:
        request = a_request(profile={"externalId": external_id})
        with pytest.raises(InvalidRequest) as caught:
            check_request(request, "key")
        assert [violation.path for violation in caught.value.violations] == ["/profile/externalId"]
        assert check_request(request, "key", Limits(allow_placeholder_ids=True))
        schema = request_json_schema()["properties"]["profile"]["properties"]["externalId"]
        assert re.search(schema["not"]["pattern"], external_id)


def test_the_bounds_of_an_error():
    bounds = [int(text.replace(",", "")) for _, text in rows(REQUEST, "bound of one error")]
    assert bounds == [MAX_VIOLATIONS, MAX_VIOLATIONS_BYTES, MAX_PATH]


def test_what_json_may_hold():
    for value, message in rows(REQUEST, "in `data`"):
        request = json.dumps(a_request())[:-1] + f', "data": {{"x": {value}}}}}'
        with pytest.raises(InvalidRequest) as caught:
            a_tracker().track(parse_request(request), "1")
        assert message in [violation.message for violation in caught.value.violations], value


def test_the_examples_of_dates():
    for sent, taken in rows(REQUEST, "sent"):
        try:
            found = format_instant(parse_instant(sent))
        except ValueError:
            found = "refused"
        assert found == taken, sent


def test_the_examples_of_durations():
    for text, seconds in rows(REQUEST, "duration"):
        try:
            found = f"{parse_duration(text).total_seconds():.9g}"
        except ValueError:
            found = "refused"
        assert found == seconds, text


def test_what_counts_as_the_same_request():
    for first, then, answer in rows("rules/idempotency.md", "first"):
        tracker = a_tracker()
        tracker.track(a_request(**json.loads(first)), "1")
        try:
            assert tracker.track(a_request(**json.loads(then)), "1").replayed
            found = "the same request"
        except IdempotencyKeyReuse as conflict:
            changed, redacted = conflict.details["changedPaths"], conflict.details["redactedPaths"]
            (found,) = [*changed, *(f"redacted: {path}" for path in redacted)]
        assert found == answer, (first, then)


def test_the_order_of_properties():
    def instant(time):
        return parse_instant(f"2026-05-31T{time}Z")

    for *events, left in rows("rules/properties.md", "first"):
        clock = FixedClock(instant("00:00"))
        tracker = a_tracker(clock=clock)
        for value, occurred, received in (events[:3], events[3:]):
            clock.advance(seconds=(instant(received) - clock.now()).total_seconds())
            request = a_request(occurredAt=f"2026-05-31T{occurred}Z")
            request["profile"]["properties"] = {"plan": json.loads(value)}
            receipt = tracker.track(request, str(len(tracker.records.events())))
        properties = tracker.records.profile(receipt.profile_id).properties
        expected = {} if left == "nothing" else {"plan": json.loads(left)}
        assert properties == expected, events


def test_how_much_a_profile_holds():
    limits = ProfileLimits()
    for _, limit, setting in rows("rules/properties.md", "what"):
        value = getattr(limits, setting)
        assert str(getattr(value, "days", value)) == limit


def test_what_a_redaction_path_names():
    for row in rows("rules/redaction.md", "data"):
        data, paths, stored, unmatched = map(json.loads, row)
        tracker = a_tracker()
        receipt = tracker.track(a_request(data=data, redactedDataPaths=paths), "1")
        assert tracker.records.event(receipt.event_id).data == stored
        assert list(receipt.unmatched_paths) == unmatched


def test_what_is_no_redaction_path():
    for path, why in rows("rules/redaction.md", "path"):
        with pytest.raises(InvalidRequest) as caught:
            a_tracker().track(a_request(redactedDataPaths=[path]), "1")
        assert [violation.message for violation in caught.value.violations] == [why]


def test_what_a_policy_redacts():
    table = rows("rules/redaction.md", "paths")
    assert len(table) > 8
    for row in table:
        paths, names, sent, stored = map(json.loads, row)
        tracker = a_tracker(redaction=RedactionPolicy(paths=paths, names=names))
        request = a_request(data=sent.get("data", {}))
        request["profile"] = {"email": "a@example.com", "properties": sent.get("properties", {})}
        receipt = tracker.track(request, "1")
        found = {
            "data": tracker.records.event(receipt.event_id).data,
            "properties": tracker.records.profile(receipt.profile_id).properties,
        }
        assert {of: found[of] for of in sent} == stored, row


def test_what_is_no_path_of_a_policy():
    for path, why in rows("rules/redaction.md", "path of a policy"):
        with pytest.raises(ConfigurationError) as caught:
            RedactionPolicy(paths=[path])
        assert str(caught.value) == f"The path {path!r} of a RedactionPolicy {why}."


def test_what_is_recorded_and_answered():
    tracker = a_tracker()
    receipt = tracker.track(a_request(), "1")
    event = event_document(tracker.records.event(receipt.event_id))
    recorded, answered = (
        {name for name, _ in rows("rules/tracking.md", f"member of {what}")}
        for what in ("an event", "a receipt")
    )
    assert recorded == set(event)
    assert answered == set(receipt_document(receipt))


def test_the_scopes_of_an_api_key():
    assert rows("rules/api-keys.md", "scope") == list(SCOPES.items())


# --- How Journeys match -------------------------------------------------------------------

MATCHING = "rules/matching.md"
CONDITIONS = "rules/conditions.md"
WORDS = {True: "true", False: "false", None: "unknown"}
SIGNS = {"true": "✔", "false": "✘", "unknown": "?", "compared": "="}


def test_the_reasons_are_looked_at_in_the_order_of_the_page():
    table = rows(MATCHING, "step")
    assert [reason for _, _, reason in table] == list(SKIP_REASONS)
    assert [number for number, _, _ in table] == [str(n + 1) for n in range(len(table))]


@pytest.mark.parametrize(("name", "combine"), [("all", all_of), ("any", any_of)])
def test_the_tables_of_all_and_any(name, combine):
    assert rows(CONDITIONS, f"`{name}`") == [
        (f"**{WORDS[one]}**", *(WORDS[combine([one, other])] for other in WORDS)) for one in WORDS
    ]


def test_the_table_of_not():
    assert rows(CONDITIONS, "condition") == [(WORDS[t], WORDS[negation(t)]) for t in WORDS]


def test_the_table_of_every_operator_on_every_kind_of_state():
    answers = {}
    for row in truth_table():
        of = answers.setdefault((row.operator, row.value.replace("_", " ")), [])
        of.append(SIGNS[row.answer])
    assert rows(CONDITIONS, "operator") == [(*of, *signs) for of, signs in answers.items()]
    (heading,) = (line for line in lines(CONDITIONS) if line.startswith("| operator |"))
    kinds = [kind.replace("_", " ") for kind in STATE_KINDS]
    assert cells(heading) == ("operator", "value", *kinds)


def test_the_examples_of_comparisons():
    table = rows(CONDITIONS, "found")
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
    drawn = [line.split() for line in lines("rules/reentry.md")]
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


def test_what_each_policy_needs():
    assert [row[:2] for row in rows("rules/reentry.md", "policy")] == [
        (policy, ", ".join(f"`{name}`" for name in members).strip("`") or "nothing")
        for policy, members in REENTRY_MEMBERS.items()
    ]


def test_when_it_happened():
    window = {"from": "2026-05-01T00:00Z", "until": "2026-06-01T00:00Z"}
    assert window["from"] in "".join(lines(MATCHING))
    for occurred, received, answer in rows(MATCHING, "occurred"):
        tracker = a_tracker(clock=FixedClock(parse_instant(received)))
        tracker.journeys.publish([a_journey(window=window, maxLateness="P1D")])
        receipt = tracker.track(a_request(occurredAt=occurred), "1")
        (outcome,) = tracker.records.event(receipt.event_id).outcomes
        assert (outcome.reason or outcome.outcome) == answer, (occurred, received)


def test_why_a_leaf_is_unknown():
    assert [name for name, _ in rows("rules/explaining.md", "unknown because")] == list(
        get_args(Reason)
    )


def test_where_an_enrollment_can_stand():
    """The token is that of its last claim; the last failure allowed is the first here."""
    now = FixedClock().now()
    later = now + timedelta(hours=1)
    entered = Enrollment("1", "j", 1, "p", "e", 1, None, now, available_at=now)
    claimed = evolve(
        entered, status="claimed", attempts=1, available_at=later, lease_until=later, token="t"
    )
    states = {
        "claimed": claimed,
        "dead, not given back": evolve(claimed, status="dead"),
        "pending, given back": released(claimed, "t", later, 2, failed=True),
        "dead, given back": released(claimed, "t", later, 1, failed=True),
        "completed": completed(claimed, "t", now),
    }

    def shown(before, after):
        return "–" if after is None else "unchanged" if after == before else after.status

    assert rows("rules/hand-over.md", "where it stands") == [
        (
            name,
            shown(state, completed(state, "t", later)),
            shown(state, extended(state, "t", later + timedelta(hours=1))),
            shown(state, released(state, "t", later, 2, failed=True)),
            shown(state, released(state, "t", later, 1, failed=True)),
        )
        for name, state in states.items()
    ]


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
    assert {name for name, _ in rows("rules/journeys.md", "member")} == named


def test_the_example_of_a_journey_file_is_right(tmp_path):
    page = (REFERENCE / "rules" / "journeys.md").read_text(encoding="utf-8")
    path = tmp_path / "journeys.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0])
    (definition,) = journey_definitions(read_journey_file(path))
    assert definition.sample is not None


def test_the_ways_with_what_is_missing():
    assert [name for name, _ in rows("rules/templates.md", "`on_missing`")] == list(
        get_args(OnMissing)
    )


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


# --- Pages that are named -----------------------------------------------------------------


def test_every_page_that_is_named_in_the_code_is_there():
    root = REFERENCE.parents[1]
    sources = [path for of in ("src", "adapters") for path in (root / of).rglob("*.py")]
    named = {}
    for path in (*sources, *root.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\bdesign: ?\S", text), f"{path} names a page that nobody has"
        named |= dict.fromkeys(re.findall(r"\bdocs/[\w./-]+\.md\b", text), path)
    assert len(named) > 20
    assert {page: path for page, path in named.items() if not (root / page).is_file()} == {}


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
