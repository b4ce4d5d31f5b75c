"""Pages of Django's admin: Profiles with their stories, events, Enrollments, Journeys. Read only.

Knows what each page shows and how it is found. Nothing here writes.

See docs/how-to/django.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from segmentflow_core.errors import NotFound, SegmentflowError
from segmentflow_core.ports import EnrollmentStatus
from segmentflow_core.ports import Journey as PublishedJourney
from segmentflow_django import told
from segmentflow_django.asking import Asked
from segmentflow_django.models import Enrollment, Journey, Profile, UserEvent
from segmentflow_django.pages import Field, Listing, Page, Table

__all__ = ["EnrollmentAdmin", "JourneyAdmin", "ProfileAdmin", "UserEventAdmin"]

_ON_A_PAGE = 50
"""How many rows a list shows at a time."""

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class _ReadOnly(_ModelAdmin):
    """The pages of one kind of record: a list, and a page for each."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds a record here."""
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes one."""
        del request, obj
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes one."""
        del request, obj
        return False

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses of these pages, by the names that an admin's pages have."""
        return [
            self._path("", "changelist", self._list_view),
            self._path("<path:object_id>/change/", "change", self._record_view),
        ]

    def listing(self, asked: Asked) -> Listing:
        """Return the list that is asked for.

        Raises:
            NotFound: nothing is like that.
        """
        raise NotImplementedError

    def page(self, asked: Asked, record_id: str) -> Page:
        """Return the page of one record.

        Raises:
            NotFound: there is no such record.
        """
        raise NotImplementedError

    def _path(self, route: str, name: str, view: Callable[..., HttpResponse]) -> URLPattern:
        options = self.opts
        return path(
            route,
            self.admin_site.admin_view(view),
            name=f"{options.app_label}_{options.model_name}_{name}",
        )

    def _list_view(self, request: HttpRequest) -> HttpResponse:
        def show(asked: Asked) -> dict[str, Any]:
            try:
                listing = self.listing(asked)
            except NotFound:
                nothing = Table("", (), (), "Nothing like that is recorded.")
                listing = Listing(nothing, self.fields_of(asked))
            return {
                "title": self.opts.verbose_name_plural,
                "sections": [listing.table],
                "fields": listing.fields,
                "following": listing.following,
            }

        return self._answer(request, show)

    def _record_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._answer(request, lambda a: _shown(self.page(a, unquote(object_id))))

    def fields_of(self, asked: Asked) -> list[Field]:
        """Return the fields of the list, filled as they were."""
        raise NotImplementedError

    def _answer(
        self, request: HttpRequest, show: Callable[[Asked], dict[str, Any]]
    ) -> HttpResponse:
        """Answer with a page, or with why there is none.

        Raises:
            PermissionDenied: the user may not view it.
            Http404: there is no such record.
        """
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        status = 200
        try:
            asked = Asked.by(request, self.admin_site)
            context = {
                **show(asked),
                "organization": asked.organization,
                "organizations": asked.organizations,
                "default_organization": asked.organizations[0],
            }
        except NotFound as error:
            raise Http404(str(error)) from None
        except SegmentflowError as error:
            status, context = error.status, {"title": "Not now", "refusal": str(error)}
        context |= {**self.admin_site.each_context(request), "opts": self.opts}
        request.current_app = self.admin_site.name
        template = "segmentflow_django/page.html"
        return TemplateResponse(request, template, context, status=status)


def _shown(page: Page) -> dict[str, Any]:
    return {
        "title": page.title,
        "sections": page.sections,
        "links": [link for link in page.links if link is not None],
        "fields": page.fields,
        "following": page.following,
        "is_record": True,
    }


def _filled(asked: Asked, name: str, label: str, choices: tuple[str, ...] = ()) -> Field:
    return Field(name, label, asked.request.GET.get(name, ""), choices)


def _names_of_a_person(asked: Asked) -> str:
    return "email, external id or id" if asked.may_view(Profile) else "id"


def _profile_id_of(asked: Asked, word: str) -> str:
    """Return the id of whom a word names: an email or an external id, for who may view Profiles.

    Others would learn from the rows that it is somebody's, and whose.

    Raises:
        NotFound: nobody.
    """
    if asked.may_view(Profile):
        return asked.records.find_profile(word, **asked.whose).profile_id
    return asked.records.profile(word, **asked.whose).profile_id


def _following(asked: Asked, names: list[str], found: list[Any], last_id: str) -> str | None:
    """Return where the rows after these are; None where there are none.

    One more than a page shows was asked for.
    """
    if len(found) <= _ON_A_PAGE:
        return None
    return asked.same_page(names, before=getattr(found[_ON_A_PAGE - 1], last_id))


@admin.register(Profile)
class ProfileAdmin(_ReadOnly):
    """Profiles, and each one's story."""

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses of these pages, that of the story as well."""
        return [self._path("<path:object_id>/why/", "why", self._why_view), *super().get_urls()]

    def fields_of(self, asked: Asked) -> list[Field]:
        """Return the field that a Profile is found by."""
        return [_filled(asked, "q", "Email, external id or id")]

    def listing(self, asked: Asked) -> Listing:
        """Return the one Profile that was looked for, or all, newest first."""
        who = asked.text("q")
        if who is not None:
            found = [asked.records.find_profile(who, **asked.whose)]
        else:
            before = asked.identifier("before")
            found = [*asked.records.profiles(limit=_ON_A_PAGE + 1, before=before, **asked.whose)]
        following = _following(asked, [], found, "profile_id")
        return Listing(told.profiles(asked, found[:_ON_A_PAGE]), self.fields_of(asked), following)

    def page(self, asked: Asked, record_id: str) -> Page:
        """Return the page of one Profile."""
        return told.profile(asked, asked.records.profile(record_id, **asked.whose))

    def _why_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def show(asked: Asked) -> dict[str, Any]:
            if not asked.may_view(Profile, UserEvent, Enrollment):
                raise PermissionDenied
            journey_id = asked.text("journey")
            story = asked.records.why(
                unquote(object_id),
                journey_id=journey_id,
                limit=_ON_A_PAGE,
                before=asked.identifier("before"),
                **asked.whose,
            )
            field = _filled(asked, "journey", "Journey id, for each leaf of its condition")
            following = None
            if story.before is not None:
                following = asked.same_page(["journey"], before=story.before)
            return _shown(told.why(asked, story, [field], following))

        return self._answer(request, show)


@admin.register(UserEvent)
class UserEventAdmin(_ReadOnly):
    """Events."""

    def fields_of(self, asked: Asked) -> list[Field]:
        """Return the fields that events are found by."""
        return [
            _filled(asked, "q", f"Event id, or a person's {_names_of_a_person(asked)}"),
            _filled(asked, "event", "Name"),
            _filled(asked, "reference", "Reference id"),
        ]

    def listing(self, asked: Asked) -> Listing:
        """Return the one event that was looked for, or those for which all fields are true."""
        event, reference = asked.text("event"), asked.text("reference")
        wanted: dict[str, Any] = {"event": event, "reference_id": reference}
        word = asked.text("q")
        if word is not None:
            try:
                one = asked.records.event(word, **asked.whose)
            except NotFound:
                wanted["profile_id"] = _profile_id_of(asked, word)
            else:
                given = {"event": one.event, "reference_id": one.reference_id}
                if any(text not in {None, given[name]} for name, text in wanted.items()):
                    raise NotFound
                return Listing(told.events(asked, [one]), self.fields_of(asked))
        before = asked.identifier("before")
        found = [
            *asked.records.events(limit=_ON_A_PAGE + 1, before=before, **wanted, **asked.whose)
        ]
        following = _following(asked, ["q", "event", "reference"], found, "event_id")
        return Listing(told.events(asked, found[:_ON_A_PAGE]), self.fields_of(asked), following)

    def page(self, asked: Asked, record_id: str) -> Page:
        """Return the page of one event."""
        return told.event(asked, asked.records.event(record_id, **asked.whose))


@admin.register(Enrollment)
class EnrollmentAdmin(_ReadOnly):
    """Enrollments."""

    def fields_of(self, asked: Asked) -> list[Field]:
        """Return the fields that Enrollments are found by."""
        statuses = tuple(str(status) for status in EnrollmentStatus)
        return [
            _filled(asked, "q", f"Event id, or a person's {_names_of_a_person(asked)}"),
            _filled(asked, "journey", "Journey id"),
            _filled(asked, "status", "Status", statuses),
        ]

    def listing(self, asked: Asked) -> Listing:
        """Return those for which all fields are true."""
        status = asked.text("status")
        if status is not None and status not in set(EnrollmentStatus):
            raise NotFound
        wanted: dict[str, Any] = {
            "journey_id": asked.text("journey"),
            "status": None if status is None else EnrollmentStatus(status),
        }
        word = asked.text("q")
        if word is not None:
            try:
                wanted["event_id"] = asked.records.event(word, **asked.whose).event_id
            except NotFound:
                wanted["profile_id"] = _profile_id_of(asked, word)
        before = asked.identifier("before")
        found = [
            *asked.enrollments.list(limit=_ON_A_PAGE + 1, before=before, **wanted, **asked.whose)
        ]
        following = _following(asked, ["q", "journey", "status"], found, "enrollment_id")
        rows = told.enrollments(asked, found[:_ON_A_PAGE])
        return Listing(rows, self.fields_of(asked), following)

    def page(self, asked: Asked, record_id: str) -> Page:
        """Return the page of one Enrollment."""
        return told.enrollment(asked, asked.enrollments.get(record_id, **asked.whose))


@admin.register(Journey)
class JourneyAdmin(_ReadOnly):
    """Journeys."""

    def fields_of(self, asked: Asked) -> list[Field]:
        """Return the field that Journeys are found by."""
        return [_filled(asked, "q", "A part of the id, the name or the event")]

    def listing(self, asked: Asked) -> Listing:
        """Return those that have the text somewhere, by id."""
        part, after = (asked.text("q") or "").casefold(), asked.text("before")
        found = [
            each
            for each in asked.journeys.list(**asked.whose)
            if (after is None or each.journey_id > after) and part in _words_of(each)
        ]
        following = _following(asked, ["q"], found, "journey_id")
        return Listing(told.journeys(asked, found[:_ON_A_PAGE]), self.fields_of(asked), following)

    def page(self, asked: Asked, record_id: str) -> Page:
        """Return the page of one Journey, as it is published today."""
        return told.journey(asked, asked.journeys.get(record_id, **asked.whose))


def _words_of(journey: PublishedJourney) -> str:
    definition = journey.definition
    return "\n".join([definition.journey_id, definition.name, definition.trigger.event]).casefold()
