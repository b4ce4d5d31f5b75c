"""One request for a page of the admin: what it asks for, for which Organization, and links from it.

Knows Django's requests, admin sites and permissions. Must never know what a page shows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Self
from urllib.parse import urlencode
from uuid import UUID

from attrs import frozen
from django.contrib.admin.sites import AdminSite
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.urls import reverse

from segmentflow_core import Enrollments, Journeys, Records
from segmentflow_core.errors import NotFound
from segmentflow_django.conf import database, given, organizations_of
from segmentflow_django.pages import Cell
from segmentflow_django.storage import DjangoStorage

__all__ = ["Asked"]

_ORGANIZATION: Final = "organization"


@frozen
class Asked:
    """What a page is asked for.

    Attributes:
        request: of the browser.
        site: the admin site that answers.
        organizations: those whose records the user may be shown.
        organization: the one whose records the page shows.
        storage: in the database of the setting.
    """

    request: HttpRequest
    site: AdminSite
    organizations: tuple[str, ...]
    organization: str
    storage: DjangoStorage

    @classmethod
    def by(cls, request: HttpRequest, site: AdminSite) -> Self:
        """Read whose records are asked for.

        Raises:
            PermissionDenied: the user may be shown those of no Organization.
            NotFound: not of this one.
            ConfigurationError: the setting is not right.
        """
        organizations = organizations_of(request)
        if not organizations:
            raise PermissionDenied
        organization = request.GET.get(_ORGANIZATION) or organizations[0]
        if organization not in organizations:
            raise NotFound
        return cls(request, site, organizations, organization, DjangoStorage(database()))

    @property
    def records(self) -> Records:
        """Events and Profiles; they ask for no fingerprint secret."""
        return Records(self.storage, clock=given("CLOCK"))

    @property
    def enrollments(self) -> Enrollments:
        """Enrollments."""
        return Enrollments(self.storage, clock=given("CLOCK"))

    @property
    def journeys(self) -> Journeys:
        """Journeys."""
        return Journeys(self.storage, clock=given("CLOCK"))

    @property
    def whose(self) -> dict[str, Any]:
        """The argument by which a facade is told the Organization."""
        return {"organization_id": self.organization}

    def text(self, name: str) -> str | None:
        """Return what a field of the page was filled with; None where it was not.

        Raises:
            NotFound: nothing that is recorded can be equal to it.
        """
        text = self.request.GET.get(name, "").strip()
        if "\0" in text:
            raise NotFound
        return text or None

    def identifier(self, name: str) -> str | None:
        """Return the id that stands in the page's address; None where none does.

        Raises:
            NotFound: it is no id.
        """
        text = self.text(name)
        try:
            return None if text is None else str(UUID(text))
        except ValueError:
            raise NotFound from None

    def may_view(self, *models: type[Any]) -> bool:
        """Say whether the site has pages of all these, and the user may view them."""
        return all(
            self.site.is_registered(model)
            and self.site.get_model_admin(model).has_view_permission(self.request)
            for model in models
        )

    def link(
        self,
        model: type[Any],
        record_id: str | None,
        words: str | None = None,
        page: str = "change",
    ) -> Cell:
        """Link a record's page, as far as the user may view it; else say the words alone."""
        if record_id is None:
            return Cell.of(None)
        shown = record_id if words is None else words
        if not self.may_view(model):
            return Cell(shown)
        return Cell(shown, self._url(model, page, [quote(record_id)]) + self._query({}))

    def list_link(self, model: type[Any], words: str, **fields: str) -> Cell | None:
        """Link a list with its fields filled; None where the user may not view it."""
        if not self.may_view(model):
            return None
        return Cell(words, self._url(model, "changelist", []) + self._query(fields))

    def same_page(self, names: Iterable[str], **fields: str) -> str:
        """Return the address of this page with these fields as they are, and others as given."""
        kept = {name: self.request.GET.get(name, "") for name in names}
        return self._query({**kept, **fields}) or "?"

    def _url(self, model: type[Any], page: str, args: list[str]) -> str:
        options = model._meta
        return reverse(
            f"admin:{options.app_label}_{options.model_name}_{page}",
            args=args,
            current_app=self.site.name,
        )

    def _query(self, fields: dict[str, str]) -> str:
        said = {name: value for name, value in fields.items() if value}
        if self.organization != self.organizations[0]:
            said[_ORGANIZATION] = self.organization
        return f"?{urlencode(said)}" if said else ""
