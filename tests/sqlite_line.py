"""SQLite's driver as a line that loses what it is told to: its disk fails, and works again."""

from __future__ import annotations

import sqlite3


class SqliteLine:
    """Every statement is an exchange; what it asks may be lost, or what it answers."""

    def __init__(self):
        self.lost = 0
        self._count = 0
        self._losing = None
        self._loses_answer = False
        self._is_cut = False
        line = self

        class Cursor(sqlite3.Cursor):
            def execute(self, *arguments):
                return line.exchange(super().execute, *arguments)

            def executemany(self, *arguments):
                return line.exchange(super().executemany, *arguments)

        class Connection(sqlite3.Connection):
            def __init__(self, *arguments, **options):
                super().__init__(*arguments, **options)
                if line._is_cut:
                    self.close()
                    raise disk_failed()

            def cursor(self, factory=Cursor):
                return super().cursor(factory)

            def execute(self, *arguments):
                return self.cursor().execute(*arguments)

        self.connection = Connection

    def lose(self, exchange, *, answer):
        self._count, self._losing, self._loses_answer = 0, exchange, answer

    def cut(self):
        self._is_cut = True

    def restore(self):
        self._is_cut, self._losing = False, None

    def exchange(self, execute, *arguments):
        fails = self._count == self._losing
        self._count += 1
        self.lost += fails
        if self._is_cut or (fails and not self._loses_answer):
            raise disk_failed()
        answer = execute(*arguments)
        if fails:
            raise disk_failed()
        return answer


def disk_failed():
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR, "SQLITE_IOERR"
    return error
