"""The feed of the board's events."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardBroken, BoardUnavailable
from scheduler.core.records import Event
from scheduler.core.states import Status
from scheduler.events import EventFeed, Listener, Numbered, TooManyListenersError


class FakeStore:
    """Events, as the store numbers them, and how often it was asked."""

    def __init__(self) -> None:
        self.events: list[Numbered] = []
        self.looks = 0
        self.readings = 0

    def happen(self, count: int = 1) -> None:
        for _ in range(count):
            number = len(self.events) + 1
            self.events.append((number, Event("T-0001", 0.0, "coo", f"step {number}", None, Status.PENDING)))

    def last_event(self) -> int:
        self.looks += 1
        return len(self.events)

    def events_after(self, number: int, limit: int) -> list[Numbered]:
        self.readings += 1
        return self.events[number : number + limit]


class FakeBoard:
    """A board that can be away."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.fault: Exception | None = None

    async def read(self, question: Callable[..., Any], *args: object) -> Any:
        await trio.lowlevel.checkpoint()
        if self.fault is not None:
            raise self.fault
        return question(self.store, *args)


class Told(list[str]):
    def hear(self, events: Sequence[Event]) -> None:
        self.extend(event.what for event in events)


@pytest.fixture
def board() -> FakeBoard:
    return FakeBoard()


@asynccontextmanager
async def running(board: FakeBoard, told: Told | None = None, **rooms: int) -> AsyncIterator[EventFeed]:
    """A feed that has had its first look."""
    feed = EventFeed(cast(Board, board), on_change=(told if told is not None else Told()).hear, **rooms)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.run)
        await wait_all_tasks_blocked()
        yield feed
        nursery.cancel_scope.cancel()


def taken(listener: Listener) -> int:
    return listener.backlog


async def test_nothing_happening_costs_one_look_a_second_and_no_reading(
    autojump_clock: MockClock, board: FakeBoard
) -> None:
    board.store.happen(3)
    async with running(board):
        await trio.sleep(60.5)
    assert (board.store.looks, board.store.readings) == (61, 0)


async def test_what_happened_before_the_start_is_no_news(autojump_clock: MockClock, board: FakeBoard) -> None:
    board.store.happen(3)
    told = Told()
    async with running(board, told):
        board.store.happen()
        await trio.sleep(1.1)
    assert told == ["step 4"]


async def test_a_poke_is_looked_after_at_once_and_many_pokes_once(
    autojump_clock: MockClock, board: FakeBoard
) -> None:
    told = Told()
    async with running(board, told) as feed:
        await trio.sleep(0.5)
        looks = board.store.looks
        board.store.happen(2)
        for _ in range(10):
            feed.poke()
        await wait_all_tasks_blocked()
        assert trio.current_time() % 1 == pytest.approx(0.5)
        assert (told, board.store.looks - looks) == (["step 1", "step 2"], 1)


async def test_a_flood_comes_in_pages_and_in_order(autojump_clock: MockClock, board: FakeBoard) -> None:
    told = Told()
    async with running(board, told) as feed:
        with feed.listening() as listener:
            board.store.happen(1_000)
            await trio.sleep(1.1)
            numbers = [(await listener.next() or (0,))[0] for _ in range(1_000)]
    assert numbers == list(range(1, 1_001))
    assert len(told) == 1_000


async def test_a_slow_listener_is_dropped_and_the_others_are_not(
    autojump_clock: MockClock, board: FakeBoard
) -> None:
    async with running(board, backlog=5) as feed:
        with feed.listening() as slow, feed.listening() as quick:
            for _ in range(3):
                board.store.happen(2)
                await trio.sleep(1.1)
                for _ in range(taken(quick)):
                    await quick.next()
            assert "1 listening" in repr(feed)
            got = []
            while (numbered := await slow.next()) is not None:
                got.append(numbered[0])
            assert got == [1, 2, 3, 4, 5]


async def test_a_listener_that_leaves_is_told_nothing_more(
    autojump_clock: MockClock, board: FakeBoard
) -> None:
    async with running(board, most_listeners=1) as feed:
        with feed.listening(), pytest.raises(TooManyListenersError), feed.listening():
            pass
        with feed.listening() as listener:
            pass
        board.store.happen()
        await trio.sleep(1.1)
        assert taken(listener) == 0


async def test_a_board_that_is_away_is_asked_again_and_nothing_is_lost(
    autojump_clock: MockClock, board: FakeBoard
) -> None:
    told = Told()
    async with running(board, told):
        board.fault = BoardUnavailable("the server is gone")
        board.store.happen(2)
        await trio.sleep(5)
        assert told == []
        board.fault = None
        await trio.sleep(1.1)
        assert told == ["step 1", "step 2"]


async def test_an_older_board_that_was_brought_back_is_followed_from_where_it_is(
    autojump_clock: MockClock, board: FakeBoard
) -> None:
    told = Told()
    board.store.happen(10)
    async with running(board, told):
        del board.store.events[4:]
        await trio.sleep(1.1)
        board.store.happen()
        await trio.sleep(1.1)
    assert told == ["step 5"]


async def test_a_disk_that_fails_ends_it(autojump_clock: MockClock, board: FakeBoard) -> None:
    board.fault = BoardBroken("input/output error")
    with pytest.raises(BoardBroken):
        await EventFeed(cast(Board, board)).run()
