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

A 429 does not say whose limit it is, the account's or that of one model. The other models tell, and a model
that has a limit of its own is left to ``pressure``:

1. one that was refused three times and never served, while others were served three times (the account's
   limit they would all have met);
2. all that were refused, if at least half of the answers came from models without a single 429.

With one model in use its 429s count for both.
"""

from collections import Counter, deque
from dataclasses import dataclass, replace
from enum import StrEnum

CEILING_TRIAL_SECONDS = 600.0
"""A learnt ceiling is tried again, one step higher, every ten minutes."""

OWN_AFTER = 3
"""So many refusals of a model, and so many served requests of others, say whose limit it is."""

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


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A rate that is not to be exceeded for the time being, and how it was learnt."""

    rpm: float
    met_at_rpm: float
    """The rate at which a recovery met 429s."""
    share: float
    answers: int
    learnt_at: float


class Retreat:
    """The effective rate of one lane. Told and judged by the lane's ``Admission``; others only look."""

    def __init__(self, rules: RetreatRules, base_rpm: float) -> None:
        self._rules = rules
        self._floor_rpm = min(rules.floor_rpm, base_rpm)
        self.base_rpm = base_rpm
        self.state = RetreatState.NORMAL
        self.effective_rpm = base_rpm
        self.ceiling: Ceiling | None = None
        # (at, model, throttled) of the last window, since the last step down or the turn to recovery
        self._answers: deque[tuple[float, str, bool]] = deque(maxlen=MOST_ANSWERS)
        self._judge_at = float("inf")  # no judgement is due while all is normal
        self._calm_since = float("-inf")
        self._ceiling_tried_at = float("-inf")

    @property
    def at_floor(self) -> bool:
        """In retreat, and as slow as it gets."""
        return self.state is RetreatState.RETREAT and self.effective_rpm <= self._floor_rpm

    @property
    def factor(self) -> float:
        """Effective over base rate, in (0, 1]."""
        return self.effective_rpm / self.base_rpm

    @property
    def ceiling_rpm(self) -> float | None:
        """The learnt ceiling, if there is one."""
        return None if self.ceiling is None else self.ceiling.rpm

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
                    rpm = max(self._floor_rpm, from_rpm - self._rules.recover_step_rpm)
                    self.ceiling = Ceiling(rpm, from_rpm, share, count, now)
                elif share < self._rules.recover_share:  # too few answers to retreat may still be bad ones
                    self._step_up(now)
        quiet = self.state is RetreatState.NORMAL and not any(throttled for _, _, throttled in self._answers)
        self._judge_at = float("inf") if quiet else now + self._rules.judge_seconds
        if (self.state, self.effective_rpm) == (from_state, from_rpm):
            return None
        return RateChange(self.state, from_rpm, self.effective_rpm, share, count, self.at_floor)

    def limited_models(self, now: float) -> dict[str, bool]:
        """The models that were refused lately: is it by a limit of their own?"""
        _, throttled, own = self._sorted_out(now)
        return {model: model in own for model in throttled}

    def _evidence(self, now: float) -> tuple[float, int]:
        """The share of 429s that speak of the account, and the number of answers."""
        answers, throttled, own = self._sorted_out(now)
        # What a model of its own limit refused is no answer of the account's.
        count = answers.total() - sum(throttled[model] for model in own)
        speaking = sum(throttled[model] for model in throttled if model not in own)
        return (speaking / count if count else 0.0), count

    def _sorted_out(self, now: float) -> tuple[Counter[str], Counter[str], set[str]]:
        """Answers and 429s by model, and the models that have limits of their own."""
        self._forget_old(now)
        answers, throttled = Counter[str](), Counter[str]()
        for _, model, is_throttled in self._answers:
            answers[model] += 1
            if is_throttled:
                throttled[model] += 1
        served = answers.total() - throttled.total()
        own = {
            model
            for model, refused in throttled.items()
            if refused == answers[model] and refused >= OWN_AFTER <= served
        }
        rest = sum(answers[model] for model in answers if model not in own)
        untroubled = sum(answers[model] for model in answers if not throttled[model])
        return answers, throttled, set(throttled) if untroubled * 2 >= rest else own

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
        if self.ceiling is not None and self.effective_rpm >= self.ceiling.rpm:
            if now - self._ceiling_tried_at < CEILING_TRIAL_SECONDS:
                return
            self.ceiling = replace(self.ceiling, rpm=self.ceiling.rpm + step)
        self._ceiling_tried_at = now
        bound = self.base_rpm if self.ceiling is None else min(self.base_rpm, self.ceiling.rpm)
        self.effective_rpm = min(bound, self.effective_rpm + step)
        if self.effective_rpm == self.base_rpm:
            self.state, self.ceiling = RetreatState.NORMAL, None
