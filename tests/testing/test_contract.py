"""What the contract says to its authors: what is missing, what is not theirs, what deviates."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from segmentflow_core.errors import ConfigurationError
from segmentflow_core.testing import CAPABILITIES, Capabilities, StorageContract
from segmentflow_core.testing.__main__ import promise_table
from segmentflow_core.testing.contract.subjects import marker_of, parameters_of

HEADER = """
    import pytest
    from segmentflow_core.testing import Capabilities, StorageContract
    from segmentflow_memory import AsyncMemoryStorage, MemoryStorage
"""


def run(pytester, source, *arguments):
    pytester.makepyfile(HEADER + source)
    return pytester.runpytest("-rsx", *arguments)


def test_it_says_which_fixture_is_missing(pytester):
    result = run(pytester, "\n    class TestIt(StorageContract): pass", "-k", "documented")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*Give a fixture named `storage`*"])


STORAGE = """
    class TestIt(StorageContract):
        @pytest.fixture
        def storage(self):
            return {storage}()
"""


@pytest.mark.parametrize("storage", ["MemoryStorage", "AsyncMemoryStorage"])
def test_a_storage_of_either_colour_needs_one_fixture(pytester, storage):
    result = run(pytester, STORAGE.format(storage=storage), "-k", "documented")
    result.assert_outcomes(passed=1)


def test_what_a_storage_lacks_is_skipped_with_its_reason(pytester):
    lacking = STORAGE.format(storage="MemoryStorage") + (
        "\n        capabilities = Capabilities(concurrent_writers=False)\n"
    )
    result = run(pytester, lacking, "-k", "callers_with_one_key or documented")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines([f"*concurrent_writers*{CAPABILITIES['concurrent_writers']}"])


def test_every_capability_says_what_it_means():
    assert all(CAPABILITIES.values())
    everything = dict.fromkeys(CAPABILITIES, True)
    assert Capabilities(short_waits=True) == Capabilities(**everything)


DEVIATION = """
        deviations = {"test_a_retry_gets_the_same_receipt_and_writes_nothing": "it forgets"}
"""


def test_a_deviation_is_an_expected_failure(pytester):
    forgetful = """
    class Forgetful(MemoryStorage):
        def run(self, work, **how):
            self.__init__()
            return super().run(work)
"""
    source = forgetful + STORAGE.format(storage="Forgetful") + DEVIATION
    result = run(pytester, source, "-k", "a_retry_gets")
    result.assert_outcomes(xfailed=1)
    result.stdout.fnmatch_lines(["*it forgets*"])


def test_a_deviation_that_passes_after_all_fails(pytester):
    source = STORAGE.format(storage="MemoryStorage") + DEVIATION
    result = run(pytester, source, "-k", "a_retry_gets")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*XPASS(strict)*it forgets*"])


def test_a_failed_assert_of_the_contract_shows_its_values(pytester):
    deaf = """
    class Deaf(MemoryStorage):
        def run(self, work, **how):
            result = super().run(work, **how)
            return 17 if result == 2 else result
"""
    result = run(pytester, deaf + STORAGE.format(storage="Deaf"), "-k", "purge_removes")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert *17*2, 2, 1, 0*"])


def test_a_deviation_may_name_one_parameter_of_a_test(pytester):
    source = (
        STORAGE.format(storage="MemoryStorage")
        + """
        deviations = {"test_a_failed_publication_changes_no_journey[after]": "it forgets"}
"""
    )
    result = run(pytester, source, "-k", "a_failed_publication")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*XPASS(strict)*it forgets*"])


NAME = "test_keys_that_differ_in_case_are_different_keys"


@pytest.mark.parametrize(
    "members",
    [
        {NAME: lambda self: None},
        {NAME: None},
        {"test_more": lambda self: None},
        {"testing": True},
    ],
    ids=["changed", "taken-out", "added", "collected-all-the-same"],
)
def test_a_subclass_has_no_tests_of_its_own(members):
    with pytest.raises(ConfigurationError, match=next(iter(members))):
        type("TestMine", (StorageContract,), members)


def test_nor_does_it_get_them_from_elsewhere():
    mixin = type("Mixin", (), {NAME: lambda self: None})
    with pytest.raises(ConfigurationError, match=NAME):
        type("TestMine", (mixin, StorageContract), {})


def test_fixtures_and_methods_of_other_names_are_its_own():
    type("TestMine", (StorageContract,), {"storage": None, "open_it": lambda self: None})


@pytest.mark.parametrize(
    ("deviations", "message"),
    [
        ({"test_nothing": "reason"}, "test_nothing"),
        ({f"{NAME}[1]": "reason"}, NAME),
        ({"test_a_failed_publication_changes_no_journey[never]": "reason"}, "never"),
        ({NAME: " "}, "no reason"),
    ],
    ids=["unknown", "no-parameters", "unknown-parameter", "unexplained"],
)
def test_a_deviation_names_a_test_and_its_reason(deviations, message):
    with pytest.raises(ConfigurationError, match=message):
        type("TestMine", (StorageContract,), {"deviations": deviations})


def test_every_promise_is_listed_once_with_its_subject():
    names = [name for _, name in StorageContract.promises()]
    assert len(names) == len(set(names))
    assert {name for name in dir(StorageContract) if name.startswith("test")} == set(names)
    assert StorageContract.promises()[0] == (
        "Idempotency",
        "test_the_documented_request_is_recorded_without_its_secret",
    )


def test_the_parameters_of_every_test_are_called_as_pytest_calls_them(pytester):
    pytester.makepyfile(HEADER + STORAGE.format(storage="MemoryStorage"))
    items, _ = pytester.inline_genitems()
    names = {item.name for item in items}
    expected = set()
    for _, name in StorageContract.promises():
        parameters = parameters_of(getattr(StorageContract, name))
        expected |= {f"{name}[{each}]" for each in parameters} or {name}
    assert names == expected


def test_tests_are_selected_by_their_subject(pytester):
    source = STORAGE.format(storage="MemoryStorage")
    result = run(pytester, source, "-m", "atomicity", "--strict-markers", "-W", "error")
    assert set(result.parseoutcomes()) == {"passed", "deselected"}
    assert result.parseoutcomes()["passed"] == 11


def test_every_subject_has_a_marker_of_the_table():
    subjects = {subject for subject, _ in StorageContract.promises()}
    page = Path(__file__).parents[2] / "docs" / "how-to" / "storage-adapter.md"
    for subject in subjects:
        assert f"| `{marker_of(subject)}` |" in page.read_text("utf-8")


@pytest.mark.once
def test_three_lines_in_an_empty_folder_are_enough(pytester):
    pytester.makepyfile(
        """
        import pytest, segmentflow_memory
        from segmentflow_core.testing import StorageContract
        class TestIt(StorageContract):
            storage = pytest.fixture(lambda self: segmentflow_memory.MemoryStorage())
        """
    )
    result = pytester.runpytest_subprocess("-k", "documented or sequence or a_race", "-W", "error")
    result.assert_outcomes(passed=8)


def test_what_needs_another_process_says_so_where_nobody_opens_the_store_there(pytester):
    source = """
    class TestIt(StorageContract):
        @pytest.fixture
        def storage(self):
            return MemoryStorage()
    """
    result = run(pytester, source, "-k", "workers_of_two_processes")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*no open_elsewhere is given*"])


def test_every_promise_is_printed():
    command = [sys.executable, "-m", "segmentflow_core.testing"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == f"{promise_table()}\n"
    assert len(printed.splitlines()) == len(StorageContract.promises()) + 2
