"""How many requests of a model may be with the upstream at once."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.core.evidence import MOST_MODELS
from proxy.core.governor import Governor

NEVER = float("inf")


class Workers(RuleBasedStateMachine):
    """Requests of two models begin, end and find full workers, against a count of clean minutes."""

    @initialize(start_at=st.sampled_from([-50.0, 0.0, 1e6]))
    def begin(self, start_at: float) -> None:
        self.now = start_at
        self.governor = Governor()
        self.under_way: dict[str, list[float]] = {"m": [], "n": []}
        self.limits: dict[str, int] = {}
        self.full_at: dict[str, float] = {}
        self.halved_at: dict[str, float] = {}

    @rule(model=st.sampled_from("mn"), times=st.integers(1, 9))
    def requests_begin(self, model: str, times: int) -> None:
        for _ in range(times):
            self.governor.begin(model)
            self.under_way[model].append(self.now)

    @precondition(lambda self: any(self.under_way.values()))
    @rule(data=st.data(), full=st.booleans())
    def one_ends(self, data: st.DataObject, full: bool) -> None:
        model = data.draw(st.sampled_from([model for model, sent in self.under_way.items() if sent]))
        at = data.draw(st.integers(0, len(self.under_way[model]) - 1))
        sent_at = self.under_way[model][at]
        if full:
            limit, count = self.grown(model), len(self.under_way[model])
            self.governor.full(model, self.now, sent_at=sent_at)
            if limit is None or sent_at > self.halved_at[model]:
                limit = max(1, min(limit or count, count) // 2)
                self.halved_at[model] = self.now
            self.limits[model], self.full_at[model] = limit, self.now
        self.governor.end(model)
        del self.under_way[model][at]

    def grown(self, model: str) -> int | None:
        """One more for each minute that has passed; none after thirty."""
        if model not in self.limits:
            return None
        minutes = 0
        while self.full_at[model] + 60 * (minutes + 1) <= self.now and minutes < 30:
            minutes += 1
        return None if minutes == 30 else self.limits[model] + minutes

    @rule(seconds=st.sampled_from([0.0, 0.1, 30.0, 60.0, 59.9, 601.0, 1799.0, 1800.0]))
    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def sleep_until_it_grows(self) -> None:
        at = min(self.governor.grows_at(model, self.now) for model in "mn")
        if at < NEVER:
            assert at > self.now, "whoever sleeps until then would spin"
            before = {model: self.governor.limit(model, self.now) for model in "mn"}
            self.now = at
            assert before != {model: self.governor.limit(model, self.now) for model in "mn"}

    @invariant()
    def the_limits_are_what_the_minutes_say(self) -> None:
        for model in "mn":
            limit, count = self.grown(model), len(self.under_way[model])
            assert self.governor.limit(model, self.now) == limit
            assert self.governor.in_flight(model) == count
            assert self.governor.room(model, self.now) == (NEVER if limit is None else max(0, limit - count))
        told = {model: limit for model, limit, _ in self.governor.limits(self.now)}
        assert told == {model: self.grown(model) for model in "mn" if self.grown(model)}


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


def burst(size: int) -> Governor:
    governor = Governor()
    for _ in range(size):
        governor.begin("m")
    return governor


def test_a_burst_that_finds_full_workers_is_halved_once() -> None:
    governor = burst(16)
    for _ in range(8):
        governor.full("m", 0.15, sent_at=0)
        governor.end("m")
    assert governor.limit("m", 0.15) == 8
    (told,) = governor.limits(1)
    assert (told[2].what, told[2].count, told[2].first_at, told[2].last_at) == ("workers_full", 8, 0.15, 0.15)


def test_one_more_after_each_clean_minute_and_no_limit_after_thirty() -> None:
    governor = burst(8)
    governor.full("m", 0, sent_at=0)
    assert [governor.limit("m", 60 * minute) for minute in (0, 1, 2, 10, 29)] == [4, 5, 6, 14, 33]
    assert list(governor.limits(1800)) == []
    assert governor.limit("m", 1800) is None
    assert governor.room("m", 1800) == NEVER


def test_it_is_never_less_than_one() -> None:
    governor = burst(1)
    for at in range(5):
        governor.full("m", at, sent_at=at)
    assert governor.limit("m", 5) == 1


def test_the_newest_limits_are_remembered() -> None:
    governor = Governor()
    for number in range(2 * MOST_MODELS):
        governor.full(f"m{number}", 0, sent_at=0)
        governor.full("again", 0, sent_at=0)
    models = [model for model, _, _ in governor.limits(0)]
    assert len(models) == MOST_MODELS
    assert models[-1] == "again"
    assert "m0" not in models
