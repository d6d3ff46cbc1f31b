"""Ids, names and words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.errors import Code
from scheduler.core.states import Status
from scheduler.core.task import Priority, agent_name, number_of, reviewer, shortened, task_id
from tests.core.scheduler.boards import a_task, refused


@given(st.integers(1, 10**15 - 1))
def test_an_id_says_its_number(number: int) -> None:
    assert number_of(task_id(number)) == number


@given(st.integers(1, 9999), st.integers(1, 9999))
def test_ids_of_four_digits_sort_as_their_numbers(one: int, other: int) -> None:
    assert (task_id(one) < task_id(other)) == (one < other)


def test_the_first_ids_are_short() -> None:
    assert task_id(42) == a_task(number=42).id == "T-0042"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "T-42",
        "T-00042",
        "t-0042",
        "T-0042\n",
        " T-0042",
        "T-٠٠٤٢",
        "T-0042.3",
        "T-" + "9" * 16,
        "../x",
    ],
)
def test_what_never_was_an_id_is_not_found(text: str) -> None:
    with refused(Code.NOT_FOUND):
        number_of(text)


@pytest.mark.parametrize("name", ["a", "coder", "coder-2", "2fast", "x_y", "a" * 64])
def test_an_agent_is_called_as_openclaw_calls_it(name: str) -> None:
    assert agent_name(name) == name


@pytest.mark.parametrize("name", ["", "Coder", "a b", "-a", "_a", "a" * 65, "é", "a\n", "a:b", "*"])
def test_what_openclaw_would_change_is_no_agent_id(name: str) -> None:
    with refused(Code.INVALID):
        agent_name(name)


def test_a_review_is_by_the_machine_by_a_person_or_by_an_agent() -> None:
    assert reviewer("accept_nonempty") is None
    assert reviewer("person") is None
    assert reviewer("agent:tester") == "tester"


@pytest.mark.parametrize("review", ["", "nobody", "agent:", "agent", "agent:Tester", "person "])
def test_another_review_is_refused(review: str) -> None:
    with refused(Code.INVALID):
        reviewer(review)


def test_the_urgent_goes_first() -> None:
    assert [each.word for each in sorted(Priority)] == ["urgent", "high", "normal", "low"]


def test_foreign_text_in_a_message_is_short_and_shows_its_control_characters() -> None:
    assert shortened("a\x1b[31m") == r"'a\x1b[31m'"
    assert len(shortened("x" * 1000)) == 82
    assert shortened("x" * 80) == repr("x" * 80)


def test_held_is_while_one_agent_may_write() -> None:
    assert {status for status in Status if a_task(status=status).held} == {"claimed", "working"}
