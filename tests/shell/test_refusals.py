"""Errors of ours: a code each, and a time to come back that nobody gives up on."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.band import Band
from proxy.core.classify import Meaning
from proxy.core.decisions import Dropped, NoSlotInTime, QueueFull, UpstreamDown
from proxy.core.fairness import Ticket, TicketId
from proxy.gate import Closed
from proxy.refusals import no_answer, retry_headers, turned_away
from proxy.upstream import Failure

TICKET = Ticket(TicketId(1), Band.NORMAL, "a", "s", "m", 0.0, 1.0)


@given(st.floats(allow_nan=False))
def test_a_time_to_come_back_is_whole_seconds_from_one_to_sixty_and_the_same_in_milliseconds(
    seconds: float,
) -> None:
    headers = dict(retry_headers(seconds))
    assert set(headers) == {b"retry-after", b"retry-after-ms"}
    whole, milliseconds = int(headers[b"retry-after"]), int(headers[b"retry-after-ms"])
    assert 1 <= whole <= 60
    assert 1 <= milliseconds <= 60_000
    if 1 <= seconds <= 60:
        assert whole == math.floor(seconds)
        assert milliseconds == math.floor(seconds * 1000)


@pytest.mark.parametrize(
    ("why", "status", "code", "retry_after"),
    [
        (NoSlotInTime(TICKET, 12.9), 429, "rate_limited", b"12"),
        (NoSlotInTime(TICKET, math.inf), 429, "rate_limited", b"60"),
        (QueueFull(TICKET, 0.0), 503, "queue_full", b"1"),
        (Dropped(TICKET, 700.0), 503, "dropped", b"60"),
        (UpstreamDown(TICKET, 4.2), 503, "upstream_down", b"5"),
        (Closed(), 503, "draining", b"1"),
    ],
)
def test_one_that_got_no_slot_is_told_why_and_when_to_come_back(
    why: NoSlotInTime | QueueFull | Dropped | UpstreamDown | Closed,
    status: int,
    code: str,
    retry_after: bytes,
) -> None:
    refusal = turned_away(why)
    assert (refusal.status, refusal.code) == (status, code)
    assert dict(refusal.headers)[b"retry-after"] == retry_after


@pytest.mark.parametrize("meaning", [m for m in Meaning if m is not Meaning.ANSWERED])
def test_an_upstream_that_gave_no_answer_is_a_502_or_for_silence_a_504(meaning: Meaning) -> None:
    refusal = no_answer(Failure(meaning, "nvapi-secret in a detail"))
    expected = (504, "upstream_timeout") if meaning is Meaning.SILENT else (502, "upstream_unreachable")
    assert (refusal.status, refusal.code) == expected
    assert refusal.headers == []
    assert "nvapi" not in refusal.message
