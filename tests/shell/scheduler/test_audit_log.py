"""The audit log's buffer and pump: what is recorded reaches the store, in order, in time, and once."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from trio.testing import MockClock

from scheduler.audit.log import (
    CLOSE_SECONDS,
    DAY_SECONDS,
    FIRST_RETRY_SECONDS,
    LONGEST_RETRY_SECONDS,
    PRUNE_RETRY_SECONDS,
    AuditLog,
)
from scheduler.audit.record import AuditRecord
from shared.redaction import Redactor

BATCH, INTERVAL, RETENTION_DAYS = 5, 10.0, 90.0
BEGAN = 1_790_000_000.0


class FakeStore:
    """Takes `seconds` for each call, and refuses while `error` is set."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.error: Exception | None = None
        self.batches: list[list[AuditRecord]] = []
        self.tried_at: list[float] = []
        self.pruned_before: list[float] = []
        self._busy = False

    @property
    def subjects(self) -> list[str]:
        return [record.subject for batch in self.batches for record in batch]

    def write(self, records: Sequence[AuditRecord]) -> None:
        self.tried_at.append(trio.current_time())
        if self.error is not None:
            raise self.error
        self.batches.append(list(records))

    def prune(self, before: float) -> int:
        self.pruned_before.append(before)
        if self.error is not None:
            raise self.error
        return len(self.pruned_before) - 1

    async def carry(self, call: Callable[[], int | None]) -> int | None:
        """Instead of a thread, which a clock that jumps would not wait for."""
        assert not self._busy, "used twice at the same time"
        self._busy = True
        try:
            await trio.sleep(self.seconds)
            return call()
        finally:
            self._busy = False


class Log:
    """An audit log and its store."""

    def __init__(self, *, most_kept: int = 1000, secrets: Sequence[str] = ()) -> None:
        redactor = Redactor()
        redactor.add(secrets)
        self.store = FakeStore()
        self.audit = AuditLog(
            self.store,
            redactor,
            batch_size=BATCH,
            flush_seconds=INTERVAL,
            retention_days=RETENTION_DAYS,
            most_kept=most_kept,
            carry=self.store.carry,
            wall=lambda: BEGAN + trio.current_time(),
        )
        self.recorded: list[str] = []

    def record(self, count: int = 1) -> None:
        for _ in range(count):
            subject = f"T-{len(self.recorded)}"
            self.audit.record("task_claimed", at=BEGAN, actor="coder", subject=subject)
            self.recorded.append(subject)

    @property
    def numbers(self) -> tuple[int, int, int]:
        now = self.audit.statistics()
        return now.buffered, now.written, now.dropped


@pytest.fixture
def log() -> Log:
    return Log()


async def test_a_record_is_written_when_the_interval_is_over_and_later_ones_do_not_put_it_off(
    autojump_clock: MockClock, log: Log, nursery: trio.Nursery
) -> None:
    nursery.start_soon(log.audit.run)
    await trio.sleep(100)
    log.record()
    await trio.sleep(INTERVAL - 1)
    log.record()
    assert log.numbers == (2, 0, 0)
    await trio.sleep(1.001)
    assert log.store.subjects == ["T-0", "T-1"]
    assert log.numbers == (0, 2, 0)
    log.record()
    await trio.sleep(INTERVAL - 0.1)
    assert log.numbers == (1, 2, 0)


async def test_a_full_batch_is_written_at_once(
    autojump_clock: MockClock, log: Log, nursery: trio.Nursery
) -> None:
    nursery.start_soon(log.audit.run)
    for _ in range(3):
        log.record(BATCH)
        await trio.sleep(0.001)
    assert [len(batch) for batch in log.store.batches] == [BATCH] * 3
    assert log.store.subjects == log.recorded


async def test_no_batch_is_larger_than_allowed(
    autojump_clock: MockClock, log: Log, nursery: trio.Nursery
) -> None:
    nursery.start_soon(log.audit.run)
    log.record(2 * BATCH + 1)
    await trio.sleep(0.001)
    assert [len(batch) for batch in log.store.batches] == [BATCH, BATCH, 1]


async def test_a_flush_writes_what_was_recorded_before_it_began(
    autojump_clock: MockClock, log: Log, nursery: trio.Nursery
) -> None:
    log.store.seconds = 1.0
    log.record(3)
    nursery.start_soon(log.audit.flush)
    await trio.sleep(0.5)
    log.record(2)
    assert log.numbers == (5, 0, 0), "also those under way"
    await trio.sleep(0.6)
    assert log.numbers == (2, 3, 0)
    assert await log.audit.flush()
    assert log.store.subjects == log.recorded


async def test_the_stop_writes_everything_even_where_all_around_it_is_cancelled(
    autojump_clock: MockClock, log: Log
) -> None:
    log.store.seconds = 1.0
    with trio.CancelScope() as scope:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(log.audit.run)
                await trio.sleep(5)
                log.record(2 * BATCH + 1)
                scope.cancel()
        finally:
            await log.audit.aclose()
    assert log.store.subjects == log.recorded
    assert log.numbers == (0, len(log.recorded), 0)


async def test_a_pump_that_is_cancelled_while_it_writes_keeps_what_it_had_in_hand(
    autojump_clock: MockClock, log: Log
) -> None:
    log.store.seconds = 3.0
    log.record(BATCH + 2)
    with trio.move_on_after(4):  # the retention first
        await log.audit.run()
    assert log.numbers == (BATCH + 2, 0, 0)
    assert await log.audit.flush()
    assert log.store.subjects == log.recorded
    assert log.audit.statistics().healthy


async def test_the_stop_gives_up_on_a_store_that_refuses_and_says_what_that_costs(
    autojump_clock: MockClock, log: Log
) -> None:
    log.store.error = OSError(28, "No space left on device")
    log.record(3)
    with capture_logs() as lines:
        await log.audit.aclose()
    assert trio.current_time() == CLOSE_SECONDS
    assert len(log.store.tried_at) > 1
    assert lines[-1] == {
        "event": "audit_records_lost",
        "log_level": "critical",
        "count": 3,
        "error": "no space left on device",
    }


async def test_a_record_after_the_stop_is_counted_as_dropped_and_told(
    autojump_clock: MockClock, log: Log
) -> None:
    await log.audit.aclose()
    with capture_logs() as lines:
        log.record()
    assert log.numbers == (0, 0, 1)
    assert [line["event"] for line in lines] == ["audit_record_too_late"]


async def test_a_store_that_fails_is_told_once_loses_nothing_and_recovers_by_itself(
    autojump_clock: MockClock, log: Log, nursery: trio.Nursery
) -> None:
    nursery.start_soon(log.audit.run)
    await trio.sleep(1)
    log.store.error = ConnectionRefusedError(111, "Connection refused")
    with capture_logs() as lines:
        for _ in range(6):
            log.record(2)
            await trio.sleep(30)
        assert log.numbers == (12, 0, 0)
        assert log.audit.statistics().last_error == "connection refused"
        assert not log.audit.statistics().healthy
        assert repr(log.audit) == "<AuditLog: 12 waiting, 0 written, failing: connection refused>"
        log.store.error = None
        await trio.sleep(LONGEST_RETRY_SECONDS)
    assert log.store.subjects == log.recorded
    assert log.numbers == (0, 12, 0)
    assert log.audit.statistics().healthy
    assert [line["event"] for line in lines] == ["audit_store_failing", "audit_store_works_again"]


async def test_a_store_that_fails_is_left_alone_for_longer_and_longer_however_much_is_recorded(
    autojump_clock: MockClock, log: Log, nursery: trio.Nursery
) -> None:
    nursery.start_soon(log.audit.run)
    log.store.error = ConnectionRefusedError(111, "Connection refused")
    for _ in range(600):
        log.record(1)
        await trio.sleep(1)
    tried = log.store.tried_at
    waits = [later - earlier for earlier, later in pairwise(tried)]
    assert waits[:3] == [FIRST_RETRY_SECONDS * factor for factor in (1, 2, 4)]
    assert max(waits) == waits[-1] == LONGEST_RETRY_SECONDS


async def test_beyond_what_is_kept_the_oldest_are_dropped_counted_and_told_once(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    log = Log(most_kept=8)
    nursery.start_soon(log.audit.run)
    await trio.sleep(1)
    log.store.error = ValueError("broken")
    with capture_logs() as lines:
        for _ in range(20):
            log.record()
            await trio.sleep(1)
        assert log.numbers == (8, 0, 12)
        log.store.error = None
        await trio.sleep(LONGEST_RETRY_SECONDS)
    assert log.store.subjects == log.recorded[12:]
    assert [(line["event"], line.get("dropped")) for line in lines] == [
        ("audit_store_failing", None),
        ("audit_buffer_full", None),
        ("audit_store_works_again", 12),
    ]


async def test_a_batch_that_comes_back_to_a_full_buffer_is_what_is_dropped(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    log = Log(most_kept=6)
    log.store.seconds, log.store.error = 1.0, ValueError("broken")
    log.record(4)
    nursery.start_soon(log.audit.flush)
    await trio.sleep(0.5)
    log.record(5)
    await trio.sleep(1)
    assert log.numbers == (6, 0, 3)
    log.store.error = None
    assert await log.audit.flush()
    assert log.store.subjects == log.recorded[3:]


async def test_the_reason_of_a_failure_is_one_line_without_secrets(autojump_clock: MockClock) -> None:
    log = Log(secrets=["hunter22"])
    log.store.error = RuntimeError("no way to postgresql://board:pw@db/x with hunter22\nhint: none")
    log.record()
    assert not await log.audit.flush()
    assert log.audit.statistics().last_error == "RuntimeError: no way to postgresql://***@db/x with ***"


async def test_the_retention_is_kept_at_the_start_and_daily_and_nothing_else_wakes_an_idle_log(
    autojump_clock: MockClock, log: Log, nursery: trio.Nursery
) -> None:
    with capture_logs() as lines:
        nursery.start_soon(log.audit.run)
        await trio.sleep(2.5 * DAY_SECONDS)
    first = BEGAN - RETENTION_DAYS * DAY_SECONDS
    assert log.store.pruned_before == [first + day * DAY_SECONDS for day in range(3)]
    assert log.store.tried_at == []
    assert [(line["event"], line["count"]) for line in lines] == [("audit_pruned", 1), ("audit_pruned", 2)]


async def test_a_retention_that_failed_is_tried_again_within_the_hour(
    autojump_clock: MockClock, log: Log, nursery: trio.Nursery
) -> None:
    log.store.error = PermissionError(13, "Permission denied")
    with capture_logs() as lines:
        nursery.start_soon(log.audit.run)
        await trio.sleep(1.5 * PRUNE_RETRY_SECONDS)
    assert len(log.store.pruned_before) == 2
    assert lines[0] == {
        "event": "audit_prune_failed",
        "log_level": "warning",
        "error": "permission denied",
    }


async def test_writing_and_pruning_wait_for_each_other(
    autojump_clock: MockClock, log: Log, nursery: trio.Nursery
) -> None:
    log.store.seconds = 5.0
    log.record(BATCH)
    nursery.start_soon(log.audit.run)
    nursery.start_soon(log.audit.flush)
    await trio.sleep(20)
    assert log.numbers == (0, BATCH, 0)
    assert len(log.store.pruned_before) == 1


async def test_secrets_never_reach_the_store(autojump_clock: MockClock) -> None:
    log = Log(secrets=["hunter22"])
    log.audit.record(
        "write_denied",
        at=BEGAN,
        actor="coder hunter22",
        subject="T-0042",
        outcome="stale_claim",
        details={"claim": "T-0042.3.c2VjcmV0LXNlY3JldA", "admin_token": "t0p", "said": ["hunter22"]},
    )
    assert await log.audit.flush()
    assert log.store.batches == [
        [
            AuditRecord(
                at=BEGAN,
                actor="coder ***",
                action="write_denied",
                subject="T-0042",
                outcome="stale_claim",
                details={"claim": "T-0042.3.***", "admin_token": "***", "said": ["***"]},
            )
        ]
    ]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.integers(1, 3 * BATCH)),
        st.tuples(st.just("wait"), st.integers(0, 90)),
        st.tuples(st.just("flush"), st.just(0)),
        st.tuples(st.sampled_from(["break", "mend"]), st.just(0)),
        st.tuples(st.just("slow"), st.integers(0, 7)),
    ),
    max_size=30,
)


@given(steps=STEPS)
def test_whatever_happens_every_record_is_written_once_in_order_or_was_dropped_as_the_oldest(
    steps: list[tuple[str, int]],
) -> None:
    async def play() -> None:
        log = Log(most_kept=4 * BATCH)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(log.audit.run)
            for verb, amount in steps:
                await take(log, verb, amount)
                assert sum(log.numbers) == len(log.recorded)
                assert log.numbers[0] <= 5 * BATCH, "kept, and one batch under way"
            log.store.error, log.store.seconds = None, 0.0
            await trio.sleep(LONGEST_RETRY_SECONDS + INTERVAL)
            buffered, written, dropped = log.numbers
            assert (buffered, written + dropped) == (0, len(log.recorded))
            assert log.audit.statistics().healthy
            positions = [log.recorded.index(subject) for subject in log.store.subjects]
            assert positions == sorted(set(positions))
            assert len(positions) == written
            nursery.cancel_scope.cancel()

    async def take(log: Log, verb: str, amount: int) -> None:
        match verb:
            case "record":
                log.record(amount)
            case "wait":
                await trio.sleep(amount)
            case "flush":
                await log.audit.flush()
            case "break":
                log.store.error = ValueError("broken")
            case "mend":
                log.store.error = None
            case _:
                log.store.seconds = amount

    with capture_logs():
        trio.run(play, clock=MockClock(autojump_threshold=0))
