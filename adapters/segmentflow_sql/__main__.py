"""``python -m segmentflow_sql [DATABASE]``: print every statement on our tables, named.

What begins, sets up and ends a transaction is plain text, in sqlite.py and postgresql.py.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence

from segmentflow_sql.statements import (
    DIALECTS,
    GROUPS,
    DatabaseName,
    all_statements,
    statements_for,
)


def printed(database: DatabaseName) -> Iterator[str]:
    """Yield what is printed of one kind of database, line by line.

    A statement ends in a semicolon; its name stands above it, as a comment of SQL.
    """
    statements = statements_for(database)
    for group in GROUPS:
        yield from ("", f"-- ===== {database}: {group} =====")
        for statement in all_statements(getattr(statements, group)):
            lines = [line.rstrip() for line in statement.text.strip().splitlines()]
            yield from ("", f"-- {statement.name}", *lines[:-1], f"{lines[-1]};")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the statements of the databases that are named, or of all."""
    parser = argparse.ArgumentParser(
        prog="python -m segmentflow_sql", description="Print every statement on our tables, named."
    )
    parser.add_argument("database", nargs="?", choices=list(DIALECTS))
    chosen = parser.parse_args(arguments).database
    try:
        for database in DIALECTS if chosen is None else (chosen,):
            sys.stdout.writelines(f"{line}\n" for line in printed(database))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as `head`, has read enough. Python would write the rest when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
