"""What the command prints on a terminal of 80 columns, and on one of 120."""

from __future__ import annotations

import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios

import pytest

from segmentflow_cli.app import app
from segmentflow_cli.tables import short_id
from segmentflow_core import ApiKeys, Enrollments, Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import open_storage

pty = pytest.importorskip("pty")

LONG = "the-journey-of-everybody-who-has-ever-bought-a-thing-or-two"
SKU = {"path": "/sku", "op": "in", "value": ["a", "b"]}
WHERE = {
    "all": [
        {
            "path": "/event/items",
            "op": "any_item",
            "value": {"path": "/sku", "op": "in", "value": ["a", "b"]},
        },
        {"not": {"path": "/profile/properties/plan", "op": "eq", "value": "Free"}},
        {"did": "order.created", "times": {"gte": 0}, "within": "P30D"},
    ]
}
RUN = """
import json, sys
from segmentflow_cli import main
for each in json.load(open(sys.argv[1])):
    main(each)
"""


def every_command(group, path=()):
    for name in group:
        if not name.startswith("-"):
            yield (*path, name)
            yield from every_command(group[name], (*path, name))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Fill a store with what is long; give its URL, and the ids by what lists them."""
    folder = tmp_path_factory.mktemp("terminal")
    url = f"sqlite:///{folder / 'store.db'}"
    storage = open_storage(url)
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    large = {"event": "order.created", "where": WHERE}
    tracker.journeys.publish([a_journey(), a_journey(LONG, trigger=large, name="For " * 12)])
    receipts = []
    for number in range(3):
        data = {"items": [{"sku": "a", "note": "word " * 30}], "url": "x" * 150}
        who = {"email": f"somebody.with.a.long.name.{number}@department.example.com"}
        sent = a_request(profile=who, data=data, referenceId=f"{number}")
        receipts.append(tracker.track(sent, f"{number}"))
    key = ApiKeys(storage).create(["events:write", "events:read"], label="of the shop " * 5).api_key
    claimed = Enrollments(storage).claim(limit=1)
    Enrollments(storage).release(claimed[0].lease, error="the mail server said no, again " * 3)
    entered = Enrollments(storage).list()
    storage.close()
    return (
        folder,
        url,
        {
            "events list": [receipt.event_id for receipt in receipts],
            "profiles list": [receipt.profile_id for receipt in receipts],
            "enrollments list": [each.enrollment_id for each in entered],
            "keys list": [key.key_id],
        },
    )


def on_a_terminal(folder, url, width, commands):
    """Run commands in one process on a terminal so wide; give what each line of it shows."""
    (folder / "commands.json").write_text(json.dumps(commands))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    unset = ("COLUMNS", "FORCE_COLOR", "NO_COLOR")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"SEGMENTFLOW_STORE": url, "TERM": "xterm"}
    environment |= {"SEGMENTFLOW_FINGERPRINT_KEY": FINGERPRINT_SECRET}
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder / "commands.json")],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        cwd=folder,
    ) as process:
        os.close(theirs)
        shown = b""
        while part := _read(ours):
            shown += part
        assert process.wait() == 0
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).splitlines()


def _read(end):
    try:
        return os.read(end, 65_536)
    except OSError:  # how Linux says that there is no more
        return b""


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_id_is_cut(store, width):
    folder, url, ids = store
    (event, *_), (profile, *_) = ids["events list"], ids["profiles list"]
    (enrollment, *_) = ids["enrollments list"]
    commands = [
        *(name.split() for name in ids),
        ["events", "list", "--limit", "1"],
        ["events", "show", short_id(event)],
        ["profiles", "show", short_id(profile)],
        ["enrollments", "show", short_id(enrollment)],
        ["enrollments", "claim"],
        ["journeys", "list"],
        ["journeys", "show", LONG],
        ["journeys", "stats"],
        ["explain", "--event", short_id(event)],
        ["why", short_id(profile), "--journey", LONG],
        ["audit"],
        ["keys", "create", "--scope", "events:write"],
        ["events", "show", "0" * 12],
    ]
    if width == 80:
        # What fits here fits where there is more room.
        commands += [["demo"], *([*path, "--help"] for path in every_command(app))]
    lines = on_a_terminal(folder, url, width, commands)
    assert {line for line in lines if len(line.rstrip()) > width} == set()
    words = set(re.split(r"[\s:,]+", "\n".join(lines)))
    for each in (each for some in ids.values() for each in some):
        assert words & {each, short_id(each)}
    # What is left of an id that was cut, or folded, is neither of these.
    cut = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]*"
    whole = {word for word in words if re.fullmatch(cut, word)}
    assert {word for word in whole if len(word) != 36} == set()
    assert LONG in "".join(line.strip() for line in lines)
