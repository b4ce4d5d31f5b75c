"""A headless Chromium, driven through its DevTools over a pair of pipes.

Chromium reads commands from file descriptor 3 and writes to 4, JSON texts with a zero byte behind
each (``--remote-debugging-pipe``): no driver and no library is needed.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
from collections import deque
from contextlib import contextmanager

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")

_OPTIONS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",  # tests may run as root, and open nothing but what they serve themselves
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)


class Tab:
    """One page in the browser."""

    def __init__(self, send, session):
        self._send = send
        self._session = session
        for domain in ("Page", "Runtime"):
            self.do(f"{domain}.enable")

    def do(self, method, **parameters):
        return self._send(method, parameters, self._session)

    def screen(self, width, height=900, *, dark=False):
        """Show pages at this size, in light or dark colours."""
        self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.do("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url):
        """Open a URL, and wait until it is loaded."""
        with self.loading():
            answer = self.do("Page.navigate", url=url)
            assert "errorText" not in answer, answer

    @contextmanager
    def loading(self):
        """Wait until the page that the block leads to is loaded."""
        self._send.forget("Page.loadEventFired")
        yield
        self._send.wait("Page.loadEventFired")

    def run(self, script):
        """Return what an expression of JavaScript gives, awaited."""
        answer = self.do(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key, code):
        """Press a key and let it go."""
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        text = {"text": "\r"} if key == "Enter" else {}
        self.do("Input.dispatchKeyEvent", type="keyDown", **named, **text)
        self.do("Input.dispatchKeyEvent", type="keyUp", **named)

    def photograph(self, path):
        """Write the whole page as a picture."""
        image = self.do("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(image["data"]))


class _Pipes:
    """Sends a command and gives its answer; keeps the events that come meanwhile."""

    def __init__(self, commands, answers):
        self._commands, self._answers = commands, answers
        self._read = b""
        self._number = 0
        self._events = deque()

    def __call__(self, method, parameters, session=None):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._events.append(answer)

    def forget(self, event):
        self._events = deque(each for each in self._events if each.get("method") != event)

    def wait(self, event):
        while not any(each.get("method") == event for each in self._events):
            self._events.append(self._next())
        self.forget(event)

    def _next(self):
        while b"\0" not in self._read:
            # So that a browser that hangs ends its test and not the run.
            assert select.select([self._answers], [], [], 300)[0], "Chromium hangs"
            part = os.read(self._answers, 1 << 16)
            assert part, "Chromium ended"
            self._read += part
        message, _, self._read = self._read.partition(b"\0")
        return json.loads(message)


@contextmanager
def chromium(folder):
    """Start the browser with a profile of its own, and give a tab."""
    their_read, our_write = os.pipe()
    our_read, their_write = os.pipe()
    # Only a shell puts descriptors where Chromium looks for them.
    command = f'exec "$@" 3<&{their_read} 4>&{their_write}'
    with (folder / "chromium.log").open("wb") as log:
        browser = subprocess.Popen(
            ["bash", "-c", command, "-", PROGRAM, *_OPTIONS, f"--user-data-dir={folder}/profile"],
            pass_fds=(their_read, their_write),
            stdout=log,
            stderr=log,
        )
    os.close(their_read)
    os.close(their_write)
    try:
        send = _Pipes(our_write, our_read)
        target = send("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = send("Target.attachToTarget", {"targetId": target, "flatten": True})
        yield Tab(send, attached["sessionId"])
        send("Browser.close", {})
    finally:
        os.close(our_write)
        os.close(our_read)
        try:
            browser.wait(10)
        except subprocess.TimeoutExpired:
            browser.kill()
            browser.wait()
