"""`Shared`, in virtual time, around a source that does as it is told."""

from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from scheduler.core.exchange.items import Item, Stage
from scheduler.core.task import Source
from scheduler.roster import Agent
from scheduler.roster.model import CLASSES, agent_of
from scheduler.sources.protocol import SourceOffError, SourceRefusedError, SourceUnavailableError
from scheduler.sources.shared import Shared

OPS, MAIN = (
    agent_of(name, "development", CLASSES["development"], missed="run_once") for name in ("ops", "main")
)


class Told:
    """A `TaskSource`: `takes` seconds for each call, then what `fails` says, else what `items` are."""

    name = Source.WORKBOARD
    after_recovery = Stage.TODO

    def __init__(self) -> None:
        self.takes = 0.0
        self.fails: Exception | None = None
        self.items: list[Item] = []
        self.calls: list[str] = []

    async def list_all(self) -> Sequence[Item]:
        await self._do("all")
        return tuple(self.items)

    async def list_todo(self, agent: Agent) -> Sequence[Item]:
        await self._do(f"todo {agent.id}")
        return tuple(self.items)

    async def list_in_progress(self) -> Sequence[Item]:
        await self._do("in progress")
        return tuple(self.items)

    async def look(self, external_id: str) -> Item:
        await self._do("look")
        return an_item(external_id)

    async def look_all(self, external_ids: Sequence[str]) -> Sequence[Item]:
        await self._do(f"look at {' '.join(external_ids)}")
        return [an_item(each) for each in external_ids]

    async def claim(self, external_id: str, agent: Agent) -> str:
        await self._do("claim")
        return "handle"

    async def keep(self, external_id: str, agent: Agent, handle: str) -> None:
        await self._do(f"keep {handle}")

    async def comment(self, external_id: str, text: str) -> None:
        await self._do(f"comment {text}")

    async def release(self, external_id: str, agent: Agent, handle: str, *, stage: Stage, why: str) -> None:
        await self._do(f"release {handle} {stage} {why}")

    async def finish(self, external_id: str, agent: Agent, handle: str, *, summary: str) -> None:
        await self._do(f"finish {handle} {summary}")

    async def _do(self, call: str) -> None:
        self.calls.append(call)
        await trio.sleep(self.takes)
        if self.fails is not None:
            raise self.fails


def an_item(external_id: str, stage: Stage = Stage.TODO, agent: str | None = "ops") -> Item:
    return Item(Source.WORKBOARD, external_id, external_id, stage, agent=agent)


async def test_a_listing_serves_everybody_for_a_minute(autojump_clock: MockClock) -> None:
    told = Told()
    told.items = [
        an_item("1"),
        an_item("2", agent="main"),
        an_item("3", Stage.BLOCKED),
        an_item("4", agent=None),
    ]
    shared = Shared(told, whole=told.list_all)
    assert [item.external_id for item in await shared.list_todo(OPS)] == ["1"]
    assert [item.external_id for item in await shared.list_todo(MAIN)] == ["2"]
    assert [item.external_id for item in await shared.list_in_progress()] == ["3"]
    await trio.sleep(59)
    await shared.list_todo(OPS)
    assert told.calls == ["all"]
    await trio.sleep(2)
    await shared.list_todo(OPS)
    assert told.calls == ["all", "all"]


async def test_a_source_that_lists_by_agent_is_asked_once_for_each(autojump_clock: MockClock) -> None:
    told = Told()
    shared = Shared(told)
    for _ in range(2):
        await shared.list_todo(OPS)
        await shared.list_todo(MAIN)
        await shared.list_in_progress()
    assert told.calls == ["todo ops", "todo main", "in progress"]


async def test_who_asks_at_the_same_time_waits_for_one_fetch(autojump_clock: MockClock) -> None:
    told = Told()
    told.takes, told.items = 5, [an_item("1")]
    shared = Shared(told, whole=told.list_all)
    answers: list[Sequence[Item]] = []

    async def ask() -> None:
        answers.append(await shared.list_todo(OPS))

    async with trio.open_nursery() as nursery:
        for _ in range(15):
            nursery.start_soon(ask)
    assert (len(answers), told.calls, trio.current_time()) == (15, ["all"], 5)


async def test_who_waits_for_a_fetch_that_fails_does_not_wait_for_another(autojump_clock: MockClock) -> None:
    told = Told()
    told.takes = 1_000
    shared = Shared(told, whole=told.list_all)
    reasons: list[str] = []

    async def ask() -> None:
        with pytest.raises(SourceUnavailableError) as unavailable:
            await shared.list_todo(OPS)
        reasons.append(str(unavailable.value))

    async with trio.open_nursery() as nursery:
        for _ in range(15):
            nursery.start_soon(ask)
    assert (reasons, trio.current_time()) == (["it did not answer within 30 s"] * 15, 30)
    assert (told.calls, shared.statistics().failures_in_a_row) == (["all"], 1)
    # And whoever comes later asks again.
    told.takes = 0
    assert await shared.list_todo(OPS) == ()


async def test_who_waits_for_a_fetch_that_is_cancelled_takes_it_over(autojump_clock: MockClock) -> None:
    told = Told()
    told.takes, told.items = 5, [an_item("1")]
    shared = Shared(told, whole=told.list_all)
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1):
            nursery.start_soon(shared.list_todo, MAIN)
            await trio.testing.wait_all_tasks_blocked()
            await shared.list_todo(OPS)
    async with trio.open_nursery() as nursery:
        first = trio.CancelScope()

        async def gives_up() -> None:
            with first:
                await shared.list_todo(OPS)

        told.calls.clear()
        await shared.comment("1", "x")
        nursery.start_soon(gives_up)
        await trio.testing.wait_all_tasks_blocked()
        first.cancel()
        assert [item.external_id for item in await shared.list_todo(OPS)] == ["1"]
    assert told.calls == ["comment x", "all", "all"]


@pytest.mark.parametrize("write", ["claim", "comment", "release", "finish"])
async def test_a_write_makes_old_what_was_listed(write: str, autojump_clock: MockClock) -> None:
    told = Told()
    shared = Shared(told, whole=told.list_all)
    writes: dict[str, Callable[[], Awaitable[object]]] = {
        "claim": lambda: shared.claim("1", OPS),
        "comment": lambda: shared.comment("1", "hm"),
        "release": lambda: shared.release("1", OPS, "h", stage=Stage.TODO, why="w"),
        "finish": lambda: shared.finish("1", OPS, "h", summary="s"),
    }
    calls = {"claim": "claim", "comment": "comment hm", "release": "release h todo w", "finish": "finish h s"}
    await shared.list_todo(OPS)
    await writes[write]()
    await shared.list_todo(OPS)
    assert told.calls == ["all", calls[write], "all"]
    # Also one that failed: nobody knows what it has done.
    told.fails = SourceUnavailableError("away")
    with pytest.raises(SourceUnavailableError):
        await writes[write]()
    told.fails = None
    await shared.list_todo(OPS)
    assert told.calls[-1] == "all"


async def test_keeping_and_looking_leave_it(autojump_clock: MockClock) -> None:
    told = Told()
    shared = Shared(told, whole=told.list_all)
    await shared.list_todo(OPS)
    await shared.keep("1", OPS, "h")
    assert (await shared.look("1")).external_id == "1"
    assert [item.external_id for item in await shared.look_all(["2", "3"])] == ["2", "3"]
    assert await shared.look_all([]) == ()
    await shared.list_todo(OPS)
    assert told.calls == ["all", "keep h", "look", "look at 2 3"]


async def test_what_is_listed_during_a_write_is_not_kept(autojump_clock: MockClock) -> None:
    told = Told()
    shared = Shared(told, whole=told.list_all)
    told.takes = 5
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shared.list_todo, OPS)
        await trio.sleep(1)
        told.takes = 0
        await shared.claim("1", OPS)
    await shared.list_todo(OPS)
    assert told.calls == ["all", "claim", "all"]


async def test_how_it_answers_is_counted_and_told(autojump_clock: MockClock) -> None:
    told = Told()
    shared = Shared(told)
    before = shared.statistics()
    assert (before.name, before.up, before.reason) == (Source.WORKBOARD, None, "")
    assert repr(shared) == "<Shared workboard, not asked yet>"
    told.fails = SourceUnavailableError("the server cannot be reached")
    for failures in (1, 2, 3):
        with pytest.raises(SourceUnavailableError):
            await shared.list_todo(OPS)
        now = shared.statistics()
        assert (now.up, now.failures_in_a_row, now.reason) == (
            False,
            failures,
            "the server cannot be reached",
        )
    assert repr(shared) == "<Shared workboard, away: the server cannot be reached>"
    told.fails = SourceRefusedError("taken")
    with pytest.raises(SourceRefusedError):
        await shared.claim("1", OPS)
    now = shared.statistics()
    assert (now.up, now.failures_in_a_row, now.reason) == (True, 0, "")
    assert repr(shared) == "<Shared workboard, there>"


@pytest.mark.parametrize("at_once", [True, False], ids=["everything at once", "agent by agent"])
async def test_one_that_is_switched_off_is_no_trouble_and_asked_again_after_an_hour(
    at_once: bool, autojump_clock: MockClock
) -> None:
    told = Told()
    told.takes, told.fails = 1, SourceOffError("the plugin is disabled")
    shared = Shared(told, whole=told.list_all if at_once else None)
    waiting: list[Sequence[Item]] = []

    async def ask() -> None:
        waiting.append(await shared.list_todo(OPS))

    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
        asked = len(told.calls)
        assert (waiting, asked) == ([(), (), ()], 1)
        assert await shared.list_in_progress() == ()
        for call in (
            lambda: shared.look("1"),
            lambda: shared.look_all(["1"]),
            lambda: shared.claim("1", OPS),
        ):
            with pytest.raises(SourceOffError, match="the plugin is disabled"):
                await call()
        await trio.sleep(3590)
        assert await shared.list_todo(OPS) == ()
        assert len(told.calls) == asked
        now = shared.statistics()
        assert (now.up, now.reason, now.failures_in_a_row) == (None, "the plugin is disabled", 0)
        assert repr(shared) == "<Shared workboard, off: the plugin is disabled>"
        await trio.sleep(20)
        assert await shared.list_todo(OPS) == ()
        assert len(told.calls) == asked + 1
    assert [log["event"] for log in logs] == ["source_off"]
    told.fails, told.items = None, [an_item("1")]
    await trio.sleep(3600)
    assert [item.external_id for item in await shared.list_todo(OPS)] == ["1"]
    assert (shared.statistics().up, shared.statistics().reason) == (True, "")


async def test_what_nobody_wants_any_more_is_not_down(autojump_clock: MockClock) -> None:
    told, team = Told(), [OPS]
    shared = Shared(told, whole=told.list_all, team=lambda: team)
    told.fails = SourceUnavailableError("the server cannot be reached")
    with pytest.raises(SourceUnavailableError):
        await shared.list_todo(OPS)
    assert shared.statistics().up is False
    team.clear()
    now = shared.statistics()
    assert (now.up, now.reason, now.failures_in_a_row) == (None, "", 0)
