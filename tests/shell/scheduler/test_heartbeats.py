"""Heartbeats as they are fired: each in its time, whatever the clocks do."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from scheduler.core.commands import Explain
from scheduler.core.task import Draft, Source
from scheduler.exchange.found import Found
from scheduler.heartbeats.beating import PATIENCE_SECONDS
from scheduler.heartbeats.part import AT_ONCE, LOOK_SECONDS
from scheduler.roster import read_roster
from tests.shell.scheduler.heartbeat_bench import FIRST, HOUR, START, Bench, a_bench, a_roster

EXAMPLE = Path(__file__).resolve().parents[3] / "deploy/agents.example.yaml"


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with a_bench(tmp_path, monkeypatch) as made:
        yield made


# -- in its time -------------------------------------------------------------------------------------------


async def test_the_real_team_fires_each_in_its_time_and_never_two_together(
    bench: Bench, autojump_clock: object
) -> None:
    bench.roster = read_roster(EXAMPLE)
    await bench.run_for(HOUR + 1)
    assert len(bench.intake.begun) == len(bench.told) == 5 * 6 + 10 * 4
    times = [at for _, at in bench.intake.begun]
    assert min(b - a for a, b in pairwise(times)) >= 10
    assert max(each.lateness for each in bench.told) < 0.01
    for agent in bench.roster.agents:
        assert [each.due_at for each in bench.history(agent)] == [
            each.due_at for each in bench.told if each.agent == agent
        ]


async def test_a_heartbeat_without_news_writes_itself_and_nothing_else(
    bench: Bench, autojump_clock: object
) -> None:
    await bench.run_for(FIRST + 1)
    assert bench.board.writes == 2, "the plan, and the heartbeat"
    (beat,) = bench.told
    assert beat.avoided
    assert beat.reason == "nothing new"
    assert bench.tasks() == []
    assert bench.history() == [beat]


async def test_what_it_came_to_is_written_down_and_told(bench: Bench, autojump_clock: object) -> None:
    def put(title: str, waits: str) -> None:
        task = bench.store.create(Draft(title, assignee="coo"), who="me", now=1.0)
        bench.store.explain([Explain(task.number, waits, None)])

    put("first", "a person talks with coo")
    put("second", "in line for coo")
    bench.intake.finds = Found(
        new=("T-0003", "T-0004"),
        changed=1,
        skipped=2,
        failed=("one \ud800\n",),
        unavailable={Source.MULTICA: "not there"},
    )
    await bench.run_for(FIRST + 1)
    assert bench.history() == bench.told
    (beat,) = bench.told
    assert (beat.started, beat.deferred, beat.skipped, beat.failed) == (2, 2, 2, 1)
    assert beat.unavailable == {"multica": "not there"}
    assert beat.reason == (
        "2 new; 1 changed; 2 deferred: a person talks with coo; 1 failed: one ?; multica is away: not there"
    )
    assert not beat.avoided


async def test_a_slow_source_of_one_agent_delays_no_other(bench: Bench, autojump_clock: object) -> None:
    bench.roster = a_roster({"slow": {}, "quick": {}, "other": {}})
    bench.intake.seconds["slow"] = 100.0
    await bench.run_for(HOUR + 110)
    assert len(bench.told) == 12
    assert max(each.lateness for each in bench.told) < 0.01
    assert {each.seconds for each in bench.told if each.agent == "slow"} == {100.0}


async def test_the_same_agent_never_has_two_at_once_and_what_came_due_meanwhile_is_over_with_it(
    bench: Bench, autojump_clock: object
) -> None:
    bench.roster = a_roster({"coo": {"heartbeat": "*/1 * * * *"}})
    bench.intake.seconds["coo"] = 100.0
    await bench.run_for(599)
    assert bench.intake.times("coo") == [60.0, 180.0, 300.0, 420.0, 540.0]


async def test_only_so_many_look_at_once(bench: Bench, autojump_clock: object) -> None:
    names = [f"agent-{number}" for number in range(3 * AT_ONCE)]
    bench.roster = a_roster({name: {"heartbeat": "0 * * * *"} for name in names})
    bench.intake.seconds = dict.fromkeys(names, 30.0)
    await bench.run_for(HOUR + 91)
    assert bench.intake.most == AT_ONCE
    assert len(bench.told) == len(names)
    assert max(each.lateness for each in bench.told) == pytest.approx(60, abs=0.1)


async def test_one_that_does_not_end_is_ended_and_the_next_comes_in_its_time(
    bench: Bench, autojump_clock: object
) -> None:
    bench.intake.seconds["coo"] = 10_000.0
    await bench.run_for(2 * FIRST + 1)
    (first,) = bench.told
    assert not first.ok
    assert first.failed == 1
    assert first.reason == f"it took longer than {PATIENCE_SECONDS:g} s"
    assert bench.intake.times("coo") == [600.0, 1200.0]


async def test_a_fault_of_the_program_is_a_failed_heartbeat_and_no_more(
    bench: Bench, autojump_clock: object
) -> None:
    bench.intake.trouble = KeyError("oops")
    await bench.run_for(1300)
    assert [each.reason for each in bench.told] == ["KeyError: 'oops'"] * 2
    assert bench.history() == bench.told


# -- clocks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "fired"),
    [("skip", []), ("run_once", [600.0]), ("run_all", [600.0 * number for number in range(1, 7)])],
)
async def test_what_a_suspended_machine_missed_is_made_up_for_by_its_policy(
    bench: Bench, autojump_clock: object, policy: str, fired: list[float]
) -> None:
    bench.roster = a_roster({"coo": {"class": "frequent"}}, missed=policy)
    async with bench.running():
        await trio.sleep(1)
        bench.wall.ahead += HOUR
        await trio.sleep(LOOK_SECONDS + 1)
        assert [each.due_at - START for each in bench.told] == fired
        assert bench.planned() == {"coo": HOUR + 600.0}


async def test_a_policy_of_an_agents_own_overrides_the_teams(bench: Bench, autojump_clock: object) -> None:
    bench.roster = a_roster({"coo": {"missed": "skip"}, "ops": {}})
    async with bench.running():
        await trio.sleep(1)
        bench.wall.ahead += HOUR
        await trio.sleep(LOOK_SECONDS + 1)
        assert [each.agent for each in bench.told] == ["ops"]
        assert bench.told[0].missed == 3


async def test_a_clock_that_is_set_back_brings_neither_silence_nor_the_same_twice(
    bench: Bench, autojump_clock: object
) -> None:
    async with bench.running():
        await trio.sleep(HOUR + 15)
        bench.wall.ahead -= HOUR
        await trio.sleep(HOUR + 15)
    assert len(bench.told) == 6 + 6
    due = [each.due_at for each in bench.history()]
    assert len(due) == len(set(due)) == 12
    assert bench.part.statistics().agents["coo"].healthy


async def test_a_clock_that_is_corrected_by_seconds_fires_nothing_twice(
    bench: Bench, autojump_clock: object
) -> None:
    async with bench.running():
        await trio.sleep(FIRST + 1)
        bench.wall.ahead -= 8
        await trio.sleep(600)
        assert [each.due_at - START for each in bench.told] == [600.0]
        await trio.sleep(10)
        assert [each.due_at - START for each in bench.told] == [600.0, 1200.0]


async def test_a_clock_that_is_set_back_while_one_is_under_way_plans_the_next_all_the_same(
    bench: Bench, autojump_clock: object
) -> None:
    bench.intake.seconds["coo"] = 60.0
    async with bench.running():
        await trio.sleep(2 * HOUR + 15)
        bench.wall.ahead -= HOUR
        await trio.sleep(1200)
    due = [each.due_at for each in bench.history()]
    assert len(due) == len(set(due)) == 12 + 2 - 1, "the last is under way"
