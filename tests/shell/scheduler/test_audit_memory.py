"""Audit records in memory."""

from scheduler.audit.memory import MemoryStore
from scheduler.audit.record import AuditRecord


def records(*times: float) -> list[AuditRecord]:
    return [AuditRecord(at, "coder", "task_claimed", "T-0042", "ok", {}) for at in times]


def test_it_keeps_the_latest_of_too_many() -> None:
    store = MemoryStore(most_records=3)
    store.write(records(1, 2))
    store.write(records(3, 4))
    assert list(store.records) == records(2, 3, 4)
    assert repr(store) == "<MemoryStore: 3 of at most 3 records>"


def test_it_forgets_what_is_too_old_and_says_how_many() -> None:
    store = MemoryStore()
    store.write(records(1, 5, 2, 6))
    assert store.prune(5) == 2
    assert list(store.records) == records(5, 6)


def test_who_looks_while_it_is_written_has_a_picture_that_does_not_change() -> None:
    store = MemoryStore()
    store.write(records(1))
    seen = store.records
    store.write(records(2))
    assert list(seen) == records(1)
