"""Names for Django's admin and permissions: what is recorded, without a column or a row.

The tables are the storage's own, and no query of Django's reads them: the pages of the admin go
by the library's facades. Each model gives its page a place and the permission to view it.

See docs/how-to/django.md.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

__all__ = ["Enrollment", "Journey", "Profile", "UserEvent"]


class _NoRows(models.Manager[Any]):
    """Finds nothing, so that what asks every model, as `dumpdata` does, is answered."""

    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().none()


class _Name(models.Model):
    """What each of them has."""

    record_id: models.CharField[str, str] = models.CharField(primary_key=True, max_length=255)

    objects: ClassVar[models.Manager[Any]] = _NoRows()

    class Meta:
        abstract = True
        managed = False
        base_manager_name = "objects"
        default_permissions = ("view",)


class Profile(_Name):
    """The permission to view Profiles, and their place in the admin."""

    class Meta(_Name.Meta):
        verbose_name = "Profile"
        verbose_name_plural = "Profiles"


class UserEvent(_Name):
    """The permission to view events, and their place in the admin."""

    class Meta(_Name.Meta):
        verbose_name = "event"
        verbose_name_plural = "events"


class Enrollment(_Name):
    """The permission to view Enrollments, and their place in the admin."""

    class Meta(_Name.Meta):
        verbose_name = "Enrollment"
        verbose_name_plural = "Enrollments"


class Journey(_Name):
    """The permission to view Journeys, and their place in the admin."""

    class Meta(_Name.Meta):
        verbose_name = "Journey"
        verbose_name_plural = "Journeys"
