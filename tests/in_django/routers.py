"""Which database a project of the tests keeps what in."""

from __future__ import annotations


class Everything:
    """A router that keeps everything in one database."""

    def __init__(self, alias):
        self.alias = alias

    def db_for_read(self, *_, **__):
        return self.alias

    db_for_write = db_for_read
