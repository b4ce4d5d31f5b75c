"""Reads SQL into words, for the lint of portable SQL. Knows no list of what is allowed.

Upper-case words are the language's; lower-case ones are names. SQLAlchemy writes it so, and so do
the statements that are plain text; the lint refuses what it cannot tell.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence

from attrs import frozen

__all__ = ["Word", "calls", "parenthesised", "phrases", "read", "types"]

_WORD = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<string>'(?:[^']|'')*')
  | (?P<name>"(?:[^"]|"")*"|[a-z_][a-z0-9_]*)
  | (?P<word>[A-Z][A-Z]*)
  | (?P<parameter>\$\d+)
  | (?P<number>\d+)
  | (?P<operator>::|->>|->|<=|>=|!=|<>|\|\||[-+*/%<>=.,()\[\];])
    """,
    re.VERBOSE,
)


@frozen
class Word:
    """One word of a statement, and of what kind it is."""

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


def read(text: str) -> list[Word]:
    """Return the words of a statement, without white space.

    Raises:
        ValueError: something in it is no word of SQL that is known here.
    """
    words: list[Word] = []
    at = 0
    while at < len(text):
        found = _WORD.match(text, at)
        if found is None:
            raise ValueError(f"cannot read {text[at : at + 20]!r}")
        if found.lastgroup != "space":
            words.append(Word(str(found.lastgroup), found[0]))
        at = found.end()
    return words


def calls(words: Sequence[Word]) -> Iterator[str]:
    """Yield the names of what is called: a lower-case name, then a parenthesis.

    A table with its columns, and a step of WITH, look the same, and are told by what stands
    before them.
    """
    before = [Word("operator", ";"), *words]
    for place, (previous, word, following) in enumerate(
        zip(before, words, words[1:], strict=False)
    ):
        if word.kind != "name" or following.text != "(" or previous.text in _NAMES_FOLLOW:
            continue
        if previous.text != "," or not _is_step(words[place + 1 :]):
            yield word.text


def _is_step(behind: Sequence[Word]) -> bool:
    """Say whether what stands behind a name are the columns of a step, and then the step."""
    depth = 0
    for place, word in enumerate(behind):
        depth += (word.text == "(") - (word.text == ")")
        if depth == 0:
            step = [each.text for each in behind[place + 1 : place + 3]]
            return step in (["AS", "("], ["AS MATERIALIZED", "("])
    return False


_NAMES_FOLLOW = {"AS", "INTO", "ON", "EXISTS", "WITH", "RECURSIVE", "TABLE", "INDEX"}


def types(words: Sequence[Word]) -> Iterator[str]:
    """Yield the types: after ``::``, at the end of a CAST, of a literal, and of columns."""
    stack: list[str] = []
    text = [word.text for word in words]
    for at, word in enumerate(words):
        if word.text == "(":
            stack.append(text[at - 1] if at else "")
        elif word.text == ")":
            stack.pop()
        elif word.text == "::" or (word.text == "AS" and stack and stack[-1] == "CAST"):
            yield _type_at(words, at + 1)
        elif word.kind == "string" and words[at - 1].text in ("TIMESTAMP", "INTERVAL"):
            yield words[at - 1].text
        elif word.kind == "name" and len(stack) == 1 and _defines(text, at):
            yield _type_at(words, at + 1)


def _defines(text: Sequence[str], at: int) -> bool:
    """Say whether a column begins here, in the parentheses of a table's definition."""
    return list(text[:2]) == ["CREATE", "TABLE"] and text[at - 1] in ("(", ",")


def _type_at(words: Sequence[Word], at: int) -> str:
    found = [words[at].text]
    if [each.text for each in words[at + 1 : at + 4]] == ["WITH", "TIME", "ZONE"]:
        found += ["WITH", "TIME", "ZONE"]
    return " ".join(found)


def phrases(words: Sequence[Word], known: Container[str]) -> Iterator[str]:
    """Yield what the language's own words say, in the longest phrases that are known."""
    run: list[str] = []
    for word in [*words, Word("operator", ";")]:
        if word.kind == "word":
            run.append(word.text)
            continue
        while run:
            lengths = range(len(run), 0, -1)
            most = next((n for n in lengths if " ".join(run[:n]) in known), 1)
            yield " ".join(run[:most])
            del run[:most]


def parenthesised(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Yield the statement itself and everything in parentheses, each without what is within."""
    open_: list[list[Word]] = [[]]
    for word in words:
        if word.text == "(":
            open_.append([])
        elif word.text == ")":
            yield open_.pop()
        else:
            open_[-1].append(word)
    yield open_.pop()
