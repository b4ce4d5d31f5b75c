"""The contract of a storage adapter, as tests.

An author subclasses `StorageContract` in a module pytest collects and gives one fixture,
``storage``: an empty store for each test. Everything else has a default. The modules beside
this one hold the tests, one subject each. The author declares in `capabilities` what the
storage cannot do, and in `deviations` which tests it fails and why. A subclass may not change
a test.

See docs/reference/rules/storage.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from segmentflow_core import AsyncTracker, Tracker
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.testing.builders import FINGERPRINT_SECRET, FixedClock
from segmentflow_core.testing.callers import AtOnce, Blocking, Client, is_asynchronous, run_at_once
from segmentflow_core.testing.capabilities import CAPABILITIES, Capabilities, needed_by
from segmentflow_core.testing.contract.atomicity import AtomicityContract
from segmentflow_core.testing.contract.audit import AuditContract
from segmentflow_core.testing.contract.batches import BatchContract
from segmentflow_core.testing.contract.boundaries import BoundaryContract
from segmentflow_core.testing.contract.cancelling import CancellingContract, CancellingRaceContract
from segmentflow_core.testing.contract.doors import Doors
from segmentflow_core.testing.contract.earlier_entries import EarlierEntryContract
from segmentflow_core.testing.contract.exchanges import ExchangeContract
from segmentflow_core.testing.contract.finding import FindingContract
from segmentflow_core.testing.contract.given import Given
from segmentflow_core.testing.contract.hand_over import HandOverContract
from segmentflow_core.testing.contract.history import HistoryContract, HistoryRaceContract
from segmentflow_core.testing.contract.idempotency import IdempotencyContract
from segmentflow_core.testing.contract.identities import IdentityContract
from segmentflow_core.testing.contract.journeys import JourneyContract
from segmentflow_core.testing.contract.keys import KeyContract
from segmentflow_core.testing.contract.lists import ListContract
from segmentflow_core.testing.contract.locks import LockContract
from segmentflow_core.testing.contract.looking import LookingContract
from segmentflow_core.testing.contract.many import ManyContract
from segmentflow_core.testing.contract.neighbours import NeighbourContract
from segmentflow_core.testing.contract.numbers import NumberContract
from segmentflow_core.testing.contract.organizations import OrganizationContract
from segmentflow_core.testing.contract.outages import OutageContract
from segmentflow_core.testing.contract.overlaps import OverlapContract
from segmentflow_core.testing.contract.pausing import PausingContract, PausingRaceContract
from segmentflow_core.testing.contract.people import PeopleContract, PeopleRaceContract
from segmentflow_core.testing.contract.processes import ProcessContract
from segmentflow_core.testing.contract.profiles import ProfileContract
from segmentflow_core.testing.contract.races import RaceContract
from segmentflow_core.testing.contract.records import RecordContract
from segmentflow_core.testing.contract.removal import RemovalContract
from segmentflow_core.testing.contract.retention import RetentionContract
from segmentflow_core.testing.contract.same_ids import SameIdsContract
from segmentflow_core.testing.contract.shared_claims import SharedClaimContract
from segmentflow_core.testing.contract.stateful import StatefulContract
from segmentflow_core.testing.contract.subjects import mark_by_subject, parameters_of
from segmentflow_core.testing.contract.undoing import UndoingContract
from segmentflow_core.testing.contract.values import ValueContract

__all__ = ["StorageContract"]

_PACKAGE = "segmentflow_core.testing"


class StorageContract(
    IdempotencyContract,
    AtomicityContract,
    UndoingContract,
    ProfileContract,
    IdentityContract,
    RecordContract,
    ValueContract,
    KeyContract,
    BoundaryContract,
    ListContract,
    ManyContract,
    NumberContract,
    JourneyContract,
    EarlierEntryContract,
    LookingContract,
    FindingContract,
    RetentionContract,
    RemovalContract,
    HistoryContract,
    HistoryRaceContract,
    BatchContract,
    OrganizationContract,
    NeighbourContract,
    SameIdsContract,
    ExchangeContract,
    RaceContract,
    OverlapContract,
    LockContract,
    ProcessContract,
    OutageContract,
    HandOverContract,
    SharedClaimContract,
    PeopleContract,
    PeopleRaceContract,
    CancellingContract,
    CancellingRaceContract,
    AuditContract,
    PausingContract,
    PausingRaceContract,
    StatefulContract,
    Given,
):
    """Every promise a storage adapter must keep, one test each.

    Attributes:
        capabilities: what the storage can do; a test of what it cannot is skipped.
        deviations: tests by name, each with the reason why it is expected to fail. A name with
            brackets, as pytest prints it, means one set of parameters. A declared test that
            passes fails the run.
    """

    capabilities: ClassVar[Capabilities] = Capabilities()
    deviations: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Check a subclass: it may give fixtures and declarations, but change and add no test.

        Raises:
            ConfigurationError: it has a test of its own, a deviation that names no test of the
                contract, or a deviation without a reason.
        """
        super().__init_subclass__(**arguments)
        own = sorted({name for part in cls.__mro__ if not _is_ours(part) for name in vars(part)})
        tests = [name for name in own if name.startswith("test")]
        if tests:
            raise ConfigurationError(
                f"{cls.__name__} may not change or add tests of the contract: "
                f"{', '.join(tests)}. Declare a deviation, or write it outside of the class."
            )
        unknown = sorted(name for name in cls.deviations if not cls._is_promised(name))
        if unknown:
            raise ConfigurationError(
                f"{cls.__name__} deviates from what is no test of the contract: "
                f"{', '.join(unknown)}."
            )
        unexplained = sorted(name for name, reason in cls.deviations.items() if not reason.strip())
        if unexplained:
            raise ConfigurationError(
                f"{cls.__name__} gives no reason for deviating: {', '.join(unexplained)}."
            )

    @classmethod
    def _is_promised(cls, name: str) -> bool:
        """Say whether a test of the contract is called so, with or without its parameters."""
        test, _, parameters = name.partition("[")
        known = test in {promised for _, promised in cls.promises()}
        if not parameters:
            return known
        return known and parameters.removesuffix("]") in parameters_of(getattr(cls, test))

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Mark each test by its subject, such as `races`."""
        mark_by_subject(type(self), metafunc)

    @classmethod
    def promises(cls) -> list[tuple[str, str]]:
        """List the contract: pairs of a subject and the name of one of its tests, in order."""
        return [
            (part.__name__.removesuffix("Contract"), name)
            for part in cls.__mro__
            if _is_ours(part)
            for name in vars(part)
            if name.startswith("test_")
        ]

    @pytest.fixture
    def other_storage(self, storage: Any) -> Any:
        """Give a second connection to the data of `storage`, where the storage can have one."""
        return storage

    @pytest.fixture
    def impatient_storage(self) -> Any:
        """Give a connection to the data of `storage` that hardly waits, or None."""
        return None

    @pytest.fixture(autouse=True)
    def _declared(self, request: pytest.FixtureRequest) -> None:
        """Skip a test whose capability is missing; expect a declared failure."""
        for name in needed_by(request.function):
            if not getattr(self.capabilities, name):
                pytest.skip(f"capability {name} is declared missing: {CAPABILITIES[name]}")
        named = (request.node.name, request.function.__name__)
        reason = next((self.deviations[name] for name in named if name in self.deviations), None)
        if reason is not None:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))

    @pytest.fixture
    def native_tracker(self, storage: Any, clock: FixedClock) -> Callable[..., Any]:
        """Give a function that makes a tracker of the storage's own colour."""

        def make(over: Any = storage, **options: Any) -> Any:
            given: dict[str, Any] = {
                "fingerprint_key": FINGERPRINT_SECRET,
                "clock": clock,
                **options,
            }
            return (AsyncTracker if is_asynchronous(storage) else Tracker)(over, **given)

        return make

    @pytest.fixture
    def new_tracker(
        self,
        storage: Any,
        native_tracker: Callable[..., Any],
        request: pytest.FixtureRequest,
    ) -> Callable[..., Any]:
        """Give a function that makes a tracker whose calls are plain calls in either colour."""
        if not is_asynchronous(storage):
            return native_tracker
        run_async = request.getfixturevalue("run_async")
        return lambda *over, **options: Blocking(native_tracker(*over, **options), run_async)

    @pytest.fixture
    def tracker(self, new_tracker: Callable[..., Any]) -> Any:
        """Give a tracker on the test's store."""
        return new_tracker()

    @pytest.fixture
    def doors(self, request: pytest.FixtureRequest) -> Doors:
        """Give the ports of the test's store, each call a transaction."""
        return Doors(request.getfixturevalue("in_transaction"))

    @pytest.fixture
    def at_once(
        self,
        storage: Any,
        other_storage: Any,
        native_tracker: Callable[..., Any],
        request: pytest.FixtureRequest,
    ) -> AtOnce:
        """Give a function that runs clients at once and returns the result or refusal of each.

        They run on threads or as tasks, in turn on `storage` and on `other_storage`.
        """
        run_async = request.getfixturevalue("run_async") if is_asynchronous(storage) else None
        trackers = [native_tracker(storage), native_tracker(other_storage)]

        def run(clients: Sequence[Client]) -> list[Any]:
            calls = [(client, trackers[n % 2]) for n, client in enumerate(clients)]
            return run_at_once(calls, run_async)

        return run


def _is_ours(part: type) -> bool:
    return part is object or part.__module__.startswith(_PACKAGE)
