"""Django: one view hands the request to the WSGI app."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt

from segmentflow_core import Tracker
from segmentflow_http import Authenticator, Endpoint, WsgiApp

# A project's urls.py holds this list; here the module is its own project.
urlpatterns: list[Any] = []


def create_app(tracker: Tracker, authenticator: Authenticator) -> WSGIHandler:
    """Serve the host, and events.track at /tracking/api/v1/events."""
    app = WsgiApp(Endpoint(tracker, authenticator, prefix="/tracking"))

    def home(_request: HttpRequest) -> HttpResponse:
        return HttpResponse("the shop")

    @csrf_exempt  # Callers are servers with a key of their own, and send no cookie.
    def events(request: WSGIRequest) -> HttpResponse:
        # Django takes a chunked body for an empty one. So the app reads the body itself; no
        # middleware must read `request.body` first.
        status, headers, body = app.answer(request.environ)
        return HttpResponse(body, status=status, headers=headers)

    urlpatterns[:] = [re_path(r"^$", home), re_path(r"^tracking/", events)]
    if not settings.configured:
        settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of the project")
    return get_wsgi_application()
