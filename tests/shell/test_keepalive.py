"""Waits of streams: who hears what, and when, without a client, a server or a socket."""

import json

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from proxy.core.rhythm import Rhythm
from proxy.keepalive import KeepAlive, empty_chunk


class Listener:
    """Notes what it is sent; each send takes `seconds`, or fails."""

    def __init__(self, seconds: float = 0, error: Exception | None = None) -> None:
        self.heard: list[tuple[float, bytes]] = []
        self._seconds = seconds
        self._error = error

    async def begin_events(self) -> None:
        await self.send_event(b"head")

    async def send_event(self, event: bytes) -> None:
        await trio.sleep(self._seconds)
        self.heard.append((trio.current_time(), event))
        if self._error is not None:
            raise self._error


@pytest.fixture
async def keepalive(nursery: trio.Nursery) -> KeepAlive:
    made = KeepAlive()
    nursery.start_soon(made.run)
    return made


async def test_each_hears_its_own_rhythm(autojump_clock: MockClock, keepalive: KeepAlive) -> None:
    late, early = Listener(), Listener()
    holds = [
        keepalive.hold(late, b"late", Rhythm(10, 4), 0),
        keepalive.hold(early, b"early", Rhythm(5, 3), 0),
    ]
    await trio.sleep(12)
    for hold in holds:
        await hold.end()
    assert early.heard == [(5, b"head"), (5, b"early"), (8, b"early"), (11, b"early")]
    assert late.heard == [(10, b"head"), (10, b"late")]
    await trio.sleep(100)
    assert (len(early.heard), len(late.heard)) == (4, 2)


async def test_one_that_ends_before_its_time_hears_nothing(
    autojump_clock: MockClock, keepalive: KeepAlive
) -> None:
    listener = Listener()
    hold = keepalive.hold(listener, b"x", Rhythm(5, 1), 0)
    await trio.sleep(4)
    await hold.end()
    keepalive.let_go(hold)
    await trio.sleep(10)
    assert listener.heard == []


async def test_one_whose_time_is_over_already_hears_at_once(
    autojump_clock: MockClock, keepalive: KeepAlive
) -> None:
    await trio.sleep(10)
    listener = Listener()
    hold = keepalive.hold(listener, b"x", Rhythm(5, 1), 3)
    await wait_all_tasks_blocked()
    await hold.end()
    assert listener.heard == [(10, b"head"), (10, b"x")]


async def test_a_chunk_that_is_being_sent_is_waited_for(
    autojump_clock: MockClock, keepalive: KeepAlive
) -> None:
    listener = Listener(seconds=7)
    hold = keepalive.hold(listener, b"x", Rhythm(0, 1), 0)
    await trio.sleep(8)
    await hold.end()
    assert listener.heard == [(7, b"head"), (14, b"x")]


async def test_one_that_ends_while_its_task_begins_hears_nothing(
    autojump_clock: MockClock, keepalive: KeepAlive
) -> None:
    listener = Listener()
    hold = keepalive.hold(listener, b"x", Rhythm(0, 1), 0)
    hold.let_go()
    hold.begin()
    await hold.beat()
    await hold.end()
    assert listener.heard == []


async def test_what_goes_wrong_is_told_to_the_request_and_harms_no_other(
    autojump_clock: MockClock, keepalive: KeepAlive
) -> None:
    broken, fine = Listener(error=OSError("gone")), Listener()
    hold = keepalive.hold(broken, b"x", Rhythm(1, 1), 0)
    other = keepalive.hold(fine, b"x", Rhythm(2, 1), 0)
    await trio.sleep(3.5)
    with pytest.raises(OSError, match="gone"):
        await hold.end()
    await other.end()
    assert len(fine.heard) == 3


async def test_waits_that_are_over_are_swept_out(autojump_clock: MockClock, keepalive: KeepAlive) -> None:
    stays = keepalive.hold(Listener(), b"x", Rhythm(500, 1), 0)
    for _ in range(1000):
        keepalive.let_go(keepalive.hold(Listener(), b"x", Rhythm(240, 1), 0))
    assert len(keepalive._heap) < 150
    assert stays in {hold for _, _, hold in keepalive._heap}


def test_a_chunk_adds_nothing_to_the_text() -> None:
    chat = empty_chunk(b"/v1/chat/completions", id_="1", model="a/\u00e9", created=7)
    assert chat
    assert chat.startswith(b"data: ")
    assert chat.endswith(b"}\n\n")
    assert json.loads(chat[6:]) == {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "a/\u00e9",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
    }
    text = empty_chunk(b"/v1/completions", id_="1", model="m", created=7)
    assert text
    assert json.loads(text[6:])["choices"] == [{"index": 0, "text": "", "finish_reason": None}]
    assert empty_chunk(b"/v1/responses", id_="1", model="m", created=7) is None
