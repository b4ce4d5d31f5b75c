"""Who shares a transaction with whom, tried without any store."""

from __future__ import annotations

from attrs import define, field

from segmentflow_core.domain.gathering import Aside, Line


@define(eq=False)
class Call:
    name: str
    group: tuple[str, bool] = ("a", True)
    names: tuple[str, ...] = field()
    alone: bool = False
    left: bool = False

    @names.default
    def _own(self):
        return (self.name,)


def names_of(batches):
    return [[call.name for call in batch] for batch in batches]


def entered(line, *calls):
    """Let calls enter; return the first one's batch, which nobody has to wait for."""
    first, *others = calls
    batch = line.enter(first)
    assert batch == [first]
    assert [line.enter(call) for call in others] == [None] * len(others)
    return batch


def test_a_call_starts_at_once_and_those_that_come_meanwhile_go_together():
    line = Line(128, 1)
    batch = entered(line, Call("1"), Call("2"), Call("3"))
    (together,) = line.finish(batch, alone=False)
    assert names_of([together]) == [["2", "3"]]
    assert line.finish(together, alone=False) == []
    assert names_of([line.enter(Call("4"))]) == [["4"]]


def test_no_more_than_so_many_share_a_transaction():
    line = Line(2, 1)
    batch = entered(line, *(Call(str(number)) for number in range(6)))
    sizes = []
    while batch:
        sizes.append(len(batch))
        batch = next(iter(line.finish(batch, alone=False)), None)
    assert sizes == [1, 2, 2, 1]


def test_organizations_have_their_turn_and_a_little_one_comes_within_two_batches():
    line = Line(128, 1)
    crowd = [Call(f"big {number}", ("big", True)) for number in range(301)]
    batch = entered(line, *crowd, Call("little", ("little", True)))
    (second,) = line.finish(batch, alone=False)
    (third,) = line.finish(second, alone=False)
    assert ({call.group[0] for call in second}, len(second)) == ({"big"}, 128)
    assert names_of([third]) == [["little"]]
    (fourth,) = line.finish(third, alone=False)
    assert [call.name for call in fourth] == [f"big {number}" for number in range(129, 257)]


def test_a_transaction_is_of_one_organization_and_matches_journeys_or_does_not():
    line = Line(128, 1)
    groups = [("a", True), ("b", True), ("a", False), ("a", True), ("b", True)]
    batch = entered(line, *(Call(str(number), group) for number, group in enumerate(groups)))
    found = []
    while batch := next(iter(line.finish(batch, alone=False)), None):
        found.append([call.name for call in batch])
    assert found == [["1", "4"], ["2"], ["3"]]


def test_several_writers_take_what_waits_and_no_two_of_them_the_same_profile():
    line = Line(128, 2)
    first, second, about_first = Call("1"), Call("2"), Call("3", names=("3", "1"))
    (one, two) = (line.enter(first), line.enter(second))
    assert names_of([one, two]) == [["1"], ["2"]]
    assert line.enter(about_first) is None
    assert line.enter(Call("4")) is None
    assert names_of(line.finish(two, alone=False)) == [["4"]]
    assert names_of(line.finish(one, alone=False)) == [["3"]]


def test_a_call_waits_behind_its_profile_though_a_writer_is_free_and_keeps_its_place():
    line = Line(128, 2)
    batch = line.enter(Call("1"))
    waiting = [Call(name, names=(name, "1")) for name in "234"]
    assert [line.enter(call) for call in waiting] == [None] * 3
    assert names_of(line.finish(batch, alone=False)) == [["2", "3", "4"]]


def test_names_of_two_organizations_are_two_names():
    line = Line(128, 2)
    line.enter(Call("1"))
    assert names_of([line.enter(Call("1", ("b", True)))]) == [["1"]]


def test_what_failed_as_a_whole_goes_alone_and_who_needs_the_same_waits_for_it():
    line = Line(128, 1)
    failed = [Call("2"), Call("3")]
    (batch,) = line.finish(entered(line, Call("1"), *failed), alone=False)
    assert [line.enter(Call(name, names=(name, "2"))) for name in "45"] == [None, None]
    assert line.enter(Call("6")) is None
    (sixth,) = line.finish(batch, alone=True)
    assert names_of([sixth]) == [["6"]]
    assert [call.alone for call in failed] == [True, True]
    assert [line.ended(call) for call in failed] == [[], []]
    assert names_of(line.finish(sixth, alone=False)) == [["4", "5"]]


def test_a_name_is_free_when_the_last_of_those_that_have_it_has_ended():
    line = Line(128, 1)
    twice = [Call("2", names=("key",)), Call("3", names=("key",))]
    (batch,) = line.finish(entered(line, Call("1"), *twice), alone=False)
    line.enter(Call("4", names=("key",)))
    assert line.finish(batch, alone=True) == []
    assert line.ended(twice[0]) == []
    assert names_of(line.ended(twice[1])) == [["4"]]


def test_who_has_left_the_queue_is_not_recorded():
    line = Line(128, 1)
    gone, stays, behind = Call("2"), Call("3"), Call("4", names=("1",))
    batch = entered(line, Call("1"), gone, stays, behind)
    for call in (gone, behind):
        assert line.leave(call) == []
    assert names_of(line.finish(batch, alone=False)) == [["3"]]


def test_who_leaves_while_the_batch_is_recorded_holds_nothing_afterwards():
    line = Line(128, 1)
    gone, stays = Call("2"), Call("3")
    (batch,) = line.finish(entered(line, Call("1"), gone, stays), alone=False)
    assert line.leave(gone) == []
    line.enter(Call("4", names=("2",)))
    assert names_of(line.finish(batch, alone=True)) == [["4"]]
    assert (gone.alone, stays.alone) == (False, True)


def test_who_leaves_before_going_alone_holds_nothing_afterwards():
    line = Line(128, 1)
    gone = Call("2")
    (batch,) = line.finish(entered(line, Call("1"), gone), alone=False)
    line.enter(Call("4", names=("2",)))
    assert line.finish(batch, alone=True) == []
    assert names_of(line.leave(gone)) == [["4"]]


def test_so_many_wait_aside_and_the_others_for_a_place_in_order():
    aside = Aside(2)
    assert [aside.enter(name) for name in "abcde"] == [True, True, False, False, False]
    assert aside.leave("d") == []
    assert aside.ended("b", in_vain=False) == ["c"]
    assert [aside.has_place(name) for name in "abcde"] == [True, False, True, False, False]
    assert aside.leave("c") == ["e"]
    assert aside.has_place("e")  # who leaves has not waited in vain
    assert aside.leave("c") == []
    assert [aside.ended(name, in_vain=True) for name in "ae"] == [[], []]
    assert [aside.enter(name) for name in "fgh"] == [True, True, False]


def test_who_came_before_what_waited_in_vain_began_does_not_wait_as_long_again():
    aside = Aside(1)
    assert [aside.enter(name) for name in "abc"] == [True, False, False]
    assert aside.ended("a", in_vain=True) == ["b"]  # they came after it began
    assert [aside.enter(name) for name in "de"] == [False, False]
    assert aside.ended("b", in_vain=True) == ["c", "d"]
    assert [aside.has_place(name) for name in "cde"] == [False, True, False]
    assert aside.leave("c") == []
    assert aside.ended("d", in_vain=True) == ["e"]
    assert not aside.has_place("e")
    assert aside.enter("f")
