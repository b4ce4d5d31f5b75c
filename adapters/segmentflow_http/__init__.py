"""`events.track` over HTTP: an endpoint for any framework, ASGI and WSGI apps, OpenAPI."""

from __future__ import annotations

from segmentflow_http.asgi import AsgiApp
from segmentflow_http.authentication import (
    ApiKeyAuthenticator,
    AsyncApiKeyAuthenticator,
    Authenticator,
    Caller,
    KnownKeys,
)
from segmentflow_http.endpoint import AsyncEndpoint, Endpoint
from segmentflow_http.messages import Response
from segmentflow_http.openapi import openapi_document
from segmentflow_http.wsgi import WsgiApp

__all__ = [
    "ApiKeyAuthenticator",
    "AsgiApp",
    "AsyncApiKeyAuthenticator",
    "AsyncEndpoint",
    "Authenticator",
    "Caller",
    "Endpoint",
    "KnownKeys",
    "Response",
    "WsgiApp",
    "openapi_document",
]
