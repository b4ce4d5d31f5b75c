"""Tables of version 2: created, or brought up from version 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations.base import Operation

from segmentflow_django.operations import BringTables


class Migration(migrations.Migration):
    """What leads to version 2 of the tables."""

    initial = True
    operations: ClassVar[Sequence[Operation]] = [BringTables(2, before=None)]
