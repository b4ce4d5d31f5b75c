"""Records as JSON and back, exactly: for stores that keep documents.

Knows every record that crosses a port by its fields. A document has the record's own field
names; instants are microseconds since 1970 UTC, digests hexadecimal, tuples lists. None is
written as null. A number keeps its spelling: 1 does not become 1.0. Must never change what a
value says, nor show it in an error.

A field that a later version adds has a default: a document without it is read with that.
A document with a field that this version does not know is refused, since writing the record
again would lose it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar, get_args, get_origin

import cattrs
from attrs import has, resolve_types
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn

from segmentflow_core.domain.api_key import ApiKey
from segmentflow_core.domain.audit import AuditRecord
from segmentflow_core.domain.canonical import encode_json
from segmentflow_core.domain.event import Enrollment, UserEvent
from segmentflow_core.domain.instant import from_microseconds, to_microseconds
from segmentflow_core.domain.journey import (
    Journey,
    JourneyDefinition,
    journey_definition,
    journey_document,
)
from segmentflow_core.domain.profile import Profile, ProfileVersion
from segmentflow_core.domain.tracking import KeyClaim
from segmentflow_core.errors import ConfigurationError

__all__ = ["RECORDS", "decode_record", "document_of", "encode_record", "record_of"]

R = TypeVar("R")

RECORDS: Final = (
    KeyClaim,
    Profile,
    ProfileVersion,
    UserEvent,
    Journey,
    Enrollment,
    ApiKey,
    AuditRecord,
)
"""Every record that a store keeps. What else crosses a port is written and read as well."""


def document_of(record: object, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Write a record as a JSON document; it shares the JSON that the record holds.

    Args:
        record: any record that crosses a port.
        without: fields to leave out, since they stand elsewhere, such as the `profile` of a
            UserEvent, which its ProfileVersion says.
    """
    document: dict[str, Any] = _CONVERTER.unstructure(record)
    for name in without:
        del document[name]
    return document


def record_of(kind: type[R], document: Mapping[str, Any], **elsewhere: Any) -> R:
    """Read a record of a kind from its document; it shares the JSON that the document holds.

    Args:
        kind: the record's class.
        document: what `document_of` wrote, by this version or an earlier one.
        **elsewhere: fields that were left out, as their documents say them.

    Raises:
        ConfigurationError: the document has a field that this version does not know, or lacks
            one that never had a default.
    """
    # cattrs' errors are of many kinds, and quote values.
    with suppress(Exception):
        return _CONVERTER.structure({**document, **elsewhere}, kind)
    raise ConfigurationError(
        f"This version of segmentflow-core cannot read a record of the store: {kind.__name__}."
    )


def encode_record(record: object, *, without: tuple[str, ...] = ()) -> bytes:
    """Write a record as JSON text in UTF-8; as `document_of`."""
    return encode_json(document_of(record, without=without)).encode()


def decode_record(kind: type[R], text: bytes | str, **elsewhere: Any) -> R:
    """Read a record from its JSON text; as `record_of`."""
    document: Any = None
    with suppress(ValueError):
        document = json.loads(text)
    return record_of(kind, document, **elsewhere)


# What is JSON already needs no look into: its own type refers to itself.
_NAMES: Final = {"JsonObject": Mapping[str, Any]}


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()

    def writer(kind: type[Any]) -> Any:
        resolve_types(kind, localns=_NAMES)
        return make_dict_unstructure_fn(kind, converter)

    def reader(kind: type[Any]) -> Any:
        resolve_types(kind, localns=_NAMES)
        return make_dict_structure_fn(
            kind, converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=False
        )

    converter.register_unstructure_hook_factory(has, writer)
    converter.register_structure_hook_factory(has, reader)
    converter.register_structure_hook_func((str, int, float, bool).__contains__, _as_it_is)
    converter.register_structure_hook(StrEnum, lambda text, kind: kind(text))
    converter.register_unstructure_hook(datetime, to_microseconds)
    converter.register_structure_hook(datetime, lambda count, _: from_microseconds(count))
    converter.register_unstructure_hook(bytes, bytes.hex)
    converter.register_structure_hook(bytes, lambda digits, _: bytes.fromhex(digits))
    converter.register_unstructure_hook(StrEnum, str)
    converter.register_unstructure_hook_func(
        _is_frozen_set,
        lambda found: sorted(map(converter.unstructure, found), key=encode_json),
    )
    converter.register_unstructure_hook(JourneyDefinition, journey_document)
    converter.register_structure_hook(JourneyDefinition, lambda found, _: journey_definition(found))
    converter.register_unstructure_hook_func(_is_json, lambda value: value)
    converter.register_structure_hook_func(_is_json, _as_it_is)
    return converter


def _as_it_is(value: Any, _: Any) -> Any:
    return value


def _is_frozen_set(kind: Any) -> bool:
    return get_origin(kind) is frozenset


def _is_json(kind: Any) -> bool:
    """Say whether a field holds JSON already: an object of no records and no tuples."""
    if get_origin(kind) is not Mapping:
        return False
    _, values = get_args(kind)
    return values in (Any, str, int)


_CONVERTER: Final = _converter()
