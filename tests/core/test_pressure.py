"""Models that answered "too many"."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.core.pressure import Pressure

MODELS = "mno"


class Pauses(RuleBasedStateMachine):
    """Requests to three models are refused or answered; one probe at a time tries a paused one."""

    @initialize(start_at=st.sampled_from([-50.0, 0.0, 1e6]))
    def begin(self, start_at: float) -> None:
        self.now = start_at
        self.pressure = Pressure()
        self.until: dict[str, float] = {}
        self.seconds: dict[str, float] = {}
        self.probing: set[str] = set()

    @rule(model=st.sampled_from(MODELS))
    def a_request_is_refused(self, model: str) -> None:
        self.pressure.throttled(model, self.now, probe=False)
        if model not in self.until:
            self.pause(model, 2)

    def pause(self, model: str, seconds: float) -> None:
        self.seconds[model], self.until[model] = seconds, self.now + seconds

    @rule(model=st.sampled_from(MODELS))
    def a_probe_begins_if_it_may(self, model: str) -> None:
        if model in self.until and self.pressure.probe_at(model) <= self.now:
            assert model not in self.probing
            self.pressure.begin_probe(model)
            self.probing.add(model)

    @precondition(lambda self: self.probing)
    @rule(data=st.data(), outcome=st.sampled_from(["answered", "refused", "lost"]))
    def a_probe_ends(self, data: st.DataObject, outcome: str) -> None:
        model = data.draw(st.sampled_from(sorted(self.probing)))
        self.probing.remove(model)
        if outcome == "answered":
            self.pressure.cleared(model)
            del self.until[model]
        elif outcome == "refused":
            self.pressure.throttled(model, self.now, probe=True)
            self.pause(model, min(30, self.seconds[model] * 2))
        else:
            self.pressure.probe_lost(model)

    @rule(seconds=st.one_of(st.floats(0, 40), st.just(700.0)))
    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @rule(wanted=st.sets(st.sampled_from(MODELS)))
    def forget(self, wanted: set[str]) -> None:
        self.pressure.forget(self.now, but=wanted)
        for model, until in list(self.until.items()):
            if until + 600 < self.now and model not in self.probing | wanted:
                del self.until[model]

    @invariant()
    def the_pauses_are_those_of_the_model(self) -> None:
        assert dict(self.pressure.pauses()) == self.until
        for model in MODELS:
            assert self.pressure.is_paused(model) == (model in self.until)
        for model, until in self.until.items():
            assert self.pressure.until(model) == until
            assert self.pressure.probe_at(model) == (float("inf") if model in self.probing else until)


TestPauses = Pauses.TestCase
TestPauses.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


def test_pauses_double_from_two_seconds_to_thirty() -> None:
    pressure, now, pauses = Pressure(), 0.0, []
    pressure.throttled("m", now, probe=False)
    for _ in range(6):
        pauses.append(pressure.probe_at("m") - now)
        now = pressure.probe_at("m")
        pressure.begin_probe("m")
        pressure.throttled("m", now, probe=True)
    assert pauses == [2, 4, 8, 16, 30, 30]


def test_those_sent_before_the_pause_make_it_no_longer() -> None:
    pressure = Pressure()
    for at in (0.0, 0.1, 1.9):
        pressure.throttled("m", at, probe=False)
    assert pressure.until("m") == 2


def test_what_ends_for_a_model_that_is_not_paused_changes_nothing() -> None:
    pressure = Pressure()
    pressure.probe_lost("m")
    pressure.cleared("m")
    assert not pressure.is_paused("m")


def test_a_pause_that_ended_long_ago_is_forgotten_unless_somebody_waits_or_tries() -> None:
    pressure = Pressure()
    for model in ("idle", "wanted", "tried"):
        pressure.throttled(model, 0, probe=False)
    pressure.begin_probe("tried")
    pressure.forget(602, but=())
    assert pressure.is_paused("idle")
    pressure.forget(602.1, but={"wanted"})
    assert [model for model, _ in pressure.pauses()] == ["wanted", "tried"]


def test_of_many_paused_models_those_that_ended_are_forgotten_first() -> None:
    pressure = Pressure()
    for number in range(60):
        pressure.throttled(f"m{number}", number / 10, probe=False)
    pressure.forget(5, but={"m1"})
    assert [model for model, _ in pressure.pauses()][:2] == ["m1", "m11"]
    assert len(list(pressure.pauses())) == 50


def test_a_pause_knows_why_and_how_often() -> None:
    pressure = Pressure()
    pressure.throttled("m", 0, probe=False)
    pressure.throttled("m", 1, probe=False, what="workers_full")
    ((model, until, seen),) = pressure.seen(602)
    assert (model, until, seen.what, seen.count, seen.last_at) == ("m", 2, "throttled", 2, 1)
    assert list(pressure.seen(602.1)) == []
