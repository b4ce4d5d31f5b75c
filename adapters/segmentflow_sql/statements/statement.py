"""One compiled statement, and the forms that some come in. Must never know what runs one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from attrs import frozen

__all__ = ["FoundBy", "Reader", "RowStatement", "Statement"]

Reader: TypeAlias = Callable[[bytes], Any]


@frozen
class Statement:
    """One compiled statement.

    Attributes:
        name: says to a reader which it is; no two statements of a database share one.
        text: SQL with positional parameters, ``?`` or ``$1`` as the database has them.
        parameters: what each place takes, by name, in order.
        readers: how the text of each result column becomes a value, where it comes as text.
        prepared_name: under what name a server keeps it prepared; empty where it does not.
        takes_keys: whether it takes idempotency keys, and so waits for their holders.
    """

    name: str
    text: str
    parameters: tuple[str, ...] = ()
    readers: tuple[Reader, ...] = ()
    prepared_name: str = ""
    takes_keys: bool = False

    def arguments(self, **values: Any) -> list[Any]:
        """Put named values into the order the statement takes them in."""
        return [values[name] for name in self.parameters]


@frozen
class RowStatement:
    """A statement for rows of values, in two forms; each may take more parameters behind.

    Attributes:
        one: takes the values of one row as its parameters.
        many: takes any number of rows as one parameter, a JSON array of arrays, in which instants
            are microseconds since 1970; None where the driver runs `one` for each row.
        organization_at: where the rows have their Organization, if `many` takes it as a
            parameter, one for all rows; None where rows may be of several.
    """

    one: Statement
    many: Statement | None
    organization_at: int | None = None


@frozen
class FoundBy:
    """A look-up by one value, the common case, and by any number of them.

    A server that keeps plans keeps the first one's: whatever the size of its tables, an
    equality leads to the right index. A list leads to it only while its length and the
    tables are known, so it is planned each time.
    """

    one: Statement
    many: Statement
