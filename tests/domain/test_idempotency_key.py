"""What stands for an idempotency key: one text for each key, which does not tell it."""

from __future__ import annotations

import base64
import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.domain.idempotency_key import TRACK, key_digest

parts = st.lists(st.text("a:\0é", max_size=3), min_size=3, max_size=3)


def test_a_digest_is_the_documented_construction() -> None:
    framed = b"\0\0\0\x04acme\0\0\0\x0cevents.track\0\0\0\x16order.created:ord_9421"
    expected = base64.urlsafe_b64encode(hashlib.sha256(framed).digest()).decode()
    assert key_digest("acme", "order.created:ord_9421") == expected.removesuffix("=")


@given(parts, parts)
def test_two_keys_have_one_digest_only_if_all_they_are_unique_by_is_equal(
    first: list[str], second: list[str]
) -> None:
    alike = key_digest(*first) == key_digest(*second)
    assert alike == (first == second)


def test_no_part_can_pass_for_a_part_of_another() -> None:
    keys = [("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc"), ("a\0\0\0\x01b", "c")]
    digests = {key_digest(*key, operation) for key in keys for operation in (TRACK, "other", "")}
    assert len(digests) == 15


@given(st.text(), st.text())
def test_a_digest_is_of_one_length_and_of_letters_that_every_store_keeps(
    organization_id: str, key: str
) -> None:
    assert re.fullmatch("[A-Za-z0-9_-]{43}", key_digest(organization_id, key))
