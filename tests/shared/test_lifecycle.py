import io
import os
import signal
import threading

import pytest
import trio

from shared.lifecycle import Lifecycle, last_resort
from shared.signals import stop_on_signals


def test_a_life_goes_one_way() -> None:
    life = Lifecycle()
    assert (life.draining, repr(life)) == (False, "<Lifecycle serving>")
    life.begin_drain()
    life.begin_drain()
    assert (life.draining, repr(life)) == (True, "<Lifecycle draining>")
    assert not life.drain_ended.is_set()
    life.end_drain()
    assert (life.draining, repr(life)) == (True, "<Lifecycle stopped>")


def test_a_drain_that_ends_has_begun() -> None:
    life = Lifecycle()
    life.end_drain()
    assert life.drain_begun.is_set()


def test_the_last_resort_flushes_and_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    left = threading.Event()
    codes: list[int] = []
    flushed: list[bool] = []

    class Stdout(io.StringIO):
        def flush(self) -> None:
            flushed.append(True)
            raise OSError

    def leave(code: int) -> None:
        codes.append(code)
        left.set()

    monkeypatch.setattr("sys.stdout", Stdout())
    timer = last_resort(0, 3, leave=leave)
    assert timer.daemon
    assert left.wait(5)
    timer.join(5)
    assert (codes, flushed) == ([3], [True])


def test_a_last_resort_that_is_not_needed_is_taken_back() -> None:
    timer = last_resort(3_600)
    timer.cancel()
    timer.join(5)
    assert not timer.is_alive()


async def test_the_first_signal_stops_and_the_second_insists() -> None:
    first, second = trio.Event(), trio.Event()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(stop_on_signals, first.set, second.set)
            os.kill(os.getpid(), signal.SIGTERM)
            await first.wait()
            assert not second.is_set()
            os.kill(os.getpid(), signal.SIGINT)
            await second.wait()
            nursery.cancel_scope.cancel()
