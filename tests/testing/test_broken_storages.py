"""The contract catches every planted mistake, by the test meant for it."""

from __future__ import annotations

import pytest

from broken_storages import BROKEN, HURRIED, OUTAGES, RACES

SOURCE = """
import pytest
import broken_storages
from segmentflow_core.testing import Capabilities, StorageContract
from segmentflow_core.testing.api_keys import ApiKeyContract

def tested(kind):
    @pytest.fixture
    def storage(self):
        return kind()

    # Every caller that may overtake does, and none waits for longer than that takes.
    members = {"capabilities": Capabilities(durable=False), "storage": storage, "chance": 10}
    if hasattr(kind, "somebody_waits"):
        members["somebody_waits"] = pytest.fixture(lambda self, storage: storage.somebody_waits)
    if hasattr(kind, "over_line"):
        members["line"] = pytest.fixture(lambda self, storage: storage)
        members["line_storage"] = pytest.fixture(lambda self, storage: storage.over_line)
    return type(f"Test{kind.__name__}", (ApiKeyContract, StorageContract), members)

SOUND = [
    *(broken_storages.Unlocked, broken_storages.Locked, broken_storages.Distant),
    broken_storages.people.Hurried,
]
for kind in [*broken_storages.BROKEN, *SOUND]:
    globals()[f"Test{kind.__name__}"] = tested(kind)
"""


# Of each class, only what is meant for it is collected: the contract has a thousand tests.
CONFTEST = """
def pytest_pycollect_makeitem(collector, name, obj):
    if name.startswith("test_") and name != {meant}.get(collector.name):
        return []
"""


def run(pytester, tests):
    """Run one test of the contract for each storage; return which of them it failed."""
    module = pytester.makepyfile(test_broken=SOURCE)
    meant = {f"Test{kind}": test.partition("[")[0] for kind, test in tests}
    pytester.makeconftest(CONFTEST.format(meant=meant))
    nodes = [f"{module}::Test{kind}::{test}" for kind, test in tests]
    reports = pytester.inline_run("-q", "--tb=no", *nodes).getreports("pytest_runtest_logreport")
    assert not [report.nodeid for report in reports if report.when == "setup" and report.failed]
    failed = {r.nodeid.split("::")[1].removeprefix("Test") for r in reports if r.failed}
    ran = {r.nodeid.split("::")[1].removeprefix("Test") for r in reports if r.when == "call"}
    assert ran == {kind for kind, _ in tests}
    return failed


@pytest.mark.deep
def test_every_planted_mistake_is_caught_by_the_test_meant_for_it(pytester, capsys):
    meant = [(kind.__name__, kind.caught_by) for kind in BROKEN]
    assert len(dict(meant)) == len(meant)
    caught = run(pytester, meant)
    with capsys.disabled():
        print()
        for kind, test in meant:
            print(f"  {'caught' if kind in caught else 'MISSED':7} {kind:32} {test}")
        print(f"  {len(caught)} of {len(meant)} planted mistakes caught")
    assert [kind for kind, _ in meant if kind not in caught] == []
    assert len(meant) >= 280


@pytest.mark.parametrize("test", sorted({kind.caught_by for kind in RACES}))
def test_the_stores_that_the_races_are_planted_in_are_sound(pytester, test):
    assert run(pytester, [("Unlocked", test), ("Locked", test)]) == set()


@pytest.mark.parametrize("test", sorted({kind.caught_by for kind in HURRIED}))
def test_the_store_that_waits_for_nobody_is_sound(pytester, test):
    assert run(pytester, [("Hurried", test)]) == set()


@pytest.mark.parametrize("test", sorted({kind.caught_by for kind in OUTAGES}))
def test_the_store_that_the_outages_are_planted_in_is_sound(pytester, test):
    assert run(pytester, [("Distant", test)]) == set()
