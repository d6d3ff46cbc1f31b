"""What a change in a source means here: every state, every stage."""

from dataclasses import replace
from itertools import product

import pytest

from scheduler.core.exchange.following import TABLE, Follow, carried_out, follow, settled
from scheduler.core.exchange.items import Stage
from scheduler.core.exchange.mirror import OVER, Release, due
from scheduler.core.records import Attempt, Run
from scheduler.core.states import HELD, Status
from scheduler.core.task import BlockedBy, Task
from tests.core.scheduler.boards import NOW, blocked, events, held
from tests.core.scheduler.items import a_row, an_item
from tests.core.scheduler.sources_table import FILE, MEANS, MOVED, table

OTHER = {stage: next(each for each in Stage if each is not stage) for stage in Stage}


def in_state(status: Status) -> tuple[Task, Attempt | None]:
    task, attempt = held(status)
    if status is Status.BLOCKED:
        return replace(task, blocked_by=BlockedBy.HAND, blocked_reason="which colour?"), attempt
    return task, attempt


def test_the_table_knows_every_state_and_every_stage() -> None:
    assert set(TABLE) == set(Status)
    assert all(set(row) == set(Stage) for row in TABLE.values())


@pytest.mark.parametrize(("status", "stage"), list(product(Status, Stage)))
def test_a_change_there_is_followed_once_and_nothing_is_told_back(status: Status, stage: Stage) -> None:
    task, attempt = in_state(status)
    told = Stage.DONE if status is Status.DONE else Stage.TODO
    row = a_row(OTHER[stage], told=told, telling=(Stage.BLOCKED,), tries=3, error="away", handle="secret")
    found = follow(task, row, stage)
    if found is Follow.REOPEN:
        assert (status, stage) == (Status.DONE, Stage.TODO)
        return
    change = carried_out(found, task, attempt, an_item(stage), stage, now=NOW)
    assert events(change), "it is written down in any case"
    after = settled(row, found, stage, change.task, change.attempt, now=NOW)
    assert (after.stage, after.telling, after.tries, after.error) == (stage, (), 0, "")
    assert after.handle == ("secret" if stage is Stage.IN_PROGRESS else "")
    again = due(change.task, change.attempt, replace(after, told_at=NOW), NOW)
    if found is Follow.TELL:
        assert again is not None
    else:
        assert again is None


@pytest.mark.parametrize("stage", sorted(OVER))
def test_what_is_over_there_ends_every_open_task(stage: Stage) -> None:
    for status in set(Status) - {Status.DONE, Status.FAILED}:
        task, attempt = in_state(status)
        found = follow(task, a_row(), stage)
        change = carried_out(found, task, attempt, an_item(stage), stage, now=NOW)
        assert change.task.status is Status.FAILED
        if status in HELD:
            assert change.attempt is not None
            assert (change.attempt.stop_because or "").startswith("cancelled: ")


def test_work_that_is_done_is_news_wherever_nobody_knows() -> None:
    task, _ = in_state(Status.DONE)
    for stage in Stage:
        expected = Follow.AGREE if stage in OVER else Follow.TELL
        assert follow(task, a_row(told=Stage.IN_PROGRESS), stage) is expected
    assert follow(task, a_row(Stage.DONE), Stage.TODO) is Follow.REOPEN


def test_one_of_two_cards_for_the_same_may_go() -> None:
    task, _ = in_state(Status.PENDING)
    assert follow(task, a_row(), Stage.GONE, alone=False) is Follow.AGREE
    assert follow(task, a_row(), Stage.DONE, alone=False) is Follow.WITHDRAW


@pytest.mark.parametrize("by", [BlockedBy.DEPENDENCY, BlockedBy.APPROVAL])
def test_what_waits_here_waits_for_them_too(by: BlockedBy) -> None:
    task = blocked(by)
    assert follow(task, a_row(), Stage.TODO) is Follow.AGREE, "nobody there can allow it"
    found = follow(task, a_row(), Stage.BLOCKED)
    change = carried_out(found, task, None, an_item(Stage.BLOCKED), Stage.BLOCKED, now=NOW)
    assert (found, change.task.blocked_by, change.task.blocked_reason) == (
        Follow.HOLD,
        BlockedBy.HAND,
        "blocked in workboard",
    )
    assert follow(blocked(), a_row(), Stage.BLOCKED) is Follow.AGREE
    assert follow(blocked(), a_row(), Stage.TODO) is Follow.FREE


def test_who_took_it_up_is_named() -> None:
    task, _ = in_state(Status.PENDING)
    item = an_item(Stage.IN_PROGRESS, worked_on_by="ann")
    change = carried_out(Follow.HOLD, task, None, item, Stage.IN_PROGRESS, now=NOW)
    assert change.task.blocked_reason == "in progress in workboard, by ann"


def test_a_run_that_is_held_up_is_to_end() -> None:
    task, attempt = held(Status.WORKING, Run.STARTED)
    change = carried_out(Follow.HOLD, task, attempt, an_item(Stage.WAITING), Stage.WAITING, now=NOW)
    assert change.attempt is not None
    assert change.attempt.stop_because == "set aside in workboard"


@pytest.mark.parametrize("status", sorted({*HELD, Status.REVIEW}))
def test_an_agent_that_closes_there_what_it_works_on_has_yet_to_hand_in_its_result(status: Status) -> None:
    task, attempt = in_state(status)
    row = a_row(Stage.IN_PROGRESS)
    for by in (None, task.claimant):
        assert follow(task, row, Stage.DONE, worked_on_by=by) is Follow.AGREE
    assert follow(task, row, Stage.DONE, worked_on_by="ann") is Follow.WITHDRAW
    assert follow(task, replace(row, told=Stage.TODO), Stage.DONE) is Follow.WITHDRAW, (
        "nobody said it is ours"
    )
    after = settled(row, Follow.AGREE, Stage.DONE, task, attempt, now=NOW)
    done, _ = in_state(Status.DONE)
    assert due(done, attempt, after, NOW) is None
    assert follow(done, after, Stage.TODO) is Follow.REOPEN, "they know that it is done"


def test_what_was_gone_and_is_back_in_progress_is_tried_again_and_told() -> None:
    task, attempt = in_state(Status.FAILED)
    row = a_row(Stage.GONE, told=Stage.BLOCKED)
    assert follow(task, a_row(Stage.BLOCKED), Stage.IN_PROGRESS) is Follow.AGREE
    found = follow(task, row, Stage.IN_PROGRESS)
    change = carried_out(found, task, attempt, an_item(Stage.IN_PROGRESS), Stage.IN_PROGRESS, now=NOW)
    assert (found, change.task.status) == (Follow.RETRY, Status.PENDING)
    after = settled(row, found, Stage.IN_PROGRESS, change.task, change.attempt, now=NOW)
    effect = due(change.task, change.attempt, after, NOW)
    assert isinstance(effect, Release)
    assert effect.stage is Stage.TODO


def test_the_page_for_users_has_the_table() -> None:
    assert set(MOVED) == set(Stage)
    assert set(MEANS) == set(Follow)
    assert table() in FILE.read_text(encoding="utf-8"), "run python -m tests.core.scheduler.sources_table"
