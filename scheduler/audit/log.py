"""The audit log's buffer and its pump: nobody waits for a store, and no store loses what it can have later.

DESIGN. `record` only appends. The pump writes what has gathered, in the order it was recorded, in batches:

1. when `batch_size` records have gathered;
2. when the oldest of them has waited for `flush_seconds`: what `kill -9` can cost;
3. at the stop, by `aclose`: SIGTERM costs nothing.

A store that fails gets the same batch again, after waits that double from half a second to a minute, and
meanwhile `statistics()` says why. Up to MOST_KEPT records are kept for it; beyond that the oldest are dropped
and counted: a full memory would end the scheduler, and the latest records are those that somebody will ask
for.

An idle log sleeps: no timer runs while nothing has been recorded, but the one of the daily retention.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import structlog
import trio

from scheduler.audit.record import AuditRecord, plain
from scheduler.audit.store import AuditStore
from shared import clock
from shared.redaction import Redactor

MOST_KEPT: Final = 100_000
"""Records that wait for a store. A usual one is 1 kB in memory (measured), so all of them are 100 MB."""

FIRST_RETRY_SECONDS: Final = 0.5
LONGEST_RETRY_SECONDS: Final = 60.0

CLOSE_SECONDS: Final = 5.0
"""For the last flush where the store fails: half of what the scheduler's stop may take."""

DAY_SECONDS: Final = 86_400.0

PRUNE_RETRY_SECONDS: Final = 3_600.0

_NO_DETAILS: Final[Mapping[str, object]] = MappingProxyType({})

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AuditStatistics:
    """What `/health` (`audit_logger`) and the metrics show of the log."""

    buffered: int
    """Records that no store has yet."""
    written: int
    dropped: int
    """Records that no store will ever have."""
    last_error: str | None
    """Why the store refuses; None while it does not."""

    @property
    def healthy(self) -> bool:
        """Has the store taken what it was given last?"""
        return self.last_error is None


class AuditLog:
    """Owner of the records that no store has yet, and of the store.

    Its verbs are called from the Trio thread. `carry` takes a call of the store to where it may block, and
    returns or raises what it did.
    """

    def __init__(
        self,
        store: AuditStore,
        redactor: Redactor,
        *,
        batch_size: int,
        flush_seconds: float,
        retention_days: float,
        most_kept: int = MOST_KEPT,
        carry: Callable[[Callable[[], int | None]], Awaitable[int | None]] = trio.to_thread.run_sync,
        wall: Callable[[], float] = clock.wall,
    ) -> None:
        self._store = store
        self._redactor = redactor
        self._batch_size = batch_size
        self._flush_seconds = flush_seconds
        self._retention_seconds = retention_days * DAY_SECONDS
        self._most_kept = most_kept
        self._carry = carry
        self._wall = wall
        self._store_in_use = trio.Lock()
        # Changed by `record` and by whoever holds the lock.
        self._waiting: deque[AuditRecord] = deque()
        self._under_way = 0
        self._written = 0
        self._dropped = 0
        self._dropped_before = 0  # when the store took something last
        self._last_error: str | None = None
        self._closed = False
        # Set while something waits, and while a batch of it does.
        self._some = trio.Event()
        self._many = trio.Event()

    def record(
        self,
        action: str,
        *,
        at: float,
        actor: str,
        subject: str,
        outcome: str = "ok",
        details: Mapping[str, object] = _NO_DETAILS,
    ) -> None:
        """Take a record, without waiting. Secrets in it are masked, but had better not be there."""
        if self._closed:
            self._dropped += 1
            _log.error("audit_record_too_late", action=action, subject=subject)
            return
        record = AuditRecord(at, actor, action, subject, outcome, details)
        self._waiting.append(plain(record, self._redactor))
        self._drop_excess()
        self._some.set()
        if len(self._waiting) >= self._batch_size:
            self._many.set()

    async def run(self) -> None:
        """Write what is recorded and keep to the retention, until cancelled."""
        async with trio.open_nursery() as pumps:
            pumps.start_soon(self._keep_retention)
            pumps.start_soon(self._keep_writing)

    async def flush(self) -> bool:
        """Write all that was recorded until now; False if the store refused some of it, which is kept."""
        async with self._store_in_use:
            left = len(self._waiting)
            while left > 0 and self._waiting:  # meanwhile the oldest may be dropped
                size = min(left, self._batch_size, len(self._waiting))
                if not await self._write([self._waiting.popleft() for _ in range(size)]):
                    return False
                left -= size
            return True

    async def aclose(self) -> None:
        """The last flush, whatever is cancelled around it; from then on nothing is taken.

        A store that still refuses after CLOSE_SECONDS costs what it did not take, which is told. A call of
        the store that hangs in its thread cannot be cut off; `lifecycle.last_resort` is for that.
        """
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._flush_stubbornly()
        self._closed = True
        if self._waiting:
            _log.critical("audit_records_lost", count=len(self._waiting), error=self._last_error)

    def statistics(self) -> AuditStatistics:
        """A picture of the log, true now."""
        buffered = len(self._waiting) + self._under_way
        return AuditStatistics(buffered, self._written, self._dropped, self._last_error)

    async def _keep_writing(self) -> None:
        while True:
            await self._some.wait()
            with trio.move_on_after(self._flush_seconds):
                await self._many.wait()
            await self._flush_stubbornly()

    async def _flush_stubbornly(self) -> None:
        wait = FIRST_RETRY_SECONDS
        while not await self.flush():
            await trio.sleep(wait)
            wait = min(2 * wait, LONGEST_RETRY_SECONDS)

    async def _keep_retention(self) -> None:
        while True:
            is_kept = await self._prune()
            await trio.sleep(DAY_SECONDS if is_kept else PRUNE_RETRY_SECONDS)

    async def _write(self, batch: list[AuditRecord]) -> bool:
        """One batch, taken from the front, into the store or back to the front."""
        self._under_way = len(batch)
        self._calm_down()
        try:
            await self._carry(lambda: self._store.write(batch))
        except BaseException as error:
            self._waiting.extendleft(reversed(batch))
            self._drop_excess()
            self._some.set()
            if not isinstance(error, Exception):  # cancelled: neither the store's fault nor for good
                raise
            self._tell_failure(error)
            return False
        finally:
            self._under_way = 0
        self._written += len(batch)
        self._tell_success()
        return True

    async def _prune(self) -> bool:
        async with self._store_in_use:
            before = self._wall() - self._retention_seconds
            try:
                count = await self._carry(lambda: self._store.prune(before))
            except Exception as error:  # whatever a store raises, it is no reason to end the scheduler
                _log.warning("audit_prune_failed", error=self._why(error))
                return False
        if count:
            _log.info("audit_pruned", count=count, before=clock.rfc3339(before))
        return True

    def _calm_down(self) -> None:
        """Unset what is no longer so. An event that is set has nobody waiting: it may be replaced."""
        if self._some.is_set() and not self._waiting:
            self._some = trio.Event()
        if self._many.is_set() and len(self._waiting) < self._batch_size:
            self._many = trio.Event()

    def _drop_excess(self) -> None:
        while len(self._waiting) > self._most_kept:
            self._waiting.popleft()
            if self._dropped == self._dropped_before:
                _log.critical("audit_buffer_full", kept=self._most_kept, error=self._last_error)
            self._dropped += 1

    def _tell_failure(self, error: Exception) -> None:
        if self._last_error is None:
            _log.critical("audit_store_failing", error=self._why(error), buffered=len(self._waiting))
        self._last_error = self._why(error)

    def _tell_success(self) -> None:
        dropped = self._dropped - self._dropped_before
        if self._last_error is not None or dropped:
            _log.warning("audit_store_works_again", dropped=dropped)
        self._last_error, self._dropped_before = None, self._dropped

    def _why(self, error: Exception) -> str:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror.lower()
        name = type(error).__name__
        return next(iter(self._redactor.text(f"{name}: {error}").splitlines()), name)

    def __repr__(self) -> str:
        health = f"failing: {self._last_error}" if self._last_error is not None else "healthy"
        return (
            f"<AuditLog: {len(self._waiting) + self._under_way} waiting, {self._written} written, {health}>"
        )
