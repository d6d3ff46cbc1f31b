"""How ways to spend 40 requests a minute compare, and what a decision costs.

``python -m bench.budget_simulation``. The scenario is the table of docs/performance.md: 24 clients, each an
agent, service 0.2-30 s, one URGENT per 20 s at random, t = 610 s, 10 seeds; "steady" is from window + margin
on. The costs are wall time.
"""

import timeit
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

from proxy.core.admission import Admission
from proxy.core.band import Band
from proxy.core.budget import Budget
from proxy.core.decisions import Admitted
from proxy.core.fairness import Ticket, TicketId
from tests.core.simulation import Client, Lane, Simulation, quantile, team

SECONDS = 610
SEEDS = range(10)


class Paced(Budget):
    """Every slot paced behind the last, and no promise to URGENT."""

    def _promise_allows_at(self, now: float, _free: int) -> float:
        return now


class Greedy(Paced):
    """A token bucket and the window: whoever waits goes on earning credit for bursts."""

    def backlog(self, waiting: bool, now: float) -> None:
        """Waiting changes nothing."""


def row(lane: Lane) -> str:
    """One row of the table."""
    used, urgent, stalls, calm_stalls, violations = [], [], [], [], 0
    pager = Client("pager", band=Band.URGENT, mean_gap_seconds=20)
    for seed in SEEDS:
        run = Simulation(lane, [*team(24), pager], seed=seed)
        steady = run.now + lane.hold_seconds
        seen = run.run(SECONDS)
        used.append(len(seen.sends) / lane.allowed(SECONDS))
        urgent += seen.waits_of(Band.URGENT, steady)
        stalls.append(seen.longest_stall(steady))
        violations += run.upstream.violations
        calm_stalls.append(Simulation(lane, team(24), seed=seed).run(SECONDS).longest_stall(steady))
    urgent.sort()
    waits = " / ".join(f"{wait:4.1f}" for wait in (quantile(urgent, 0.5), quantile(urgent, 0.95), urgent[-1]))
    stall = f"{max(stalls):4.1f} ({max(calm_stalls):4.1f} without urgents)"
    return f"{sum(used) / len(used):.3f} | {waits} | {stall} | {violations}"


def tickets(agents: int = 50) -> Iterator[Ticket]:
    """Requests of as many agents in turn, three sessions each."""
    for id_ in count(1):
        yield Ticket(
            id=TicketId(id_),
            band=Band.NORMAL,
            agent=f"agent-{id_ % agents}",
            session=f"session-{id_ % 3}",
            model="m",
            queued_at=0.0,
            deadline_at=1e9,
        )


def microseconds(action: Callable[[], object], times: int = 2000) -> float:
    """The best of five, per call."""
    return min(timeit.repeat(action, number=times, repeat=5)) / times * 1e6


class Deep:
    """A lane with `depth` requests waiting, whose time is advanced by each grant."""

    def __init__(self, depth: int) -> None:
        """Fill the queue."""
        self.now = 0.0
        self.tickets = tickets()
        self.engine: Admission = replace(Lane(), queue_max=10**7).engine(self.now)
        for _ in range(depth + 36):  # the burst goes at once
            self.engine.arrive(next(self.tickets), self.now)
        self.collect()

    def collect(self) -> int:
        """Whoever may go has gone; how many."""
        decisions = self.engine.decide(self.now)
        for decision in decisions:
            assert isinstance(decision, Admitted)
            self.engine.written(decision.slot, self.now)
        return len(decisions)

    def turn(self) -> None:
        """One grant, its slot written, and the next arrival."""
        self.now = max(self.now, self.engine.wake_at(self.now))
        for _ in range(self.collect()):
            self.engine.arrive(next(self.tickets), self.now)

    def arrive_and_cancel(self) -> None:
        """Somebody comes, and hangs up."""
        ticket = next(self.tickets)
        self.engine.arrive(ticket, self.now)
        self.engine.cancel(ticket.id, self.now)

    def estimate(self) -> None:
        """What the next one would wait."""
        self.engine.expected_wait(Band.NORMAL, self.now)


def main() -> None:
    """Print both tables."""
    policies = {
        "token bucket and window, greedy": Lane(budget=Greedy),
        "every slot paced behind the last": Lane(budget=Paced),
        "ours: GCRA + window + promise": Lane(),
        "ours, bucket_capacity 20": Lane(bucket_capacity=20),
    }
    print("policy | used | URGENT p50 / p95 / max, s | longest NORMAL stall, s | violations")
    for name, lane in policies.items():
        print(f"{name:32} | {row(lane)}")
    print("\ndepth | grant + written + next arrival | arrival + cancel | estimate, microseconds")
    for depth in (10, 10_000, 100_000):
        deep = Deep(depth)
        costs = [microseconds(action) for action in (deep.turn, deep.arrive_and_cancel, deep.estimate)]
        print(f"{depth:7} | " + " | ".join(f"{cost:6.1f}" for cost in costs))


if __name__ == "__main__":
    main()
