"""A migration that no release ships: version 3 adds a column to events, with an index.

Storages of "the next library" know it. It is made while others write.
"""

from __future__ import annotations

from typing import Final

from segmentflow_sql import AsyncSqlStorage, SqlStorage
from segmentflow_sql.installation import VERSIONS
from segmentflow_sql.migrations import Migration, Step, Versions

__all__ = ["TO_3", "AsyncNextSqlStorage", "NextSqlStorage"]

_BATCH: Final = """UPDATE segmentflow_events SET channel = 'web'
WHERE (organization_id, event_id) IN (
    SELECT organization_id, event_id FROM segmentflow_events WHERE channel IS NULL LIMIT 20
)
RETURNING 'filled'"""

_INDEX: Final = "segmentflow_events_channel ON segmentflow_events (organization_id, channel)"
_IN_SQLITE: Final = "SELECT count(*) FROM pragma_table_info('segmentflow_events')"
_IN_POSTGRESQL: Final = """SELECT count(*) FROM pg_attribute
WHERE attrelid = 'segmentflow_events'::regclass AND NOT attisdropped"""
_VALID: Final = """SELECT count(*) FROM pg_index
WHERE indexrelid = to_regclass('segmentflow_events_channel') AND indisvalid"""

_FILL: Final = Step(
    "Fill the channel of recorded events",
    (_BATCH,),
    rows="SELECT count(*) FROM segmentflow_events",
    batch=20,
)

TO_3: Final = Migration(
    version=3,
    tables={},
    online=True,
    steps={
        "sqlite": (
            Step(
                "Add the channel of an event",
                ("ALTER TABLE segmentflow_events ADD COLUMN channel TEXT",),
                done=f"{_IN_SQLITE} WHERE name = 'channel'",
            ),
            _FILL,
            Step("Index the channel", (f"CREATE INDEX IF NOT EXISTS {_INDEX}",)),
        ),
        "postgresql": (
            Step(
                "Add the channel of an event",
                ("ALTER TABLE segmentflow_events ADD COLUMN channel TEXT",),
                done=f"{_IN_POSTGRESQL} AND attname = 'channel'",
            ),
            _FILL,
            Step(
                "Index the channel",
                (f"CREATE INDEX {_INDEX}",),
                done=_VALID,
                beside=(
                    "DROP INDEX CONCURRENTLY IF EXISTS segmentflow_events_channel",
                    f"CREATE INDEX CONCURRENTLY {_INDEX}",
                ),
            ),
        ),
    },
    back={
        "sqlite": (
            Step("Drop the index", ("DROP INDEX IF EXISTS segmentflow_events_channel",)),
            Step(
                "Drop the channel",
                ("ALTER TABLE segmentflow_events DROP COLUMN channel",),
                done=f"{_IN_SQLITE.replace('count(*)', 'count(*) = 0')} WHERE name = 'channel'",
            ),
        ),
        "postgresql": (
            Step(
                "Drop the channel, and its index",
                ("ALTER TABLE segmentflow_events DROP COLUMN IF EXISTS channel",),
            ),
        ),
    },
)

_NEXT: Final = Versions(3, (*VERSIONS.migrations, TO_3))


class NextSqlStorage(SqlStorage):
    """The storage of the next library."""

    _versions = _NEXT


class AsyncNextSqlStorage(AsyncSqlStorage):
    """The asynchronous storage of the next library."""

    _versions = _NEXT
