"""Both colours say the same: each asynchronous class is held beside its synchronous twin.

The bodies are written once and the signatures twice, for readers and type checkers. Here the two
signatures are compared: names, parameters, defaults, annotations, docs. A new class `AsyncX`
needs a line in `PAIRS`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import time

import anyio
import pytest
from attrs import field, frozen

import segmentflow_console
import segmentflow_core
import segmentflow_gathering
import segmentflow_http
import segmentflow_memory
import segmentflow_sql
from segmentflow_console import AsyncConsole, Console
from segmentflow_core import (
    ApiKeys,
    AsyncApiKeys,
    AsyncEnrollments,
    AsyncJourneys,
    AsyncPeople,
    AsyncRecords,
    AsyncTracker,
    Enrollments,
    Journeys,
    People,
    Records,
    Tracker,
)
from segmentflow_core.ports import AsyncStorage, Storage
from segmentflow_gathering import AsyncGathering, Gathering
from segmentflow_http import (
    ApiKeyAuthenticator,
    AsyncApiKeyAuthenticator,
    AsyncEndpoint,
    Endpoint,
)
from segmentflow_http.client import AsyncClient, Client
from segmentflow_http.served import AsyncServed, Served
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage
from segmentflow_sql import AsyncBoundSqlStorage, AsyncSqlStorage, BoundSqlStorage, SqlStorage


@frozen
class Pair:
    """A class and its asynchronous twin.

    Attributes:
        plain: names of methods that wait for nothing, and so are no coroutine in either colour.
        apart: names of what differs, by the reason why it does.
    """

    sync: type
    twin: type
    plain: frozenset[str] = field(default=frozenset(), converter=frozenset)
    apart: dict[str, str] = field(factory=dict)

    def __str__(self) -> str:
        return self.sync.__name__


PAIRS = (
    Pair(Storage, AsyncStorage),
    Pair(Tracker, AsyncTracker),
    Pair(Journeys, AsyncJourneys),
    Pair(Enrollments, AsyncEnrollments),
    Pair(Records, AsyncRecords),
    Pair(People, AsyncPeople),
    Pair(ApiKeys, AsyncApiKeys),
    Pair(SqlStorage, AsyncSqlStorage, plain={"bound_to", "listening", "notifier"}),
    Pair(BoundSqlStorage, AsyncBoundSqlStorage, plain={"after_commit", "committed"}),
    Pair(
        MemoryStorage,
        AsyncMemoryStorage,
        apart={"__init__": "the asynchronous one may share the data of a synchronous one"},
    ),
    Pair(Gathering, AsyncGathering, plain={"shared", "guard", "place", "begin"}),
    Pair(Client, AsyncClient),
    Pair(
        Endpoint,
        AsyncEndpoint,
        plain={"max_bytes_at", "refusal", "refuse_early"},
        apart={"__init__": "only the asynchronous one can do long work elsewhere"},
    ),
    Pair(ApiKeyAuthenticator, AsyncApiKeyAuthenticator),
    Pair(Served, AsyncServed, plain={"max_bytes_at", "refusal", "refuse_early"}),
    Pair(Console, AsyncConsole, plain={"max_bytes_at", "refusal", "refuse_early"}),
)

# What a synchronous annotation becomes in the other colour: names, and what is called back.
NAMES = {"Engine": "AsyncEngine", "httpx.Client": "httpx.AsyncClient"} | {
    pair.sync.__name__: pair.twin.__name__ for pair in PAIRS
}
CALLED_BACK = {
    "Callable[[Transaction], T]": "Callable[[Transaction], Awaitable[T]]",
    "Callable[[float], object]": "Callable[[float], Awaitable[object]]",
}
DEFAULTS = {time.sleep: anyio.sleep}
SPECIAL = {
    "__init__": "__init__",
    "__call__": "__call__",
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
}

DOORS = (segmentflow_console, segmentflow_gathering, segmentflow_memory, segmentflow_sql)
"""Packages whose only public module is the package itself."""
OPEN = (segmentflow_core, segmentflow_http)
"""Packages whose modules may each be public."""


def public_names(cls):
    """Return the names a user meets, in the synchronous spelling."""
    spelling = {twin: name for name, twin in SPECIAL.items()} | {name: name for name in SPECIAL}
    defined = {name for parent in cls.__mro__[:-1] for name in vars(parent)}
    return {spelling.get(name, name) for name in defined if name in spelling or name[0] != "_"}


def members(pair, name):
    return (
        inspect.getattr_static(pair.sync, name),
        inspect.getattr_static(pair.twin, SPECIAL.get(name, name)),
    )


def function_of(member):
    """Return the function behind a method or property; None where there is none."""
    if isinstance(member, property):
        return member.fget
    member = getattr(member, "__func__", member)
    return member if inspect.isfunction(member) else None


def other_colour(annotation):
    if not isinstance(annotation, str):
        return annotation
    for sync, twin in CALLED_BACK.items():
        annotation = annotation.replace(sync, twin)
    names = "|".join(re.escape(name) for name in NAMES)
    return re.sub(rf"(?<![\w.])(?:{names})\b", lambda found: NAMES[found[0]], annotation)


def described(function, *, translated):
    """Return what a signature says, written in the other colour if asked for."""
    translate = other_colour if translated else lambda annotation: annotation
    signature = inspect.signature(function)
    return (
        [
            (
                parameter.name,
                parameter.kind,
                DEFAULTS.get(parameter.default, parameter.default)
                if translated and callable(parameter.default)
                else parameter.default,
                translate(parameter.annotation),
            )
            for parameter in signature.parameters.values()
        ],
        translate(signature.return_annotation),
    )


COMMON = [
    pytest.param(pair, name, id=f"{pair}.{name}")
    for pair in PAIRS
    for name in sorted(public_names(pair.sync) & public_names(pair.twin))
    if name not in pair.apart
]

# What a class takes is said in the docs of the class.
DOCUMENTED = [case for case in COMMON if case.values[1] != "__init__"]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_both_have_the_same_names(pair):
    assert public_names(pair.sync) - set(pair.apart) == public_names(pair.twin) - set(pair.apart)


@pytest.mark.parametrize(("pair", "name"), COMMON)
def test_both_are_called_the_same_way(pair, name):
    sync, twin = members(pair, name)
    assert type(sync) is type(twin)
    if function_of(sync) is not None:
        expected = described(function_of(sync), translated=True)
        assert described(function_of(twin), translated=False) == expected


@pytest.mark.parametrize(("pair", "name"), COMMON)
def test_the_asynchronous_one_is_awaited_and_the_other_is_not(pair, name):
    sync, twin = members(pair, name)
    waits = (
        inspect.isfunction(function_of(sync))
        and not isinstance(sync, property)
        and name not in {"__init__", *pair.plain}
    )
    assert not inspect.iscoroutinefunction(function_of(sync))
    assert inspect.iscoroutinefunction(function_of(twin)) is waits


@pytest.mark.parametrize(("pair", "name"), DOCUMENTED)
def test_the_docs_are_the_same_or_point_at_the_synchronous_ones(pair, name):
    sync, twin = (inspect.getdoc(member) or "" for member in members(pair, name))
    pointer = f"`{pair.sync.__name__}.{name}`"
    assert sync == twin or pointer in twin


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_the_docs_of_the_asynchronous_class_name_the_other(pair):
    assert f"`{pair.sync.__name__}`" in inspect.getdoc(pair.twin)


def public_modules():
    yield from DOORS
    for package in OPEN:
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def test_every_public_asynchronous_class_has_a_pair():
    public = {
        getattr(module, name)
        for module in public_modules()
        for name in getattr(module, "__all__", ())
        if name.startswith("Async") and inspect.isclass(getattr(module, name))
    }
    assert public == {pair.twin for pair in PAIRS}
