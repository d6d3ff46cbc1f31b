"""The board's face to Trio: writes one after the other, each known to be done or not begun."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from scheduler.audit.record import AuditRecord
from scheduler.blackboard.audit import BoardAuditStore
from scheduler.blackboard.board import Board
from scheduler.blackboard.store import Store
from scheduler.core.errors import Code, Refused
from scheduler.core.records import Notice
from scheduler.core.task import Draft
from tests.blackboard_model import ModelStore


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path)


@pytest.fixture
def board(store: ModelStore) -> Board:
    return Board(store)  # type: ignore[arg-type] # passes the conformance suite of the real one


async def test_a_call_has_its_arguments_and_its_answer(board: Board) -> None:
    made = await board.write(ModelStore.create, Draft("a task"), who="me", now=1.0)  # type: ignore[arg-type]
    assert await board.read(lambda store: store.task(made.id)) == made
    with pytest.raises(Refused) as refused:
        await board.read(lambda store: store.task("T-0002"))
    assert refused.value.code is Code.NOT_FOUND
    assert (board.statistics().reads, board.statistics().writes) == (2, 1)


async def test_one_writes_while_others_wait_and_read(board: Board) -> None:
    writing, let_go = threading.Event(), threading.Event()

    def slowly(_: Store) -> None:
        writing.set()
        assert let_go.wait(10)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(board.write, slowly)
            await trio.to_thread.run_sync(writing.wait)
            nursery.start_soon(board.write, lambda store: store.create(Draft("next"), who="me", now=1.0))
            assert await board.read(last_event) == 0
            assert board.statistics().writing == 1
            assert board.statistics().waiting == 1
            assert "1 writing, 1 waiting" in repr(board)
            let_go.set()
    assert await board.read(last_event) == 1
    assert (board.statistics().writing, board.statistics().waiting) == (0, 0)


async def test_a_write_that_has_begun_is_waited_for_and_its_answer_is_known(board: Board) -> None:
    writing, let_go = threading.Event(), threading.Event()
    answers = []

    def slowly(store: Store) -> str:
        writing.set()
        assert let_go.wait(10)
        return store.create(Draft("a task"), who="me", now=1.0).id

    async def write() -> None:
        answers.append(await board.write(slowly))

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await trio.to_thread.run_sync(writing.wait)
            nursery.cancel_scope.cancel()
            let_go.set()
    assert answers == ["T-0001"]
    assert board.statistics().writing == 0


async def test_a_write_that_has_not_begun_is_cancelled_for_good(board: Board) -> None:
    writing, let_go = threading.Event(), threading.Event()

    def slowly(_: Store) -> None:
        writing.set()
        assert let_go.wait(10)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(board.write, slowly)
            await trio.to_thread.run_sync(writing.wait)
            with trio.move_on_after(0) as given_up:
                await board.write(lambda store: store.create(Draft("never"), who="me", now=1.0))
            assert given_up.cancelled_caught
            let_go.set()
    assert await board.read(last_event) == 0


async def test_a_read_that_nobody_waits_for_any_more_holds_nobody_up(board: Board) -> None:
    reading, let_go = threading.Event(), threading.Event()

    def slowly(_: Store) -> None:
        reading.set()
        assert let_go.wait(10)

    try:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(board.read, slowly)
                await trio.to_thread.run_sync(reading.wait)
                nursery.cancel_scope.cancel()
    finally:
        let_go.set()


def last_event(store: Store) -> int:
    return store.last_event()


def test_the_audit_log_may_be_kept_on_the_board(store: ModelStore) -> None:
    audit = BoardAuditStore(store)  # type: ignore[arg-type] # as above
    record = AuditRecord(1.0, "me", "config_changed", "pause", "ok", {})
    audit.write([record, replace(record, at=2.0)])
    store.tell([Notice("coo", "a cause", "text", 1.0)])
    (waiting,) = store.unsent()
    store.cross_off(waiting.number, 1.0)
    assert audit.prune(2.0) == 1
    assert store.audit == [replace(record, at=2.0)]
    assert store.prune_notices(2.0) == 0, "they were pruned with it"
