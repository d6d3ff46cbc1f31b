"""Threads that write take turns, and nobody who waits is passed by."""

import trio

from scheduler.blackboard.turns import Turns


async def in_the_line(turns: Turns, number: int) -> None:
    """Until so many wait."""
    with trio.fail_after(5):
        while turns.waiting != number:  # noqa: ASYNC110 - threads ring no bell
            await trio.sleep(0.001)


async def test_a_turn_is_taken_once() -> None:
    turns = Turns()
    assert turns.take(0)
    assert not turns.take(0)
    turns.give()
    assert turns.take(0)


async def test_it_goes_to_whoever_has_waited_longest_and_not_to_who_asks_again() -> None:
    turns, came = Turns(), list[int]()

    def write(number: int) -> None:
        assert turns.take(5)
        came.append(number)
        turns.give()

    assert turns.take(0)
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(trio.to_thread.run_sync, write, number)
            await in_the_line(turns, number + 1)
        turns.give()
        again = await trio.to_thread.run_sync(turns.take, 5)
    assert again
    assert came == [0, 1, 2, 3, 4]


async def test_who_has_waited_too_long_leaves_the_line_to_the_others() -> None:
    turns = Turns()
    assert turns.take(0)
    assert not turns.take(0.001)
    assert turns.waiting == 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, turns.take, 5)
        await in_the_line(turns, 1)
        turns.give()
    assert not turns.take(0)
    assert repr(turns) == "<Turns, taken, 0 waiting>"
