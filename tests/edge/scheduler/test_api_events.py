"""`GET /api/events`."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from scheduler.blackboard.errors import BoardUnavailable
from scheduler.core.task import Draft
from scheduler.events import Numbered
from tests.edge.asgi import Talk
from tests.edge.scheduler.office import TASKS, Office


def parsed(talk: Talk) -> list[dict[str, Any]]:
    """The events of a stream, after its first line."""
    events = []
    for block in talk.body.decode().split("\n\n"):
        lines = [line.partition(": ")[::2] for line in block.split("\n") if line and not line.startswith(":")]
        fields = dict(lines)
        if "data" in fields:
            assert list(fields) == ["id", "event", "data"]
            data = json.loads(fields["data"])
            assert (int(fields["id"]), fields["event"]) == (data["number"], data["what"])
            events.append(data)
    return events


def has_news(talk: Talk) -> bool:
    return bool(parsed(talk))


def listen(office: Office, last_event_id: str | None = None) -> Talk:
    headers = [(b"last-event-id", last_event_id.encode())] if last_event_id is not None else []
    return office.begin("GET", "/api/events", token=None, headers=headers)


@pytest.fixture
async def feed(nursery: trio.Nursery, office: Office) -> None:
    """A feed that knows what is there already: only what comes after is news."""
    await follow(nursery, office)


async def follow(nursery: trio.Nursery, office: Office) -> None:
    await office.feed.look()
    nursery.start_soon(office.feed.run)


async def test_what_happens_is_told_as_it_happens(
    autojump_clock: MockClock, nursery: trio.Nursery, office: Office
) -> None:
    await office.create("before anybody listened")
    await follow(nursery, office)
    talk = listen(office)
    await talk.until(lambda talk: talk.body == b"retry: 3000\n\n")
    assert talk.header(b"content-type") == b"text/event-stream; charset=utf-8"
    title = "two\nlines \u2028 and <b>\x1b[31m"
    before = trio.current_time()
    await office.create(title)
    await talk.until(has_news)
    assert trio.current_time() == before, "our own writes need not wait for the next look"
    (event,) = parsed(talk)
    assert (event["number"], event["task"], event["what"], event["to"]) == (2, "T-0002", "created", "pending")
    assert event["details"] == {"title": title}
    talk.hang_up()


async def test_what_others_write_to_the_database_is_told_within_a_second(
    autojump_clock: MockClock, feed: None, office: Office
) -> None:
    talk = listen(office)
    await talk.begun()
    await wait_all_tasks_blocked()
    office.store.create(Draft("from the command line"), who="operator", now=1_000.0)
    before = trio.current_time()
    await talk.until(has_news)
    assert trio.current_time() - before <= 1
    talk.hang_up()


async def test_a_listener_that_comes_back_misses_nothing_and_hears_nothing_twice(
    autojump_clock: MockClock, nursery: trio.Nursery, office: Office
) -> None:
    for number in range(1200):
        office.store.create(Draft(f"number {number}"), who="operator", now=1_000.0)
    await follow(nursery, office)
    talk = listen(office, "200")
    await talk.until(lambda talk: len(parsed(talk)) == 1000)
    await office.create("live")
    await talk.until(lambda talk: len(parsed(talk)) == 1001)
    assert [event["number"] for event in parsed(talk)] == list(range(201, 1202))
    talk.hang_up()


@pytest.mark.parametrize("last", ["", "x", "-1", "1.5", "\u0661", "9" * 400, "1000000", "1 OR 1"])
async def test_a_number_that_is_none_of_ours_begins_with_what_comes(
    autojump_clock: MockClock, nursery: trio.Nursery, office: Office, last: str
) -> None:
    await office.create()
    await follow(nursery, office)
    talk = listen(office, last)
    await talk.begun()
    await office.create("news")
    await talk.until(has_news)
    assert [event["number"] for event in parsed(talk)] == [2]
    talk.hang_up()


async def test_what_happens_while_a_listener_catches_up_is_told_once(
    autojump_clock: MockClock, nursery: trio.Nursery, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.create("first")
    await follow(nursery, office)
    events_after = office.store.events_after

    def with_news(number: int, limit: int = 500) -> Sequence[Numbered]:
        monkeypatch.setattr(office.store, "events_after", events_after)
        office.store.create(Draft("in between"), who="operator", now=1_000.0)
        office.feed.poke()
        return events_after(number, limit)

    monkeypatch.setattr(office.store, "events_after", with_news)
    talk = listen(office, "0")
    await talk.until(lambda talk: len(parsed(talk)) == 2)
    await wait_all_tasks_blocked()
    await office.create("last")
    await talk.until(lambda talk: len(parsed(talk)) > 2)
    assert [event["number"] for event in parsed(talk)] == [1, 2, 3]
    talk.hang_up()


async def test_a_board_that_goes_away_ends_the_stream_and_the_client_comes_back(
    autojump_clock: MockClock, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise BoardUnavailable("the server is gone")

    await office.create()
    monkeypatch.setattr(office.store, "last_event", away)
    talk = await listen(office, "0").answered()
    assert (talk.status, talk.body) == (200, b"retry: 3000\n\n")


async def test_silence_is_broken_every_fifteen_seconds(autojump_clock: MockClock, office: Office) -> None:
    talk = listen(office)
    await talk.begun()
    began = trio.current_time()
    await talk.until(lambda talk: talk.body.count(b"\n\n") == 3)
    assert trio.current_time() - began == pytest.approx(30)
    assert parsed(talk) == []
    talk.hang_up()


async def test_the_drain_ends_streams_at_once(autojump_clock: MockClock, office: Office) -> None:
    talk = listen(office)
    await talk.begun()
    before = trio.current_time()
    office.drain_begun.set()
    await talk.answered()
    assert trio.current_time() == before
    late = await listen(office).answered()
    assert late.status == 200


async def test_a_client_that_hangs_up_is_forgotten(
    autojump_clock: MockClock, feed: None, office: Office
) -> None:
    talk = listen(office)
    await talk.begun()
    await wait_all_tasks_blocked()
    assert "1 listening" in repr(office.feed)
    talk.hang_up()
    await talk.cut()
    assert "0 listening" in repr(office.feed)


async def test_a_client_that_does_not_read_is_dropped_and_costs_nobody_anything(
    autojump_clock: MockClock, feed: None, office: Office
) -> None:
    slow, quick = listen(office), listen(office)
    await slow.begun()
    await quick.begun()
    await wait_all_tasks_blocked()
    slow.stall()
    for number in range(10):
        await office.create(f"number {number}")
        await quick.until(lambda talk, number=number: len(parsed(talk)) == number + 1)  # type: ignore[misc]
    assert "1 listening" in repr(office.feed)
    slow.go_on()
    await slow.answered()
    told = [event["number"] for event in parsed(slow)]
    assert told == list(range(1, len(told) + 1)), "what it was told was in order"
    assert len(told) < 10
    quick.hang_up()


async def test_there_is_room_for_so_many_and_the_next_is_told_to_come_back(
    autojump_clock: MockClock, office: Office
) -> None:
    talks = [listen(office) for _ in range(3)]
    for talk in talks:
        await talk.begun()
    refused = await listen(office).answered()
    assert (refused.status, refused.error) == (503, "too_many_streams")
    assert refused.number(b"retry-after") > 0
    talks[0].hang_up()
    await talks[0].cut()
    again = listen(office)
    await again.begun()
    assert again.status == 200
    for talk in (*talks[1:], again):
        talk.hang_up()


async def test_head_does_not_wait_for_events(office: Office) -> None:
    talk = await office.ask("HEAD", "/api/events", token=None)
    assert (talk.status, talk.body) == (200, b"")


async def test_whoever_listens_in_this_process_hears_what_happened_and_why(
    autojump_clock: MockClock, feed: None, office: Office
) -> None:
    task = await office.create()
    await wait_all_tasks_blocked()
    await office.post(f"{TASKS}/{task}/block", {"reason": "a question"})
    await wait_all_tasks_blocked()
    assert office.seen_changes[-1] == "block"
