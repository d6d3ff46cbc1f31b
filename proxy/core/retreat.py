"""The adaptive rate: additive increase, multiplicative decrease (Chiu and Jain, 1989), judged by the clock.

An upstream that throttles within its own advertised budget has less to give than it said. The retreat
lowers pace, burst and reserve of the lane; never the window's limit (lowering both gives 14.4 requests a
minute at a nominal 20, simulated). Only answers since the last change are judged: old 429s judged again
drive 40 down to 12.7 on one clump of five.

    normal   --share >= enter-->                      retreat   rate x factor
    retreat  --share >= deepen-->                     retreat   rate x factor again
    any      --share > floor_share of many answers--> retreat   the floor
    retreat  --recover_seconds of calm-->             recover   rate + step per judgement
    recover  --share >= enter at rate R-->            retreat   rate x factor; R - step is a learnt ceiling
    recover  --the base rate is reached-->            normal

A 429 does not say whose limit it is, the account's or that of one model. The other models tell: if at least
half of the answers came from models without a single 429, the throttled ones have limits of their own and are
left to ``pressure``. With one model in use its 429s count for both.
"""

from collections import Counter, deque
from dataclasses import dataclass
from enum import StrEnum

CEILING_TRIAL_SECONDS = 600.0
"""A learnt ceiling is tried again, one step higher, every ten minutes."""

MOST_ANSWERS = 4096
"""Answers remembered for a judgement: all of a minute at any sensible rate, and a bound."""


class RetreatState(StrEnum):
    """Where a lane's adaptive rate stands."""

    NORMAL = "normal"
    RETREAT = "retreat"
    RECOVER = "recover"


@dataclass(frozen=True, slots=True)
class RetreatRules:
    """The numbers of the policy: seconds, shares (0 to 1) and requests per minute."""

    window_seconds: float = 60
    judge_seconds: float = 15
    min_answers: int = 5
    floor_min_answers: int = 20
    enter_share: float = 0.05
    deepen_share: float = 0.10
    floor_share: float = 0.20
    factor: float = 0.75
    floor_rpm: float = 5
    recover_seconds: float = 120
    recover_share: float = 0.02
    recover_step_rpm: float = 2


@dataclass(frozen=True, slots=True)
class RateChange:
    """What a judgement changed, and on what evidence."""

    state: RetreatState
    from_rpm: float
    to_rpm: float
    share: float
    """The share of 429s that was judged."""
    answers: int
    at_floor: bool


class Retreat:
    """The effective rate of one lane. Told and judged by the lane's ``Admission``; others only look."""

    def __init__(self, rules: RetreatRules, base_rpm: float) -> None:
        self._rules = rules
        self._floor_rpm = min(rules.floor_rpm, base_rpm)
        self.base_rpm = base_rpm
        self.state = RetreatState.NORMAL
        self.effective_rpm = base_rpm
        self.ceiling_rpm: float | None = None
        # (at, model, throttled) of the last window, since the last step down or the turn to recovery
        self._answers: deque[tuple[float, str, bool]] = deque(maxlen=MOST_ANSWERS)
        self._judge_at = float("inf")  # no judgement is due while all is normal
        self._calm_since = float("-inf")
        self._ceiling_tried_at = float("-inf")

    @property
    def factor(self) -> float:
        """Effective over base rate, in (0, 1]."""
        return self.effective_rpm / self.base_rpm

    @property
    def wake_at(self) -> float:
        """When the next judgement is due; infinity while all is normal."""
        return self._judge_at

    def share(self, now: float) -> float:
        """The share of 429s among the answers that the next judgement would look at."""
        return self._evidence(now)[0]

    def answered(self, model: str, now: float, *, throttled: bool) -> None:
        """An answer of the upstream arrived; `throttled` if it was a 429.

        The first 429 starts the clock of judgements, so that a clump of them is judged once, as a whole.
        """
        self._forget_old(now)
        self._answers.append((now, model, throttled))
        if throttled and self._judge_at == float("inf"):
            self._judge_at = now + self._rules.judge_seconds

    def judge(self, now: float) -> RateChange | None:
        """One judgement, if one is due; the change if it made one."""
        if now < self._judge_at:
            return None
        share, count = self._evidence(now)
        if count and share >= self._rules.recover_share:
            self._calm_since = now
        from_state, from_rpm = self.state, self.effective_rpm
        match self.state:
            case RetreatState.NORMAL:
                self._judge_trouble(share, count, self._rules.enter_share, now)
            case RetreatState.RETREAT:
                if not self._judge_trouble(share, count, self._rules.deepen_share, now):
                    self._judge_calm(now)
            case _:  # RECOVER
                if self._judge_trouble(share, count, self._rules.enter_share, now):
                    self.ceiling_rpm = max(self._floor_rpm, from_rpm - self._rules.recover_step_rpm)
                elif share < self._rules.recover_share:  # too few answers to retreat may still be bad ones
                    self._step_up(now)
        quiet = self.state is RetreatState.NORMAL and not any(throttled for _, _, throttled in self._answers)
        self._judge_at = float("inf") if quiet else now + self._rules.judge_seconds
        if (self.state, self.effective_rpm) == (from_state, from_rpm):
            return None
        at_floor = self.state is RetreatState.RETREAT and self.effective_rpm <= self._floor_rpm
        return RateChange(self.state, from_rpm, self.effective_rpm, share, count, at_floor)

    def _evidence(self, now: float) -> tuple[float, int]:
        """The share of 429s that speak of the account, and the number of answers."""
        self._forget_old(now)
        answers, throttled = Counter[str](), Counter[str]()
        for _, model, is_throttled in self._answers:
            answers[model] += 1
            throttled[model] += is_throttled
        count = answers.total()
        untroubled = sum(answers[model] for model in answers if not throttled[model])
        if untroubled * 2 >= count:  # also where there was no answer at all
            return 0.0, count
        return throttled.total() / count, count

    def _forget_old(self, now: float) -> None:
        while self._answers and self._answers[0][0] <= now - self._rules.window_seconds:
            self._answers.popleft()

    def _judge_trouble(self, share: float, count: int, bound: float, now: float) -> bool:
        rules = self._rules
        if count >= rules.floor_min_answers and share > rules.floor_share:
            rate = self._floor_rpm
        elif count >= rules.min_answers and share >= bound:
            rate = max(self._floor_rpm, self.effective_rpm * rules.factor)
        else:
            return False
        self.state, self.effective_rpm = RetreatState.RETREAT, rate
        self._answers.clear()
        self._calm_since = now
        return True

    def _judge_calm(self, now: float) -> None:
        if now - self._calm_since >= self._rules.recover_seconds:
            self.state = RetreatState.RECOVER
            self._answers.clear()
            self._ceiling_tried_at = now
            self._step_up(now)

    def _step_up(self, now: float) -> None:
        """One step towards the base rate, no further than a learnt ceiling, which is itself tried again."""
        step = self._rules.recover_step_rpm
        if self.ceiling_rpm is not None and self.effective_rpm >= self.ceiling_rpm:
            if now - self._ceiling_tried_at < CEILING_TRIAL_SECONDS:
                return
            self.ceiling_rpm += step
        self._ceiling_tried_at = now
        bound = self.base_rpm if self.ceiling_rpm is None else min(self.base_rpm, self.ceiling_rpm)
        self.effective_rpm = min(bound, self.effective_rpm + step)
        if self.effective_rpm == self.base_rpm:
            self.state, self.ceiling_rpm = RetreatState.NORMAL, None
