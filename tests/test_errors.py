from __future__ import annotations

import pickle
from http import HTTPStatus

import pytest

from segmentflow_core import errors
from segmentflow_core.errors import (
    ERROR_CLASSES,
    ConfigurationError,
    FingerprintKeyUnknown,
    InternalError,
    InvalidRequest,
    NotFound,
    SegmentflowError,
    StorageRefused,
    Violation,
)

PUBLIC = [
    kind
    for kind in (getattr(errors, name) for name in errors.__all__)
    if isinstance(kind, type) and issubclass(kind, SegmentflowError)
]
SET_UP = {SegmentflowError, FingerprintKeyUnknown, ConfigurationError, StorageRefused}
"""What no caller meets by its own name: the root, and what the host has to mend."""


def test_the_table_holds_every_error_that_a_caller_can_meet():
    assert set(ERROR_CLASSES) == set(PUBLIC) - SET_UP
    assert len(set(ERROR_CLASSES)) == len(ERROR_CLASSES)


def test_no_two_errors_share_a_code():
    codes = [kind.code for kind in ERROR_CLASSES]
    assert len(set(codes)) == len(codes)
    assert ConfigurationError.code not in codes
    assert FingerprintKeyUnknown.code == InternalError.code


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_an_error_has_a_status_and_a_sentence_of_its_own(kind):
    assert HTTPStatus(kind.status) >= HTTPStatus.BAD_REQUEST
    assert kind.default_message.endswith(".")
    assert str(kind()) == kind().message == kind.default_message
    assert kind().envelope() == {
        "error": kind.code,
        "message": kind.default_message,
        "details": {},
    }


@pytest.mark.parametrize("kind", ERROR_CLASSES, ids=lambda kind: kind.code)
def test_what_may_be_tried_again_says_when(kind):
    assert (kind.retry_after is not None) is (kind.should_retry is True)
    if kind.should_retry is True:
        assert kind.status in (409, 503)


def test_violations_are_listed_in_the_order_given():
    faults = [Violation("/b", "is required"), Violation("", "is not an object")]
    refusal = InvalidRequest.from_violations(faults)
    assert refusal.violations == tuple(faults)
    assert refusal.envelope()["details"] == {
        "violations": [
            {"path": "/b", "message": "is required"},
            {"path": "", "message": "is not an object"},
        ]
    }
    assert NotFound().details == {}


def test_a_configuration_error_is_a_value_error():
    """A programmer who passes a wrong value may catch what Python itself would raise."""
    assert issubclass(ConfigurationError, ValueError)


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_an_error_survives_being_sent_to_another_process(kind):
    error = kind("Another sentence.", details={"maxBytes": 1})
    sent = pickle.loads(pickle.dumps(error))
    assert (type(sent), sent.message, sent.details) == (kind, error.message, error.details)
