"""What a task source does, claimed of all three, and of WorkBoard on the real OpenClaw.

Each claim is tried by itself. On the real OpenClaw, where each question takes a second or two, one test tries
those that go by how its claims behave, one after the other.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from scheduler.commands import run_command
from scheduler.core.exchange.items import Item, Stage
from scheduler.gateway import Gateway
from scheduler.sources.protocol import SourceOffError, SourceRefusedError
from scheduler.sources.workboard import WorkBoard
from tests.integration.openclaw import OPENCLAW, environment
from tests.integration.openclaw.gateway import run_gateway
from tests.integration.processes import run_simulator
from tests.integration.scheduler.sources import (
    MulticaSide,
    RealWorkBoardSide,
    Side,
    TodoSide,
    WorkBoardSide,
)

pytestmark = pytest.mark.integration

ODD = '\u202e--flag <b>$(rm -rf /)</b> \x1b[31m../../x `code` 😀 & "quoted"'


async def what_waits_is_shown_to_the_agent_that_it_is_assigned_to(side: Side) -> None:
    for_ops, for_main = await side.add("For ops"), await side.add("For main", "main")
    await side.add("For nobody", None)
    await side.add("For somebody else", "stranger")
    ops, main = [await side.source.list_todo(side.roster.agents[name]) for name in ("ops", "main")]
    assert [item.external_id for item in ops] == [for_ops]
    assert [item.external_id for item in main] == [for_main]
    (item,) = ops
    assert (item.source, item.title, item.stage, item.agent) == (
        side.source.name,
        "For ops",
        Stage.TODO,
        "ops",
    )
    assert item.waits_for == ()
    assert item.place
    assert await side.source.look(for_ops) == item
    assert await under_way(side) == {}


async def what_is_claimed_is_in_progress_and_waits_no_more(side: Side) -> None:
    ops, card = side.roster.agents["ops"], await side.add("Claim it")
    handle = await side.source.claim(card, ops)
    assert await waiting(side) == set()
    item = (await under_way(side))[card]
    assert (item.stage, item.agent, item.worked_on_by) == (Stage.IN_PROGRESS, "ops", "ops")
    await side.source.claim(card, ops)
    await side.source.keep(card, ops, handle)
    await side.source.keep(card, ops, handle)
    assert (await under_way(side))[card].stage is Stage.IN_PROGRESS


async def what_is_said_stands_beside_it_and_changes_nothing_else(side: Side) -> None:
    card = await side.add("Say something")
    await side.source.comment(card, "Nobody has begun yet.")
    assert "Nobody has begun yet." in await side.said(card)
    await side.source.comment(card, "   ")
    assert await waiting(side) == {card}


async def what_is_given_back_waits_again_and_says_why(side: Side) -> None:
    ops, card = side.roster.agents["ops"], await side.add("Give it back")
    handle = await side.source.claim(card, ops)
    await side.source.release(card, ops, handle, stage=Stage.TODO, why="No progress for 45 minutes.")
    assert await waiting(side) == {card}
    assert "No progress for 45 minutes." in await side.said(card)
    # Said once, however often it is told.
    await side.source.release(card, ops, handle, stage=Stage.TODO, why="No progress for 45 minutes.")
    assert (await side.said(card)).count("No progress") == 1
    await side.source.claim(card, ops)
    assert (await under_way(side))[card].stage is Stage.IN_PROGRESS


async def what_is_blocked_says_why_and_is_claimed_again_when_it_goes_on(side: Side) -> None:
    ops, card = side.roster.agents["ops"], await side.add("Block it")
    handle = await side.source.claim(card, ops)
    await side.source.release(card, ops, handle, stage=Stage.BLOCKED, why="Which of the two?")
    await side.source.release(card, ops, handle, stage=Stage.BLOCKED, why="Which of the two?")
    assert (await side.said(card)).count("Which of the two?") == 1
    assert (await under_way(side))[card].stage is Stage.BLOCKED
    assert await waiting(side) == set()
    await side.source.claim(card, ops)
    assert (await under_way(side))[card].stage is Stage.IN_PROGRESS


async def what_is_finished_is_done_and_says_what_came_of_it(side: Side) -> None:
    ops, card = side.roster.agents["ops"], await side.add("Finish it")
    handle = await side.source.claim(card, ops)
    await side.source.finish(card, ops, handle, summary="All seven are watered.")
    await side.source.finish(card, ops, handle, summary="All seven are watered.")
    assert (await side.said(card)).count("All seven are watered.") == 1
    assert (await side.source.look(card)).stage is Stage.DONE
    assert (await waiting(side), await under_way(side)) == (set(), {})


async def a_lost_handle_leaves_nothing_stuck(side: Side) -> None:
    ops = side.roster.agents["ops"]
    for_release, for_finish = await side.add("Release it"), await side.add("Then this one")
    # Two at a time: the first may wait for somebody's judgement while the agent does the second.
    await side.source.claim(for_release, ops)
    await side.source.claim(for_finish, ops)
    for card in (for_release, for_finish):
        await side.source.claim(card, ops)
        await side.source.keep(card, ops, "")
    await side.source.release(for_release, ops, "", stage=Stage.TODO, why="The scheduler was restarted.")
    await side.source.finish(for_finish, ops, "", summary="Done all the same.")
    assert await waiting(side) == {for_release}
    assert (await side.source.look(for_finish)).stage is Stage.DONE


async def what_a_person_closed_can_be_finished_and_not_be_given_back(side: Side) -> None:
    ops, card = side.roster.agents["ops"], await side.add("Close it")
    handle = await side.source.claim(card, ops)
    await side.closed(card)
    with pytest.raises(SourceRefusedError):
        await side.source.release(card, ops, handle, stage=Stage.TODO, why="No progress.")
    await side.source.finish(card, ops, handle, summary="Late.")
    assert (await side.source.look(card)).stage is Stage.DONE
    with pytest.raises(SourceRefusedError):
        await side.source.claim(card, ops)
    assert (await side.source.look(card)).stage is Stage.DONE


async def what_is_not_there_any_more_is_gone_and_refuses_everything(side: Side) -> None:
    ops, card = side.roster.agents["ops"], await side.add("Delete it")
    handle = await side.source.claim(card, ops)
    await side.removed(card)
    for external_id in (card, "never-was", "--help", ""):
        assert (await side.source.look(external_id)).stage is Stage.GONE
    with pytest.raises(SourceRefusedError):
        await side.source.claim(card, ops)
    with pytest.raises(SourceRefusedError):
        await side.source.comment(card, "Anybody there?")
    with pytest.raises(SourceRefusedError):
        await side.source.release(card, ops, handle, stage=Stage.TODO, why="No progress.")
    with pytest.raises(SourceRefusedError):
        await side.source.finish(card, ops, handle, summary="Done.")


async def several_are_looked_at_together_as_each_by_itself(side: Side) -> None:
    ops = side.roster.agents["ops"]
    cards = [await side.add(title) for title in ("Waits", "Is claimed", "Is removed", "Is closed")]
    await side.source.claim(cards[1], ops)
    await side.removed(cards[2])
    await side.closed(cards[3])
    together = {item.external_id: item for item in await side.source.look_all(cards)}
    assert together == {card: await side.source.look(card) for card in cards}
    stages = [Stage.TODO, Stage.IN_PROGRESS, Stage.GONE, Stage.DONE]
    assert [together[card].stage for card in cards] == stages
    assert await side.source.look_all([]) == []


async def what_people_write_stays_what_they_wrote(side: Side) -> None:
    ops, card = side.roster.agents["ops"], await side.add(ODD)
    (item,) = await side.source.list_todo(ops)
    assert (item.external_id, item.title) == (card, ODD)
    handle = await side.source.claim(card, ops)
    await side.source.comment(card, "--> <script> -- 😀" + "x" * 5_000)
    assert "<script>" in await side.said(card)
    await side.source.finish(card, ops, handle, summary="line\nline\x00 " + "😀" * 3_000)
    assert (await side.source.look(card)).title == ODD


async def what_waits_for_another_says_for_which_until_that_is_done(side: Side) -> None:
    if not side.has_parents:
        return
    ops, main = side.roster.agents["ops"], side.roster.agents["main"]
    first = await side.add("First", "main")
    second = await side.add("Second", after=first)
    (item,) = await side.source.list_todo(ops)
    assert (item.external_id, item.waits_for) == (second, (first,))
    assert (await side.source.look(second)).waits_for == (first,)
    handle = await side.source.claim(first, main)
    await side.source.finish(first, main, handle, summary="Done.")
    (item,) = await side.source.list_todo(ops)
    assert (item.external_id, item.waits_for) == (second, ())
    handle = await side.source.claim(second, ops)
    await side.source.release(second, ops, handle, stage=Stage.BLOCKED, why="Which?")
    await side.source.claim(second, ops)
    assert (await side.source.look(second)).stage is Stage.IN_PROGRESS


Claim = Callable[[Side], Awaitable[None]]
CLAIMS: tuple[Claim, ...] = (
    what_waits_is_shown_to_the_agent_that_it_is_assigned_to,
    what_is_claimed_is_in_progress_and_waits_no_more,
    what_is_said_stands_beside_it_and_changes_nothing_else,
    what_is_given_back_waits_again_and_says_why,
    what_is_blocked_says_why_and_is_claimed_again_when_it_goes_on,
    what_is_finished_is_done_and_says_what_came_of_it,
    a_lost_handle_leaves_nothing_stuck,
    what_a_person_closed_can_be_finished_and_not_be_given_back,
    what_is_not_there_any_more_is_gone_and_refuses_everything,
    several_are_looked_at_together_as_each_by_itself,
    what_people_write_stays_what_they_wrote,
    what_waits_for_another_says_for_which_until_that_is_done,
)
# Where our stand-in could most easily be wrong. `test_team_openclaw` takes a real card from waiting to done.
ON_THE_REAL_ONE: tuple[Claim, ...] = (
    what_is_blocked_says_why_and_is_claimed_again_when_it_goes_on,
    a_lost_handle_leaves_nothing_stuck,
    what_a_person_closed_can_be_finished_and_not_be_given_back,
    what_people_write_stays_what_they_wrote,
    what_waits_for_another_says_for_which_until_that_is_done,
)
SIDES: tuple[Callable[[Path], Side], ...] = (WorkBoardSide, MulticaSide, TodoSide)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
@pytest.mark.parametrize("side", SIDES, ids=lambda side: side.__name__)
async def test_the_source_keeps_the_claim(side: Callable[[Path], Side], claim: Claim, tmp_path: Path) -> None:
    tried = side(tmp_path)
    await claim(tried)
    if isinstance(tried, MulticaSide):
        assert tried.stand_in.runs() == [], "Multica started runs of its own"


@pytest.mark.needs("openclaw", "minutes")
@pytest.mark.long
async def test_the_real_workboard_keeps_the_claims(tmp_path: Path) -> None:
    home = tmp_path / "openclaw"
    home.mkdir()
    async with run_simulator(tmp_path) as simulator, run_gateway(home, simulator) as gateway:
        side, really = (
            RealWorkBoardSide(gateway),
            Gateway(gateway.command, gateway.environ, timeout_seconds=90),
        )
        with pytest.raises(SourceOffError, match="disabled by default"):
            await WorkBoard(really, lambda: side.roster).list_all()
        argv = [*OPENCLAW, "plugins", "enable", "workboard"]
        enabled = await run_command(argv, environ=environment(home), timeout_seconds=90)
        assert enabled.code == 0, enabled
        await gateway.stop()
        await gateway.come_up()
        seen = await side.add("Listed by the command as by the method")
        assert await side.listed() == await side.everything()
        await side.removed(seen)
        for claim in ON_THE_REAL_ONE:
            try:
                await claim(side)
                cards = await side.everything()
                for card in cards:
                    await side.removed(card["id"])
            except BaseException as error:
                error.add_note(f"{claim.__name__}\n{gateway.said()}")
                raise


async def waiting(side: Side, agent: str = "ops") -> set[str]:
    return {item.external_id for item in await side.source.list_todo(side.roster.agents[agent])}


async def under_way(side: Side) -> dict[str, Item]:
    return {item.external_id: item for item in await side.source.list_in_progress()}
