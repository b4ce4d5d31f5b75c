"""`segmentflow serve`: the ASGI app under uvicorn, one or several processes.

Each process makes its own app from the environment. A process finishes the requests that it has
accepted before it ends. The access log goes to standard output, one JSON object for each line.
"""

from __future__ import annotations

import asyncio
import json
import logging
import logging.config
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from functools import partial
from importlib.util import find_spec
from typing import Any, Final

from attrs import define, field

from segmentflow_cli.garbage import rarely_searched
from segmentflow_cli.metrics import FOLDER_VARIABLE, add_up, check_installed, listening
from segmentflow_cli.readiness import Readiness
from segmentflow_cli.stopping import Stop, time_to_answer
from segmentflow_cli.stores import find_keys, opened, scheme_of, woken_workers
from segmentflow_cli.threaded import ThreadedStorage
from segmentflow_core import ApiKeys, AsyncApiKeys, AsyncTracker, Limits, RedactionPolicy, Tracker
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.ports.observation import Observer
from segmentflow_gathering import AsyncGathering
from segmentflow_http import (
    AsgiApp,
    AsyncApiKeyAuthenticator,
    AsyncEndpoint,
    Authenticator,
    KnownKeys,
)
from segmentflow_http.access import Around, log_answered
from segmentflow_http.endpoint import InThread
from segmentflow_observers import (
    open_telemetry_observer,
    open_telemetry_requests,
    open_telemetry_storage,
    prometheus_observer,
    prometheus_requests,
)

__all__ = ["KEYS_VARIABLE", "READ_TIMEOUT", "create_app", "serve_store"]

KEYS_VARIABLE: Final = "SEGMENTFLOW_API_KEYS"
READ_TIMEOUT: Final = "SEGMENTFLOW_READ_TIMEOUT"
"""How many seconds a request may take to arrive."""

_STORE: Final = "SEGMENTFLOW_STORE"
_ORGANIZATION: Final = "SEGMENTFLOW_ORGANIZATION"
_THREADS: Final = "SEGMENTFLOW_THREADS"
_TOGETHER: Final = "SEGMENTFLOW_TOGETHER"
_WRITERS: Final = "SEGMENTFLOW_WRITERS"
_MAX_REQUESTS: Final = "SEGMENTFLOW_MAX_REQUESTS"
_MAX_BYTES: Final = "SEGMENTFLOW_MAX_BYTES"
_MAX_DEPTH: Final = "SEGMENTFLOW_MAX_DEPTH"
_MAX_BATCH_BYTES: Final = "SEGMENTFLOW_MAX_BATCH_BYTES"
_REMEMBER_KEYS: Final = "SEGMENTFLOW_REMEMBER_KEYS"
_STORE_TIMEOUT: Final = "SEGMENTFLOW_STORE_TIMEOUT"
_GRACE: Final = "SEGMENTFLOW_GRACE"
_METRICS_HOST: Final = "SEGMENTFLOW_METRICS_HOST"
_METRICS_PORT: Final = "SEGMENTFLOW_METRICS_PORT"
_SPANS: Final = "SEGMENTFLOW_OPEN_TELEMETRY"
_PLACEHOLDER_IDS: Final = "SEGMENTFLOW_ALLOW_PLACEHOLDER_IDS"
_REDACTION: Final = "SEGMENTFLOW_REDACTION_POLICY"

_BATCH_THREADS: Final = 2
"""A batch is long work, and no event shall wait for the threads that batches take."""

_READING_THREADS: Final = 1
"""Nor for those that write long answers."""

_MOST_ASIDE: Final = 4
"""What waits for another process keeps its thread for long."""

_LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "bare": {"format": "%(message)s"},
        "plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
    },
    "handlers": {
        "stdout": {
            "class": "segmentflow_cli.lines.LineHandler",
            "formatter": "bare",
            "fd": 1,
            "as_json": True,
        },
        "stderr": {
            "class": "segmentflow_cli.lines.LineHandler",
            "formatter": "plain",
            "fd": 2,
            "filters": ["cut_off"],
        },
    },
    "filters": {"cut_off": {"()": "segmentflow_cli.serve.CutOff"}},
    "loggers": {
        "segmentflow.access": {"handlers": ["stdout"], "level": "INFO", "propagate": False},
        "segmentflow.http": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
    },
}


class CutOff(logging.Filter):
    """Says in one line that a request was cut off when the grace of a stop was over.

    uvicorn logs it as an exception of the app, with a traceback.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, without the traceback of a cancelled request."""
        if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
            record.exc_info = record.exc_text = None
            record.msg, record.args = "A request was cut off: the grace of the stop was over.", ()
        return True


def serve_store(
    url: str,
    organization: str,
    *,
    host: str,
    port: int,
    workers: int,
    threads: int,
    together: int,
    writers: int | None,
    max_requests: int,
    grace: int,
    limits: Limits,
    redaction: RedactionPolicy,
    max_batch_bytes: int,
    read_timeout: float,
    keep_alive: int,
    remember_keys: float,
    store_timeout: float,
    metrics_host: str,
    metrics_port: int | None,
    open_telemetry: bool,
) -> None:
    """Serve a store until the process is told to stop, by SIGTERM or SIGINT.

    Raises:
        ConfigurationError: uvicorn is not installed, a setting breaks its rule, the store
            cannot be served, or the server cannot listen on the address.
    """
    try:
        import uvicorn  # noqa: PLC0415 - only this command needs it
    except ImportError:
        message = "To serve, install the `http` extra: segmentflow-core[http]."
        raise ConfigurationError(message) from None
    if workers < 1 or threads < 1 or grace < 0:
        raise ConfigurationError("workers and threads must be at least 1, and grace 0.")
    if metrics_port is not None:
        check_installed()
    if open_telemetry:
        _check_open_telemetry()
    os.environ |= {
        _STORE: url,
        _ORGANIZATION: organization,
        _THREADS: str(threads),
        _TOGETHER: str(together),
        _WRITERS: str(_writers_for(url) if writers is None else writers),
        _MAX_REQUESTS: str(max_requests),
        _MAX_BYTES: str(limits.max_bytes),
        _MAX_DEPTH: str(limits.max_depth),
        _MAX_BATCH_BYTES: str(max_batch_bytes),
        READ_TIMEOUT: str(read_timeout),
        _REMEMBER_KEYS: str(remember_keys),
        _STORE_TIMEOUT: str(store_timeout),
        _GRACE: str(grace),
        _METRICS_HOST: metrics_host,
        _METRICS_PORT: "" if metrics_port is None else str(metrics_port),
        _SPANS: str(int(open_telemetry)),
        _PLACEHOLDER_IDS: str(int(limits.allow_placeholder_ids)),
        _REDACTION: json.dumps(
            {
                "paths": redaction.paths,
                "names": redaction.names,
                "refuse_unmatched": redaction.refuse_unmatched,
            }
        ),
    }
    with ExitStack() as stack:
        # A wrong set-up is reported here, once, and not by every worker.
        _build(stack)
    _check_address(host, port)
    settings = {"host": host, "port": port, "workers": workers, "timeout_keep_alive": keep_alive}
    with ExitStack() as stack:
        if metrics_port is not None:
            if workers == 1:
                os.environ.pop(FOLDER_VARIABLE, None)  # one process adds nothing up
                _check_address(metrics_host, metrics_port)
            else:
                registry = stack.enter_context(add_up())
                logging.config.dictConfig(_LOGGING)
                stack.enter_context(_metrics_at(metrics_host, metrics_port, registry))
        answering = time_to_answer(grace)
        if not _served(uvicorn.run, timeout_graceful_shutdown=answering, **settings):
            raise ConfigurationError("The server could not start; what it logged above says why.")


def _served(run: Callable[..., object], **settings: object) -> bool:
    """Serve until the process is told to stop; say whether the server ever started."""
    from segmentflow_cli.connections import new_connection  # noqa: PLC0415 - it needs uvicorn

    with _stopped_by_sigterm():
        try:
            run(
                f"{__name__}:create_app",
                factory=True,
                http=new_connection,
                ws="none",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                log_config=_LOGGING,
                **settings,
            )
        except SystemExit as end:
            return not end.code
    return True


def _check_address(host: str, port: int) -> None:
    """Raise the reason why the server cannot listen on an address; the server would only log it."""
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":  # on other systems it would let two servers share a port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
        return
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no host name"
    raise ConfigurationError(f"Cannot listen on this host and port: {why}.")


@contextmanager
def _stopped_by_sigterm() -> Generator[None]:
    """Let SIGTERM end a process with status 0.

    uvicorn raises the signal again when it has finished the requests that it had accepted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _metrics_at(host: str, port: int, registry: Any) -> Generator[None]:
    with listening(host, port, registry) as taken:
        logging.getLogger("segmentflow.http").info("Metrics are at port %d, /metrics.", taken)
        yield


def _check_open_telemetry() -> None:
    if find_spec("opentelemetry") is None:
        message = "For spans, install the `observers` extra: segmentflow-core[observers]."
        raise ConfigurationError(message)


@define
class _Watching:
    """What watches an app, as far as it was asked for."""

    observers: list[Observer] = field(factory=list[Observer])
    around: list[Around] = field(factory=list[Around])
    on_batch: Callable[[int], object] | None = None
    storage: Callable[[Any], Any] = field(default=lambda storage: storage)


def _watching(stack: ExitStack) -> _Watching:
    """Return what the environment asks for; serve the metrics of a process that is alone."""
    watching = _Watching()
    if os.environ[_SPANS] == "1":
        watching.observers.append(open_telemetry_observer())
        watching.around.append(open_telemetry_requests())
        watching.storage = open_telemetry_storage
    if os.environ[_METRICS_PORT]:
        from prometheus_client import CollectorRegistry  # noqa: PLC0415 - only metrics need it

        registry = CollectorRegistry()
        requests = prometheus_requests(registry)
        watching.observers.append(prometheus_observer(registry))
        watching.around.append(requests)
        watching.on_batch = requests.gathered
        if FOLDER_VARIABLE not in os.environ:
            host, port = os.environ[_METRICS_HOST], int(os.environ[_METRICS_PORT])
            stack.enter_context(_metrics_at(host, port, registry))
    return watching


def create_app() -> AsgiApp:
    """Make the app of one process from the environment that `serve_store` has set."""
    stack = ExitStack()
    watching = _watching(stack)
    endpoint = _build(stack, watching)
    stack.enter_context(rarely_searched())
    stop = Stop.when_told(int(os.environ[_GRACE]))
    return AsgiApp(
        endpoint,
        max_requests=int(os.environ[_MAX_REQUESTS]),
        on_answered=log_answered,
        around=watching.around,
        closing=stop.is_near,
        on_shutdown=partial(stop.close, stack),
    )


def _writers_for(url: str) -> int:
    """Return how many transactions are worth their while: a server commits two at a time."""
    return 2 if scheme_of(url) in ("postgres", "postgresql") else 1


def _build(stack: ExitStack, watching: _Watching | None = None) -> AsyncEndpoint:
    watching = watching or _Watching()
    url, organization = os.environ[_STORE], os.environ[_ORGANIZATION]
    storage = stack.enter_context(opened(url))
    limits = Limits(
        int(os.environ[_MAX_BYTES]),
        int(os.environ[_MAX_DEPTH]),
        allow_placeholder_ids=os.environ[_PLACEHOLDER_IDS] == "1",
    )
    redaction = RedactionPolicy(**json.loads(os.environ[_REDACTION]))

    def in_threads(count: int) -> ThreadedStorage:
        made = ThreadedStorage(storage, count, float(os.environ[_STORE_TIMEOUT]))
        stack.callback(made.close)
        return made

    threaded = watching.storage(in_threads(int(os.environ[_THREADS])))
    together, writers = int(os.environ[_TOGETHER]), int(os.environ[_WRITERS])
    free_threads = int(os.environ[_THREADS]) - writers
    keys = find_keys(url)
    observers = [*stack.enter_context(woken_workers(storage)), *watching.observers]
    tracker = AsyncTracker(
        threaded,
        fingerprint_key=keys,
        limits=limits,
        redaction=redaction,
        gather=AsyncGathering(
            most=together,
            writers=writers,
            # One thread is left for those who ask whether a caller is known.
            aside=max(1, min(_MOST_ASIDE, free_threads - 1)),
            patience=float(os.environ[_STORE_TIMEOUT]),
            on_batch=watching.on_batch,
        ),
        observers=observers,
    )
    known = os.environ.get(KEYS_VARIABLE, "").replace(",", " ").split()
    authenticator: Authenticator
    if known:
        authenticator = KnownKeys(known, organization_id=organization)
    else:
        ApiKeys(storage).list(organization_id=organization)
        authenticator = AsyncApiKeyAuthenticator(
            AsyncApiKeys(threaded), remember=float(os.environ[_REMEMBER_KEYS])
        )
    max_batch_bytes = int(os.environ[_MAX_BATCH_BYTES])
    batches = in_threads(_BATCH_THREADS)
    of_batches = Tracker(
        watching.storage(storage),
        fingerprint_key=keys,
        limits=limits,
        redaction=redaction,
        observers=observers,
    )

    def calling(threads: ThreadedStorage) -> InThread:
        async def in_thread(call: Callable[[Tracker], Any]) -> Any:
            # A span of the transaction is a part of what the request is.
            context = copy_context()
            return await threads.call(lambda: context.run(call, of_batches))

        return in_thread

    return AsyncEndpoint(
        tracker,
        authenticator,
        max_batch_bytes=max_batch_bytes,
        readiness=Readiness(in_threads(1)),
        in_thread=calling(batches),
        reads_in_thread=calling(in_threads(_READING_THREADS)),
    )
