"""What the command prints: JSON for programs, tables and colour for people."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TextIO

from attrs import frozen
from rich.console import Console
from rich.text import Text

from segmentflow_cli.pages import receipt_page
from segmentflow_cli.tables import Column, laid_out, room, say, visible
from segmentflow_cli.unheard import Unheard
from segmentflow_core import PublishedJourney, SegmentflowError
from segmentflow_core.wire import published_document

__all__ = [
    "Printer",
    "counted",
    "faults",
    "print_json",
    "shortened",
    "told_end",
]

_CHANGES: Final = {
    "created": "new, version {version}",
    "new_version": "changed, version {version}",
    "new_status": "now {status}",
    "unchanged": "unchanged",
}
_SHOWN_IDS: Final = 3
_FAILURE: Final = 60


def _shortened(ids: Sequence[str]) -> str:
    more = len(ids) - _SHOWN_IDS
    return ", ".join(ids[:_SHOWN_IDS]) + (f" and {more} more" if more > 0 else "")


def shortened(text: str) -> str:
    """Write the beginning of a text, on one line; `--json` and `show` write all of it."""
    first, *more = text.splitlines() or [""]
    return f"{first[:_FAILURE].rstrip()}…" if more or len(first) > _FAILURE else first


def print_json(document: Any, file: TextIO) -> None:
    """Print a document on one line; in ASCII only, unless the encoding is UTF-8."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    ascii_alone = codecs.lookup(encoding).name != "utf-8"
    print(json.dumps(document, ensure_ascii=ascii_alone), file=file)


def faults(error: SegmentflowError, whole: str) -> Iterator[str]:
    """Write a refusal's faults, one a line; `whole` is what an empty path points at."""
    for violation in error.details.get("violations", ()):
        yield visible(f"  {violation['path'] or whole} {violation['message']}")
    for path in error.details.get("changedPaths", ()):
        yield visible(f"  {path or 'the request'} differs")
    for path in error.details.get("redactedPaths", ()):
        yield visible(f"  {path} is redacted, and was not compared")
    for identifier in error.details.get("ids", ()):
        yield f"  {identifier}"


def counted(count: int, one: str, more: str | None = None) -> str:
    """Write how many there are, by the word for one of them or for several.

    >>> counted(1, "identity", "identities"), counted(2_000, "event")
    ('1 identity', '2,000 events')
    """
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def told_end(profile: Mapping[str, Any]) -> str:
    """Say what was done to a Profile: suppressed, merged, erased; nothing where nothing was."""
    if profile["erasedAt"] is not None:
        done = profile["scrubbedAt"] is not None
        return f"erased since {profile['erasedAt']}" if done else "being erased"
    if profile["mergedInto"] is not None:
        return f"merged into {profile['mergedInto']}"
    if profile["suppressedAt"] is not None:
        return f"suppressed since {profile['suppressedAt']}"
    return ""


@frozen
class Printer:
    """Prints results in one of two forms.

    Attributes:
        as_json: whether stdout is for a program.
    """

    as_json: bool

    @property
    def console(self) -> Console:
        """Return the console for people."""
        return Console(highlight=False)

    def document(self, document: Any) -> None:
        """Print one document for programs."""
        print_json(document, sys.stdout)

    def say(self, line: str | Text, style: str = "default") -> None:
        """Say something to people."""
        say(self.console, line, style)

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> None:
        """Print a table for people, as wide as there is room."""
        console = self.console
        console.print(laid_out(columns, rows, room(console)), crop=False)

    def page(
        self, document: dict[str, Any], page: Callable[[Console, dict[str, Any]], None]
    ) -> None:
        """Print one record: a document for programs, a page for people."""
        if self.as_json:
            self.document(document)
        else:
            page(self.console, document)

    def initialised(self, secret: str | None, *, created: bool, needed: bool) -> None:
        """Say that a store is ready, and what tracking still needs."""
        if self.as_json:
            self.document({"secretFile": secret, "secretCreated": created})
            return
        self.say("The store is ready.", "green")
        if secret is not None:
            word = "Its new secret is" if created else "Its secret was already"
            self.say(f"{word} in {secret}; keep it as safe as a password.")
        if needed:
            self.say(
                Text("Tracking needs a secret:", "yellow").append(
                    " set SEGMENTFLOW_FINGERPRINT_KEY to at least 32 bytes of UTF-8, the same for "
                    "every process, and keep it.",
                    "default",
                )
            )

    def receipt(self, receipt: dict[str, Any], *, replayed: bool, unmatched: Sequence[str]) -> None:
        """Print a receipt; on stderr, name each redaction path that named nothing."""
        if self.as_json:
            self.document(receipt)
            if unmatched:
                print_json({"unmatchedPaths": list(unmatched)}, sys.stderr)
            return
        receipt_page(self.console, receipt, replayed=replayed)
        for path in unmatched:
            self.warned(f"The redaction path {path} names nothing.")

    def plan(self, plan: Sequence[PublishedJourney]) -> None:
        """Say what publishing will change, before it changes it."""
        if self.as_json:
            return
        for item in plan:
            journey = item.journey
            what = _CHANGES[item.change].format(
                version=journey.version, status=journey.definition.status
            )
            colour = "dim" if item.change == "unchanged" else "green"
            self.say(Text(visible(f"  {journey.journey_id}: ")).append(what, colour))
            for path in item.changed:
                self.say(f"    {path}", "dim")

    def published(self, plan: Sequence[PublishedJourney], *, dry_run: bool) -> None:
        """Say what publishing changed."""
        changed = sum(item.change != "unchanged" for item in plan)
        if self.as_json:
            self.document(
                [
                    {
                        **published_document(item.journey),
                        "change": item.change,
                        "changed": list(item.changed),
                    }
                    for item in plan
                ]
            )
        elif dry_run:
            self.say(f"{changed} of {len(plan)} would change.")
        else:
            self.say(f"{changed} of {len(plan)} changed.")

    def unheard(self, missed: Sequence[Unheard]) -> None:
        """Point out on stderr what Journeys read and no recorded event has."""
        if self.as_json and missed:
            print_json({"unheard": [each.document() for each in missed]}, sys.stderr)
            return
        for each in missed:
            self.warned(each.line())

    def journeys(self, found: Sequence[dict[str, Any]]) -> None:
        """Print a list of Journeys."""
        columns = (
            Column("journey"),
            Column("version", "word"),
            Column("status", "word"),
            Column("event"),
            Column("name"),
        )
        rows = [
            (item["id"], item["version"], item["status"], item["trigger"]["event"], item["name"])
            for item in found
        ]
        self._list(found, columns, rows)

    def events(self, found: Sequence[dict[str, Any]], limit: int) -> None:
        """Print a page of events."""
        columns = (
            Column("event id", "id"),
            Column("event"),
            Column("profile", "id"),
            Column("occurred", "time"),
            Column("enrolled", "word"),
        )
        rows = [
            (
                *(item[name] for name in ("eventId", "event", "profileId", "occurredAt")),
                _share(item),
            )
            for item in found
        ]
        self._list(found, columns, rows, limit)

    def profiles(self, found: Sequence[dict[str, Any]], limit: int) -> None:
        """Print a page of Profiles."""
        columns = (
            Column("profile", "id"),
            Column("email"),
            Column("external id"),
            Column("created", "day", spare=True),
            Column("changed", "day"),
            Column("aliases", "word", spare=True),
            Column(""),
        )
        names = ("profileId", "email", "externalId", "createdAt", "updatedAt", "aliases")
        rows = [(*(item[name] or "" for name in names), told_end(item)) for item in found]
        self._list(found, columns, rows, limit)

    def enrollments(self, found: Sequence[dict[str, Any]], limit: int | None = None) -> None:
        """Print a page of Enrollments."""
        columns = (
            Column("enrollment", "id"),
            Column("journey"),
            Column("version", "word", spare=True),
            Column("profile", "id"),
            Column("status", "word"),
            Column("entered", "day"),
        )
        names = ("enrollmentId", "journeyId", "version", "profileId", "status", "enteredAt")
        self._with_failures(found, names, columns, limit)

    def claimed(self, found: Sequence[dict[str, Any]]) -> None:
        """Print the Enrollments handed to a worker, and how to finish them."""
        columns = (
            Column("enrollment", "id"),
            Column("journey"),
            Column("event"),
            Column("profile", "id", spare=True),
            Column("attempt", "word"),
            Column("lease until", "time"),
        )
        names = ("enrollmentId", "journeyId", "event", "profileId", "attempts", "leaseUntil")
        self._with_failures(found, names, columns)
        if found and not self.as_json:
            # The token by itself, so that a narrow terminal folds no command that is to be copied.
            self.say("Finish with: segmentflow enrollments complete ID --token TOKEN")
            self.say(f"The token: {found[0]['token']}")

    def worked(self, completed: int) -> None:
        """Say how many Enrollments a worker completed."""
        self.told({"completed": completed}, f"Completed {counted(completed, 'Enrollment')}.")

    def audit(self, found: Sequence[dict[str, Any]], limit: int) -> None:
        """Print what was done to people, Journeys and API Keys."""
        columns = (
            Column("id", "id", spare=True),
            Column("when", "day"),
            Column("what", "word"),
            Column("of", "ids"),
            Column("how many"),
            Column("by"),
        )
        rows = [
            (
                item["auditId"],
                item["at"],
                item["action"],
                _shortened(item["subjects"]),
                ", ".join(f"{count} {name}" for name, count in item["counts"].items() if count),
                item["by"] or "",
            )
            for item in found
        ]
        self._list(found, columns, rows, limit)

    def told(self, document: dict[str, Any], line: str) -> None:
        """Say what was done: a document for programs, a line for people."""
        if self.as_json:
            self.document(document)
        else:
            self.say(line)

    def warned(self, line: str) -> None:
        """Say something on stderr, whatever is printed."""
        say(Console(stderr=True, highlight=False), line, "yellow")

    def purged(self, count: int) -> None:
        """Say how many keys were removed."""
        self.told({"purged": count}, f"Removed {counted(count, 'expired idempotency key')}.")

    def migrated(self, report: Any, *, dry_run: bool) -> None:
        """Print the steps of a migration that was made, or that would be."""
        if self.as_json:
            steps = [
                {"version": step.version, "name": step.name, "rows": step.rows}
                for step in report.steps
            ]
            changes = {"from": report.found, "to": report.version, "dryRun": dry_run}
            self.document({**changes, "steps": steps})
            return
        if not report.steps:
            self.say(f"The tables are of version {report.version}: nothing to do.")
            return
        rows = [
            (step.version, step.name, "" if step.rows is None else f"{step.rows:,}")
            for step in report.steps
        ]
        self.table((Column("version", "word"), Column("step"), Column("rows", "word")), rows)
        did = "Would migrate" if dry_run else "Migrated"
        self.say(f"{did} the tables from version {report.found} to {report.version}.")

    def script(self, sql: str) -> None:
        """Print a script of SQL as it is."""
        if self.as_json:
            self.document({"sql": sql})
        else:
            print(sql, end="")

    def api_key(self, secret: str, api_key: dict[str, Any]) -> None:
        """Print a new API Key; its secret cannot be shown again."""
        if self.as_json:
            self.document({"secret": secret, **api_key})
            return
        self.say(secret, "bold")
        self.say("Keep it safe: it is not stored and cannot be shown again.")
        self.say(f"Its id: {api_key['keyId']}")

    def api_keys(self, found: Sequence[dict[str, Any]]) -> None:
        """Print a list of API Keys."""
        columns = (
            Column("key id", "id"),
            Column("label"),
            Column("kind", "word"),
            Column("scopes"),
            Column("created", "day", spare=True),
            Column("last used", "day"),
            Column("revoked", "day"),
        )
        rows = [
            (
                item["keyId"],
                item["label"] or "",
                "test" if item["test"] else "live",
                ", ".join(item["scopes"]),
                item["createdAt"],
                item["lastUsedAt"] or "never",
                item["revokedAt"] or "",
            )
            for item in found
        ]
        self._list(found, columns, rows)

    def api_key_revoked(self, api_key: dict[str, Any]) -> None:
        """Say that an API Key is refused from now on."""
        self.told(api_key, f"Revoked {api_key['keyId']} at {api_key['revokedAt']}.")

    def refused(self, error: SegmentflowError) -> None:
        """Print a refusal on stderr."""
        if self.as_json:
            print_json(error.envelope(), sys.stderr)
            return
        console = Console(stderr=True, highlight=False)
        say(console, Text(error.code, "bold red").append(f": {error.message}", "default"))
        for fault in faults(error, "the document"):
            say(console, fault)
        for note in getattr(error, "__notes__", ()):
            say(console, f"  {note}")

    def unreadable(self, name: object, why: str) -> None:
        """Say on stderr that a file cannot be used."""
        say(Console(stderr=True, highlight=False), f"{name}: {why}")

    def _with_failures(
        self,
        found: Sequence[dict[str, Any]],
        names: Sequence[str],
        columns: Sequence[Column],
        limit: int | None = None,
    ) -> None:
        """Print Enrollments, with the last failure of each where any of them failed in words."""
        rows = [tuple(item[name] for name in names) for item in found]
        if any(item["lastFailure"] for item in found):
            columns = (*columns, Column("last failure"))
            rows = [
                (*row, shortened(item["lastFailure"] or ""))
                for row, item in zip(rows, found, strict=True)
            ]
        self._list(found, columns, rows, limit)

    def _list(
        self,
        found: Sequence[dict[str, Any]],
        columns: Sequence[Column],
        rows: Sequence[Sequence[Any]],
        limit: int | None = None,
    ) -> None:
        """Print a list; of a page that is full, how to ask for the next one."""
        if self.as_json:
            self.document(list(found))
            return
        self.table(columns, rows)
        if limit is not None and len(rows) == limit:
            self.say(f"Older ones: --before {rows[-1][0]}", "dim")


def _share(event: Mapping[str, Any]) -> str:
    """Say how many of the Journeys that an event matched it enrolled in."""
    outcomes = event["outcomes"]
    enrolled = sum(outcome["outcome"] == "enrolled" for outcome in outcomes)
    return f"{enrolled} of {len(outcomes)}"
