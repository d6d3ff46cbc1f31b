"""Upstream trouble that lasts."""

from itertools import product

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.core.breaker import TRANSITIONS, Breaker, Breakers, Event, State
from proxy.core.classify import Meaning
from proxy.core.evidence import MOST_MODELS, Evidence
from proxy.core.fairness import TicketId

CONNECTION = [Meaning.UNREACHABLE, Meaning.RESET]
OF_THE_MODEL = [Meaning.TROUBLE, Meaning.SILENT]
NO_WORD = [Meaning.GARBAGE, Meaning.REDIRECT]
ME = TicketId(1)


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_state_knows_what_may_happen_to_it(state: State, event: Event) -> None:
    breaker = Breaker(Evidence.seen("trouble", 0), state=state)
    if event in TRANSITIONS[state]:
        breaker.happen(event)
        assert breaker.state is TRANSITIONS[state][event]
    else:
        with pytest.raises(KeyError):
            breaker.happen(event)


def failed(
    breakers: Breakers, meaning: Meaning, times: int, *, model: str = "m", now: float = 0
) -> set[str | None]:
    opened = set[str | None]()
    for _ in range(times):
        breakers.attempted(model, TicketId(99), meaning, now)
        opened |= breakers.gave_up(model, meaning, now)
    return opened


@pytest.mark.parametrize("meaning", OF_THE_MODEL)
def test_five_failed_requests_open_the_models(meaning: Meaning) -> None:
    breakers = Breakers()
    assert failed(breakers, meaning, 4) == set()
    assert breakers.wait_or_try("m", ME, 0) == 0
    assert failed(breakers, meaning, 1) == {"m"}
    assert breakers.wait_or_try("m", ME, 1) == 4
    assert breakers.wait_or_try("another", ME, 1) == 0
    assert breakers.broken_by is None
    assert not breakers.is_down(1)
    assert failed(breakers, meaning, 1) == set(), "it is open"


@pytest.mark.parametrize("meaning", CONNECTION)
def test_five_failed_connections_open_the_providers(meaning: Meaning) -> None:
    breakers = Breakers()
    for model in "abcde":
        failed(breakers, meaning, 1, model=model)
    assert breakers.wait_or_try("another", ME, 1) == 4
    assert breakers.is_down(1)
    assert breakers.broken_by
    assert breakers.broken_by.count == 5
    assert list(breakers.models(1)) == []


@pytest.mark.parametrize(
    "meaning", [meaning for meaning in Meaning if meaning not in CONNECTION + OF_THE_MODEL]
)
def test_other_ends_of_a_request_are_no_failure_of_the_upstream(meaning: Meaning) -> None:
    assert failed(Breakers(), meaning, 10) == set()


@pytest.mark.parametrize("meaning", Meaning)
def test_what_ends_a_row(meaning: Meaning) -> None:
    """Any HTTP answer ends the provider's; the model's one that its workers gave."""
    breakers = Breakers()
    failed(breakers, Meaning.RESET, 4)
    failed(breakers, Meaning.SILENT, 4)
    breakers.attempted("m", ME, meaning, 0)
    ends_providers = meaning not in CONNECTION + NO_WORD + [Meaning.SILENT]
    ends_models = meaning in {Meaning.ANSWERED, Meaning.UNAVAILABLE}
    assert failed(breakers, Meaning.RESET, 1) == (set() if ends_providers else {None})
    assert failed(breakers, Meaning.SILENT, 1) == (set() if ends_models else {"m"})


def opened(meaning: Meaning = Meaning.TROUBLE) -> Breakers:
    breakers = Breakers()
    failed(breakers, meaning, 5)
    return breakers


def test_one_tries_and_the_others_stay_away() -> None:
    breakers = opened()
    assert breakers.wait_or_try("m", ME, 5) == 0
    assert breakers.wait_or_try("m", TicketId(2), 5) == 5
    breakers.attempted("m", ME, Meaning.ANSWERED, 6)
    assert breakers.wait_or_try("m", TicketId(2), 6) == 0
    assert list(breakers.models(6)) == []


def test_each_trial_that_fails_doubles_the_pause_up_to_half_a_minute() -> None:
    breakers, now, pauses = opened(), 0.0, []
    for number in range(5):
        pauses.append(breakers.wait_or_try("m", TicketId(number), now))
        now += pauses[-1]
        assert breakers.wait_or_try("m", TicketId(number), now) == 0
        breakers.attempted("m", TicketId(number), Meaning.TROUBLE, now)
    assert pauses == [5, 10, 20, 30, 30]
    (told,) = breakers.models(now)
    assert told[1].evidence.count == 10


@pytest.mark.parametrize("meaning", [Meaning.RESET, Meaning.THROTTLED, Meaning.GARBAGE])
def test_a_trial_that_says_nothing_of_the_model_leaves_it_to_the_next(meaning: Meaning) -> None:
    breakers = opened()
    breakers.wait_or_try("m", ME, 5)
    breakers.attempted("m", ME, meaning, 6)
    assert breakers.wait_or_try("m", TicketId(2), 6) == 0


def test_a_trial_that_leaves_leaves_it_to_the_next() -> None:
    breakers = opened()
    breakers.wait_or_try("m", ME, 5)
    breakers.left(TicketId(3), 6)
    assert breakers.wait_or_try("m", TicketId(2), 6) == 5
    breakers.left(ME, 6)
    assert breakers.wait_or_try("m", TicketId(2), 6) == 0


def test_a_trial_is_one_of_both_where_both_are_to_be_tried() -> None:
    breakers = opened(Meaning.RESET)
    failed(breakers, Meaning.SILENT, 5, now=2)
    assert breakers.wait_or_try("m", ME, 6) == 1, "the provider's time has come, and the model's has not"
    assert breakers.wait_or_try("another", ME, 6) == 0
    breakers.left(ME, 6)
    assert breakers.wait_or_try("m", ME, 7) == 0
    breakers.attempted("m", ME, Meaning.TROUBLE, 8)
    assert not breakers.is_down(8), "it answered"
    assert breakers.wait_or_try("m", TicketId(2), 8) == 10


def test_a_late_answer_closes_what_is_open() -> None:
    breakers = opened()
    breakers.attempted("m", ME, Meaning.ANSWERED, 1)
    assert breakers.wait_or_try("m", TicketId(2), 1) == 0


def test_failures_far_apart_are_no_row_and_an_old_breaker_is_forgotten() -> None:
    breakers = Breakers()
    for at in range(0, 7000, 700):
        assert failed(breakers, Meaning.TROUBLE, 1, now=at) == set()
    breakers = opened()
    assert list(breakers.models(601)) == []
    assert breakers.wait_or_try("m", ME, 601) == 0
    assert breakers.wait_or_try("m", TicketId(2), 601) == 0


def test_a_request_that_names_no_model_has_no_breaker_of_its_own() -> None:
    assert failed(Breakers(), Meaning.TROUBLE, 9, model="") == set()


def test_the_newest_are_remembered() -> None:
    breakers = Breakers()
    for number in range(2 * MOST_MODELS):
        failed(breakers, Meaning.TROUBLE, 5, model=f"m{number}")
    assert len(list(breakers.models(0))) == MOST_MODELS


class Trials(RuleBasedStateMachine):
    """Requests come, fail, succeed and leave in any order: there is never more than one trial."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.breakers = Breakers()
        self.last = 0
        self.under_way: list[tuple[TicketId, str]] = []

    @rule(model=st.sampled_from("mn"))
    def one_comes(self, model: str) -> None:
        self.last += 1
        id_ = TicketId(self.last)
        if self.breakers.wait_or_try(model, id_, self.now) == 0:
            self.under_way.append((id_, model))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), meaning=st.sampled_from(Meaning), for_good=st.booleans())
    def one_is_answered(self, data: st.DataObject, meaning: Meaning, for_good: bool) -> None:
        id_, model = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self.breakers.attempted(model, id_, meaning, self.now)
        if for_good:
            self.breakers.gave_up(model, meaning, self.now)

    @precondition(lambda self: self.under_way)
    @rule()
    def one_leaves(self) -> None:
        id_, _ = self.under_way.pop()
        self.breakers.left(id_, self.now)

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0, 30.0, 700.0]))
    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def each_trial_is_under_way(self) -> None:
        ids = {id_ for id_, _ in self.under_way}
        for breaker in self.breakers._breakers.values():
            assert (breaker.trial is not None) == (breaker.state is State.TRYING)
            assert breaker.trial is None or breaker.trial in ids


TestTrials = Trials.TestCase
TestTrials.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
