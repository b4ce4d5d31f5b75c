"""Shares of a claim that asks each Organization by itself are those of dealing one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from segmentflow_sql.repositories.dealing import circle, shares


def one_by_one(waiting, limit):
    """Let each give its first, then each its second, and so on, in the order given."""
    left, dealt = dict(waiting), dict.fromkeys(waiting, 0)
    while sum(dealt.values()) < limit and any(left.values()):
        for name in waiting:
            if left[name] and sum(dealt.values()) < limit:
                left[name] -= 1
                dealt[name] += 1
    return dealt


def asked_in_rounds(waiting, limit):
    """Ask as the repository does, of Organizations that give no more than they have."""
    gave, total, dealt, rounds = dict.fromkeys(waiting, 0), dict.fromkeys(waiting, 0), 0, 0
    while asked := shares(gave, limit - dealt):
        rounds += 1
        for name, share in asked.items():
            given_now = min(share, waiting[name] - total[name])
            total[name] += given_now
            dealt += given_now
            gave[name] += share
            if given_now < share:
                del gave[name]
    return total, rounds


ORGANIZATIONS = st.dictionaries(
    st.text("abc", min_size=1, max_size=3), st.integers(1, 40), max_size=9
)


@given(ORGANIZATIONS, st.integers(1, 120))
def test_shares_are_those_of_dealing_one_by_one(waiting, limit):
    total, rounds = asked_in_rounds(waiting, limit)
    assert total == one_by_one(waiting, limit)
    assert rounds <= len(waiting) + 1


@given(st.sets(st.text(max_size=3), max_size=9), st.integers(0, 2**63))
def test_the_circle_begins_with_whose_turn_it_is(names, turn):
    turned = circle(names, turn)
    assert sorted(turned) == sorted(names)
    if names:
        assert turned[0] == sorted(names)[turn % len(names)]
        assert turned[1:] + turned[:1] == circle(names, turn + 1)


def test_where_nobody_has_anything_nobody_is_asked():
    assert circle([], 3) == []
    assert shares({}, 10) == {}
    assert shares({"a": 0}, 0) == {}
