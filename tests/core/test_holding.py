"""Where the requests of models wait that are held back."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.core.band import Band
from proxy.core.fairness import FairQueue, Ticket
from proxy.core.holding import Holding
from tests.core.tickets import ticket

NEVER = float("inf")


class Rooms(RuleBasedStateMachine):
    """Tickets of two models come, go and are sent while the room of each changes."""

    @initialize()
    def begin(self) -> None:
        self.line = FairQueue(60)
        self.holding = Holding(self.line, 60)
        self.waiting: list[Ticket] = []
        self.room = {"m": NEVER, "n": NEVER}

    @rule(model=st.sampled_from("mn"), band=st.sampled_from(Band), agent=st.sampled_from("ab"))
    def one_comes(self, model: str, band: Band, agent: str) -> None:
        one = ticket(agent, band, model=model)
        self.waiting.append(one)
        self.holding.add(one)
        self.arrange()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def one_leaves(self, data: st.DataObject) -> None:
        one = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        self.holding.remove(one)
        self.arrange()

    @precondition(lambda self: self.line)
    @rule()
    def one_is_sent(self) -> None:
        one = self.line.take(0)
        self.holding.sent(one)
        self.waiting.remove(one)
        self.room[one.model] -= 1
        self.arrange()

    @rule(model=st.sampled_from("mn"), room=st.sampled_from([0.0, 1.0, 2.0, 5.0, NEVER]))
    def the_room_changes(self, model: str, room: float) -> None:
        if room < NEVER:
            self.holding.hold(model, [one for one in self.waiting if one.model == model])
        self.room[model] = room
        self.arrange()

    def arrange(self) -> None:
        for model in self.holding.models():
            could = self.holding.could_step_in(model, self.room[model])
            before = len(self.line)
            self.holding.arrange(model, self.room[model], 0)
            assert not could or len(self.line) > before

    @invariant()
    def the_most_urgent_have_the_room(self) -> None:
        for model, room in self.room.items():
            mine = [one for one in self.waiting if one.model == model]
            in_line = [one for one in mine if not self.holding.is_parked(one)]
            parked = [one for one in mine if self.holding.is_parked(one)]
            assert len(in_line) == min(len(mine), room)
            assert (model in self.holding.parked_models()) == bool(parked)
            assert all(one.band <= other.band for one in in_line for other in parked)
        assert len(self.line) == sum(not self.holding.is_parked(one) for one in self.waiting)


TestRooms = Rooms.TestCase
TestRooms.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_who_steps_out_for_a_more_urgent_one_keeps_its_place() -> None:
    line = FairQueue(60)
    holding = Holding(line, 60)
    holding.hold("m", [])
    first, second, urgent = ticket("a"), ticket("a"), ticket("b", Band.URGENT)
    for one in (first, second):
        holding.add(one)
    holding.arrange("m", 1, 0)
    holding.add(urgent)
    holding.arrange("m", 1, 0)
    assert line.take(0) is urgent
    holding.sent(urgent)
    holding.arrange("m", NEVER, 0)
    assert [line.take(0), line.take(0)] == [first, second]


def test_inside_a_model_that_is_held_back_the_agents_take_turns() -> None:
    line = FairQueue(60)
    holding = Holding(line, 60)
    holding.hold("m", [])
    flood = [ticket("flood") for _ in range(5)]
    single = ticket("single")
    for one in [*flood, single]:
        holding.add(one)
    order = []
    for _ in range(3):
        holding.arrange("m", 1, 0)
        order.append(line.take(0))
        holding.sent(order[-1])
    assert order == [flood[0], single, flood[1]]


def test_a_model_that_nobody_holds_back_is_nobodys_matter() -> None:
    holding = Holding(FairQueue(60), 60)
    holding.arrange("m", 0, 0)
    assert holding.models() == []
