from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.domain.pointer import format_pointer, parse_pointer, resolve
from segmentflow_core.domain.redaction import NOTHING_REDACTED, REDACTED, compile_redaction
from segmentflow_core.domain.redaction_policy import NO_POLICY, RedactionPolicy
from segmentflow_core.domain.request import check_request
from segmentflow_core.errors import ConfigurationError, InvalidRequest
from segmentflow_core.testing import a_request, json_objects

R = REDACTED


# --- a reference that is written to be read, and is slow ----------------------------------


def matches(policy, root, place):
    """Say whether the policy names the place itself: one path, or the last member's name."""
    whole = (*root, *place)
    for path in policy.paths:
        tokens = parse_pointer(path)
        if len(tokens) == len(whole) and all(
            token in ("*", found) for token, found in zip(tokens, map(str, whole), strict=True)
        ):
            return tokens[: len(root)] == root
    name = place[-1]
    return isinstance(name, str) and any(name.casefold() == n.casefold() for n in policy.names)


def expected(policy, root, value, at=()):
    if at and matches(policy, root, at):
        return R
    if isinstance(value, dict):
        return {name: expected(policy, root, item, (*at, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [expected(policy, root, item, (*at, n)) for n, item in enumerate(value)]
    return value


def names_in(value):
    if isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from names_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from names_in(item)


def places_in(value, at=()):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        yield (*at, str(name))
        if isinstance(item, (dict, list)):
            yield from places_in(item, (*at, str(name)))


@st.composite
def policies(draw, *documents):
    """Draw a policy that names something in the documents, more often than not."""
    paths, names = [], []
    for root, document in zip(((("event",)), ("profile", "properties")), documents, strict=True):
        known = [*places_in(document), ("nowhere",), ("*",), ("*", "*")]
        for place in draw(st.lists(st.sampled_from(known), max_size=3)):
            stars = draw(st.lists(st.booleans(), min_size=len(place), max_size=len(place)))
            tokens = ["*" if star else token for star, token in zip(stars, place, strict=True)]
            paths.append(format_pointer(*root, *tokens))
        names += [name for name in names_in(document) if name]
    drawn = draw(st.lists(st.sampled_from([*names, "password"]), max_size=3))
    cased = [draw(st.sampled_from([n, n.upper(), n.lower(), n.swapcase()])) for n in drawn]
    return RedactionPolicy(paths=paths, names=[name for name in cased if name])


drawn_policies = st.tuples(json_objects(), json_objects()).flatmap(
    lambda documents: st.tuples(*map(st.just, documents), policies(*documents))
)


@given(drawn_policies)
def test_a_policy_redacts_what_a_plain_reading_of_its_rules_redacts(drawn):
    data, properties, policy = drawn
    before = copy.deepcopy((data, properties))
    redaction = policy.redaction((), data, properties)
    assert redaction.apply(data).data == expected(policy, ("event",), data)
    assert redaction.apply(data).unmatched == ()
    stored = expected(policy, ("profile", "properties"), properties)
    stored |= {name: None for name, value in properties.items() if value is None}
    assert redaction.apply_to_properties(properties) == stored
    assert (data, properties) == before


@given(drawn_policies)
def test_redacting_again_changes_nothing(drawn):
    data, properties, policy = drawn
    first = policy.redaction((), data, properties)
    once = first.apply(data).data, first.apply_to_properties(properties)
    again = policy.redaction((), *once)
    assert (again.apply(once[0]).data, again.apply_to_properties(once[1])) == once
    assert set(again.places(once[0])) == set(first.places(data))


@given(drawn_policies, st.data())
def test_the_places_are_what_was_replaced_and_nothing_else_has_another_shape(drawn, draw):
    data, properties, policy = drawn
    known = [*places_in(data), ("nowhere",)]
    chosen = draw.draw(st.lists(st.sampled_from(known), max_size=2))
    paths = [format_pointer("event", *place) for place in chosen]
    redaction = policy.redaction(paths, data, properties)
    places = redaction.places(data)
    assert len(set(places)) == len(places)
    redacted = redaction.apply(data).data
    for place in places_in(data):
        above = [p for p in places if ("event", *place)[: len(p)] == p]
        if not above:
            kept, was = resolve(redacted, place), resolve(data, place)
            assert type(kept) is type(was)
            assert not isinstance(was, (dict, list)) or len(kept) == len(was)
        else:
            (only,) = above  # outermost places alone
            assert resolve(redacted, only[1:]) == R
    within = [p[2:] for p in places if p[:2] == ("profile", "properties")]
    assert sorted(within) == sorted(redaction.properties)
    for place in chosen:
        named = format_pointer("event", *place) not in redaction.apply(data).unmatched
        assert named == (place != ("nowhere",) or any(p[1:] == place[: len(p) - 1] for p in places))


# --- single rules -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "names", "data", "redacted"),
    [
        (["/event/a"], [], {"a": 1, "b": 1}, {"a": R, "b": 1}),
        (["/event/a/b"], [], {"a": {"b": 1, "c": 1}, "b": 1}, {"a": {"b": R, "c": 1}, "b": 1}),
        (["/event/*/b"], [], {"a": {"b": 1}, "b": {"c": 1}}, {"a": {"b": R}, "b": {"c": 1}}),
        (["/event/*/1"], [], {"a": [1, 2]}, {"a": [1, R]}),
        (["/event/a/*"], [], {"a": [1, {"b": 1}]}, {"a": [R, R]}),
        (["/event/a/*/t"], [], {"a": [{"t": 1}, 1]}, {"a": [{"t": R}, 1]}),
        (["/event/a", "/event/a/b"], [], {"a": {"b": 1}}, {"a": R}),
        (["/profile/properties/a"], [], {"a": 1}, {"a": 1}),
        ([], ["Pin"], {"a": [[{"PIN": 1}]], "pin": {}}, {"a": [[{"PIN": R}]], "pin": R}),
        ([], ["cvv", "password"], {"password": 1, "CVV": 1}, {"password": R, "CVV": R}),
        (["/event/a/b"], ["c"], {"a": {"b": 1, "d": {"c": 1}}}, {"a": {"b": R, "d": {"c": R}}}),
    ],
)
def test_the_table_of_a_policy(paths, names, data, redacted):
    policy = RedactionPolicy(paths=paths, names=names)
    assert policy.redaction((), data, {}).apply(data).data == redacted
    below = [path.replace("/event/", "/profile/properties/") for path in paths]
    if below != paths or not paths:
        moved = RedactionPolicy(paths=below, names=names).redaction((), {}, data)
        assert moved.apply_to_properties(data) == redacted


@pytest.mark.parametrize(
    ("place", "covered"),
    [
        ("/event/password", "/event/password"),
        ("/event/a/CVV/x", "/event/a/CVV"),
        ("/event/a/b/c", "/event/a/b"),
        ("/event/a/x", None),
        ("/profile/properties/cvv", "/profile/properties/cvv"),
        ("/profile/properties/a/b/c", None),
        ("/profile/email", None),
        ("/profile/cvv/cvv", None),
    ],
)
def test_a_place_is_covered_where_the_policy_could_match_at_or_above_it(place, covered):
    policy = RedactionPolicy(paths=["/event/a/b"], names=["cvv", "password"])
    found = policy.covers(parse_pointer(place))
    assert found == (None if covered is None else parse_pointer(covered))


def test_a_policy_without_effect_costs_no_compiling():
    redaction = RedactionPolicy(names=["password"]).redaction(["/event/a"], {"a": 1}, {"b": 2})
    assert redaction is compile_redaction(["/event/a"])
    assert NO_POLICY.redaction((), {"a": 1}, {}) is NOTHING_REDACTED
    assert NO_POLICY.empty
    assert not RedactionPolicy(names=["a"]).empty


def test_a_member_named_by_the_star_alone_does_not_double_the_work():
    deep = {}
    for _ in range(60):
        deep = {"*": deep}
    policy = RedactionPolicy(paths=["/event" + "/*" * 61, "/event" + "/*" * 60 + "/x"])
    assert policy.redaction((), deep, {}) is NOTHING_REDACTED


@pytest.mark.parametrize("paths", [["/event/card"], ["/event/card/no"], ["/event/card/x"]])
def test_a_path_of_the_request_at_or_below_a_place_of_the_policy_is_matched(paths):
    data = {"card": {"no": 4}}
    result = RedactionPolicy(names=["card"]).redaction(paths, data, {}).apply(data)
    assert (result.data, result.unmatched) == ({"card": R}, ())


def test_a_place_of_the_policy_below_a_path_of_the_request_is_one_place():
    data = {"card": {"no": 4}}
    redaction = RedactionPolicy(paths=["/event/*/no"]).redaction(["/event/card"], data, {})
    assert redaction.apply(data).data == {"card": R}
    assert redaction.places(data) == (("event", "card"),)


def test_a_removed_property_is_still_removed_and_counts_as_redacted():
    properties = {"ssn": None, "us": {"ssn": None}}
    redaction = RedactionPolicy(names=["ssn"]).redaction((), {}, properties)
    assert redaction.apply_to_properties(properties) == {"ssn": None, "us": {"ssn": R}}
    assert set(redaction.properties) == {("ssn",), ("us", "ssn")}
    alone = RedactionPolicy(names=["ssn"]).redaction((), {}, {"ssn": None})
    assert alone.apply_to_properties({"ssn": None}) == {"ssn": None}


@pytest.mark.parametrize(
    "given",
    [
        {"paths": "/event/a"},
        {"names": "password"},
        {"paths": b"/event/a"},
        {"paths": None},
        {"paths": 5},
        {"names": [5]},
        {"paths": [None]},
        {"names": [""]},
    ],
)
def test_what_is_no_list_of_texts_is_refused(given):
    with pytest.raises(ConfigurationError, match="RedactionPolicy"):
        RedactionPolicy(**given)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/event", "must start with /event/ or /profile/properties/."),
        ("/*/a", "must start with /event/ or /profile/properties/."),
        ("/profile/properties", "must start with /event/ or /profile/properties/."),
        ("/profile/email/x", "/profile/properties/: identities cannot be redacted."),
        ("/profile/externalId", "/profile/properties/: identities cannot be redacted."),
        ("event/a", "must be a JSON Pointer (RFC 6901)."),
        ("/event/~", "must be a JSON Pointer (RFC 6901)."),
    ],
)
def test_a_path_that_no_policy_may_have_is_refused_by_name(path, why):
    with pytest.raises(ConfigurationError) as caught:
        RedactionPolicy(paths=["/event/a", path])
    assert f"The path {path!r}" in str(caught.value)
    assert str(caught.value).endswith(why)


def test_policies_are_values():
    one, other = (RedactionPolicy(paths=["/event/a"], names=iter(["b"])) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != RedactionPolicy(paths=["/event/a"])
    assert repr(one) == "RedactionPolicy(paths=('/event/a',), names=('b',), refuse_unmatched=False)"


# --- in a request -------------------------------------------------------------------------


def test_a_policy_changes_nothing_of_what_the_fingerprint_covers():
    request = a_request(
        data={"password": "secret"},
        profile={"externalId": "cus_1", "properties": {"ssn": "secret"}},
    )
    policy = RedactionPolicy(names=["password", "ssn"])
    plain, under = check_request(request, "key"), check_request(request, "key", policy=policy)
    assert (plain.canonical, plain.document) == (under.canonical, under.document)
    assert under.properties == {"ssn": R}
    assert under.redaction.apply(under.data).data == {"password": R}


def refused(policy, **members):
    with pytest.raises(InvalidRequest) as caught:
        check_request(a_request(**members), "key", policy=policy)
    return [(violation.path, violation.message) for violation in caught.value.violations]


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"data": {"a": {"Pin": {"secret": float("nan")}}}}, "/data/a/Pin"),
        ({"data": {"items": [{"token": {"secret": {1}}}]}}, "/data/items/0/token"),
        ({"data": {"a": {"secret": float("nan")}}, "redactedDataPaths": ["/event/a"]}, "/data/a"),
        (
            {"data": {"Pin": {"a": {"x": {1}}}}, "redactedDataPaths": ["/event/Pin/a"]},
            "/data/Pin",
        ),
        (
            {"data": {"a": {"Pin": {"x": {1}}}}, "redactedDataPaths": ["/event/a"]},
            "/data/a",
        ),
        (
            {"profile": {"email": "a@b.co", "properties": {"ssn": {"secret": {1}}}}},
            "/profile/properties/ssn",
        ),
        ({"data": {"a": {"b": {1}}}}, "/data/a/b"),
        ({"profile": {"email": "a@b.co", "properties": {"a": {1}}}}, "/profile/properties/a"),
    ],
)
def test_a_fault_below_a_place_of_the_policy_does_not_name_its_members(members, path):
    policy = RedactionPolicy(
        paths=["/event/items/*/token", "/profile/properties/ssn"], names=["PIN"]
    )
    assert [found for found, _ in refused(policy, **members)] == [path]


def test_paths_that_name_nothing_are_refused_where_the_policy_says_so():
    policy = RedactionPolicy(refuse_unmatched=True)
    paths = ["/event/b", "/event/a", "/event/a/x", "/event/b"]
    # A path inside another's subtree is left out.
    assert refused(policy, data={"a": {}}, redactedDataPaths=paths) == [
        ("/redactedDataPaths/0", "names nothing in data"),
        ("/redactedDataPaths/3", "names nothing in data"),
    ]
    assert refused(policy, redactedDataPaths=["/event/a"], referenceId="") == [
        ("/redactedDataPaths/0", "names nothing in data"),
        ("/referenceId", "must be a string of 1 to 255 characters"),
    ]
    check_request(a_request(data={"a": 1}, redactedDataPaths=["/event/a"]), "1", policy=policy)
    check_request(a_request(), "1", policy=policy)
    check_request(a_request(redactedDataPaths=["/event/a"]), "1", policy=NO_POLICY)


def test_a_fault_that_hides_what_a_path_names_is_told_alone():
    policy = RedactionPolicy(refuse_unmatched=True)
    hidden = {"a\0": 1}
    assert refused(policy, data=hidden, redactedDataPaths=["/event/a~1b"]) == [
        ("/data/a\\u0000", "has a name that must not hold the character U+0000")
    ]
