"""The kit knows every record, every field and every call that names an Organization."""

from __future__ import annotations

import inspect
import re
import sys
from datetime import UTC, datetime

import pytest
from attrs import frozen, has

from heard_storage import Heard
from segmentflow_core import ports
from segmentflow_core.colour import driven
from segmentflow_core.ports import (
    EnrollmentStatus,
    ProfileVersion,
    journey_definition,
    journey_document,
)
from segmentflow_core.ports.api_keys import ApiKeyRepository
from segmentflow_core.testing import facts, specimens
from segmentflow_core.testing.contract.comparing import exact
from segmentflow_core.testing.contract.doors import Doors, batch_of
from segmentflow_core.testing.contract.neighbours import NeighbourContract
from segmentflow_core.testing.contract.values import FACTS, RECORDS
from segmentflow_core.testing.facts import build, facts_of, records_within, values_of
from segmentflow_memory import MemoryStorage

CARRIERS = {
    *("Changes", "ClaimTerms", "ClaimedEnrollment", "EnrollmentChange", "Intent", "Known", "Lease"),
    *("EnrollmentFilter", "EventFilter", "RecordedProbe", "ReleaseTerms"),
}
"""What crosses a port and is not stored: questions, and what holds records."""
ANSWERS = {
    *("PriorEntries", "Probe"),
    *("EarlierEvent", "EarlierEvents", "HistoryProbe"),
    *("Cancellable", "EventPlace", "GoneEvents", "RemovedEnrollments", "RemovedEvents"),
}
REPOSITORIES = [
    *(getattr(ports, name) for name in ports.__all__ if name.endswith("Repository")),
    ApiKeyRepository,
]


def methods():
    """Yield the methods of every port, with the repository each is of."""
    for repository in REPOSITORIES:
        for name, method in vars(repository).items():
            if not name.startswith("_") and callable(method):
                yield repository, name, method


def named_in(annotations, module):
    names = vars(sys.modules[module])
    for annotation in annotations:
        for word in re.findall(r"\w+", str(annotation)):
            found = names.get(word)
            if isinstance(found, type) and has(found):
                yield found


def crossing():
    """Return every attrs class that a method of a port is given or returns."""
    found = set()
    waiting = [
        kind
        for repository, _, method in methods()
        for kind in named_in(method.__annotations__.values(), repository.__module__)
    ]
    while waiting:
        kind = waiting.pop()
        if kind not in found:
            found.add(kind)
            written = (kind.__annotations__[each.name] for each in kind.__attrs_attrs__)
            waiting += named_in(written, kind.__module__)
    return found


def test_every_record_that_crosses_a_port_is_tried():
    tried = {
        inner
        for record in (*RECORDS, facts.ApiKey, facts.AuditRecord)
        for inner in records_within(record)
    }
    assert {kind.__name__ for kind in crossing() - tried} == CARRIERS | ANSWERS
    assert {kind.__name__ for kind in facts.FIELDS} == {kind.__name__ for kind in tried}


def test_every_field_of_those_has_a_source_and_none_has_two_names():
    for kind, sources in facts.FIELDS.items():
        assert {*sources} == {each.name for each in kind.__attrs_attrs__}


def test_a_field_that_nobody_thought_of_is_refused():
    @frozen
    class Record:
        name: str
        new: str

    facts.FIELDS[Record] = {"name": "name"}
    try:
        with pytest.raises(LookupError, match=r"Record\.new"):
            values_of(Record)
        with pytest.raises(LookupError, match=r"Record\.new"):
            build(Record, facts_of(0))
        facts.FIELDS[Record]["new"] = "unheard"
        with pytest.raises(LookupError, match="'unheard' with, a str"):
            values_of(Record)
    finally:
        del facts.FIELDS[Record]


def test_every_text_of_a_record_is_tried_with_all_that_looks_alike():
    for fact in ("event", "reference_id", "external_id", "journey_id", "name", "trigger", "seed"):
        tried = [values[fact] for values in FACTS[fact]]
        assert {*specimens.NAMES} <= {*tried}


def test_what_is_tried_is_legal():
    assert all(0 < len(name) <= 255 and "\0" not in name for name in specimens.NAMES)
    assert len({*specimens.NAMES}) == len(specimens.NAMES)
    assert max(map(len, specimens.EMAILS)) == 320
    assert all(ports.is_id(each) for each in specimens.IDS)
    assert specimens.an_id(1) < specimens.an_id(2)


@pytest.mark.parametrize("fact", FACTS)
def test_journeys_that_are_tried_may_be_published(fact):
    for values in FACTS[fact]:
        definition = build(facts.JourneyDefinition, facts_of(1, **values))
        assert exact(journey_definition(journey_document(definition))) == exact(definition)


def test_records_that_are_built_of_the_same_facts_agree():
    batch = batch_of(facts_of(1, email=None, properties={"n": 1}))
    assert batch.event.profile == batch.version.state()
    assert isinstance(build(ProfileVersion, facts_of(1)), ProfileVersion)
    assert batch.enrollment.status is EnrollmentStatus.PENDING


# --- calls that name an Organization -----------------------------------------------------------


SOURCE = """
import pytest
from segmentflow_core.testing import Capabilities, StorageContract
from heard_storage import Heard



class TestIt(StorageContract):
    capabilities = Capabilities(durable=False)

    @pytest.fixture
    def storage(self):
        return Heard()
"""


def test_every_call_that_names_an_organization_meets_another_one_of_the_same_ids(pytester):
    module = pytester.makepyfile(test_neighbours=SOURCE)
    tests = [name for name in vars(NeighbourContract) if name.startswith("test_")]
    Heard.heard.clear()
    nodes = [f"{module}::TestIt::{test}" for test in tests]
    pytester.inline_run("-q", *nodes).assertoutcome(passed=len(tests) + 5)
    properties = {
        vars(ports.Transaction)[name].fget.__annotations__["return"]: name
        for name in vars(ports.Transaction)
        if isinstance(vars(ports.Transaction)[name], property)
    }
    named = {
        (properties[repository.__name__], name)
        for repository, name, method in methods()
        if repository.__name__ in properties
        and {"organization_id", "named", "terms"} & {*inspect.signature(method).parameters}
    }
    assert named - Heard.heard == set()


# --- what the kit says of a difference ---------------------------------------------------------


def in_transaction(storage):
    return lambda work: storage.run(driven(work))


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"event": "other"}, "events.get: /event is \"str 'order.created'\""),
        ({"data": {"n": [1, 2.0]}}, "events.get: /data/n is "),
        ({"data": {"n": "x" * 400}}, "…"),
        ({"reason": "too_late"}, "events.get: /outcomes/0/outcome is "),
        ({"other_outcomes": 1}, "events.get: /outcomes/1 is "),
    ],
    ids=["field", "inner", "long", "item", "length"],
)
def test_a_difference_is_told_with_its_place(known, words):
    doors = Doors(in_transaction(MemoryStorage()))
    doors.write("default", batch_of(facts_of(1)))
    with pytest.raises(AssertionError) as failure:
        doors.check("default", [batch_of(facts_of(1, **known))])
    assert words in str(failure.value).replace("\\'", "'")


def test_exact_tells_apart_what_python_holds_equal():
    moment = datetime(2026, 6, 1, tzinfo=UTC)
    pairs = [
        (1, 1.0),
        (1, True),
        (EnrollmentStatus.DEAD, "dead"),
        (moment, moment.replace(tzinfo=None)),
    ]
    for one, other in pairs:
        assert exact(one) != exact(other)
    assert exact([1]) == exact((1,))
