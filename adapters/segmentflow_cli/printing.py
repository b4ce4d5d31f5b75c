"""What the command prints: JSON for programs, tables and colour for people."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TextIO

from attrs import frozen
from rich.console import Console
from rich.table import Table
from rich.text import Text

from segmentflow_core import PublishedJourney, SegmentflowError
from segmentflow_core.wire import published_document

__all__ = [
    "Printer",
    "faults",
    "lined_up",
    "print_json",
    "shortened",
    "shown_json",
    "told_end",
    "visible",
]

_CHANGES: Final = {
    "created": "new, version {version}",
    "new_version": "changed, version {version}",
    "new_status": "now {status}",
    "unchanged": "unchanged",
}
_AS_WIDE_AS_NEEDED: Final = 1_000_000
_SHOWN_IDS: Final = 3
_FAILURE: Final = 60
_REDACTED: Final = '"[REDACTED]"'


def _shortened(ids: Sequence[str]) -> str:
    more = len(ids) - _SHOWN_IDS
    return ", ".join(ids[:_SHOWN_IDS]) + (f" and {more} more" if more > 0 else "")


def visible(text: str) -> str:
    """Write control characters and marks of direction as escapes.

    An event's name may hold anything, and a terminal would obey it.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\n" else f"\\u{ord(char):04x}" for char in text
    )


def shortened(text: str) -> str:
    """Write the beginning of a text, on one line; `--json` and `show` write all of it."""
    first, *more = text.splitlines() or [""]
    return f"{first[:_FAILURE].rstrip()}…" if more or len(first) > _FAILURE else first


def print_json(document: Any, file: TextIO) -> None:
    """Print a document on one line; in ASCII only, unless the encoding is UTF-8."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    ascii_alone = codecs.lookup(encoding).name != "utf-8"
    print(json.dumps(document, ensure_ascii=ascii_alone), file=file)


def shown_json(document: Any) -> Text:
    """Write a document with its redacted parts highlighted."""
    text = Text(visible(json.dumps(document, indent=2, ensure_ascii=False)))
    text.highlight_words([_REDACTED], "bold magenta")
    return text


def faults(error: SegmentflowError, whole: str) -> Iterator[str]:
    """Write a refusal's faults, one a line; `whole` is what an empty path points at."""
    for violation in error.details.get("violations", ()):
        yield visible(f"  {violation['path'] or whole} {violation['message']}")
    for path in error.details.get("changedPaths", ()):
        yield visible(f"  {path or 'the request'} differs")
    for path in error.details.get("redactedPaths", ()):
        yield visible(f"  {path} is redacted, and was not compared")


def lined_up(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Lay out rows as a table, each on one line, however narrow the terminal is.

    A line that the terminal wraps is copied whole. An id that the table broke would not be.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(visible(str(cell)).replace("\n", "\\u000a")) for cell in row))
    table.width = Console(width=_AS_WIDE_AS_NEEDED).measure(table).maximum
    return table


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
        return Console(highlight=False, soft_wrap=True)

    def document(self, document: Any) -> None:
        """Print one document."""
        if self.as_json:
            print_json(document, sys.stdout)
        else:
            self.console.print(shown_json(document))

    def initialised(self, secret: str | None, *, created: bool, needed: bool) -> None:
        """Say that a store is ready, and what tracking still needs."""
        if self.as_json:
            self.document({"secretFile": secret, "secretCreated": created})
            return
        self.console.print("[green]The store is ready.[/]")
        if secret is not None:
            word = "Its new secret is" if created else "Its secret was already"
            self.console.print(Text(f"{word} in {secret}; keep it as safe as a password."))
        if needed:
            self.console.print(
                "[yellow]Tracking needs a secret:[/] set SEGMENTFLOW_FINGERPRINT_KEY to at least "
                "32 bytes of UTF-8, the same for every process, and keep it."
            )

    def receipt(self, receipt: dict[str, Any], *, replayed: bool, unmatched: Sequence[str]) -> None:
        """Print a receipt; on stderr, name each redaction path that named nothing."""
        if not self.as_json and replayed:
            self.console.print("[yellow]Replayed:[/] this request was tracked before.")
        self.document(receipt)
        if self.as_json and unmatched:
            print_json({"unmatchedPaths": list(unmatched)}, sys.stderr)
            return
        errors = Console(stderr=True, highlight=False, soft_wrap=True)
        for path in unmatched:
            errors.print(Text(visible(f"The redaction path {path} names nothing."), "yellow"))

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
            line = Text(visible(f"  {journey.journey_id}: "))
            self.console.print(line.append(what, colour))
            for path in item.changed:
                self.console.print(Text(visible(f"    {path}"), "dim"))

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
            self.console.print(f"{changed} of {len(plan)} would change.")
        else:
            self.console.print(f"{changed} of {len(plan)} changed.")

    def journeys(self, found: Sequence[dict[str, Any]]) -> None:
        """Print a list of Journeys."""
        rows = [
            (item["id"], item["version"], item["status"], item["trigger"]["event"], item["name"])
            for item in found
        ]
        self._list(found, ("journey", "version", "status", "event", "name"), rows)

    def events(self, found: Sequence[dict[str, Any]]) -> None:
        """Print a list of events."""
        rows = [
            (
                item["eventId"],
                item["event"],
                item["profileId"],
                item["occurredAt"],
                sum(outcome["outcome"] == "enrolled" for outcome in item["outcomes"]),
                len(item["outcomes"]),
            )
            for item in found
        ]
        columns = ("event id", "event", "profile", "occurred", "enrolled", "matched")
        self._list(found, columns, rows)

    def profiles(self, found: Sequence[dict[str, Any]]) -> None:
        """Print a list of Profiles."""
        names = ("profileId", "email", "externalId", "createdAt", "updatedAt", "aliases")
        rows = [(*(item[name] or "" for name in names), told_end(item)) for item in found]
        columns = ("profile", "email", "external id", "created", "changed", "aliases", "")
        self._list(found, columns, rows)

    def enrollments(self, found: Sequence[dict[str, Any]]) -> None:
        """Print a list of Enrollments."""
        names = ("enrollmentId", "journeyId", "version", "profileId", "status", "enteredAt")
        columns = ("enrollment", "journey", "version", "profile", "status", "entered")
        self._with_failures(found, names, columns)

    def claimed(self, found: Sequence[dict[str, Any]]) -> None:
        """Print the Enrollments handed to a worker, and how to finish them."""
        names = ("enrollmentId", "journeyId", "event", "profileId", "attempts", "leaseUntil")
        columns = ("enrollment", "journey", "event", "profile", "attempt", "lease until")
        self._with_failures(found, names, columns)
        if found and not self.as_json:
            token = found[0]["token"]
            self.console.print(f"Finish with: enrollments complete ID --token {token}")

    def worked(self, completed: int) -> None:
        """Say how many Enrollments a worker completed."""
        if self.as_json:
            self.document({"completed": completed})
        else:
            self.console.print(f"Completed {completed} Enrollments.")

    def audit(self, found: Sequence[dict[str, Any]]) -> None:
        """Print what was done to people, Journeys and API Keys."""
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
        self._list(found, ("id", "when", "what", "of", "how many", "by"), rows)

    def told(self, document: dict[str, Any], line: str) -> None:
        """Say what was done: a document for programs, a line for people."""
        if self.as_json:
            self.document(document)
        else:
            self.console.print(Text(visible(line)))

    def warned(self, line: str) -> None:
        """Say something on stderr, whatever is printed."""
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(visible(line), "yellow"))

    def purged(self, count: int) -> None:
        """Say how many keys were removed."""
        if self.as_json:
            self.document({"purged": count})
        else:
            self.console.print(f"Removed {count} expired idempotency keys.")

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
            self.console.print(f"The tables are of version {report.version}: nothing to do.")
            return
        rows = [
            (step.version, step.name, "" if step.rows is None else f"{step.rows:,}")
            for step in report.steps
        ]
        self.console.print(lined_up(("version", "step", "rows"), rows))
        did = "Would migrate" if dry_run else "Migrated"
        self.console.print(f"{did} the tables from version {report.found} to {report.version}.")

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
        self.console.print(Text(secret, "bold"))
        line = (
            f"Keep it safe: it is not stored and cannot be shown again. Its id: {api_key['keyId']}"
        )
        self.console.print(Text(line))

    def api_keys(self, found: Sequence[dict[str, Any]]) -> None:
        """Print a list of API Keys."""
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
        columns = ("key id", "label", "kind", "scopes", "created", "last used", "revoked")
        self._list(found, columns, rows)

    def api_key_revoked(self, api_key: dict[str, Any]) -> None:
        """Say that an API Key is refused from now on."""
        if self.as_json:
            self.document(api_key)
        else:
            self.console.print(Text(f"Revoked {api_key['keyId']} at {api_key['revokedAt']}."))

    def refused(self, error: SegmentflowError) -> None:
        """Print a refusal on stderr."""
        if self.as_json:
            print_json(error.envelope(), sys.stderr)
            return
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(Text(error.code, "bold red").append(f": {error.message}", "default"))
        for fault in faults(error, "the document"):
            console.print(Text(fault))

    def unreadable(self, name: object, why: str) -> None:
        """Say on stderr that a file cannot be used."""
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(f"{name}: {why}"))

    def _with_failures(
        self, found: Sequence[dict[str, Any]], names: Sequence[str], columns: Sequence[str]
    ) -> None:
        """Print Enrollments, with the last failure of each where any of them failed in words."""
        rows = [tuple(item[name] for name in names) for item in found]
        if any(item["lastFailure"] for item in found):
            columns = (*columns, "last failure")
            rows = [
                (*row, shortened(item["lastFailure"] or ""))
                for row, item in zip(rows, found, strict=True)
            ]
        self._list(found, columns, rows)

    def _list(
        self, found: Sequence[Any], columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        if self.as_json:
            self.document(list(found))
            return
        self.console.print(lined_up(columns, rows))
