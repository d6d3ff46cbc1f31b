"""Pace, window and the promise to URGENT together."""

import pytest

from proxy.core.budget import Budget


def budget(
    *,
    limit: int = 40,
    margin: float = 1,
    bucket_capacity: int = 40,
    now: float = 0,
    held_until: list[float] | None = None,
) -> Budget:
    return Budget(
        limit=limit,
        window_seconds=60,
        margin_seconds=margin,
        bucket_capacity=bucket_capacity,
        now=now,
        release_ats=held_until or [],
    )


def burst(lane: Budget, now: float, *, urgent: bool = False, written: bool = True) -> int:
    count = 0
    while lane.may_go_at(now, urgent=urgent) <= now:
        slot = lane.send(now)
        if written:
            lane.window.written(slot, now)
        count += 1
    return count


def test_a_full_burst_leaves_the_reserve_to_urgent() -> None:
    lane = budget()
    assert burst(lane, 0) == 36
    assert burst(lane, 0, urgent=True) == 4
    assert lane.window.free(0) == 0
    assert lane.tokens(0) == 0


def test_after_a_full_burst_a_paced_send_waits_until_the_promise_survives() -> None:
    lane = budget()
    burst(lane, 0)
    lane.backlog(True, 0)
    at = lane.may_go_at(0, urgent=False)
    assert at == 61 - 5 * 1.5
    assert burst(lane, at) == 1


def test_a_lane_that_holds_nothing_sends_at_its_pace_only() -> None:
    lane = budget()
    lane.backlog(True, 0)
    assert burst(lane, 0, written=False) == 2
    assert lane.may_go_at(0, urgent=False) == 1.5


def test_a_full_window_opens_when_its_first_slot_is_released() -> None:
    lane = budget(limit=2, held_until=[10, 20])
    assert lane.may_go_at(0, urgent=True) == 10


def test_after_a_lowered_limit_enough_slots_have_to_be_released() -> None:
    lane = budget(limit=2, held_until=[10, 20, 30])
    assert lane.may_go_at(0, urgent=True) == 20


@pytest.mark.parametrize("margin", [0.0, 1e-9, 1e-3, 1.0])
@pytest.mark.parametrize("now", [0.0, 0.1, 3.3, 1e6])
def test_who_waits_for_an_unwritten_slot_does_not_wake_at_every_float(margin: float, now: float) -> None:
    """The promise counts it as written now, and so moves on with `now`; each sleep must get somewhere."""
    lane = budget(margin=margin, bucket_capacity=20, now=now)
    lane.backlog(True, now)
    until, wakes = now + 200, 0
    while now < until and wakes < 20_000:
        at = lane.may_go_at(now, urgent=False)
        if at <= now:
            lane.send(now)  # and its upload never ends
        now, wakes = max(now, at), wakes + 1
    assert wakes < 20_000


def test_the_estimate_knows_the_pace_the_window_and_the_end_of_the_quiet() -> None:
    never = float("-inf")
    idle = budget(bucket_capacity=1)
    assert idle.wait_for(0, 0, urgent=False, not_before=never) == 0
    assert idle.wait_for(10, 0, urgent=False, not_before=never) == 15
    assert idle.wait_for(10, 0, urgent=False, not_before=20) == 35
    full = budget(limit=2, held_until=[10, 20])
    assert [full.wait_for(n, 0, urgent=True, not_before=never) for n in range(4)] == [10, 20, 71, 81]


def test_the_estimate_after_a_lowered_limit_is_no_round_too_long() -> None:
    lane = budget(limit=2, held_until=[10, 20, 30, 40])
    never = float("-inf")
    assert [lane.wait_for(n, 0, urgent=True, not_before=never) for n in range(2)] == [30, 40]


def test_retreat_lowers_the_pace_and_never_the_limit() -> None:
    lane = budget()
    lane.set_factor(0.5, 0)
    assert (lane.pace.interval, lane.pace.capacity, lane.window.limit) == (3, 20, 40)


def test_tokens_are_those_that_pace_and_window_would_let_go() -> None:
    assert budget().tokens(0) == 40
    assert budget(limit=2, held_until=[10, 20, 30]).tokens(0) == 0
