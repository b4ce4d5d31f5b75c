"""Every error, counter, public name and page that the code names is in the documentation."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from reference_pages import REFERENCE, rows
from segmentflow_core.errors import ERROR_CLASSES, ConfigurationError
from segmentflow_http.routes import ERRORS
from segmentflow_observers.counters import COUNTERS, WORKER_COUNTERS, WORKER_GAUGES


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


def test_the_metrics_of_a_worker():
    kinds = {"counter": WORKER_COUNTERS, "gauge": WORKER_GAUGES}
    assert rows("../how-to/workers.md", "metric") == [
        (name, kind, ", ".join(each.labels) or "–", each.meaning)
        for kind, table in kinds.items()
        for name, each in table.items()
    ]


PACKAGES = (
    "segmentflow_cli",
    "segmentflow_console",
    "segmentflow_core",
    "segmentflow_django",
    "segmentflow_gathering",
    "segmentflow_http",
    "segmentflow_memory",
    "segmentflow_observers",
    "segmentflow_pytest",
    "segmentflow_sql",
    "segmentflow_sql.alembic",
    "segmentflow_worker",
)


def test_every_page_that_is_named_in_the_code_is_there():
    root = REFERENCE.parents[1]
    places = [Path(import_module(package).__file__).parent for package in PACKAGES]
    sources = [path for place in places for path in place.rglob("*.py")]
    named = {}
    for path in (*sources, *root.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\bdesign: ?\S", text), f"{path} names a page that nobody has"
        named |= dict.fromkeys(re.findall(r"\bdocs/[\w./-]+\.md\b", text), path)
    assert len(named) > 20
    assert {page: path for page, path in named.items() if not (root / page).is_file()} == {}


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
    # How the apps tell `on_answered` and `around`; a host has no use for it.
    assert missing == [
        "segmentflow_http.access.AnsweredHook",
        "segmentflow_http.access.Around",
        "segmentflow_http.access.surrounded",
        "segmentflow_http.access.tell_answered",
    ]


DESCRIBED = (
    "segmentflow_cli.journey_files",
    "segmentflow_pytest.recording",
    "segmentflow_console",
    "segmentflow_core",
    "segmentflow_core.api_keys",
    "segmentflow_core.colour",
    "segmentflow_core.explanation",
    "segmentflow_core.journeys",
    "segmentflow_core.people",
    "segmentflow_core.system",
    "segmentflow_core.templates",
    "segmentflow_core.wire",
    "segmentflow_core.ports",
    "segmentflow_core.ports.api_keys",
    "segmentflow_core.ports.gathering",
    "segmentflow_core.ports.observation",
    "segmentflow_core.testing",
    "segmentflow_core.testing.api_keys",
    "segmentflow_core.testing.lines",
    "segmentflow_gathering",
    "segmentflow_http",
    "segmentflow_http.access",
    "segmentflow_http.client",
    "segmentflow_http.fastapi",
    "segmentflow_http.served",
    "segmentflow_memory",
    "segmentflow_sql",
    "segmentflow_sql.alembic",
)
DESCRIBED_WHOLE = (
    "segmentflow_core.codecs",
    "segmentflow_core.errors",
    "segmentflow_django",
    "segmentflow_django.operations",
    "segmentflow_django.testing",
    "segmentflow_observers",
    "segmentflow_worker",
)
