"""What a source has yet to be told: of every state, at every stage there, whatever was told before."""

from dataclasses import replace
from itertools import product

import pytest

from scheduler.core.exchange.items import Stage
from scheduler.core.exchange.mirror import (
    IN_FLIGHT_SECONDS,
    KEEP_SECONDS,
    LONGEST_BACKOFF_SECONDS,
    OVER,
    Claim,
    Effect,
    Finish,
    Keep,
    Note,
    Release,
    backoff,
    begun,
    due,
    due_at,
    not_said,
    overruled,
    recovered,
    said,
    stage_of,
    wanted,
    why,
)
from scheduler.core.records import Attempt
from scheduler.core.states import Status
from scheduler.core.task import BlockedBy, Task
from tests.core.scheduler.boards import NOW, blocked, held
from tests.core.scheduler.items import a_row, its_task

STAGES = {
    Status.PENDING: Stage.TODO,
    Status.CLAIMED: Stage.IN_PROGRESS,
    Status.WORKING: Stage.IN_PROGRESS,
    Status.REVIEW: Stage.IN_PROGRESS,
    Status.DONE: Stage.DONE,
    Status.BLOCKED: Stage.BLOCKED,
    Status.FAILED: Stage.BLOCKED,
}
INFINITE = float("inf")


def a_task_that_is(status: Status) -> tuple[Task, Attempt]:
    task, attempt = held(status)
    by = BlockedBy.HAND if status is Status.BLOCKED else None
    return replace(task, blocked_by=by, blocked_reason="no paint"), attempt


@pytest.mark.parametrize(("status", "there", "told"), list(product(Status, Stage, [None, *Stage])))
def test_one_thing_is_told_and_then_nothing(status: Status, there: Stage, told: Stage | None) -> None:
    task, attempt = a_task_that_is(status)
    row = a_row(there, told=told, told_at=NOW)
    effect = due(task, attempt, row, NOW)
    if there in OVER or told is STAGES[status]:
        assert effect is None, "what is over there, or agreed, is left alone"
        return
    expected: Effect
    match STAGES[status]:
        case Stage.IN_PROGRESS:
            expected = Claim("coder")
        case Stage.DONE:
            expected = Finish("coder")
        case stage:
            expected = Release("coder", stage, why(task, attempt))
    assert effect == expected
    before = begun(row, effect, NOW)
    assert before.telling == (STAGES[status],)
    assert due(task, attempt, before, NOW) is None, "it is being said"
    assert due(task, attempt, before, NOW + IN_FLIGHT_SECONDS) == effect, "nobody knows whether it was"
    after = said(before, effect, NOW)
    assert (after.stage, after.told, after.telling, after.tries) == (STAGES[status], STAGES[status], (), 0)
    assert due(task, attempt, after, NOW) is None


def test_nobody_is_told_what_waits_for_another_task_or_for_an_approval() -> None:
    for by in (BlockedBy.DEPENDENCY, BlockedBy.APPROVAL):
        assert wanted(blocked(by), None) is Stage.TODO


@pytest.mark.parametrize("end", ["stopped", "recover", "expired"])
def test_what_was_lost_goes_where_the_source_wants_it(end: str) -> None:
    _, attempt = held()
    attempt = replace(attempt, end=end, ended_at=NOW)
    task = its_task(pending_since=NOW)
    assert wanted(task, attempt, Stage.BLOCKED) is Stage.BLOCKED
    assert not recovered(replace(task, pending_since=NOW + 1), attempt), "somebody has let it go on since"
    assert not recovered(task, replace(attempt, end="released"))
    assert not recovered(task, None)


def test_what_is_worked_on_is_kept_alive() -> None:
    task, attempt = held()
    row = a_row(Stage.IN_PROGRESS, told_at=NOW)
    assert due_at(task, attempt, row, NOW) == NOW + KEEP_SECONDS
    assert due(task, attempt, row, NOW + KEEP_SECONDS - 1) is None
    keep = due(task, attempt, row, NOW + KEEP_SECONDS)
    assert keep == Keep("coder")
    assert said(row, keep, NOW + KEEP_SECONDS).told_at == NOW + KEEP_SECONDS
    assert due(task, attempt, row, NOW - 3600) == Keep("coder"), "after a clock that was set back, too"
    assert due(task, attempt, replace(row, stage=Stage.BLOCKED), NOW + KEEP_SECONDS) is None


def test_warnings_come_before_a_sign_of_life_and_once() -> None:
    task, attempt = held(turns=40, turns_warned=True, suspect_at=NOW - 30)
    row = a_row(Stage.IN_PROGRESS)
    first = due(task, attempt, row, NOW)
    assert isinstance(first, Note)
    assert "stuck" in first.text
    row = said(row, first, NOW)
    second = due(task, attempt, row, NOW)
    assert second == Note("40 turns are spent, most of those it has.", 40)
    row = said(row, second, NOW)
    assert row.told_turns == 40
    assert due(task, attempt, row, NOW) is None
    claimed = said(replace(row, telling=(Stage.TODO,)), Claim("coder"), NOW, handle="secret")
    assert (claimed.told_turns, claimed.handle, claimed.telling) == (0, "secret", ())
    released = said(claimed, Release("coder", Stage.TODO, "why"), NOW, turns=7)
    assert (released.told_turns, released.handle) == (7, "")


def test_nothing_is_due_for_a_quiet_task() -> None:
    assert due_at(its_task(), None, a_row(), NOW) == INFINITE
    task, attempt = held()
    assert due_at(task, attempt, a_row(Stage.DONE), NOW) == INFINITE
    assert due_at(task, attempt, a_row(Stage.IN_PROGRESS, next_try_at=NOW + 5), NOW) == NOW + 5
    assert due_at(task, attempt, a_row(Stage.IN_PROGRESS, told_at=None), NOW) == NOW + KEEP_SECONDS


def test_what_did_not_arrive_is_tried_later_and_less_often() -> None:
    assert [backoff(tries) for tries in (0, 1, 2, 3, 8, 9, 10_000)] == [5, 5, 10, 20, 640, 900, 900]
    task, attempt = held()
    row = begun(a_row(), Claim("coder"), NOW)
    failed = not_said(row, "", NOW)
    assert (failed.tries, failed.next_try_at, failed.error) == (1, NOW + 5, "no reason was given")
    assert due(task, attempt, failed, NOW + 4) is None
    assert due(task, attempt, failed, NOW + 5) == Claim("coder")
    long_ago = replace(failed, next_try_at=NOW + LONGEST_BACKOFF_SECONDS + 1)
    assert due(task, attempt, long_ago, NOW) == Claim("coder"), "the clock has been set back since"


def test_who_sees_our_own_word_sees_nothing_new() -> None:
    row = begun(begun(a_row(), Claim("coder"), NOW), Finish("coder"), NOW)
    assert begun(row, Finish("coder"), NOW).telling == (Stage.IN_PROGRESS, Stage.DONE)
    assert {stage for stage in Stage if row.foreign(stage)} == {Stage.WAITING, Stage.BLOCKED, Stage.GONE}
    assert row.in_flight(NOW)
    assert not row.in_flight(NOW + IN_FLIGHT_SECONDS)
    assert not not_said(row, "away", NOW).in_flight(NOW)
    assert not a_row().in_flight(NOW)
    assert begun(a_row(), Keep("coder"), NOW).telling == ()


def test_what_a_source_refuses_is_not_told_again() -> None:
    task, attempt = held()
    claim = begun(a_row(), Claim("coder"), NOW)
    settled = overruled(claim, Claim("coder"), Stage.TODO, "you may not", NOW)
    assert (settled.stage, settled.told, settled.error) == (Stage.TODO, Stage.IN_PROGRESS, "you may not")
    assert due(task, attempt, settled, NOW + KEEP_SECONDS) is None
    row = a_row(Stage.IN_PROGRESS, handle="secret")
    noted = overruled(row, Note("text"), Stage.IN_PROGRESS, "no", NOW)
    assert (noted.told_at, noted.told_turns) == (NOW, 0)
    lost = overruled(row, Keep("coder"), Stage.IN_PROGRESS, "no", NOW)
    assert (lost.told, lost.handle) == (None, "")
    assert due(task, attempt, lost, NOW) == Claim("coder")


def test_the_reason_is_a_sentence() -> None:
    _, attempt = held()
    assert why(its_task(), None) == "T-0001 waits for its turn"
    assert why(its_task(), attempt) == "T-0001 waits for its turn"
    ended = replace(attempt, end="no_result", error="the run failed", turns=3)
    assert why(its_task(), ended) == "coder works on it no more: no result, the run failed (3 turns)"
    assert why(its_task(), replace(attempt, end="expired")) == "coder works on it no more: expired"
    assert why(blocked(), ended) == "T-0001 is blocked: which colour? (3 turns)"


def test_who_never_claimed_it_is_named_all_the_same() -> None:
    for task, agent in (
        (its_task(status=Status.DONE), "coder"),
        (its_task(status=Status.DONE, assignee=None), "ann"),
    ):
        assert due(task, None, a_row(), NOW) == Finish(agent)


def test_a_handle_is_never_shown() -> None:
    assert "s3cret" not in repr(a_row(handle="s3cret"))


def test_signs_of_life_and_notes_move_nothing() -> None:
    assert [stage_of(each) for each in (Keep("coder"), Note("text"))] == [None, None]
