"""The adaptive rate."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from proxy.core.retreat import Ceiling, RateChange, Retreat, RetreatRules, RetreatState

NEVER = float("inf")


class Rates(RuleBasedStateMachine):
    """Answers and 429s of two models in any order; judged when it asks for it, late, or too early."""

    @initialize(base_rpm=st.sampled_from([0.5, 3.0, 40.0]), start_at=st.sampled_from([-50.0, 0.0, 1e6]))
    def begin(self, base_rpm: float, start_at: float) -> None:
        self.now, self.base_rpm = start_at, base_rpm
        self.retreat = Retreat(RetreatRules(), base_rpm)
        self.judged_at = -NEVER

    @rule(model=st.sampled_from("mn"), throttled=st.booleans(), times=st.integers(1, 25))
    def answers(self, model: str, throttled: bool, times: int) -> None:
        for _ in range(times):
            self.retreat.answered(model, self.now, throttled=throttled)
        assert not throttled or self.retreat.wake_at < NEVER

    @rule(seconds=st.floats(0, 70))
    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.judge()

    @rule(times=st.integers(1, 12))
    def sleep_until_woken(self, times: int) -> None:
        for _ in range(times):
            if self.retreat.wake_at < NEVER:
                self.now = max(self.now, self.retreat.wake_at)
                self.judge()

    def judge(self) -> None:
        due = self.retreat.wake_at <= self.now
        before = (self.retreat.state, self.retreat.effective_rpm)
        change = self.retreat.judge(self.now)
        after = (self.retreat.state, self.retreat.effective_rpm)
        assert (change is not None) == (before != after)
        if change:
            assert due
            assert self.now - self.judged_at >= 15 - 1e-6
            assert (change.from_rpm, change.state, change.to_rpm) == (before[1], *after)
            assert change.at_floor == (change.state == "retreat" and change.to_rpm == min(5, self.base_rpm))
        if due:
            self.judged_at = self.now
        assert self.retreat.wake_at > self.now

    @invariant()
    def the_rate_stays_between_floor_and_base(self) -> None:
        retreat = self.retreat
        assert min(5, self.base_rpm) <= retreat.effective_rpm <= self.base_rpm
        assert 0 < retreat.factor <= 1
        if retreat.state is RetreatState.NORMAL:
            assert retreat.effective_rpm == self.base_rpm
            assert retreat.ceiling_rpm is None
        else:
            assert retreat.wake_at < NEVER, "nobody would look again"
        assert 0 <= retreat.share(self.now) <= 1

    def teardown(self) -> None:
        """Left alone, every lane comes back to its base rate."""
        if hasattr(self, "retreat"):
            for _ in range(1500):
                self.sleep_until_woken(times=1)
            assert self.retreat.state is RetreatState.NORMAL


TestRates = Rates.TestCase
TestRates.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)


def judge_until(retreat: Retreat, now: float, until: float) -> list[tuple[float, float]]:
    """The changes up to then, as (at, rate), waking when it asks."""
    changes = []
    while (now := max(now, retreat.wake_at)) <= until:
        if change := retreat.judge(now):
            changes.append((now, change.to_rpm))
    return changes


def tell(retreat: Retreat, now: float, *, good: int = 0, throttled: int = 0, model: str = "m") -> None:
    for _ in range(good):
        retreat.answered(model, now, throttled=False)
    for _ in range(throttled):
        retreat.answered(model, now, throttled=True)


def test_without_a_429_there_is_nothing_to_judge() -> None:
    retreat = Retreat(RetreatRules(), 40)
    tell(retreat, 0, good=100)
    assert retreat.wake_at == NEVER
    assert retreat.judge(1e6) is None


def test_a_clump_of_five_costs_one_step_and_is_forgiven_after_two_calm_minutes() -> None:
    retreat = Retreat(RetreatRules(), 40)
    tell(retreat, 0, good=30, throttled=5)
    assert judge_until(retreat, 0, 400) == [(15, 30), (135, 32), (150, 34), (165, 36), (180, 38), (195, 40)]
    assert retreat.wake_at == NEVER


def test_fewer_answers_than_it_takes_to_judge_change_nothing() -> None:
    retreat = Retreat(RetreatRules(), 40)
    tell(retreat, 0, throttled=4)
    assert judge_until(retreat, 0, 400) == []


def test_further_429s_lower_the_rate_further() -> None:
    retreat = Retreat(RetreatRules(), 40)
    tell(retreat, 0, good=30, throttled=5)
    judge_until(retreat, 0, 15)
    tell(retreat, 20, good=20, throttled=3)
    assert judge_until(retreat, 20, 40) == [(30, 22.5)]


def test_a_few_429s_in_retreat_neither_lower_the_rate_nor_let_it_recover() -> None:
    retreat = Retreat(RetreatRules(), 40)
    tell(retreat, 0, good=30, throttled=5)
    for at in range(15, 300, 15):
        judge_until(retreat, at - 15, at)
        tell(retreat, at, good=19, throttled=1)
    assert (retreat.state, retreat.effective_rpm) == (RetreatState.RETREAT, 30)


def test_a_fifth_of_many_answers_means_the_floor() -> None:
    retreat = Retreat(RetreatRules(), 40)
    tell(retreat, 0, good=16, throttled=4)
    assert judge_until(retreat, 0, 15) == [(15, 30)]
    tell(retreat, 16, good=15, throttled=6)
    assert retreat.judge(30) == RateChange(RetreatState.RETREAT, 30, 5, 6 / 21, 21, at_floor=True)


def test_no_judgement_goes_below_the_floor_nor_the_floor_above_the_base() -> None:
    retreat = Retreat(RetreatRules(), 3)
    tell(retreat, 0, throttled=30)
    assert retreat.judge(15) == RateChange(RetreatState.RETREAT, 3, 3, 1, 30, at_floor=True)


def test_a_recovery_that_meets_429s_learns_a_ceiling_and_tries_it_again_every_ten_minutes() -> None:
    retreat = Retreat(RetreatRules(), 40)
    tell(retreat, 0, good=30, throttled=5)
    judge_until(retreat, 0, 165)
    assert retreat.effective_rpm == 36
    tell(retreat, 170, good=30, throttled=5)
    assert judge_until(retreat, 170, 180) == [(180, 27)]
    assert retreat.ceiling_rpm == 34
    changes = judge_until(retreat, 180, 2600)
    assert changes[:4] == [(300, 29), (315, 31), (330, 33), (345, 34)]
    assert changes[4:] == [(945, 36), (1545, 38), (2145, 40)]
    assert retreat.state is RetreatState.NORMAL
    assert retreat.ceiling_rpm is None


def test_a_recovery_with_few_answers_and_429s_among_them_goes_no_further() -> None:
    """Fewer answers than it takes to retreat: no reason to retreat, and none to trust."""
    retreat = Retreat(RetreatRules(), 40)
    for _ in range(5):
        retreat.answered("m", 0, throttled=True)
    retreat.judge(15)
    assert retreat.judge(140) is not None
    assert (retreat.state, retreat.effective_rpm) == (RetreatState.RECOVER, 32)
    for now in range(150, 600, 15):
        retreat.answered("m", now, throttled=True)
        retreat.judge(now + 14)
    assert retreat.effective_rpm <= 32
    assert retreat.state is not RetreatState.NORMAL


def test_old_429s_are_not_judged() -> None:
    retreat = Retreat(RetreatRules(), 40)
    tell(retreat, 0, good=10, throttled=2)
    tell(retreat, 61, good=10)
    assert retreat.judge(61) is None
    assert retreat.wake_at == NEVER


def test_a_single_models_429s_are_its_own_matter_while_most_answers_come_from_others() -> None:
    retreat = Retreat(RetreatRules(), 40)
    tell(retreat, 0, throttled=12, model="blocked")
    tell(retreat, 0, good=13, model="fine")
    assert judge_until(retreat, 0, 120) == []


def test_429s_of_several_models_are_the_accounts() -> None:
    retreat = Retreat(RetreatRules(), 40)
    for model in "abc":
        tell(retreat, 0, good=9, throttled=1, model=model)
    assert judge_until(retreat, 0, 15) == [(15, 30)]
    assert retreat.share(15) == 0


def test_a_model_that_is_refused_again_and_again_while_others_are_served_is_limited_itself() -> None:
    """Also where it is the busiest of them: 12 of 20 answers."""
    retreat = Retreat(RetreatRules(), 40)
    tell(retreat, 0, throttled=12, model="limited")
    tell(retreat, 0, good=8, model="fine")
    assert retreat.limited_models(0) == {"limited": True}
    assert judge_until(retreat, 0, 120) == []
    assert retreat.limited_models(120) == {}


def test_its_429s_do_not_hide_those_of_the_account() -> None:
    retreat = Retreat(RetreatRules(), 40)
    tell(retreat, 0, throttled=12, model="limited")
    for model in "abc":
        tell(retreat, 0, good=9, throttled=1, model=model)
    assert retreat.limited_models(0) == {"limited": True, "a": False, "b": False, "c": False}
    assert retreat.share(0) == 3 / 30
    assert judge_until(retreat, 0, 15) == [(15, 30)]


def test_refused_twice_or_served_once_is_no_limit_of_its_own() -> None:
    for good, throttled in ((0, 2), (1, 12)):
        retreat = Retreat(RetreatRules(), 40)
        tell(retreat, 0, good=good, throttled=throttled, model="m")
        tell(retreat, 0, good=1, model="fine")
        assert retreat.limited_models(0) == {"m": False}


def test_when_all_are_refused_it_is_the_account() -> None:
    retreat = Retreat(RetreatRules(), 40)
    for model in "abc":
        tell(retreat, 0, throttled=4, model=model)
    assert retreat.limited_models(0) == dict.fromkeys("abc", False)
    assert judge_until(retreat, 0, 15) == [(15, 30)]


def test_a_ceiling_remembers_how_it_was_learnt() -> None:
    retreat = Retreat(RetreatRules(), 40)
    tell(retreat, 0, good=30, throttled=5)
    judge_until(retreat, 0, 165)
    tell(retreat, 170, good=30, throttled=5)
    judge_until(retreat, 170, 180)
    assert retreat.ceiling == Ceiling(rpm=34, met_at_rpm=36, share=5 / 35, answers=35, learnt_at=180)
    judge_until(retreat, 180, 945)
    assert retreat.ceiling == Ceiling(rpm=36, met_at_rpm=36, share=5 / 35, answers=35, learnt_at=180)
