"""Counts and times: Prometheus' registry, the numbers of `/status`, and the log line of each request.

Counters move when something happens. Gauges are read from their owners at the moment of the scrape, so they
are true on an idle day as well. No model, no agent and no key in a label: cardinality stays low; who asked
for which model is in the log line.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import structlog
import trio
from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import Metric

from proxy import __version__
from proxy.attempt import Result
from proxy.core.band import Band
from proxy.core.classify import Meaning
from proxy.core.decisions import Dropped, QueueFull
from proxy.core.retreat import RetreatState
from proxy.exchange import Exchange, Outcome
from proxy.gate import Grant, TurnedAway
from shared.gauges import Gauges, labelled

PROVIDER: Final = "nvidia"

QUEUE_BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
UPSTREAM_BUCKETS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

_ANSWERS: Final = {Meaning.ANSWERED, Meaning.KEY_REJECTED, Meaning.NO_CREDITS, Meaning.UNAVAILABLE}

_log = structlog.get_logger()


@dataclass(slots=True)
class Tally:
    """Plain counts since the start, for `/status`."""

    total: int = 0
    nvidia: int = 0
    passthrough: int = 0
    ratelimited: int = 0
    queue_full_rejects: int = 0
    upstream_errors: int = 0


class Metrics:
    """Owner of all counters. What happens is told to it by the handler."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # series that nobody reads
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.tally = Tally()
        registry = self.registry
        requests = Counter(
            "sidecar_requests", "Requests by outcome", ["priority", "status"], registry=registry
        )
        self._requests = {
            (band, outcome): requests.labels(band.label, outcome.value)
            for band in Band
            for outcome in Outcome
        }
        queue = Histogram(
            "sidecar_queue_latency_seconds",
            "Time before the upstream: waiting for slots and pauses between attempts",
            ["priority"],
            buckets=QUEUE_BUCKETS,
            registry=registry,
        )
        self._queue = {band: queue.labels(band.label) for band in Band}
        self._upstream = Histogram(
            "sidecar_upstream_latency_seconds",
            "From sending the last attempt to the end of its answer",
            ["provider"],
            buckets=UPSTREAM_BUCKETS,
            registry=registry,
        ).labels(PROVIDER)
        self._first_chunk = Histogram(
            "sidecar_time_to_first_chunk_seconds",
            "From sending an attempt to the first bytes of its answer",
            buckets=UPSTREAM_BUCKETS,
            registry=registry,
        )
        self._errors = Counter(
            "sidecar_upstream_errors",
            "Attempts that the upstream answered with 429 or 5xx, or not at all",
            ["status_code", "provider"],
            registry=registry,
        )
        self._retries = Counter(
            "sidecar_retries", "Further attempts, by what made them necessary", ["reason"], registry=registry
        )
        self._passthrough = Counter(
            "sidecar_fallback_passthrough",
            "Requests that waited outside a full queue",
            registry=registry,
        )
        self._saved = Counter(
            "sidecar_budget_saved", "Slots not spent, by what spared them", ["how"], registry=registry
        )
        for how in ("models_cache", "abandoned", "known_unavailable", "single_flight"):
            self._saved.labels(how)

    def watch(self, gauges: Callable[[], Iterable[Metric]]) -> None:
        """Have these read at every scrape."""
        self.registry.register(Gauges(gauges))

    def decided(self, grant: Grant | TurnedAway, band: Band) -> None:
        """The gate has let a request through, or turned it away."""
        if isinstance(grant, Grant):
            if grant.ticket.outside:
                self.tally.passthrough += 1
                self._passthrough.inc()
        elif isinstance(grant, QueueFull | Dropped):
            self.tally.queue_full_rejects += 1

    def attempted(self, exchange: Exchange, result: Result) -> None:
        """An attempt is over, or its answer has begun."""
        if result.succeeded:
            self._first_chunk.observe(exchange.upstream_seconds)
        if result.meaning not in _ANSWERS:
            self._upstream_error(result.label)

    def broke_off(self, label: str) -> None:
        """An answer that had begun could not be finished, or ended with an error: a failure, or a status."""
        self._upstream_error(label)

    def retry(self, meaning: Meaning) -> None:
        """Another attempt follows."""
        self._retries.labels(str(meaning)).inc()

    def saved(self, how: str) -> None:
        """A slot was not spent."""
        self._saved.labels(how).inc()

    def completed(
        self, exchange: Exchange, *, status: int | None, sent_bytes: int, state: RetreatState
    ) -> None:
        """A request is over, however it ended: its counters, and its log line. `status` None: no answer."""
        now = trio.current_time()
        outcome, band = exchange.outcome(status), exchange.caller.band
        self.tally.total += 1
        self.tally.nvidia += not exchange.from_cache
        self.tally.passthrough += exchange.from_cache
        self.tally.ratelimited += outcome is Outcome.RATE_LIMITED
        self._requests[band, outcome].inc()
        if exchange.attempts:
            self._upstream.observe(exchange.upstream_seconds)
        elif outcome is Outcome.ABANDONED:
            self.saved("abandoned")
        if exchange.attempts or exchange.queue_seconds:
            self._queue[band].observe(exchange.queue_seconds)
        _log.info(
            "request_completed",
            request_id=exchange.id,
            agent=exchange.caller.agent,
            session=exchange.caller.session,
            priority=band.label,
            method=exchange.method,
            path=exchange.path,
            model=exchange.model,
            substitute=exchange.substitute,
            stream=exchange.stream,
            status=status,
            outcome=outcome.value,
            queue_ms=round(exchange.queue_seconds * 1000, 1),
            upstream_ms=round(exchange.upstream_seconds * 1000, 1),
            total_ms=round((now - exchange.arrived_at) * 1000, 1),
            attempts=exchange.attempts,
            bytes=sent_bytes,
            prompt_tokens=exchange.prompt_tokens,
            completion_tokens=exchange.completion_tokens,
            retreat=state.value,
        )

    def _upstream_error(self, label: str) -> None:
        self.tally.upstream_errors += 1
        self._errors.labels(label, PROVIDER).inc()


def build_info() -> Metric:
    """The version, as the label of a constant."""
    return labelled("sidecar_build_info", "The version that runs", ["version"], {(__version__,): 1})
