"""The pace: a token bucket kept as a time, against one that counts tokens."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from proxy.core.bucket import Bucket, Pace


class Paced(RuleBasedStateMachine):
    """The model counts tokens: `level` is what a request that is not urgent may take."""

    @initialize(
        limit=st.sampled_from([1, 2, 7, 40]),
        capacity=st.sampled_from([1, 2, 5, 40, 100]),
        held=st.integers(0, 50),
        start_at=st.sampled_from([-100.0, 0.0, 1e5]),
    )
    def begin(self, limit: int, capacity: int, held: int, start_at: float) -> None:
        self.limit, self.bucket_capacity, self.now = limit, capacity, start_at
        self.bucket = Bucket(self.pace(1.0), start_at, held)
        self.level = max(1.0, self.full - held)
        self.sends: list[float] = []
        self.most = self.bucket.pace.capacity

    def pace(self, factor: float) -> Pace:
        return Pace.of(self.limit, 60, self.bucket_capacity, factor)

    @property
    def full(self) -> int:
        return self.bucket.pace.capacity - self.bucket.pace.reserve

    @rule(urgent=st.booleans(), backlogged=st.booleans())
    def send_as_soon_as_it_may(self, urgent: bool, backlogged: bool) -> None:
        ready_at = self.bucket.ready_at(self.now, urgent=urgent)
        needed = 1 - self.bucket.pace.reserve if urgent else 1
        wait = max(0.0, needed - min(self.level, self.full)) * self.bucket.pace.interval
        assert ready_at - self.now == pytest.approx(wait, abs=1e-6)
        self.sleep(ready_at - self.now)
        self.now = ready_at
        assert self.bucket.ready_at(self.now, urgent=urgent) == self.now, "not ready when it said"
        self.bucket.take(self.now, backlogged=backlogged)
        self.level = min(self.level, 2 if backlogged else self.full) - 1
        self.sends.append(self.now)

    @rule()
    def somebody_begins_to_wait(self) -> None:
        self.bucket.begin_backlog(self.now)
        self.level = min(self.level, 2)

    @rule(factor=st.sampled_from([1.0, 0.75, 0.5625, 0.5, 0.125]))
    def the_rate_changes(self, factor: float) -> None:
        self.level = min(self.level, self.full)
        self.bucket.change(self.pace(factor), self.now)
        self.level = min(self.level, self.full)
        self.sends.clear()
        self.most = self.bucket.pace.capacity

    @rule(seconds=st.floats(0, 100))
    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.level += seconds / self.bucket.pace.interval

    @invariant()
    def it_says_what_the_model_says(self) -> None:
        level = min(self.level, self.full)
        pace = self.bucket.pace
        assert self.bucket.debt(self.now) == pytest.approx((1 - level) * pace.interval, abs=1e-6)
        tokens = min(max(level + pace.reserve, 0), pace.capacity)
        assert self.bucket.tokens(self.now) == pytest.approx(tokens, abs=1e-6)

    @invariant()
    def no_span_has_more_than_its_burst_and_its_share(self) -> None:
        for n, first in enumerate(self.sends):
            for count, last in enumerate(self.sends[n:], 1):
                # The reserve may be owed already when the span begins, and be full when it ends.
                assert count <= self.most + 1 + (last - first) / self.bucket.pace.interval + 1e-6


TestPaced = Paced.TestCase
TestPaced.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


def burst(bucket: Bucket, now: float, *, urgent: bool = False) -> int:
    count = 0
    while bucket.ready_at(now, urgent=urgent) <= now:
        bucket.take(now, backlogged=False)
        count += 1
    return count


@pytest.mark.parametrize(
    ("bucket_capacity", "factor", "expected"),
    [(40, 1, (1.5, 40, 4)), (20, 1, (1.5, 20, 2)), (40, 0.75, (2.0, 30, 3)), (100, 1, (1.5, 40, 4))],
)
def test_retreat_lowers_pace_burst_and_reserve(
    bucket_capacity: int, factor: float, expected: tuple[float, int, int]
) -> None:
    assert Pace.of(40, 60, bucket_capacity, factor) == Pace(*expected)


@pytest.mark.parametrize(
    ("capacity", "reserve"), [(1, 0), (2, 1), (9, 1), (10, 1), (19, 1), (20, 2), (40, 4)]
)
def test_the_reserve_is_a_tenth_at_least_one_and_nothing_of_one(capacity: int, reserve: int) -> None:
    assert Pace.of(40, 60, capacity, 1).reserve == reserve


def test_the_deepest_retreat_still_has_a_burst_of_one() -> None:
    assert Pace.of(4, 60, 40, 0.125).capacity == 1


@pytest.mark.parametrize("capacity", [1, 2, 7, 20, 40])
def test_idleness_earns_the_burst_less_the_reserve_and_urgent_takes_that_too(capacity: int) -> None:
    pace = Pace.of(40, 60, capacity, 1)
    bucket = Bucket(pace, 1000)
    assert burst(bucket, 1000) == pace.capacity - pace.reserve
    assert burst(bucket, 1000, urgent=True) == pace.reserve


def test_a_restart_earns_no_new_burst_for_what_was_just_sent() -> None:
    pace = Pace.of(40, 60, 40, 1)
    assert burst(Bucket(pace, 1000, held=30), 1000) == 6
    assert burst(Bucket(pace, 1000, held=40), 1000) == 1


def test_waiting_voids_the_credit_of_idleness() -> None:
    bucket = Bucket(Pace.of(40, 60, 40, 1), 1000)
    bucket.begin_backlog(1000)
    assert burst(bucket, 1000) == 2


def test_debt_is_kept_in_sends_when_the_pace_changes() -> None:
    bucket = Bucket(Pace.of(40, 60, 1, 1), 1000)
    bucket.take(1000, backlogged=False)
    bucket.change(Pace.of(40, 60, 1, 0.5), 1000)
    assert bucket.ready_at(1000, urgent=False) == 1003
