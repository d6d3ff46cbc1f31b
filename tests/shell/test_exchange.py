"""How an exchange is counted, by what its client has seen."""

from typing import Any

import pytest

from proxy.exchange import Exchange, Outcome


def outcome(status: int | None, **facts: Any) -> Outcome:
    exchange = Exchange("id", "POST", "/v1/x", 0.0)
    for name, value in facts.items():
        setattr(exchange, name, value)
    return exchange.outcome(status)


@pytest.mark.parametrize(
    ("status", "counted"),
    [
        (200, "success"),
        (202, "success"),
        (400, "success"),
        (401, "success"),
        (404, "success"),
        (429, "ratelimited"),
        (500, "error"),
        (503, "error"),
    ],
)
def test_the_upstreams_own_answer_is_a_success_below_500_but_429(status: int, counted: str) -> None:
    assert outcome(status, upstream_answered=True) == counted


@pytest.mark.parametrize(
    ("status", "counted"),
    [
        (400, "rejected"),
        (401, "rejected"),
        (408, "rejected"),
        (413, "rejected"),
        (503, "rejected"),
        (429, "ratelimited"),
        (502, "error"),
        (504, "error"),
    ],
)
def test_an_answer_of_ours_is_a_rejection_a_limit_or_the_upstreams_error(status: int, counted: str) -> None:
    assert outcome(status) == counted


def test_an_answer_that_broke_off_is_an_error_whatever_its_head_said() -> None:
    assert outcome(200, upstream_answered=True, broken_off=True) == "error"


@pytest.mark.parametrize("status", [None, 200, 429, 500])
def test_a_client_that_hung_up_has_abandoned_it_whatever_it_saw(status: int | None) -> None:
    assert outcome(status, hung_up=True) == "abandoned"


def test_one_that_saw_nothing_and_did_not_leave_is_our_fault() -> None:
    assert outcome(None) == "error"
