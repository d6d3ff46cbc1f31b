"""The sliding-window guard: never more than L arrivals in any window, whatever the way takes."""

from bisect import insort

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.core.window import Slot, Window


class Guard(RuleBasedStateMachine):
    """Slots are held, written late, given back; requests arrive anywhere within the margin."""

    @initialize(
        limit=st.integers(1, 5),
        margin=st.sampled_from([0.0, 0.3, 1.0]),
        start_at=st.sampled_from([-5.0, 0.0, 1e6]),
        held=st.lists(st.floats(-3, 30), max_size=8),
    )
    def begin(self, limit: int, margin: float, start_at: float, held: list[float]) -> None:
        self.now, self.margin, self.hold = start_at, margin, 10 + margin
        self.window = Window(limit, self.hold)
        self.window.restore([start_at + seconds for seconds in held], start_at)
        self.releases = [start_at + min(seconds, self.hold) for seconds in held]
        self.unwritten: list[Slot] = []
        self.arrivals: list[float] = []

    @precondition(lambda self: self.window.free(self.now) > 0)
    @rule()
    def hold_one(self) -> None:
        slot = self.window.hold()
        assert slot not in self.unwritten
        self.unwritten.append(slot)

    @precondition(lambda self: self.unwritten)
    @rule(lateness=st.floats(0, 1))
    def written(self, lateness: float) -> None:
        self.window.written(self.unwritten.pop(0), self.now)
        self.releases.append(self.now + self.hold)
        insort(self.arrivals, self.now + lateness * self.margin)

    @precondition(lambda self: self.unwritten)
    @rule()
    def unsent(self) -> None:
        self.window.unsent(self.unwritten.pop())

    @rule(seconds=st.floats(0, 12))
    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def sleep_until_the_next_release(self) -> None:
        """Exactly then one more is free, unless it was not written yet: then it counts as written now."""
        held = self.window.held(self.now)
        self.now = max(self.now, self.window.release_at(0, self.now))
        if held > len(self.unwritten):
            assert self.window.held(self.now) < held

    @invariant()
    def no_window_has_more_than_its_limit(self) -> None:
        limit = self.window.limit
        for last in range(limit, len(self.arrivals)):
            assert self.arrivals[last] - self.arrivals[last - limit] >= 10 - 1e-6

    @invariant()
    def what_is_held_agrees_with_a_plain_list(self) -> None:
        releases = sorted(at for at in self.releases if at > self.now)
        assert self.window.held(self.now) == len(releases) + len(self.unwritten)
        assert self.window.free(self.now) == self.window.limit - self.window.held(self.now)
        later = [self.now + self.hold] * len(self.unwritten)
        ahead = [self.window.release_at(n, self.now) for n in range(len(releases) + len(later))]
        assert ahead == releases + later


TestGuard = Guard.TestCase
TestGuard.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


def test_a_slot_is_free_again_exactly_when_it_said() -> None:
    window = Window(1, 61)
    window.written(window.hold(), 0.1)
    release_at = window.release_at(0, 0.1)
    assert window.free(release_at - 1e-9) == 0
    assert window.free(release_at) == 1


def test_a_slow_upload_keeps_its_slot_until_a_window_after_its_last_byte() -> None:
    window = Window(1, 61)
    slot = window.hold()
    assert window.free(500) == 0
    window.written(slot, 500)
    assert (window.free(560.9), window.free(561)) == (0, 1)


def test_a_request_that_never_left_gives_its_slot_back_at_once() -> None:
    window = Window(1, 61)
    window.unsent(window.hold())
    assert window.free(0) == 1


def test_a_stepped_clock_holds_a_restored_slot_one_window_at_most() -> None:
    window = Window(1, 61)
    window.restore([1e9], now=0)
    assert window.free(61) == 1


def test_more_restored_slots_than_a_lowered_limit_leave_less_than_nothing_free() -> None:
    window = Window(2, 61)
    window.restore([10, 20, 30], now=0)
    assert [window.free(at) for at in (0, 10, 20, 30)] == [-1, 0, 1, 2]
