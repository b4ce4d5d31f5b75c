"""Refuses SQL that is not on the written list, or that an engine would refuse or do elsewhere.

It reads text alone: no server is needed, and none of the engines can be asked about the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from portable_sql import CLAUSES, FUNCTIONS, OPERATORS, TYPES
from segmentflow_sql import metadata
from segmentflow_sql.statements import DIALECTS
from sql_reader import Word, calls, parenthesised, phrases, read, types

__all__ = ["faults"]

_FIELDS = {"epoch", "microseconds"}
"""What EXTRACT may take out of a time."""

_GIVEN = {"excluded", "true", "value", "segmentflow", "lock_timeout"}
"""Names that no table has: PostgreSQL's own, a list's column, our savepoint's, a setting's."""

_PUNCTUATION = {".", ",", "(", ")", "[", "]", ";"}


def faults(text: str, database: str) -> list[str]:
    """Say everything that is wrong with a statement on a database; nothing where all is well."""
    try:
        words = read(text)
    except ValueError as error:
        return [str(error)]
    return [
        *_not_on_the_list(words, database),
        *_changing_by_the_session(words),
        *_locking_across(words, database),
        *_unsharded_keys(words),
    ]


def _not_on_the_list(words: Sequence[Word], database: str) -> Iterator[str]:
    known = {**CLAUSES, **TYPES}
    operators = [w.text for w in words if w.kind == "operator" and w.text not in _PUNCTUATION]
    for kind, found, allowed in (
        ("clause", list(phrases(words, known)), known),
        ("function", list(calls(words)), FUNCTIONS),
        ("type", list(types(words)), TYPES),
        ("operator", operators, OPERATORS),
    ):
        for each in dict.fromkeys(found):
            entry = allowed.get(each)
            if entry is None:
                yield f"{kind} {each}: not on the list"
            elif database in entry.never_on:
                yield f"{kind} {each}: not on {database}, {entry.never_on[database]}"
    for name in dict.fromkeys(_unknown_names(words)):
        yield f"name {name}: of no table of ours, and not given in the statement"


def _unknown_names(words: Sequence[Word]) -> Iterator[str]:
    known = {*_GIVEN, *metadata.tables}
    for table in metadata.tables.values():
        known |= {column.name for column in table.c} | {str(i.name) for i in table.indexes}
    ended = [*words, Word("operator", ";")]
    for previous, word, following in zip(ended, ended[1:], ended[2:], strict=False):
        is_step = previous.text in (",", "WITH", "RECURSIVE") and following.text in ("AS", "(")
        if word.kind == "name" and (previous.text == "AS" or is_step):
            known.add(word.text)
    called = {*calls(words)}
    for previous, word in zip([Word("operator", ";"), *words], words, strict=False):
        if word.kind != "name" or word.text in known or word.text in called:
            continue
        if previous.text == "COLLATE" and word.text == '"C"':
            continue
        extracted = previous.text == "(" and word.text in _FIELDS
        if not extracted:
            yield word.text


def _changing_by_the_session(words: Sequence[Word]) -> Iterator[str]:
    """Refuse what is not immutable, where rows are changed or returned from a change."""
    verbs = {w.text for w in words if w.kind == "word"}
    if not verbs & {"INSERT", "UPDATE", "DELETE"} or "CREATE" in verbs:
        return
    for name in dict.fromkeys(calls(words)):
        if name in FUNCTIONS and FUNCTIONS[name].stable:
            yield f"function {name}: depends on the session, in a change of rows"
    for part in parenthesised(words):
        text = " ".join(map(str, part))
        extracts = " FROM " in text and text.split(" ")[0] in _FIELDS
        if extracts and "AT TIME ZONE 'UTC'" not in text and "date_trunc" not in text:
            yield "EXTRACT of a time with a zone: depends on the session"
        if text.endswith((" AS TIMESTAMP WITH TIME ZONE", " AS TIMESTAMP", " AS TEXT [ ]")):
            yield f"a cast{text[text.rindex(' AS ') :]}: depends on the session"
        if text.startswith("'second' ,") and "AT TIME ZONE 'UTC'" not in text:
            yield "date_trunc of a time with a zone: depends on the session"


def _locking_across(words: Sequence[Word], database: str) -> Iterator[str]:
    """Refuse locks and changes of rows that no Organization is named for, where they are apart."""
    if not getattr(DIALECTS.get(database), "one_organization", False):  # type: ignore[call-overload]
        return
    for part in parenthesised(words):
        text = " ".join(map(str, part))
        if "FOR UPDATE" in text and not _names_one(part):
            yield "a lock on rows of more than one Organization"
        changes = text.startswith(("UPDATE ", "DELETE FROM ", "WITH "))
        if changes and (" SET " in text or "DELETE FROM" in text) and not _names_one(part):
            yield "a change of rows of more than one Organization"


def _names_one(part: Sequence[Word]) -> bool:
    for name, equals, value in zip(part, part[1:], part[2:], strict=False):
        if name.text == "organization_id" and equals.text == "=" and value.kind == "parameter":
            return True
    return False


def _unsharded_keys(words: Sequence[Word]) -> Iterator[str]:
    """Refuse keys that do not lead with the Organization: no sharded engine can keep them."""
    text = " ".join(map(str, words))
    if not text.startswith("CREATE") or "segmentflow_schema" in text:
        return
    lead = ("PRIMARY KEY (", "UNIQUE INDEX")
    if lead[0] in text and "PRIMARY KEY ( organization_id" not in text:
        yield "a primary key that does not lead with organization_id"
    if lead[1] in text and "( organization_id" not in text:
        yield "a unique index that does not lead with organization_id"
