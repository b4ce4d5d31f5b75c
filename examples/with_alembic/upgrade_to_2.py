"""Bring the library's tables from version 1 to 2: a file to copy into `versions`."""

from alembic import op

from segmentflow_sql.alembic import downgrade as downgrade_tables
from segmentflow_sql.alembic import upgrade as upgrade_tables

revision = "segmentflow_2"
down_revision = None  # the revision that was the latest
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run it while nothing writes to the store."""
    upgrade_tables(op, to=2)


def downgrade() -> None:
    """Refuse: from version 2 there is no way back."""
    downgrade_tables(op, to=1)
