"""The limits as plain calls: time is an argument."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.simulator.config import Config
from proxy.simulator.limits import Limits, SlidingWindow

# Quarters of a second add up without rounding, so that arrivals exactly one window apart do occur.
GAPS = st.lists(st.integers(0, 60).map(lambda quarters: quarters / 4), max_size=60)


def _times(gaps: list[float]) -> list[float]:
    times, now = [], 100.0
    for gap in gaps:
        now += gap
        times.append(now)
    return times


def _fullest(times: list[float], length: float) -> int:
    return max((sum(1 for t in times if 0 <= t - start <= length) for start in times), default=0)


def test_two_arrivals_exactly_one_window_apart_are_in_the_same_window() -> None:
    limits = Limits(Config(rpm=1, window=60))
    assert limits.arrive(0.0, "k", "m")
    assert not limits.arrive(60.0, "k", "m")
    assert limits.arrive(60.001, "k", "m")
    assert limits.max_in_window == 1


def test_a_refused_arrival_does_not_count() -> None:
    limits = Limits(Config(rpm=1, window=10))
    assert limits.arrive(0.0, "k", "m")
    assert not any(limits.arrive(float(t), "k", "m") for t in range(1, 11))
    assert limits.arrive(10.5, "k", "m")


def test_each_key_has_its_own_window_and_the_maximum_is_over_all() -> None:
    limits = Limits(Config(rpm=2))
    assert [limits.arrive(1.0, key, "m") for key in "aaabb"] == [True, True, False, True, True]
    assert limits.max_in_window_by_key == {"a": 2, "b": 2}
    assert limits.max_in_window == 4


def test_a_model_may_have_a_lower_limit_and_its_refusals_spend_nothing_of_the_key() -> None:
    limits = Limits(Config(rpm=3, model_rpm={"slow": 1}))
    assert [limits.arrive(1.0, "k", "slow") for _ in range(3)] == [True, False, False]
    assert [limits.arrive(1.0, "k", "quick") for _ in range(3)] == [True, True, False]
    assert limits.max_in_window_by_model == {"slow": 1}


def test_a_limit_of_zero_refuses_everything() -> None:
    assert not Limits(Config(rpm=0)).arrive(1.0, "k", "m")


def test_a_lower_limit_holds_at_once_and_counts_what_came_before() -> None:
    limits = Limits(Config(rpm=40))
    assert all(limits.arrive(1.0, "k", "m") for _ in range(10))
    limits.config = Config(rpm=10)
    assert not limits.arrive(2.0, "k", "m")


def test_a_model_serves_as_many_at_once_as_it_has_workers() -> None:
    limits = Limits(Config(workers={"m": 2}))
    assert [limits.enter("m") for _ in range(3)] == [None, None, 2]
    limits.leave("m")
    assert limits.enter("m") is None
    assert limits.enter("other") is None
    assert limits.busy == {"m": 2, "other": 1}


def test_a_reset_forgets_arrivals_but_not_busy_workers() -> None:
    limits = Limits(Config(rpm=1, workers={"m": 1}))
    assert limits.arrive(1.0, "k", "m")
    limits.enter("m")
    limits.reset()
    assert limits.arrive(1.0, "k", "m")
    assert limits.enter("m") == 1


@given(gaps=GAPS, length=st.integers(1, 100).map(lambda quarters: quarters / 4))
def test_the_maximum_is_that_of_the_fullest_of_all_windows(gaps: list[float], length: float) -> None:
    window, times = SlidingWindow(), _times(gaps)
    for now in times:
        window.add(now, length)
    assert window.most == _fullest(times, length)


@given(gaps=GAPS, rpm=st.integers(0, 8), length=st.integers(1, 100).map(lambda quarters: quarters / 4))
def test_no_window_has_more_than_the_limit_and_nobody_is_refused_without_need(
    gaps: list[float], rpm: int, length: float
) -> None:
    limits = Limits(Config(rpm=rpm, window=length))
    accepted: list[float] = []
    for now in _times(gaps):
        before = sum(1 for t in accepted if now - t <= length)
        assert limits.arrive(now, "k", "m") is (before < rpm)
        if before < rpm:
            accepted.append(now)
    assert _fullest(accepted, length) == limits.max_in_window <= rpm
