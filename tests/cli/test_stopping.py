"""How a stop spends its grace."""

from __future__ import annotations

import pytest

from segmentflow_cli.stopping import time_to_answer


@pytest.mark.parametrize(
    ("grace", "answering"), [(30, 28.5), (3, 1.5), (2, 1.0), (1, 0.5), (0, 0.05)]
)
def test_the_last_part_of_a_grace_is_for_the_end_itself(grace, answering):
    assert time_to_answer(grace) == answering
