"""Task sources and the board, both ways, on a real board with sources in memory."""

import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from scheduler.blackboard import mirrored
from scheduler.blackboard.board import Board
from scheduler.blackboard.mirrors import _forget, _put
from scheduler.core import deciding, endings, halting, holding
from scheduler.core.change import Change, event
from scheduler.core.errors import Code, Refused
from scheduler.core.exchange import intake
from scheduler.core.exchange.items import Item, Stage
from scheduler.core.states import Status
from scheduler.core.task import BlockedBy, Draft, Priority, Source
from scheduler.exchange.intake import Intake
from scheduler.exchange.taking_over import TakingOver
from scheduler.roster import Agent
from scheduler.sources.protocol import SourceUnavailableError, TaskSource
from scheduler.sources.shared import Shared
from shared import clock
from tests.integration.processes import until
from tests.mirror_desk import Desk, a_desk, a_roster
from tests.pretended_source import Killed, PretendedSource


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    made = a_desk(tmp_path, clock.wall())
    monkeypatch.setattr(clock, "wall", made.now)
    yield made
    made.store.close()


# -- onto the board ---------------------------------------------------------------------------------------


async def test_what_waits_for_an_agent_is_brought_in_order_and_once(desk: Desk) -> None:
    desk.cards.put("c1", "Later", created_at=5.0, creator="ann")
    desk.cards.put("c2", "Sooner", created_at=4.0)
    desk.issues.put("i1", "Elsewhere")
    desk.issues.put("i2", "At once", priority=Priority.URGENT, description="Now.\n", aliases=("MUL-2",))
    desk.cards.put("c3", "Somebody else's", agent="critic")
    desk.cards.put("c4", "A stranger's", agent=None)
    found = await desk.look()
    assert [each.title for each in found.items] == ["At once", "Sooner", "Later", "Elsewhere"]
    assert found.new == ("T-0001", "T-0002", "T-0003", "T-0004")
    urgent, _, later, elsewhere = desk.tasks()
    assert (urgent.title, urgent.priority, urgent.assignee, urgent.status) == (
        "At once",
        Priority.URGENT,
        "ops",
        Status.PENDING,
    )
    assert urgent.description == "Now.\n\nFrom multica: i2, MUL-2"
    assert (later.creator, elsewhere.creator) == ("ann", "multica")
    assert (await desk.look()).new == ()
    assert len(desk.tasks()) == 4


async def test_what_is_as_it_was_costs_no_write(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.cards.put("c1")
    await desk.look()
    known = await desk.look()
    assert known.unchanged
    monkeypatch.setattr(desk.store.transactions, "write", lambda *_: pytest.fail("it wrote"))
    again = await desk.look()
    assert again.unchanged
    assert (again.items, again.digest) == (known.items, known.digest)


async def test_a_dry_run_tells_and_changes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.cards.put("c1", "Write it")
    monkeypatch.setattr(desk.store.transactions, "write", lambda *_: pytest.fail("it wrote"))
    found = await desk.look(dry_run=True)
    assert (found.new, desk.tasks()) == (("Write it",), ())


async def test_a_source_that_is_away_keeps_the_others_from_nobody(desk: Desk) -> None:
    desk.cards.put("c1")
    desk.issues.down = "network is down"
    found = await desk.look()
    assert (found.new, found.unavailable) == (("T-0001",), {Source.MULTICA: "network is down"})
    desk.issues.put("i1", "Another")
    desk.issues.down = ""
    assert (await desk.look()).new == ("T-0002",)


async def test_what_waits_for_something_is_brought_after_it(desk: Desk) -> None:
    desk.cards.put("c1", "Roof", waits_for=("c2",))
    desk.cards.put("c2", "Walls", waits_for=("c3",))
    desk.cards.put("c3", "Ground")
    desk.cards.put("c4", "Garden", waits_for=("c9",))
    found = await desk.look()
    assert [task.title for task in desk.tasks()] == ["Ground", "Walls", "Roof"]
    assert [task.depends_on for task in desk.tasks()] == [(), ("T-0001",), ("T-0002",)]
    assert found.skipped == 1
    desk.cards.put("c4", "Garden")
    assert (await desk.look()).new == ("T-0004",)


async def test_the_same_in_two_sources_is_one_task_that_both_are_told_of(desk: Desk) -> None:
    desk.cards.put("c-100", "Fix the  roof", description="see MUL-7")
    desk.issues.put("i1", "fix the Roof", aliases=("MUL-7",))
    desk.issues.put("i2", "Fix the roof")
    found = await desk.look()
    assert (len(found.new), found.changed) == (2, 1)
    assert desk.row("i1", Source.MULTICA).task == "T-0001" == desk.row("c-100").task
    assert "From multica: i1, MUL-7" in desk.said()[0]
    await desk.settle()
    desk.claim()
    await desk.settle()
    assert desk.cards.told == [("claim", "c-100", "ops")]
    assert desk.issues.told == [("claim", "i1", "ops")]
    desk.finish()
    await desk.settle()
    assert (desk.cards.stage("c-100"), desk.issues.stage("i1"), desk.issues.stage("i2")) == (
        Stage.DONE,
        Stage.DONE,
        Stage.TODO,
    )


async def test_one_of_two_cards_for_the_same_may_go(desk: Desk) -> None:
    desk.cards.put("same", "Roof")
    desk.issues.put("same", "The roof")
    await desk.look()
    assert len(desk.tasks()) == 1
    del desk.issues.items["same"]
    await desk.look()
    assert desk.task().status is Status.PENDING
    del desk.cards.items["same"]
    await desk.look()
    assert desk.task().status is Status.FAILED


async def test_a_task_that_somebody_brought_by_hand_is_not_brought_again(desk: Desk) -> None:
    draft = Draft("By hand", source=Source.WORKBOARD, external_id="c1", assignee="ops")
    desk.store.create(draft, who="me", now=1.0)
    desk.cards.put("c1")
    await desk.look()
    assert (len(desk.tasks()), desk.row().task) == (1, "T-0001")


async def test_what_is_said_there_is_said_here(desk: Desk) -> None:
    desk.cards.put("c1", "Roof")
    desk.cards.put("c2", "Walls")
    await desk.look()
    desk.store.revise("T-0001", {"title": "Roof, red"}, who="me", now=desk.now())
    desk.cards.put("c1", "Roof", description="Red.", agent="critic", waits_for=("c2",))
    await desk.look("critic")
    task = desk.task()
    assert (task.title, task.assignee, task.depends_on) == ("Roof, red", "critic", ("T-0002",))
    assert task.description.startswith("Red.\n")
    desk.cards.put("c1", "Roof and walls", description="Red.", agent="critic")
    assert (await desk.look("critic")).changed == 1
    assert (desk.task().title, desk.task().depends_on) == ("Roof and walls", ())


async def test_under_a_run_only_the_words_change(desk: Desk) -> None:
    desk.cards.put("c1", "Roof")
    await desk.look()
    desk.claim()
    await desk.settle()
    desk.cards.items["c1"] = replace(desk.cards.items["c1"], title="Red roof", agent="critic")
    await desk.survey()
    assert (desk.task().title, desk.task().assignee) == ("Red roof", "ops")
    desk.change(holding.release, reason="", who="ops")
    await desk.settle()
    await desk.look("critic")
    assert desk.task().assignee == "critic"


async def test_text_that_no_board_keeps_is_made_harmless(desk: Desk) -> None:
    desk.cards.put("c1", "\x1b[31m a\0b \ud83d " + "x" * 600, description="half \ud83d", creator="\0" * 300)
    desk.cards.put("c2", " ")
    found = await desk.look()
    assert found.failed == ()
    assert len(desk.task().title) == 500
    assert desk.task(2).title == "workboard c2"


async def test_an_item_that_the_board_refuses_is_told_and_keeps_nobody(desk: Desk) -> None:
    desk.cards.put("c\0", "Nul")
    desk.cards.put("c2", "Good")
    found = await desk.look()
    assert len(found.failed) == 1
    assert "NUL" in found.failed[0]
    assert [task.title for task in desk.tasks()] == ["Good"]
    assert not (await desk.look()).unchanged


# -- what others did there --------------------------------------------------------------------------------


async def test_what_is_done_there_ends_here_and_nothing_is_told_back(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.claim(lease_seconds=None)
    await desk.settle()
    desk.cards.move("c1", Stage.DONE, worked_on_by="ann")
    desk.cards.told.clear()
    await desk.survey()
    task = desk.task()
    assert (task.status, task.blocked_reason) == (Status.FAILED, "done in workboard")
    attempt = desk.store.attempt(task.id, task.epoch)
    assert attempt is not None
    assert attempt.stop_because == "cancelled: done in workboard"
    await desk.settle()
    assert (desk.cards.told, desk.cards.stage("c1")) == ([], Stage.DONE)


async def test_an_agent_that_closes_its_card_itself_is_waited_for(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.claim()
    await desk.settle()
    desk.cards.move("c1", Stage.DONE)
    await desk.survey()
    assert desk.task().status is Status.CLAIMED
    desk.finish()
    await desk.settle()
    await desk.survey()
    assert (desk.task().status, desk.cards.verbs) == (Status.DONE, ["claim"])
    desk.cards.move("c1", Stage.TODO)
    assert (await desk.look()).new == ("T-0002",)


async def test_an_agent_that_closes_its_card_and_hands_nothing_in_has_ended_it(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.claim()
    await desk.settle()
    desk.cards.move("c1", Stage.DONE)
    await desk.survey()
    desk.change(holding.release, reason="", who="ops")
    await desk.survey()
    assert (desk.task().status, desk.task().blocked_reason) == (Status.FAILED, "done in workboard")
    await desk.settle()
    assert desk.cards.verbs == ["claim"]


async def test_what_waits_for_what_is_done_there_goes_on(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    waits = Draft("by hand", depends_on=("T-0001",))
    desk.store.create(waits, who="me", now=desk.now())
    desk.cards.move("c1", Stage.DONE)
    await desk.look()
    assert desk.task().status is Status.FAILED
    assert (desk.task(2).status, desk.task(2).depends_on) == (Status.PENDING, ())


async def test_what_others_take_up_waits_until_they_let_go(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.cards.move("c1", Stage.IN_PROGRESS, worked_on_by="ann")
    await desk.look()
    assert (desk.task().status, desk.task().blocked_reason) == (
        Status.BLOCKED,
        "in progress in workboard, by ann",
    )
    await desk.settle()
    await desk.survey()
    desk.cards.move("c1", Stage.TODO)
    await desk.look()
    await desk.settle()
    assert desk.task().status is Status.PENDING
    assert desk.cards.told == []


async def test_a_change_there_wins_over_what_was_yet_to_be_told(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.cards.down = "away"
    desk.claim()
    await desk.settle()
    desk.cards.move("c1", Stage.DONE)
    desk.cards.down = ""
    desk.later(60)
    await desk.settle()
    assert (desk.cards.told, desk.cards.stage("c1"), desk.task().status) == ([], Stage.DONE, Status.FAILED)


async def test_what_is_blocked_there_is_stopped_here(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.claim(lease_seconds=None)
    await desk.settle()
    desk.cards.move("c1", Stage.BLOCKED)
    await desk.survey()
    assert (desk.task().status, desk.task().blocked_by) == (Status.BLOCKED, BlockedBy.HAND)
    await desk.settle()
    assert desk.cards.verbs == ["claim"]


async def test_a_question_that_was_told_there_may_be_answered_there(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.claim()
    desk.change(halting.block, reason="which colour?", who="ops")
    await desk.settle()
    assert desk.cards.told == [("release", "c1", "blocked", "T-0001 is blocked: which colour?")]
    desk.cards.move("c1", Stage.TODO)
    await desk.look()
    await desk.settle()
    assert desk.task().status is Status.PENDING
    assert len(desk.cards.told) == 1


async def test_what_has_failed_is_blocked_there_and_tried_again_from_there(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.change(halting.fail, reason="no paint", who="me")
    await desk.settle()
    assert desk.cards.stage("c1") is Stage.BLOCKED
    desk.cards.move("c1", Stage.TODO)
    await desk.look()
    assert desk.task().status is Status.PENDING


async def test_what_is_opened_again_there_is_a_new_task(desk: Desk) -> None:
    desk.cards.put("c1")
    for number in (1, 2, 3):
        await desk.look()
        desk.claim(number)
        desk.finish(number)
        await desk.settle()
        assert desk.cards.stage("c1") is Stage.DONE
        desk.cards.move("c1", Stage.TODO)
    assert [task.external_id for task in desk.tasks()] == ["c1", "c1#2", "c1#3"]
    assert [task.status for task in desk.tasks()] == [Status.DONE] * 3


async def test_what_is_done_here_is_told_though_their_claim_ran_out(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.claim()
    await desk.settle()
    desk.finish()
    desk.cards.move("c1", Stage.TODO)
    await desk.look()
    assert len(desk.tasks()) == 1
    await desk.settle()
    assert desk.cards.stage("c1") is Stage.DONE


async def test_a_claim_that_ran_out_there_is_made_anew_while_the_run_lives(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.claim()
    await desk.settle()
    desk.cards.move("c1", Stage.TODO)
    await desk.survey()
    await desk.settle()
    assert desk.cards.verbs == ["claim", "claim"]
    assert desk.task().status is Status.CLAIMED


async def test_what_is_given_to_somebody_else_there_is_not_ours(desk: Desk) -> None:
    desk.cards.put("c1")
    desk.cards.put("c2", "another")
    await desk.look()
    desk.cards.move("c1", Stage.TODO, agent=None)
    await desk.look()
    assert desk.task().status is Status.FAILED
    desk.roster = a_roster("critic")
    desk.cards.move("c2", Stage.TODO, agent=None)
    await desk.survey()
    assert desk.task(2).status is Status.PENDING, "an agent that left the roster has lost nothing there"


async def test_many_that_are_gone_at_once_are_believed_after_an_hour(desk: Desk) -> None:
    for number in range(5):
        desk.cards.put(f"c{number}", f"card {number}")
    await desk.look()
    kept = dict(desk.cards.items)
    desk.cards.items.clear()
    await desk.look()
    assert {task.status for task in desk.tasks()} == {Status.PENDING}
    assert [to for to, _ in desk.notices()] == ["critical"]
    desk.cards.items |= kept
    await desk.look()
    assert desk.row("c0").missing_since is None
    desk.cards.items.clear()
    await desk.look()
    desk.later(3601)
    await desk.look()
    assert {task.status for task in desk.tasks()} == {Status.FAILED}


@pytest.mark.parametrize("surveyed_first", [True, False])
async def test_a_mistyped_id_in_the_roster_cancels_nothing(desk: Desk, surveyed_first: bool) -> None:
    for number in range(8):
        desk.issues.put(f"i{number}", f"issue {number}")
    await desk.look()
    desk.claim()
    await desk.settle()
    as_it_was = dict(desk.issues.items)
    desk.issues.items |= {each: replace(item, agent=None) for each, item in as_it_was.items()}
    if surveyed_first:
        await desk.survey()
    await desk.look()
    await desk.survey()
    statuses = [task.status for task in desk.tasks()]
    assert (statuses[0], set(statuses[1:])) == (Status.CLAIMED, {Status.PENDING})
    assert [to for to, _ in desk.notices()] == ["critical"]
    desk.issues.items |= as_it_was
    await desk.look()
    await desk.survey()
    assert {desk.row(each, Source.MULTICA).missing_since for each in as_it_was} == {None}


async def test_one_that_is_gone_is_believed_though_no_list_is_to_be_had(desk: Desk) -> None:
    desk.cards.put("c1")
    desk.cards.put("c2", "another")
    await desk.look()
    desk.claim()
    await desk.settle()
    del desk.cards.items["c1"]
    desk.roster = a_roster("critic")
    await desk.survey()
    assert desk.task().status is Status.FAILED


async def test_of_many_that_run_none_is_cancelled_while_nothing_is_to_be_learnt_of_the_rest(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        desk.cards.put(f"c{number}", f"card {number}")
    await desk.look()
    desk.claim()
    await desk.settle()
    desk.cards.items.clear()

    async def away(_agent: Agent) -> Sequence[Item]:
        raise SourceUnavailableError("away")

    monkeypatch.setattr(desk.cards, "list_todo", away)
    await desk.survey()
    assert desk.task().status is Status.CLAIMED


async def test_a_document_that_is_away_for_a_moment_stops_no_run(desk: Desk) -> None:
    lines = desk.sources[Source.TODO] = PretendedSource(Source.TODO)
    desk.restart()
    lines.put("a#1")
    await desk.look()
    desk.claim()
    await desk.settle()
    there = dict(lines.items)
    lines.items.clear()
    for _ in range(4):
        desk.later(120)
        await desk.survey()
        await desk.settle()
    assert desk.task().status is Status.CLAIMED
    lines.items |= there
    await desk.survey()
    assert desk.row("a#1", Source.TODO).missing_since is None
    lines.items.clear()
    for _ in range(7):
        desk.later(120)
        await desk.survey()
    assert desk.task().status is Status.FAILED
    lines.items |= there
    await desk.survey()
    await desk.settle()
    assert (desk.task().status, lines.stage("a#1")) == (Status.PENDING, Stage.TODO)


@pytest.mark.parametrize("refused", [True, False])
async def test_a_line_that_is_not_there_when_something_is_to_be_said_may_come_back(
    desk: Desk, refused: bool
) -> None:
    lines = desk.sources[Source.TODO] = PretendedSource(Source.TODO)
    desk.restart()
    lines.put("a#1")
    await desk.look()
    desk.claim()
    there = dict(lines.items)

    def away(_verb: str, _id: str) -> None:
        lines.items.clear()

    if refused:
        lines.before = away
    else:
        lines.items.clear()
    await desk.settle()
    lines.before = lambda _verb, _id: None
    assert desk.task().status is Status.CLAIMED
    assert desk.row("a#1", Source.TODO).missing_since is not None
    assert len(lines.asked) < 6
    lines.items |= there
    desk.later(60)
    await desk.settle()
    assert lines.verbs == ["claim"]


async def test_a_dry_run_notes_nothing_of_what_is_gone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = desk.sources[Source.TODO] = PretendedSource(Source.TODO)
    desk.restart()
    for number in range(6):
        desk.cards.put(f"c{number}", f"card {number}")
    lines.put("a#1", "a line")
    await desk.look()
    desk.change(halting.block, 7, reason="which colour?", who="me")
    desk.cards.items.clear()
    lines.items.clear()
    monkeypatch.setattr(desk.store.transactions, "write", lambda *_: pytest.fail("it wrote"))
    await desk.look(dry_run=True)


async def test_what_is_in_no_list_is_asked_after_together(desk: Desk) -> None:
    for number in range(30):
        desk.cards.put(f"c{number}", f"card {number}")
    await desk.look()
    for number in range(30):
        desk.cards.move(f"c{number}", Stage.WAITING)
    calls = []
    looked = desk.cards.look_all

    async def look_all(external_ids: Sequence[str]) -> Sequence[Item]:
        calls.append(len(external_ids))
        return (await looked(external_ids))[:15]

    desk.cards.look_all = look_all  # type: ignore[method-assign]  # to see how often
    await desk.look()
    assert calls == [20]
    assert sum(task.status is Status.BLOCKED for task in desk.tasks()) == 15, "what was learnt is not lost"


async def test_who_is_faster_than_we_ends_no_part(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        desk.cards.put(f"c{number}", f"card {number}")
    desk.cards.put("other", "another", Stage.IN_PROGRESS, updated_at=desk.time)
    await desk.look()
    await desk.survey()
    write = desk.store.transactions.write

    def refused(work: object, *more: object, **named: object) -> object:
        if work in {_put, _forget}:
            raise Refused(Code.STALE_CLAIM, "somebody was faster")
        return write(work, *more, **named)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(desk.store.transactions, "write", refused)
    desk.cards.items.clear()
    await desk.look()
    await desk.survey()
    desk.claim()
    desk.cards.down = "away"
    await desk.settle()
    assert {task.status for task in desk.tasks()} == {Status.PENDING, Status.CLAIMED}


async def test_what_has_to_be_computed_of_many_items_is_computed_elsewhere(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.cards.put("c1")
    for name in ("prints_of", "digest"):
        here, real = threading.current_thread(), getattr(intake, name)

        def elsewhere(*given: object, here: object = here, real: Any = real) -> object:
            assert threading.current_thread() is not here
            return real(*given)

        monkeypatch.setattr(intake, name, elsewhere)
    await desk.look()
    known = mirrored.one(desk.store, Source.WORKBOARD, "c1")
    taking_over = TakingOver(Board(desk.store), {**desk.sources}, lambda: desk.roster)
    with trio.testing.assert_checkpoints():
        await taking_over.decide(desk.cards.items["c1"], known, {}, asked_at=desk.now())


async def test_more_than_can_be_asked_after_at_once_are_asked_after_in_turn(desk: Desk) -> None:
    for number in range(50):
        desk.cards.put(f"c{number}", f"card {number}")
    await desk.look()
    for number in range(30):
        desk.cards.move(f"c{number}", Stage.WAITING)
    while not (await desk.look()).unchanged:
        desk.later(120)
    assert sum(task.status is Status.BLOCKED for task in desk.tasks()) == 30


async def test_an_old_list_takes_nothing_back(desk: Desk) -> None:
    """A list may be a minute old; what was said of one item since is newer."""
    desk.cards.put("c1")
    desk.cards.put("c2", "another")
    await desk.look()
    shared = Shared(desk.cards)
    given: dict[Source, TaskSource] = {Source.WORKBOARD: shared}
    taking_over = TakingOver(Board(desk.store), given, lambda: desk.roster)
    looking = Intake(Board(desk.store), given, lambda: desk.roster, taking_over)
    desk.later(3600)
    await looking.look(desk.agent())
    desk.cards.move("c1", Stage.BLOCKED)
    desk.claim()
    await desk.settle()
    assert (desk.task().status, desk.cards.told) == (Status.BLOCKED, [])
    for _ in range(3):
        found = await looking.look(desk.agent())
        assert not found.unchanged
        await looking.survey(shared)
    assert desk.task().status is Status.BLOCKED
    assert desk.cards.asked.count("list_todo") == 2, "it was an old list"


# -- to the sources ---------------------------------------------------------------------------------------


async def test_a_task_is_told_from_claim_to_result(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.claim()
    await desk.settle()
    assert desk.row().handle == "secret-1"
    assert "secret-1" not in repr(desk.row())
    await desk.settle()
    desk.later(600)
    await desk.settle()
    assert desk.cards.verbs == ["claim", "keep"]
    desk.change(holding.heartbeat, turn=7, who="ops")
    desk.hand_in()
    await desk.settle()
    desk.change(deciding.accept, who="me")
    await desk.settle()
    assert desk.cards.told[2:] == [
        ("finish", "c1", "Done by ops in 7 turns (T-0001).\nHanded in: report.md.\n\nIt is written.")
    ]
    await desk.settle()
    assert len(desk.cards.told) == 3


async def test_what_is_overtaken_is_never_told(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.cards.down = "away"
    desk.claim()
    await desk.settle()
    desk.change(holding.release, reason="", who="ops")
    desk.claim()
    desk.finish()
    await desk.settle()
    assert desk.row().error == "away"
    desk.cards.down = ""
    desk.later(900)
    await desk.settle()
    assert desk.cards.verbs == ["finish"]
    assert desk.row().error == ""


async def test_a_source_that_is_away_is_tried_less_and_less(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.claim()
    desk.cards.down = "away"
    waits = []
    for _ in range(10):
        await desk.settle()
        row = desk.row()
        assert row.next_try_at is not None
        assert (row.error, row.telling) == ("away", ())
        waits.append(round(row.next_try_at - desk.time))
        desk.later(row.next_try_at - desk.time)
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]
    desk.restart()
    desk.cards.down = ""
    await desk.settle()
    assert (desk.cards.verbs, desk.row().tries) == (["claim"], 0)


async def test_who_was_lost_is_told_as_the_source_wants_it(desk: Desk) -> None:
    desk.cards.put("c1")
    desk.issues.put("i1", "an issue")
    await desk.look()
    for number in (1, 2):
        desk.claim(number)
    await desk.settle()
    desk.later(1801)
    for number in (1, 2):
        desk.change(lambda task, attempt, now: endings.expire(task, attempt, now=now), number)
    await desk.settle()
    assert (desk.cards.stage("c1"), desk.issues.stage("i1")) == (Stage.TODO, Stage.BLOCKED)
    assert "ops works on it no more: expired" in desk.issues.told[-1][3]
    await desk.look()
    await desk.survey()
    assert [task.status for task in desk.tasks()] == [Status.PENDING] * 2
    desk.claim(2)
    await desk.settle()
    assert desk.issues.stage("i1") is Stage.IN_PROGRESS


async def test_warnings_are_said_once(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.claim()
    await desk.settle()
    desk.change(holding.heartbeat, turn=40, who="ops")
    desk.change(
        lambda task, attempt, now: Change(
            replace(task, turns_warned=True, suspect_at=now),
            (event(task, task, "scheduler", "suspect", now),),
            attempt,
        )
    )
    for _ in range(3):
        await desk.settle()
    assert [text for verb, _, text in desk.cards.told if verb == "comment"] == [
        "ops has made no progress for a while and may be stuck.",
        "40 turns are spent, most of those it has.",
    ]


async def test_a_claim_that_somebody_else_has_stops_ours(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.claim(lease_seconds=None)
    desk.cards.refuses["claim"] = "ann has it"
    desk.cards.at = lambda _verb: None
    looked = desk.cards.look

    async def taken_meanwhile(external_id: str) -> object:
        item = await looked(external_id)
        desk.cards.move("c1", Stage.IN_PROGRESS, worked_on_by="ann")
        return item

    desk.cards.look = taken_meanwhile  # type: ignore[method-assign,assignment]  # a moment nobody can wait for
    await desk.settle()
    assert (desk.task().status, desk.task().blocked_reason) == (
        Status.BLOCKED,
        "in progress in workboard, by ann",
    )
    desk.later(60)
    await desk.settle()
    assert desk.cards.told == []


async def test_what_is_refused_is_said_once_on_the_task_and_to_who_should_know(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.claim()
    desk.cards.refuses["claim"] = "you may not"
    for _ in range(3):
        await desk.settle()
        desk.later(700)
    assert desk.said() == ["workboard refused what it was told of c1: you may not"]
    assert [to for to, _ in desk.notices()] == ["coo"]
    assert desk.row().error == "you may not"
    desk.cards.refuses.clear()
    desk.finish()
    await desk.settle()
    assert desk.cards.verbs == ["finish"]


async def test_a_lost_claim_is_made_anew(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.claim()
    await desk.settle()
    desk.cards.handles.clear()
    desk.later(601)
    await desk.settle()
    assert desk.cards.verbs == ["claim", "keep", "claim"]
    assert desk.said() == []


async def test_what_is_gone_there_when_it_is_told_ends_here(desk: Desk) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.claim()
    await desk.settle()
    del desk.cards.items["c1"]
    desk.change(holding.release, reason="", who="ops")
    await desk.settle()
    assert desk.task().status is Status.FAILED
    assert "gone" in (desk.task().blocked_reason or "")


# -- killed, slow, woken ----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["claim", "release", "finish"])
async def test_what_was_said_when_the_process_ended_is_ours_and_said_again(desk: Desk, verb: str) -> None:
    desk.cards.put("c1")
    await desk.look()
    desk.claim()
    if verb != "claim":
        await desk.settle()
        desk.change(holding.release, reason="", who="ops") if verb == "release" else desk.finish()

    def killed(at: str) -> None:
        raise Killed(at)

    desk.cards.at = killed
    with pytest.raises(Killed):
        await desk.settle()
    desk.cards.at = lambda _verb: None
    desk.restart()
    if verb == "claim":
        desk.change(holding.release, reason="", who="ops")
    await desk.look()
    await desk.survey()
    await desk.settle()
    assert len(desk.tasks()) == 1
    desk.later(61)
    await desk.settle()
    expected = {"claim": Stage.TODO, "release": Stage.TODO, "finish": Stage.DONE}[verb]
    assert desk.cards.stage("c1") is expected
    told = len(desk.cards.told)
    desk.later(61)
    await desk.look()
    await desk.survey()
    await desk.settle()
    assert (len(desk.cards.told), len(desk.tasks())) == (told, 1)
    assert desk.task().status in {Status.PENDING, Status.DONE}


async def test_a_slow_source_keeps_no_other(desk: Desk, nursery: trio.Nursery) -> None:
    desk.cards.put("c1")
    desk.issues.put("i1", "an issue")
    await desk.look()
    desk.cards.gate = trio.Event()
    nursery.start_soon(desk.mirroring.run)
    desk.claim(1)
    desk.claim(2)
    desk.mirroring.wake()
    await until(lambda: desk.issues.verbs == ["claim"])
    assert desk.cards.told == []
    desk.cards.gate.set()
    await until(lambda: desk.cards.verbs == ["claim"])
    nursery.cancel_scope.cancel()


# -- work of others ---------------------------------------------------------------------------------------


async def test_somebody_else_who_gives_no_sign_is_asked_after_and_then_given_up(desk: Desk) -> None:
    began = desk.time
    desk.issues.put("i1", "an issue", Stage.IN_PROGRESS, updated_at=began, worked_on_by="ops")
    await desk.survey()
    desk.later(1150)
    await desk.survey()
    assert desk.issues.told == []
    desk.later(100)
    for _ in range(3):
        await desk.survey()
    assert desk.issues.told == [
        ("comment", "i1", "No sign of life for 21 min: ops may be stuck."),
    ]
    desk.later(600)
    for _ in range(3):
        await desk.survey()
    assert [told[:3] for told in desk.issues.told[1:]] == [("release", "i1", "blocked")]
    assert [to for to, _ in desk.notices()] == ["coo"]
    assert desk.tasks() == ()


async def test_a_sign_of_life_ends_the_suspicion(desk: Desk) -> None:
    desk.cards.put("c1", stage=Stage.IN_PROGRESS, sign_of_life_at=desk.time)
    await desk.survey()
    desk.later(1300)
    await desk.survey()
    assert desk.cards.verbs == ["comment"]
    desk.cards.move("c1", Stage.IN_PROGRESS, sign_of_life_at=desk.time)
    desk.later(700)
    await desk.survey()
    assert desk.cards.verbs == ["comment"]
    desk.cards.move("c1", Stage.DONE)
    await desk.survey()
    assert mirrored.one(desk.store, Source.WORKBOARD, "c1").row is None


async def test_many_that_look_lost_at_once_are_left_alone(desk: Desk) -> None:
    for number in range(5):
        desk.cards.put(f"c{number}", stage=Stage.IN_PROGRESS, updated_at=desk.time)
    await desk.survey()
    for _ in range(3):
        desk.later(1300)
        await desk.survey()
    assert set(desk.cards.verbs) == {"comment"}
    assert {to for to, _ in desk.notices()} == {"critical"}


async def test_whoever_moves_in_the_last_moment_is_not_given_up(desk: Desk) -> None:
    desk.cards.put("c1", stage=Stage.IN_PROGRESS, updated_at=desk.time)
    await desk.survey()
    desk.later(1300)
    await desk.survey()
    desk.later(1300)
    desk.cards.look_again = lambda: desk.cards.move("c1", Stage.DONE)
    await desk.survey()
    assert (desk.cards.verbs, desk.cards.stage("c1")) == (["comment"], Stage.DONE)


async def test_what_was_given_back_is_brought(desk: Desk) -> None:
    desk.cards.put("c1", stage=Stage.IN_PROGRESS, updated_at=desk.time)
    for _ in range(3):
        await desk.survey()
        desk.later(1300)
    assert desk.cards.stage("c1") is Stage.TODO
    assert (await desk.look()).new == ("T-0001",)


async def test_what_waits_for_a_judgement_has_lost_nobody(desk: Desk) -> None:
    for number in range(5):
        desk.cards.put(f"c{number}", stage=Stage.IN_PROGRESS, updated_at=desk.time, judged=True)
    for _ in range(4):
        desk.later(1300)
        await desk.survey()
    assert (desk.cards.told, desk.notices()) == ([], [])


async def test_a_judgement_ends_the_suspicion(desk: Desk) -> None:
    desk.cards.put("c1", stage=Stage.IN_PROGRESS, updated_at=desk.time)
    await desk.survey()
    desk.later(1300)
    await desk.survey()
    assert desk.cards.verbs == ["comment"]
    desk.later(1300)
    desk.cards.look_again = lambda: desk.cards.move("c1", Stage.IN_PROGRESS, judged=True)
    for _ in range(2):
        await desk.survey()
    assert desk.cards.verbs == ["comment"]
    assert mirrored.one(desk.store, Source.WORKBOARD, "c1").row is None


async def test_whoever_is_stuck_is_asked_after_once_though_nothing_is_heard_after_it(desk: Desk) -> None:
    desk.cards.put("c1", stage=Stage.IN_PROGRESS, updated_at=desk.time)
    await desk.survey()
    desk.later(1300)

    def away() -> None:
        raise SourceUnavailableError("away")

    desk.cards.look_again = away
    for _ in range(4):
        await desk.survey()
        desk.later(120)
    assert desk.cards.verbs == ["comment"]
    desk.cards.look_again = lambda: None
    desk.later(600)
    await desk.survey()
    assert desk.cards.verbs == ["comment", "release"]
