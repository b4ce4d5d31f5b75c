from __future__ import annotations


def test_an_author_who_forgets_a_fixture_is_told_which(pytester):
    pytester.makepyfile(
        """
        import pytest
        from segmentflow_core.testing.api_keys import ApiKeyContract

        class TestNothingGiven(ApiKeyContract):
            pass

        class TestNoRunner(ApiKeyContract):
            @pytest.fixture
            def storage(self):
                class Storage:
                    async def run(self, work, **how):
                        pass
                return Storage()
        """
    )
    result = pytester.runpytest("-k", "listed_newest_first_without")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        ["*Give a fixture named `storage`*", "*Give a fixture named `run_async`*"]
    )
