"""The fence."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.claims import ClaimToken, expired, hash_of, holder, parse_token
from scheduler.core.errors import Code, Refused
from scheduler.core.records import Run
from scheduler.core.states import Status
from scheduler.core.task import Task
from tests.core.scheduler.boards import NOW, SECRET, a_task, held, refused

SECRETS = st.text("abcXYZ019_-", min_size=16, max_size=128)


@given(st.integers(1, 10**15 - 1), st.integers(0, 10**9 - 1), SECRETS)
def test_a_token_is_read_back_as_it_was_written(number: int, epoch: int, secret: str) -> None:
    token = ClaimToken(a_task(number=number).id, epoch, secret)
    assert parse_token(f"  {token}\n") == token


def test_a_token_begins_with_its_task_and_its_epoch() -> None:
    assert str(ClaimToken("T-0042", 3, SECRET)) == f"T-0042.3.{SECRET}"


@pytest.mark.parametrize(
    "text", ["", "T-0042", "T-0042.3", "T-0042.3.short", "T-42.3." + SECRET, "T-0042.-3." + SECRET, "x" * 100]
)
def test_what_never_was_a_token_is_invalid_and_not_repeated(text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_token(text)
    assert caught.value.code is Code.INVALID
    assert SECRET not in caught.value.message


def test_the_secret_is_neither_stored_nor_shown() -> None:
    token = ClaimToken("T-0042", 3, SECRET)
    assert SECRET not in repr(token)
    assert SECRET not in token.hash
    assert token.hash == hash_of(SECRET)


@pytest.mark.parametrize("status", [Status.CLAIMED, Status.WORKING, Status.REVIEW])
def test_a_token_speaks_for_the_agent_that_holds_the_claim(status: Status) -> None:
    task, _ = held(status)
    assert holder(task, ClaimToken(task.id, 1, SECRET), NOW) == "coder"


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.CLAIMED, Status.WORKING, Status.REVIEW}))
def test_a_token_is_stale_once_nobody_holds_the_task(status: Status) -> None:
    task, _ = held(status)
    with refused(Code.STALE_CLAIM):
        holder(task, ClaimToken(task.id, 1, SECRET), NOW)


@given(st.integers(0, 100), st.integers(0, 100))
def test_a_token_of_another_epoch_is_stale_even_with_the_same_secret(mine: int, present: int) -> None:
    task, _ = held(epoch=present)
    token = ClaimToken(task.id, mine, SECRET)
    if mine == present:
        assert holder(task, token, NOW) == "coder"
    else:
        with refused(Code.STALE_CLAIM):
            holder(task, token, NOW)


def test_a_token_with_another_secret_is_stale() -> None:
    task, _ = held()
    with refused(Code.STALE_CLAIM):
        holder(task, ClaimToken(task.id, 1, "t" * 32), NOW)


def test_a_token_for_another_task_is_stale() -> None:
    task, _ = held()
    with refused(Code.STALE_CLAIM):
        holder(task, ClaimToken("T-0002", 1, SECRET), NOW)


@pytest.mark.parametrize("task", [replace(held()[0], claimant=None), replace(held()[0], claim_hash=None)])
def test_nothing_opens_a_claim_without_a_holder(task: Task) -> None:
    with refused(Code.STALE_CLAIM):
        holder(task, ClaimToken(task.id, 1, SECRET), NOW)


def test_a_lease_holds_for_its_time_and_no_longer() -> None:
    task, _ = held(run=Run.NONE, lease_until=NOW)
    token = ClaimToken(task.id, 1, SECRET)
    assert holder(task, token, NOW - 0.001) == "coder"
    with refused(Code.STALE_CLAIM):
        holder(task, token, NOW)


def test_a_run_holds_its_claim_without_a_lease() -> None:
    task, _ = held(run=Run.STARTED)
    assert not expired(task, NOW + 1e9)


def test_what_is_in_review_has_no_lease_to_lose() -> None:
    task, _ = held(Status.REVIEW, run=Run.NONE, lease_until=NOW - 1)
    assert not expired(task, NOW)
    assert holder(task, ClaimToken(task.id, 1, SECRET), NOW) == "coder"
    assert expired(replace(task, status=Status.WORKING), NOW)
