from __future__ import annotations


def test_an_author_who_forgets_the_store_is_told(pytester):
    pytester.makepyfile(
        """
        from segmentflow_core.testing.api_keys import ApiKeyContract

        class TestNothingGiven(ApiKeyContract):
            pass
        """
    )
    result = pytester.runpytest("-k", "listed_newest_first_without")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*Give a fixture named `storage`*"])


def test_an_asynchronous_store_needs_no_event_loop_beside_either_contract(pytester):
    pytester.makepyfile(
        """
        import pytest
        from segmentflow_core.testing import StorageContract
        from segmentflow_core.testing.api_keys import ApiKeyContract
        from segmentflow_memory import AsyncMemoryStorage

        class TestKeys(ApiKeyContract):
            @pytest.fixture
            def storage(self):
                return AsyncMemoryStorage()

        class TestBoth(ApiKeyContract, StorageContract):
            @pytest.fixture
            def storage(self):
                return AsyncMemoryStorage()
        """
    )
    result = pytester.runpytest("-k", "listed_newest_first_without or run_returns_what")
    result.assert_outcomes(passed=3)
