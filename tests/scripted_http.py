"""A service that gives prepared answers to a client, and remembers what was sent."""

from __future__ import annotations

import httpx

from segmentflow_http.messages import error_response

URL = "http://events.test"
RECEIPT = {
    "eventId": "e",
    "profileId": "p",
    "matchedJourneys": 3,
    "enrolledJourneys": 2,
    "skippedJourneys": 1,
}


class Script:
    """Answers with one prepared answer after another, and remembers what was sent."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.requests = []
        self.pauses = []

    def __call__(self, request):
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    async def sleep(self, seconds):
        self.pauses.append(seconds)


def answer(status, document=None, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=document, headers=names)


def refusal(error):
    status, headers, body = error_response(error)
    return httpx.Response(status, headers=headers, content=body)
