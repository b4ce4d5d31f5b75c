"""One request of a batch: the key it takes, and its answer where that key was taken before.

A key that is taken answers the same request with its receipt, and another one with a refusal
that names what changed. Two requests are compared by their fingerprints alone.

See docs/reference/rules/idempotency.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import define, evolve

from segmentflow_core.domain.conflict import find_conflict, unseen_digests
from segmentflow_core.domain.event import Receipt, UserEvent
from segmentflow_core.domain.fingerprint import (
    Fingerprint,
    FingerprintKey,
    FingerprintKeys,
    fingerprint_canonical,
    same_request,
)
from segmentflow_core.domain.idempotency_key import key_digest
from segmentflow_core.domain.request import ValidRequest
from segmentflow_core.domain.tracking import KeyClaim
from segmentflow_core.errors import FingerprintKeyUnknown, IdempotencyKeyReuse, SegmentflowError

__all__ = ["Item", "answer_taken_key", "claim_key", "item_for"]


# Not frozen, as no value is that is made for each event and kept nowhere: a third of the time.
@define(repr=False)
class Item:
    """One valid request, with what its key and its event are known by.

    Attributes:
        request: as it was checked.
        key_digest: of its idempotency key.
        event_id: the id that the event gets if the request is accepted.
        fingerprint: of the request, under the current fingerprint key.
    """

    request: ValidRequest
    key_digest: str
    event_id: str
    fingerprint: Fingerprint


def item_for(
    request: ValidRequest, key: str, organization_id: str, event_id: str, keys: FingerprintKeys
) -> Item:
    """Make the item of a request and its idempotency key, under the current fingerprint key."""
    fingerprint = fingerprint_canonical(request.canonical, keys.current)
    return Item(request, key_digest(organization_id, key), event_id, fingerprint)


def claim_key(
    item: Item,
    receipt: Receipt,
    key: FingerprintKey,
    now: datetime,
    expires_at: datetime | None,
) -> KeyClaim:
    """Make what the store keeps of an accepted request's key.

    Args:
        item: the accepted request.
        receipt: its answer, kept without the paths that match nothing.
        key: the current fingerprint key.
        now: when the key is taken.
        expires_at: when it is free again; None is never.
    """
    fingerprint = item.fingerprint
    paths = unseen_digests(item.request, key, salt=fingerprint.digest)
    if receipt.unmatched_paths:
        receipt = evolve(receipt, unmatched_paths=())
    return KeyClaim(item.key_digest, fingerprint, paths, receipt, now, expires_at)


def answer_taken_key(
    item: Item,
    first: KeyClaim,
    keys: FingerprintKeys,
    recorded: Mapping[str, UserEvent | None],
) -> Receipt | SegmentflowError | None:
    """Answer a request whose key is taken: with the key's receipt, or what refuses the request.

    Args:
        item: the request.
        first: what the store keeps of the key.
        keys: to compare with a fingerprint made under an older key.
        recorded: events by id; None for one that is gone.

    Returns:
        The answer, or None where it needs the recorded event and that was not given.
    """
    stored, sent = first.fingerprint, item.fingerprint
    if stored is None:
        return _receipt_again(item, first)
    try:
        key = keys.find(stored.key_id)
    except SegmentflowError as unknown_key:
        return unknown_key
    if stored.scheme != sent.scheme:
        # This version cannot compare a fingerprint of another scheme.
        return FingerprintKeyUnknown(details={"scheme": stored.scheme})
    if sent.key_id != stored.key_id:
        sent = fingerprint_canonical(item.request.canonical, key)
    event_id = first.receipt.event_id
    if same_request(stored, sent):
        return _receipt_again(item, first)
    if event_id not in recorded:
        return None
    conflict = find_conflict(
        item.request,
        key,
        salt=stored.digest,
        digests=first.paths,
        recorded=recorded[event_id],
    )
    return IdempotencyKeyReuse(
        details={
            "changedPaths": list(conflict.changed),
            "redactedPaths": list(conflict.redacted),
        }
    )


def _receipt_again(item: Item, first: KeyClaim) -> Receipt:
    # Our own event id means that an earlier run of this same call did commit.
    replayed = first.receipt.event_id != item.event_id
    unmatched = item.request.redaction.apply(item.request.data).unmatched
    return evolve(first.receipt, replayed=replayed, unmatched_paths=unmatched)
