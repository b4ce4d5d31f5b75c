"""The whole use case once more, in dictionaries: what a storage's answers are compared with.

Written from the rules and sharing no code with the core's decision or
with any adapter. Its ids are numbers; the state machine pairs them with the storage's ids.
Must never see a storage.

See docs/reference/rules/index.md.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

__all__ = ["Model", "Row"]

Row: TypeAlias = dict[str, Any]


class Model:
    """What must be stored, and what each call must return.

    Args:
        key_lifetime: how long an idempotency key is remembered.
        cooldown: the cooldown of every Journey that has one, its delay, and how long an entry
            counts where a Journey counts entries.
        max_attempts: how many attempts an Enrollment has before it is dead.
        pauses: whether what waits in a Journey that is not active is kept from workers.

    Attributes:
        claims: by Organization and key.
        profiles: by Organization and number.
        events: by Organization and number.
        journeys: by Organization and id: every version's definition, and the current status.
        entries: the Enrollments, by Organization and number.
        blocked: identities by Organization, each with its kind.
    """

    def __init__(
        self,
        key_lifetime: timedelta,
        cooldown: timedelta,
        max_attempts: int,
        *,
        pauses: bool = True,
    ) -> None:
        self._pauses = pauses
        self._key_lifetime = key_lifetime
        self._cooldown = cooldown
        self._max_attempts = max_attempts
        self._count = 0
        self.claims: dict[tuple[str, str], Row] = {}
        self.profiles: dict[tuple[str, int], Row] = {}
        self.events: dict[tuple[str, int], Row] = {}
        self.journeys: dict[tuple[str, str], Row] = {}
        self.entries: dict[tuple[str, int], Row] = {}
        self.blocked: defaultdict[str, set[tuple[str, str | None]]] = defaultdict(set)

    # --- tracking ----------------------------------------------------------------------------

    def track(self, organization: str, key: str, request: Row, now: datetime) -> Row:
        """Track one request; answer with ``refused``, or with the event and ``replayed``."""
        claim = self.claims.get((organization, key))
        if claim is not None and claim["expires"] > now:
            if claim["request"] not in (None, _comparable(request)):
                return {"refused": "idempotency_key_reuse"}
            return {"event": claim["event"], "replayed": True}
        # A refused request frees its key, so an expired claim of the key is gone as well.
        self.claims.pop((organization, key), None)
        profile = self._profile(organization, request, now)
        if isinstance(profile, str):
            return {"refused": profile}
        self._set_properties(profile, request, now)
        self._add_event(profile)
        event = self._number()
        state = _redacted(request)
        happened = min(request.get("occurredAt", now), now)
        entry = {
            "organization": organization,
            "event": event,
            "now": now,
            "happened": happened,
            "late": "occurredAt" in request and happened < now,
        }
        withdrew = self._cancel(organization, profile, request, state, entry)
        outcomes = [
            (journey_id, len(journey["versions"]), self._outcome(journey_id, state, profile, entry))
            for (of, journey_id), journey in sorted(self.journeys.items())
            if of == organization
            and journey["status"] == "active"
            and journey["versions"][-1]["trigger"]["event"] == request["event"]
        ]
        self.events[organization, event] = {
            "event": request["event"],
            "profile": profile["number"],
            "place": profile["count"],
            "version": profile["version"],
            "left": profile["left"],
            "data": state,
            "outcomes": outcomes,
            "withdrew": withdrew,
            "occurred": request.get("occurredAt", now),
            "received": now,
        }
        self.claims[organization, key] = {
            "request": _comparable(request),
            "expires": now + self._key_lifetime,
            "event": event,
        }
        return {"event": event, "replayed": False}

    def purge(self, now: datetime) -> int:
        """Forget the expired keys; say how many."""
        expired = [at for at, claim in self.claims.items() if claim["expires"] <= now]
        for at in expired:
            del self.claims[at]
        return len(expired)

    def _profile(self, organization: str, request: Row, now: datetime) -> Row | str:
        """Find or create a Profile, or return the code of the refusal."""
        who = request["profile"]
        email = who["email"].strip().lower() if "email" in who else None
        external_id = who.get("externalId")
        if {("email", email), ("externalId", external_id)} & self.blocked[organization]:
            return "identity_blocked"
        own = [row for (of, _), row in self.profiles.items() if of == organization]
        by_email = None if email is None else _led_to(own, email, request, now)
        by_external = next(
            (row for row in own if ("externalId", external_id) in _leading(row)),
            None,
        )
        if by_email is not None and by_external is not None and by_email is not by_external:
            return "identity_conflict"
        found = by_external if by_email is None else by_email
        if found is None:
            if email is None:
                return "profile_email_required"
            found = self._new_profile(organization, external_id)
        elif external_id is None or email is None:
            return found
        elif by_external is None and found["external_id"] is not None:
            return "identity_conflict"
        found["external_id"] = found["external_id"] or external_id
        if ("email", email) not in found["aliases"]:
            _give_email(found, email, request, now)
        return found

    def _new_profile(self, organization: str, external_id: str | None) -> Row:
        number = self._number()
        created: Row = {
            "number": number,
            "email": None,
            "emails": {},
            "external_id": external_id,
            "properties": {},
            "times": {},
            "count": 0,
            "version": 0,
            "left": None,
            "aliases": set(),
            "merged": [],
            "merged_into": None,
            "suppressed": None,
            "erased": None,
        }
        self.profiles[organization, number] = created
        return created

    def _set_properties(self, profile: Row, request: Row, now: datetime) -> None:
        time = (min(request.get("occurredAt", now), now), now)
        for name, value in request["profile"].get("properties", {}).items():
            known = profile["times"].get(name, time)
            if known > time and "occurredAt" in request:
                continue
            profile["times"][name] = max(known, time)
            profile["properties"].pop(name, None)
            if value is not None:
                profile["properties"][name] = value

    def _add_event(self, profile: Row) -> None:
        """Count an event of a Profile; it has another version where it is not as it was."""
        profile["count"] += 1
        left = _shown(profile)
        if json.dumps(left, sort_keys=True) != json.dumps(profile["left"], sort_keys=True):
            profile["left"] = left
            profile["version"] += 1

    def _outcome(self, journey_id: str, state: Row, profile: Row, entry: Row) -> str | None:
        """Let the Profile enter, or say why not."""
        organization, now = entry["organization"], entry["now"]
        if profile["suppressed"] is not None:
            return "suppressed"
        journey = self.journeys[organization, journey_id]
        definition = journey["versions"][-1]
        where = definition["trigger"].get("where")
        if where is not None:
            total = state.get("total")
            if isinstance(total, bool) or not isinstance(total, int | float):
                return "condition_unknown"
            if total < where["value"]:
                return "condition_not_met"
        policy = definition["reentry"]["policy"]
        entry_key: Any = None
        reentry = definition["reentry"]
        if "key" in reentry:
            order = state.get("orderId")
            if order is None or order == "[REDACTED]":
                return "entry_key_missing"
            entry_key = ("key", _comparable(order))
        elif policy == "once":
            entry_key = "once"
        earlier = [
            row
            for (of, _), row in self.entries.items()
            if (of, row["journey"]) == (organization, journey_id)
            and row["profile"] in _series(profile)
        ]
        if policy == "once" and earlier:
            return "already_enrolled"
        if policy == "at_most":
            same = [row for row in earlier if entry_key in (None, row["entry_key"])]
            if sum(now - row["entered"] < self._cooldown for row in same) >= reentry["times"]:
                return "limit_reached"
        if policy == "once_per_key" and any(row["entry_key"] == entry_key for row in earlier):
            return "already_enrolled"
        if policy == "cooldown" and any(now - row["entered"] < self._cooldown for row in earlier):
            return "cooling_down"
        rules = [
            (each["event"], order if "same" in each else "any")
            for each in definition.get("cancelOn", ())
            for order in [_order(state)]
            if order is not None or "same" not in each
        ]
        if entry["late"] and any(
            self._meets(rules, row["event"], row["data"])
            for (of, _), row in self.events.items()
            if of == organization
            and row["profile"] in _series(profile)
            and min(row["occurred"], row["received"]) > entry["happened"]
        ):
            return "cancelled"
        number = self._number()
        delay = self._cooldown if "delay" in definition else timedelta()
        self.entries[organization, number] = {
            "number": number,
            "journey": journey_id,
            "version": len(journey["versions"]),
            "profile": profile["number"],
            "event": entry["event"],
            "entry_key": entry_key,
            "counted": policy == "at_most",
            "entered": now,
            "status": "pending",
            "available": max(now, entry["happened"] + delay),
            "rules": rules,
            "happened": entry["happened"],
            "cancelled": None,
            "attempts": 0,
            "until": None,
            "failure": None,
            "token": None,
            "withdrawn": None,
        }
        return None

    def _cancel(
        self, organization: str, profile: Row, request: Row, state: Row, event: Row
    ) -> set[tuple[int, bool]]:
        """Withdraw what an event cancels; say what it withdrew, and what it only marked."""
        done: set[tuple[int, bool]] = set()
        for row in self._waiting(organization, profile):
            is_later = "occurredAt" not in request or event["happened"] >= row["happened"]
            if not (is_later and self._meets(row["rules"], request["event"], state)):
                continue
            held = row["until"] is not None and row["until"] > event["now"]
            if row["cancelled"] is None:
                row["cancelled"] = event["event"]
                done.add((row["number"], held))
            if not held:
                _withdraw([row], event["now"])
        return done

    def _meets(self, rules: Sequence[tuple[str, Any]], name: str, state: Row) -> bool:
        return any(each == name and order in ("any", _order(state)) for each, order in rules)

    # --- people ------------------------------------------------------------------------------

    def suppress(
        self, organization: str, number: int, now: datetime, *, lift: bool
    ) -> tuple[int, bool, int] | None:
        """Suppress a Profile or lift that; say whom, whether it was so, and what was withdrawn."""
        profile = self._survivor(organization, number)
        if profile["erased"] is not None:
            return None
        changed = (profile["suppressed"] is None) is not lift
        if changed:
            profile["suppressed"] = None if lift else now
        waiting = [] if lift else self._waiting(organization, profile)
        return profile["number"], changed, _withdraw(waiting, now)

    def erase(
        self, organization: str, number: int, now: datetime, *, block: bool
    ) -> tuple[set[int], int, int]:
        """Erase a person; say of which Profiles, what was withdrawn, and how much is blocked."""
        profile = self._survivor(organization, number)
        whose = _series(profile)
        if profile["erased"] is not None:
            return whose, 0, 0
        withdrawn = _withdraw(self._waiting(organization, profile), now)
        blocked: set[tuple[str, str | None]] = set()
        if block:
            others = [
                row
                for (of, _), row in self.profiles.items()
                if of == organization and row is not profile
            ]
            taken = {identity for row in others for identity in _leading(row)}
            former = {("email", email) for email in profile["emails"]}
            blocked = _leading(profile) | (former - taken)
            self.blocked[organization] |= blocked
        for each in whose:
            row = self.profiles[organization, each]
            _empty(row)
            row.update(suppressed=None, erased=now)
        for (of, event), row in self.events.items():
            if of == organization and row["profile"] in whose:
                row.update(data={}, left={"properties": {}})
                for (place, _), claim in self.claims.items():
                    if (place, claim["event"]) == (of, event):
                        claim["request"] = None
        for (of, _), row in self.entries.items():
            if of == organization and row["profile"] in whose:
                row["failure"] = None
        return whose, withdrawn, len(blocked)

    def merge(
        self,
        organization: str,
        stays: int,
        goes: int,
        order: Mapping[int, str],
        now: datetime,
    ) -> tuple[int, bool, int] | None:
        """Merge two Profiles; say which stays, whether they were two, and what was withdrawn."""
        one, other = (self._survivor(organization, each) for each in (stays, goes))
        if one["erased"] is not None or other["erased"] is not None:
            return None
        if one is other:
            return one["number"], False, 0
        emails = _both_emails(one, other, now)
        one["aliases"] |= other["aliases"]
        for kind, name in (("email", "email"), ("externalId", "external_id")):
            if one[name] is not None and other[name] is not None:
                one["aliases"].add((kind, other[name]))
        one["emails"] = emails
        one["email"] = one["email"] or other["email"]
        one["external_id"] = one["external_id"] or other["external_id"]
        for name, time in other["times"].items():
            if name not in one["times"] or one["times"][name] < time:
                one["times"][name] = time
                one["properties"].pop(name, None)
                if name in other["properties"]:
                    one["properties"][name] = other["properties"][name]
        before = one["count"] + 1
        one["merged"] += [
            (each, before) for each in (other["number"], *(n for n, _ in other["merged"]))
        ]
        since = [row["suppressed"] for row in (one, other) if row["suppressed"] is not None]
        one["suppressed"] = min(since, default=None)
        one["left"] = _shown(one)
        one["version"] += 1
        _empty(other)
        other.update(suppressed=None, merged_into=one["number"])
        waiting = self._waiting(organization, one)
        if one["suppressed"] is None:
            waiting = _doubled(waiting, order, now)
        return one["number"], True, _withdraw(waiting, now)

    def _survivor(self, organization: str, number: int) -> Row:
        row = self.profiles[organization, number]
        while row["merged_into"] is not None:
            row = self.profiles[organization, row["merged_into"]]
        return row

    def _waiting(self, organization: str, profile: Row) -> list[Row]:
        whose = _series(profile)
        return [
            row
            for (of, _), row in self.entries.items()
            if of == organization
            and row["profile"] in whose
            and row["status"] not in ("completed", "withdrawn")
        ]

    # --- Journeys ----------------------------------------------------------------------------

    def publish(self, organization: str, definition: Row) -> str:
        """Publish one Journey; say what changed."""
        at = (organization, definition["id"])
        without_status = {name: value for name, value in definition.items() if name != "status"}
        journey = self.journeys.get(at)
        if journey is None:
            self.journeys[at] = {"versions": [without_status], "status": definition["status"]}
            return "created"
        change = "unchanged" if journey["status"] == definition["status"] else "new_status"
        journey["status"] = definition["status"]
        if journey["versions"][-1] != without_status:
            journey["versions"].append(without_status)
            change = "new_version"
        return change

    # --- hand-over ---------------------------------------------------------------------------

    def claim(
        self,
        organization: str,
        order: Mapping[int, str],
        now: datetime,
        until: datetime,
        limit: int,
    ) -> list[int]:
        """Hand over what has been available longest; `order` decides between equal times."""
        while True:
            available = sorted(
                (
                    row
                    for (of, _), row in self.entries.items()
                    if of == organization
                    and row["status"] in ("pending", "claimed")
                    and row["available"] <= now
                    and self._moves(organization, row["journey"])
                ),
                key=lambda row: (row["available"], order[row["number"]]),
            )[:limit]
            cancelled = [row for row in available if row["cancelled"] is not None]
            _withdraw(cancelled, now)
            taken = [row for row in available if row["cancelled"] is None]
            for row in taken:
                if row["attempts"] >= self._max_attempts:
                    row["status"] = "dead"
            taken = [row for row in taken if row["status"] != "dead"]
            for row in taken:
                row.update(status="claimed", attempts=row["attempts"] + 1)
                row.update(available=until, until=until)
            if taken or len(available) < limit:
                return [row["number"] for row in taken]

    def _moves(self, organization: str, journey_id: str) -> bool:
        return not self._pauses or self.journeys[organization, journey_id]["status"] == "active"

    def hold(self, organization: str, number: int, token: str) -> None:
        """Note the token of a claim."""
        self.entries[organization, number]["token"] = token

    def complete(self, organization: str, number: int, token: str) -> bool:
        """Complete an Enrollment; say whether the token held it."""
        row = self.entries[organization, number]
        if row["token"] != token:
            return False
        if row["status"] == "completed":
            return True
        if row["until"] is None:
            return False
        row.update(status="completed", until=None, failure=None)
        return True

    def release(
        self,
        organization: str,
        number: int,
        token: str,
        now: datetime,
        available: datetime,
        *,
        failed: bool,
        error: str | None = None,
    ) -> bool:
        """Give an Enrollment back; say whether the token held it."""
        row = self.entries[organization, number]
        if row["token"] != token or row["status"] == "completed":
            return False
        if row["until"] is not None:
            used_up = failed and row["attempts"] >= self._max_attempts
            row.update(status="dead" if used_up else "pending", until=None, available=available)
            row["attempts"] -= not failed
            row["failure"] = error or row["failure"]
            if row["cancelled"] is not None:
                row.update(status="withdrawn", withdrawn=now)
        return True

    def extend(self, organization: str, number: int, token: str, until: datetime) -> bool:
        """Move the end of a lease; say whether the token held it."""
        row = self.entries[organization, number]
        if row["token"] != token or row["until"] is None:
            return False
        row.update(status="claimed", available=until, until=until)
        return True

    def revive(self, organization: str, number: int, now: datetime) -> None:
        """Make a dead Enrollment available again."""
        row = self.entries[organization, number]
        if row["status"] == "dead":
            row.update(status="pending", attempts=0, available=now)
            row.update(until=None, token=None, failure=None)

    def withdraw(self, organization: str, number: int, now: datetime) -> None:
        """Withdraw an Enrollment that is not finished."""
        row = self.entries[organization, number]
        if row["status"] not in ("completed", "withdrawn"):
            _withdraw([row], now)

    def _number(self) -> int:
        self._count += 1
        return self._count


_MICROSECOND = timedelta(microseconds=1)


def _give_email(profile: Row, email: str, request: Row, now: datetime) -> None:
    """Note that an event gave an email; the one that was given last is the Profile's own."""
    emails: dict[str, list[tuple[datetime, datetime]]] = profile["emails"]
    time = (min(request.get("occurredAt", now), now), now)
    if emails and email != profile["email"]:
        latest = max(emails[profile["email"]])
        if time == latest or (time < latest and "occurredAt" not in request):
            time = (latest[0], latest[1] + _MICROSECOND)
    emails.setdefault(email, []).append(time)
    own = profile["email"]
    if own is None or max(emails[email]) >= max(emails[own]):
        profile["email"] = email


def _shown(profile: Row) -> Row:
    """Return what an event shows of its Profile."""
    now = {"email": profile["email"], "externalId": profile["external_id"]}
    shown = {name: value for name, value in now.items() if value is not None}
    return {**shown, "properties": dict(profile["properties"])}


def _leading(profile: Row) -> set[tuple[str, str | None]]:
    """Return what leads to a Profile for events of any time."""
    own = {("email", profile["email"]), ("externalId", profile["external_id"])}
    leading: set[tuple[str, str | None]] = set(profile["aliases"])
    return leading | {(kind, value) for kind, value in own if value is not None}


def _order(state: Row) -> Any:
    """Return what an event says of its order, comparable; None where that equals nothing."""
    order = state.get("orderId")
    return None if order in (None, "[REDACTED]") else ("order", _comparable(order))


def _series(profile: Row) -> set[int]:
    """Return whose events are one history with those of a Profile, itself included."""
    return {profile["number"], *(number for number, _ in profile["merged"])}


def _empty(profile: Row) -> None:
    """Take from a Profile all that it says, which is a version more."""
    profile.update(email=None, emails={}, external_id=None, properties={}, times={}, aliases=set())
    profile["left"] = {"properties": {}}
    profile["version"] += 1


def _withdraw(rows: Sequence[Row], now: datetime) -> int:
    for row in rows:
        row.update(status="withdrawn", until=None, token=None, withdrawn=now)
    return len(rows)


def _doubled(waiting: Sequence[Row], order: Mapping[int, str], now: datetime) -> list[Row]:
    """Return which of equal entries go: held by a worker, waiting, dead; the earliest stays."""

    def place(row: Row) -> tuple[bool, bool, datetime, str]:
        held = row["until"] is not None and row["until"] > now
        return not held, row["status"] == "dead", row["entered"], order[row["number"]]

    seen: set[tuple[str, str]] = set()
    later: list[Row] = []
    for row in sorted(waiting, key=place):
        entry = (row["journey"], row["entry_key"])
        if row["counted"]:
            continue
        if row["entry_key"] is not None and entry in seen and place(row)[0]:
            later.append(row)
        seen.add(entry)
    return later


def _both_emails(one: Row, other: Row, now: datetime) -> dict[str, list[Any]]:
    """Join the emails of two Profiles, each as if given again right before it gave way."""
    joined: dict[str, list[Any]] = {}
    for row in (one, other):
        emails = row["emails"]
        for email, times in emails.items():
            gave_way = email != row["email"] and ("email", email) not in row["aliases"]
            end = _end(emails, email) if gave_way else None
            again = end is not None and end > max(times)[0]
            more = [(end - _MICROSECOND, now)] if again and end is not None else []
            if row is other and email == one["email"]:
                continue
            joined[email] = [*joined.get(email, ()), *times, *more]
    return joined


def _end(emails: dict[str, list[tuple[datetime, datetime]]], email: str) -> datetime:
    """Return when an email gave way: with the first event of the one that followed."""
    last = max(emails[email])
    return min(
        max(times) if min(times)[0] <= last[0] else min(times)
        for times in emails.values()
        if max(times) > last
    )[0]


def _led_to(profiles: Sequence[Row], email: str, request: Row, now: datetime) -> Row | None:
    """Find the Profile that an email leads to; where it gave way, for older events alone."""
    for row in profiles:
        if ("email", email) in row["aliases"]:
            return row
    led: list[tuple[datetime, Row]] = []
    if "occurredAt" in request:
        occurred = min(request["occurredAt"], now)
        had = [row for row in profiles if email in row["emails"] and email != row["email"]]
        led = [(end, row) for row in had if occurred < (end := _end(row["emails"], email))]
    if led:
        return min(led, key=lambda each: each[0])[1]
    return next((row for row in profiles if row["email"] == email), None)


def _redacted(request: Row) -> Row:
    """Return the data with the members that are named replaced."""
    named: Sequence[str] = request.get("redactedDataPaths", ())
    data: Row = request.get("data", {})
    return {
        name: "[REDACTED]" if f"/event/{name}" in named else value for name, value in data.items()
    }


def _comparable(value: Any) -> str:
    """Write JSON so that equal requests give equal texts: 1 equals 1.0, and true equals neither.

    A float is the digits that it is written with.
    """

    def plain(item: Any) -> Any:
        if isinstance(item, dict):
            return {name: plain(inner) for name, inner in item.items()}
        if isinstance(item, datetime):
            return item.isoformat()
        if isinstance(item, float) and item.is_integer():
            return int(Decimal(repr(item)))
        return item

    return json.dumps(plain(value), sort_keys=True)
