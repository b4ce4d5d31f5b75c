"""Asking the operator's page, in either colour, without a server."""

from __future__ import annotations

import asyncio
import re
from html import unescape
from urllib.parse import urlencode

from attrs import frozen

from segmentflow_console import Operator

HOST = {"host": "ops.example.com"}
FORM = {
    **HOST,
    "origin": "https://ops.example.com",
    "content-type": "application/x-www-form-urlencoded",
}
KEY = b"the key of the tokens of forms!!"


@frozen
class Answer:
    """What came back."""

    status: int
    headers: dict
    text: str

    @property
    def token(self):
        """Return the token of the form that the page is about: the last one on it."""
        return re.findall(r'name="token" value="([^"]+)"', self.text)[-1]


def operator(*scopes, name="carol", **more):
    return Operator(name, scopes or ("read", "act", "erase"), **more)


class Asking:
    """Asks a console, as one operator unless told otherwise."""

    def __init__(self, console, who=None):
        self.console = console
        self.who = who or operator()

    def __call__(self, method, path, headers=HOST, body=b"", **more):
        given = {"operator": self.who, **more}
        response = self.console(method, path, headers, body, **given)
        if asyncio.iscoroutine(response):
            response = asyncio.run(response)
        return Answer(response.status, response.headers, unescape(response.body.decode()))

    def raw(self, path):
        """Return a page as it was written."""
        response = self.console("GET", path, HOST, b"", operator=self.who)
        if asyncio.iscoroutine(response):
            response = asyncio.run(response)
        return response.body.decode()

    def get(self, path, **more):
        return self("GET", path, **more)

    def post(self, path, fields, headers=FORM, **more):
        return self("POST", path, headers, urlencode(fields).encode(), **more)

    def confirm(self, path, **fields):
        """Open the page that asks, and say yes."""
        return self.post(path, {"token": self.get(path).token, **fields})
