"""The names for Django's admin and permissions, which no table stands behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation


def _name(model: str, one: str, several: str) -> Operation:
    record_id: models.CharField[str, str] = models.CharField(
        max_length=255, primary_key=True, serialize=False
    )
    return migrations.CreateModel(
        name=model,
        fields=[("record_id", record_id)],
        options={
            "verbose_name": one,
            "verbose_name_plural": several,
            "managed": False,
            "default_permissions": ("view",),
            "base_manager_name": "objects",
        },
    )


class Migration(migrations.Migration):
    """What Django's state of the models knows; nothing is done in a database."""

    dependencies: ClassVar[Sequence[tuple[str, str]]] = [("segmentflow_django", "0001_initial")]
    operations: ClassVar[Sequence[Operation]] = [
        _name("Enrollment", "Enrollment", "Enrollments"),
        _name("Journey", "Journey", "Journeys"),
        _name("Profile", "Profile", "Profiles"),
        _name("UserEvent", "event", "events"),
    ]
