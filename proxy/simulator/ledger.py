"""What has happened: the counts and the last requests. Pure; the server is the only one that writes in it."""

import hashlib
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from proxy.simulator.faults import Kind

KEPT_REQUESTS = 1000
KEPT_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came off the wire, names in their own casing."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def key(self) -> str | None:
        """What the bearer bears; None without one."""
        value = next((value for name, value in self.headers if name.lower() == "authorization"), "")
        scheme, _, key = value.partition(" ")
        return key.strip() or None if scheme.lower() == "bearer" else None


class Outcome(StrEnum):
    IN_FLIGHT = "in_flight"
    ANSWERED = "answered"
    REJECTED = "rejected"  # the request's own fault: 400, 401, 404, 405
    REFUSED = "refused"  # 429, by a limit
    EXHAUSTED = "exhausted"  # 503, all workers of the model busy
    FAULTED = "faulted"  # as scripted
    ABORTED = "aborted"  # the client hung up before the answer ended


class Record(msgspec.Struct):
    """A request that arrived, and what became of it. The ledger writes the last four fields; others read."""

    at: float
    """The simulator's clock when the last byte was there."""
    connection: int
    """Which connection it came on, counted from 1."""
    method: str
    target: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    """Its first 64 kB."""
    body_bytes: int
    body_sha256: str
    model: str = ""
    outcome: Outcome = Outcome.IN_FLIGHT
    status: int | None = None
    fault: Kind | None = None

    def header(self, name: str) -> str | None:
        """The first value under this name, in any case."""
        return next((value for known, value in self.headers if known.lower() == name.lower()), None)

    def as_json(self) -> dict[str, object]:
        return {**msgspec.structs.asdict(self), "body": self.body.decode("utf-8", "replace")}


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """The counts since the start or the last reset; ``requests = accepted + refused + uncounted``."""

    requests: int = 0
    accepted: int = 0
    """Spent a place in the window, whatever they were answered."""
    refused: int = 0
    """429 by a limit."""
    uncounted: int = 0
    """Spent nothing: no key, a wrong key, the list of models, no such path."""
    exhausted: int = 0
    """503, all workers busy; accepted all the same."""
    faulted: int = 0
    """Got what was scripted; accepted all the same, where the endpoint counts."""
    aborted: int = 0
    """The client hung up before its answer ended, or before its request did."""
    malformed: int = 0
    """Connections on which something came that is not HTTP."""
    in_flight: int = 0
    connections: int = 0
    """Open now."""
    connections_opened: int = 0
    max_in_window: int = 0
    """Most accepted in any window, all keys together."""
    max_in_window_by_key: dict[str, int] = {}
    max_in_window_by_model: dict[str, int] = {}
    """Only of models that have a limit of their own."""
    busy: dict[str, int] = {}
    """Workers busy now, per model."""
    models: dict[str, int] = {}
    """Requests that named each model, refused ones too."""


class Ledger:
    def __init__(self) -> None:
        self.in_flight = 0
        self.connections = 0
        self._serial = 0  # of connections; survives a reset, so that numbers stay distinct
        self.reset()

    def reset(self) -> None:
        """Forget what happened. What is going on goes on: in flight and open connections stay."""
        self.records: deque[Record] = deque(maxlen=KEPT_REQUESTS)
        self.models: Counter[str] = Counter()
        self.requests = self.accepted = self.refused = self.uncounted = 0
        self.exhausted = self.faulted = self.aborted = self.malformed = 0
        self.connections_opened = self.connections

    @contextmanager
    def connection(self) -> Iterator[int]:
        self.connections += 1
        self.connections_opened += 1
        self._serial += 1
        try:
            yield self._serial
        finally:
            self.connections -= 1

    def arrived(self, now: float, connection: int, request: Request) -> Record:
        self.requests += 1
        self.in_flight += 1
        record = Record(
            at=now,
            connection=connection,
            method=request.method,
            target=request.target,
            path=request.path,
            query=request.query,
            headers=list(request.headers),
            body=request.body[:KEPT_BODY_BYTES],
            body_bytes=len(request.body),
            body_sha256=hashlib.sha256(request.body).hexdigest(),
        )
        self.records.append(record)
        return record

    def judged(
        self, record: Record, *, outcome: Outcome, counted: bool, model: str, fault: Kind | None
    ) -> None:
        record.model, record.fault = model, fault
        if outcome is Outcome.REFUSED:
            self.refused += 1
        elif counted:
            self.accepted += 1
        else:
            self.uncounted += 1
        self.exhausted += outcome is Outcome.EXHAUSTED
        self.faulted += fault is not None
        if model:
            self.models[model] += 1

    def ended(self, record: Record, outcome: Outcome, status: int | None) -> None:
        self.in_flight -= 1
        record.outcome, record.status = outcome, status

    def hung_up(self, record: Record | None = None) -> None:
        """The client left before the end of its answer, or (no record) of its request."""
        self.aborted += 1
        if record is not None:
            record.outcome = Outcome.ABORTED
