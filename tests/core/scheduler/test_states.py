"""The table of states, walked in full, and held against the contract and the page for users."""

import pytest

from scheduler.core.errors import Code, Refused
from scheduler.core.states import CLOSED, HELD, OPEN, TABLE, Move, Status, after, sources
from tests.core.scheduler.states_page import CAUSE, FILE, MEANING, page

CONTRACT = {
    "pending": {"claimed", "blocked", "failed"},
    "claimed": {"working", "pending", "blocked", "failed"},
    "working": {"review", "blocked", "pending", "failed"},
    "review": {"done", "working", "pending", "failed"},
    "blocked": {"pending", "failed"},
    "failed": {"pending"},
    "done": set(),
}


def test_the_table_is_the_contracts() -> None:
    assert {str(status): {str(goal) for goal in row.values()} for status, row in TABLE.items()} == CONTRACT


@pytest.mark.parametrize("move", Move)
@pytest.mark.parametrize("status", Status)
def test_a_move_leads_where_the_table_says_and_nowhere_else(status: Status, move: Move) -> None:
    if move in TABLE[status]:
        assert after(status, move) is TABLE[status][move]
        return
    with pytest.raises(Refused) as refused:
        after(status, move)
    assert refused.value.code is Code.ILLEGAL_TRANSITION
    assert str(status) in refused.value.message


@pytest.mark.parametrize("move", Move)
def test_statements_get_the_states_that_a_move_begins_in(move: Move) -> None:
    assert sources(move) == {status for status in Status if move in TABLE[status]}
    assert sources(move), "a move that nothing can make"


def test_every_state_has_a_row_and_can_be_reached() -> None:
    assert set(TABLE) == set(Status)
    reached, found = {Status.PENDING}, True
    while found:
        further = {goal for status in reached for goal in TABLE[status].values()} - reached
        reached |= further
        found = bool(further)
    assert reached == set(Status)


def test_nothing_leaves_done_and_everything_else_can_end() -> None:
    assert TABLE[Status.DONE] == {}
    for status in OPEN:
        assert Move.FAIL in TABLE[status]


def test_only_whoever_holds_a_claim_can_lose_it() -> None:
    lost = Move.RELEASE, Move.EXPIRE, Move.NO_RESULT, Move.RECOVER
    assert all(sources(move) == HELD for move in lost)
    assert set(Status) == CLOSED | OPEN


def test_the_page_for_users_is_up_to_date() -> None:
    assert set(MEANING) == set(Status)
    assert set(CAUSE) == set(Move)
    assert FILE.read_text(encoding="utf-8") == page(), "run python -m tests.core.scheduler.states_page"
