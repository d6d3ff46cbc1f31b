"""Heartbeats over restarts, changes of the roster and a board that is away; checks, and what is shown."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from sqlalchemy import delete

from scheduler.blackboard import beats
from scheduler.blackboard.errors import BoardBroken, BoardBusy
from scheduler.blackboard.tables import heartbeats
from scheduler.core import halting
from scheduler.core.beats import Beat, Planned
from scheduler.core.task import Priority
from scheduler.exchange.found import Found
from scheduler.heartbeats.part import LOOK_SECONDS
from shared import clock
from tests.shell.scheduler.heartbeat_bench import FIRST, HOUR, ONE, START, Bench, a_bench, a_roster


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with a_bench(tmp_path, monkeypatch) as made:
        yield made


# -- over restarts and changes of the roster ---------------------------------------------------------------


async def test_one_that_was_cut_off_is_fired_again_and_written_down_once(
    bench: Bench, autojump_clock: object
) -> None:
    bench.intake.seconds["coo"] = 60.0
    await bench.run_for(FIRST + 30)
    assert bench.history() == []
    bench.begin()
    await bench.run_for(90)
    assert [each.due_at - START for each in bench.history()] == [FIRST]
    assert bench.intake.times("coo") == [FIRST, FIRST + 30]


async def test_one_that_was_written_down_is_not_fired_by_the_next_process(
    bench: Bench, autojump_clock: object
) -> None:
    await bench.run_for(FIRST + 30)
    bench.begin()
    await bench.run_for(90)
    assert len(bench.intake.begun) == 1
    assert bench.planned() == {"coo": FIRST + 600}


async def test_one_that_somebody_else_wrote_down_meanwhile_stays_as_it_is(
    bench: Bench, autojump_clock: object
) -> None:
    bench.intake.seconds["coo"] = 60.0
    async with bench.running():
        await trio.sleep(FIRST + 30)
        theirs = Beat("coo", START + FIRST, clock.wall(), reason="theirs")
        assert beats.record(bench.store, theirs, None)
        await trio.sleep(60)
        assert bench.history() == [theirs]
        assert bench.planned() == {"coo": FIRST + 600}


async def test_a_changed_roster_keeps_what_is_planned_unless_its_rule_has_changed(
    bench: Bench, autojump_clock: object
) -> None:
    bench.roster = a_roster({"gone": {}, "stays": {}, "changes": {}})
    async with bench.running():
        await trio.sleep(1000)
        before = bench.planned()
        bench.roster = a_roster({"new": {}, "changes": {"heartbeat": "0 9 * * *"}, "stays": {}})
        bench.part.wake()
        await trio.sleep(1)
        planned = bench.planned()
        assert planned["stays"] == before["stays"]
        assert planned["changes"] == 9 * HOUR - START % (24 * HOUR) + 24 * HOUR * (
            START % (24 * HOUR) > 9 * HOUR
        )
        assert planned["new"] is not None
        assert planned["gone"] is None
        assert len(bench.history("gone")) == 1
        assert bench.part.statistics().agents.keys() == {"new", "changes", "stays"}
        assert bench.part.statistics().agents["stays"].last is not None


async def test_an_agent_that_leaves_while_its_heartbeat_is_under_way_has_no_next_one(
    bench: Bench, autojump_clock: object
) -> None:
    bench.intake.seconds["coo"] = 60.0
    async with bench.running():
        await trio.sleep(FIRST + 30)
        bench.roster = a_roster({"ops": {}})
        bench.part.wake()
        await trio.sleep(60)
        assert len(bench.history()) == 1
        assert bench.planned()["coo"] is None


async def test_a_roster_that_changes_while_a_heartbeat_is_under_way_holds_for_the_next(
    bench: Bench, autojump_clock: object
) -> None:
    bench.intake.seconds["coo"] = 60.0
    async with bench.running():
        await trio.sleep(FIRST + 30)
        bench.roster = a_roster({"coo": {"heartbeat": "*/30 * * * *"}})
        bench.part.wake()
        await trio.sleep(60)
        assert bench.planned() == {"coo": 1800.0}
        assert len(bench.history()) == 1


async def test_without_agents_it_waits_for_some(bench: Bench, autojump_clock: object) -> None:
    bench.roster = a_roster({})
    async with bench.running():
        await trio.sleep(HOUR)
        bench.roster = ONE
        bench.part.wake()
        await trio.sleep(HOUR + 1)
    assert len(bench.told) == 6


# -- a board that is away ----------------------------------------------------------------------------------


async def test_a_board_that_is_away_at_the_start_is_waited_for(bench: Bench, autojump_clock: object) -> None:
    bench.board.trouble = BoardBusy("locked")
    async with bench.running():
        await trio.sleep(HOUR)
        assert bench.part.statistics().agents == {}
        bench.board.trouble = None
        await trio.sleep(HOUR + 1)
    assert len(bench.told) == 6


async def test_what_has_happened_is_written_down_when_the_board_is_back(
    bench: Bench, autojump_clock: object
) -> None:
    bench.intake.seconds["coo"] = 5.0
    async with bench.running():
        await trio.sleep(FIRST + 1)
        bench.board.trouble = BoardBusy("locked")
        await trio.sleep(100)
        assert bench.told == []
        bench.board.trouble = None
        await trio.sleep(LOOK_SECONDS + 1)
    assert len(bench.intake.begun) == 1
    (beat,) = bench.history()
    assert (beat.ok, beat.reason) == (False, "locked"), "it could not ask what waits there"


@pytest.mark.parametrize("calls", range(1, 6), ids=["load", "plan", "look", "record", "next look"])
async def test_a_board_that_breaks_ends_it_at_whichever_call(
    bench: Bench, autojump_clock: object, calls: int
) -> None:
    bench.board.breaks_at = calls
    with pytest.raises(ExceptionGroup) as ended:
        await bench.part.run()
    assert ended.group_contains(BoardBroken)
    assert len(bench.told) == max(0, calls - 4)


# -- the agents' own checks --------------------------------------------------------------------------------

CHECKING = {"checks": ["backlog", "risks"], "checks_every": "1h"}


async def test_checks_become_one_task_of_low_priority_and_no_second_while_it_is_open(
    bench: Bench, autojump_clock: object
) -> None:
    bench.roster = a_roster({"coo": {"class": "frequent", **CHECKING}, "ops": {"checks": ["servers"]}})
    async with bench.running():
        await trio.sleep(5 * HOUR)
        (task,) = bench.tasks()
        assert (task.assignee, task.priority, task.creator) == ("coo", Priority.LOW, "scheduler")
        assert "- backlog\n- risks" in task.description
        assert "| coo | idle |" in task.description
        assert "| ops | idle |" in task.description
        (made,) = [each for each in bench.told if each.started]
        assert made.new == (task.id,)
        assert made.reason == f"its checks are due: {task.id}"
        assert not made.avoided
        bench.store.change(
            task.id,
            lambda each, held: halting.fail(each, held, reason="no", who="me", now=clock.wall()),
            now=clock.wall(),
        )
        await trio.sleep(HOUR)
        assert len(bench.tasks()) == 2


async def test_checks_of_others_do_not_come_with_the_figures_of_the_team(
    bench: Bench, autojump_clock: object
) -> None:
    bench.roster = a_roster({"ops": CHECKING})
    bench.intake.finds = Found(changed=1)
    await bench.run_for(2 * HOUR)
    (task,) = bench.tasks()
    assert "counted" not in task.description
    assert f"1 changed; its checks are due: {task.id}" in {each.reason for each in bench.told}


async def test_checks_are_not_made_twice_by_a_process_that_did_not_come_to_write_its_heartbeat_down(
    bench: Bench, autojump_clock: object
) -> None:
    bench.roster = a_roster({"ops": CHECKING})
    bench.intake.seconds["ops"] = 1.0
    await bench.run_for(2 * HOUR)
    (task,) = bench.tasks()
    (made,) = [each for each in bench.history("ops") if each.started]
    bench.store.change(
        task.id,
        lambda each, held: halting.fail(each, held, reason="no", who="me", now=clock.wall()),
        now=clock.wall(),
    )
    # As if the record of that heartbeat, and of those after it, had never been written.
    last = max(each.fired_at for each in bench.history("ops") if each.fired_at < made.fired_at)
    bench.store.transactions.write(
        lambda connection: connection.execute(
            delete(heartbeats).where(heartbeats.c.due_at > last, heartbeats.c.agent == "ops")
        )
    )
    bench.wall.ahead += made.due_at - clock.wall() - 5
    beats.plan(bench.store, {"ops": Planned("ops", made.due_at, "*/15 * * * * UTC")}, clock.wall())
    bench.begin()
    await bench.run_for(60)
    assert len(bench.history("ops")) > 1
    assert bench.tasks() == [bench.store.task(task.id)]


# -- what it shows -----------------------------------------------------------------------------------------


async def test_it_shows_who_has_heartbeats_and_who_has_fallen_silent(
    bench: Bench, autojump_clock: object
) -> None:
    bench.roster = a_roster({"coo": {"class": "frequent"}, "never": {"heartbeat": "0 0 */15 2 MON#5"}})
    async with bench.running():
        await trio.sleep(1)
        first = bench.part.statistics().agents["coo"]
        assert (first.healthy, first.last, first.last_fired_at) == (None, None, None)
        assert first.next_due_at == START + FIRST
        never = bench.part.statistics().agents["never"]
        assert (never.next_due_at, never.healthy) == (None, None)
        await trio.sleep(FIRST)
        shown = bench.part.statistics().agents["coo"]
        assert shown.healthy
        assert shown.last == bench.told[0]
        assert shown.last_fired_at == pytest.approx(START + FIRST)
        assert shown.next_due_at == START + FIRST + 600
        bench.intake.seconds["coo"] = 119.0
        bench.board.trouble = BoardBusy("locked")
        await trio.sleep(1500)
        assert bench.part.statistics().agents["coo"].healthy is False
        assert repr(bench.part) == "<Heartbeats of 2 agents, 1 under way>"


async def test_an_agent_that_never_fires_is_silent_after_two_periods(
    bench: Bench, autojump_clock: object
) -> None:
    bench.intake.seconds["coo"] = 119.0
    async with bench.running():
        await trio.sleep(FIRST - 1)
        bench.board.trouble = BoardBusy("locked")
        await trio.sleep(2 * HOUR)
        assert bench.part.statistics().agents["coo"].healthy is False
