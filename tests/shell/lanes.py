"""A gate with a core and stamps that can be watched, and requests that ask it."""

from pathlib import Path
from types import SimpleNamespace

import trio

from proxy.core.admission import Admission
from proxy.core.band import Band
from proxy.core.budget import Budget
from proxy.core.classify import Meaning
from proxy.core.decisions import Decision, FullPolicy, LaneStatistics
from proxy.core.retreat import Retreat, RetreatRules
from proxy.core.window import Slot
from proxy.gate import Ask, Gate, Grant, TurnedAway
from proxy.stamps import Stamps

HOLD = 61.0


class CountingAdmission(Admission):
    """Counts how often it is asked what it decided: once per thing that happens, or a pump spins."""

    pumps = 0

    def decide(self, now: float) -> list[Decision]:
        self.pumps += 1
        return super().decide(now)


class WatchedStamps(Stamps):
    """Writes its file, and keeps a list of what it was told."""

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(path, hold_seconds=HOLD, limit=limit, now=0.0, boot_id="b")
        self.told: list[tuple[str, Slot]] = []

    def held(self, slot: Slot, now: float) -> None:
        self.told.append(("held", slot))
        super().held(slot, now)

    def written(self, slot: Slot, now: float) -> None:
        self.told.append(("written", slot))
        super().written(slot, now)

    def unsent(self, slot: Slot) -> None:
        self.told.append(("unsent", slot))
        super().unsent(slot)


class Lane:
    """One gate with its pump running, and what the tests look at."""

    def __init__(
        self,
        directory: Path,
        nursery: trio.Nursery,
        *,
        limit: int = 1,
        capacity: int | None = None,
        policy: FullPolicy = FullPolicy.PASSTHROUGH,
        queue_max: int = 500,
    ) -> None:
        budget = Budget(
            limit=limit,
            window_seconds=60.0,
            margin_seconds=1.0,
            bucket_capacity=limit if capacity is None else capacity,
            now=trio.current_time(),
        )
        self.retreat = Retreat(RetreatRules(), limit)
        self.core = CountingAdmission(
            budget, self.retreat, queue_max=queue_max, full_policy=policy, aging_seconds=60.0
        )
        self.stamps = WatchedStamps(directory / "lane.window", limit)
        self.gate = Gate(self.core, self.retreat, self.stamps)
        self._nursery = nursery
        nursery.start_soon(self.gate.run)
        nursery.start_soon(not_for_ever)

    @property
    def statistics(self) -> LaneStatistics:
        return self.gate.statistics()

    @property
    def waiting(self) -> int:
        return sum(self.statistics.depth.values())

    def assert_empty(self) -> None:
        """Nobody waits, no slot is held, and what the gate remembers of them is gone."""
        statistics = self.statistics
        assert self.waiting == statistics.outside == statistics.window_used == 0
        assert "0 waiting" in repr(self.gate)

    def ask(self, agent: str = "a", *, again: bool = False, **changes: object) -> "Asker":
        """Begin to ask; the answer comes by itself."""
        asker = Asker(self.gate, ask_for(agent, **changes), again=again)
        self._nursery.start_soon(asker.run)
        return asker

    async def granted(self, agent: str = "a", **changes: object) -> Grant:
        grant = await self.gate.admit(ask_for(agent, **changes))
        assert isinstance(grant, Grant)
        return grant


async def broken(one: Lane, meaning: Meaning, model: str = "m") -> None:
    """Five requests fail in a row, which is one too many."""
    for _ in range(5):
        grant = await one.granted(model=model)
        grant.unsent()
        one.gate.learn(grant, meaning, succeeded=False)
        grant.ended()
        one.gate.gave_up(grant, meaning)


async def not_for_ever() -> None:
    """An autojump clock with nothing to jump to would stand still: a test that waits in vain has to end."""
    await trio.sleep_until(10_000_000)
    raise AssertionError("nothing happens any more")


def ask_for(agent: str = "a", **changes: object) -> Ask:
    """A NORMAL request with much patience."""
    values = SimpleNamespace(**{"band": Band.NORMAL, "model": "m", "patience": 1e6, **changes})
    return Ask(values.band, agent, "", values.model, trio.current_time() + values.patience)


class Asker:
    """One request at the gate, that can leave."""

    def __init__(self, gate: Gate, ask: Ask, *, again: bool) -> None:
        self._gate = gate
        self._ask = ask
        self._again = again
        self._scope = trio.CancelScope()
        self._over = trio.Event()
        self.answer: Grant | TurnedAway | None = None
        self.decided_at: float | None = None

    async def run(self) -> None:
        with self._scope:
            self.answer = await self._gate.admit(self._ask, again=self._again)
            self.decided_at = trio.current_time()
        self._over.set()

    def hang_up(self) -> None:
        self._scope.cancel()

    async def grant(self) -> Grant:
        await self._over.wait()
        assert isinstance(self.answer, Grant), repr(self.answer)
        return self.answer

    async def over(self) -> Grant | TurnedAway | None:
        await self._over.wait()
        return self.answer
