"""A lane, its clients and a strict upstream as discrete events: hours of traffic in a second, seeded.

Nothing here is shared with ``proxy.core`` but what the gate would use: its verbs, its decisions, and the
time it says to look again. The upstream has its own idea of a window and counts what arrives, when it
arrives. What the scenarios measure (``Observed``) is taken from outside, at the clients.
"""

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from proxy.core.admission import Admission
from proxy.core.band import Band
from proxy.core.budget import Budget
from proxy.core.decisions import Admitted, FullPolicy, NoSlotInTime
from proxy.core.fairness import Ticket, TicketId
from proxy.core.retreat import Retreat, RetreatRules
from proxy.core.window import Slot

NEVER = float("inf")
ROUNDING = 1e-6
"""Two arrivals that are a microsecond less than a window apart do not make a violation of ours."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The settings of a lane."""

    rate_rpm: float = 40
    window_seconds: float = 60
    margin_seconds: float = 1
    bucket_capacity: int = 40
    queue_max: int = 500
    full_policy: FullPolicy = FullPolicy.PASSTHROUGH
    aging_seconds: float = 60
    budget: type[Budget] = Budget

    @property
    def limit(self) -> int:
        """L."""
        return int(self.rate_rpm * self.window_seconds / 60 + 1e-9)

    @property
    def interval(self) -> float:
        """T."""
        return self.window_seconds / self.limit

    @property
    def hold_seconds(self) -> float:
        """H."""
        return self.window_seconds + self.margin_seconds

    def allowed(self, seconds: float) -> float:
        """What a perfect spender sends in that long from an empty window on: L(1 + (t - W) / (W + m))."""
        return self.limit * (1 + (seconds - self.window_seconds) / self.hold_seconds)

    def engine(self, now: float, release_ats: Iterable[float] = ()) -> Admission:
        """The code under test, made from these settings."""
        budget = self.budget(
            limit=self.limit,
            window_seconds=self.window_seconds,
            margin_seconds=self.margin_seconds,
            bucket_capacity=self.bucket_capacity,
            now=now,
            release_ats=release_ats,
        )
        return Admission(
            budget,
            Retreat(RetreatRules(), self.rate_rpm),
            queue_max=self.queue_max,
            full_policy=self.full_policy,
            aging_seconds=self.aging_seconds,
        )


class StrictUpstream:
    """Counts arrivals in every window. One over `limit` is a violation; over `capacity` it answers 429."""

    def __init__(self, limit: int, window_seconds: float, capacity: int | None = None) -> None:
        self._limit = limit
        self._window_seconds = window_seconds
        self.capacity = limit if capacity is None else capacity
        self.refused_models: set[str] = set()
        self.refuse_next = 0
        self._recent: deque[float] = deque()
        self._accepted: deque[float] = deque()
        self.violations = 0
        self.arrivals: Counter[str] = Counter()  # by model
        self.refusals: Counter[str] = Counter()
        self.workers: dict[str, int] = {}
        self.busy: Counter[str] = Counter()
        self.exhausted: Counter[str] = Counter()

    def has_worker(self, model: str) -> bool:
        """A request that was taken finds a worker of its model, which it then holds; or all are busy."""
        if self.busy[model] >= self.workers.get(model, self.busy[model] + 1):
            self.exhausted[model] += 1
            return False
        self.busy[model] += 1
        return True

    def takes(self, model: str, at: float) -> bool:
        """A request arrives. Is it taken, or answered 429?"""
        for counted in (self._recent, self._accepted):
            while counted and counted[0] <= at - self._window_seconds + ROUNDING:
                counted.popleft()
        self._recent.append(at)
        self.arrivals[model] += 1
        self.violations += len(self._recent) > self._limit
        refuse = self.refuse_next > 0
        self.refuse_next -= refuse
        if refuse or model in self.refused_models or len(self._accepted) >= self.capacity:
            self.refusals[model] += 1
            return False
        self._accepted.append(at)
        return True


@dataclass(frozen=True, slots=True)
class Client:
    """One that sends its next request when the last one is done (`closed`), or whatever became of it."""

    agent: str
    session: str = "main"
    band: Band = Band.NORMAL
    model: str = "m"
    service_seconds: tuple[float, float] = (0.2, 30)
    upload_seconds: tuple[float, float] = (0, 0.05)
    think_seconds: tuple[float, float] = (0, 0)
    mean_gap_seconds: float | None = None
    """None: closed loop. Else an open one: requests come at random (Poisson), this far apart on average."""
    patience_seconds: float = 3600
    hangs_up: float = 0
    """Share of its waits that it gives up after a random part of a minute."""
    fails_unsent: float = 0
    """Share of its attempts whose connection fails before the first byte."""


@dataclass(slots=True)
class Observed:
    """What the clients saw."""

    sends: list[tuple[float, Ticket]] = field(default_factory=list)
    served: list[tuple[float, Ticket]] = field(default_factory=list)
    waits: list[tuple[float, Band, float]] = field(default_factory=list)  # (asked at, band, seconds)
    refused_on_arrival: int = 0
    missed: int = 0
    accepted: int = 0
    """Those that were not refused on arrival."""
    hung_up: int = 0
    rates: list[tuple[float, float]] = field(default_factory=list)  # (at, effective rpm)
    stalls: list[tuple[float, float]] = field(default_factory=list)  # (from, seconds) without a NORMAL send
    deadline_error_seconds: float = 0
    pumps: int = 0

    def sent(self, since: float = 0, until: float = NEVER) -> int:
        """How many sends in that time."""
        return sum(since <= at < until for at, _ in self.sends)

    def waits_of(self, band: Band, since: float = 0) -> list[float]:
        """How long they waited, sorted."""
        return sorted(wait for at, of, wait in self.waits if of is band and at >= since)

    def longest_stall(self, since: float = 0) -> float:
        """The longest time without a NORMAL send while NORMAL waited."""
        return max((seconds for at, seconds in self.stalls if at >= since), default=0.0)

    def by_agent(self) -> Counter[str]:
        """Sends of each agent."""
        return Counter(ticket.agent for _, ticket in self.sends)


@dataclass(eq=False, slots=True)
class _Request:
    client: Client
    ticket: Ticket
    asked_at: float
    again: bool = False


class Simulation:
    """One run. `at` plans what happens; `run` lets it happen."""

    def __init__(
        self,
        lane: Lane,
        clients: Iterable[Client],
        *,
        seed: int,
        jitter_seconds: float = 0.3,
        capacity: int | None = None,
        start_at: float = 1000.0,
    ) -> None:
        """`jitter_seconds`: from "written" to "counted"; `capacity`: what the upstream really gives."""
        self.lane = lane
        self.now = self.started_at = start_at
        self.random = Random(seed)
        self.upstream = StrictUpstream(lane.limit, lane.window_seconds, capacity)
        self.seen = Observed()
        self.engine = lane.engine(self.now)
        self._jitter_seconds = jitter_seconds
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._planned = 0
        self.last_id = 0
        self._waiting: dict[TicketId, _Request] = {}
        self._unwritten: dict[Slot, _Request] = {}
        self._sent_at: dict[TicketId, float] = {}
        self._release_ats: list[float] = []
        self._life = 0  # counts the restarts: what an earlier process had planned does not happen
        self._normal_since: float | None = None  # NORMAL waits, and none was sent, since then
        self._asking = True
        self._clients = list(clients)
        for client in self._clients:
            self.at(self._first_at(client), lambda client=client: self._begin(client))  # type: ignore[misc]

    # What is planned

    def at(self, when: float, action: Callable[[], None]) -> None:
        """`action` at `when`, on the clock of the run."""
        self._planned += 1
        heapq.heappush(self._events, (when, self._planned, action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """`action` in so many seconds, unless the process is killed before."""
        life = self._life
        self.at(self.now + seconds, lambda: action() if life == self._life else None)

    def run(self, seconds: float) -> Observed:
        """Go on for so long."""
        until = self.now + seconds
        while True:
            wake_at = self.engine.wake_at(self.now)
            event_at = self._events[0][0] if self._events else NEVER
            if min(wake_at, event_at) > until:
                self.now = until
                return self.seen
            if wake_at < event_at:
                self._sleep_until(wake_at)
            else:
                self.now, _, action = heapq.heappop(self._events)
                action()
                self._pump()

    def _sleep_until(self, wake_at: float) -> None:
        """What the engine asked for. It must not ask for the same again without having decided anything."""
        self.now = max(self.now, wake_at)
        if not self._pump():
            assert self.engine.wake_at(self.now) > self.now, f"spins at {self.now}: {self.engine!r}"

    def kill(self) -> None:
        """kill -9 and a new process at once. Written slots are known; those unconfirmed count as sent now."""
        self._life += 1
        held = [at for at in self._release_ats if at > self.now]
        for request in self._unwritten.values():
            if self.random.random() < 0.5:  # its last byte had left, and nobody had noted it
                self._travel(request, answered=False)
        self._release_ats = held + [self.now + self.lane.hold_seconds] * len(self._unwritten)
        self._unwritten.clear()
        self._waiting.clear()
        self._normal_since = None
        self.engine = self.lane.engine(self.now, self._release_ats)
        for client in self._clients:
            self.at(self.now + self.random.random(), lambda client=client: self._begin(client))  # type: ignore[misc]

    # A request's way

    def _first_at(self, client: Client) -> float:
        if client.mean_gap_seconds is None:
            return self.now + self.random.random() * 0.01
        return self.now + self.random.expovariate(1 / client.mean_gap_seconds)

    def _begin(self, client: Client) -> None:
        if client.mean_gap_seconds is not None:
            gap = self.random.expovariate(1 / client.mean_gap_seconds)
            self.after(gap, lambda: self._begin(client))
        self.ask(client)

    def stop_asking(self) -> None:
        """From now on no new requests: what is under way comes to its end."""
        self._asking = False

    def ask(self, client: Client) -> None:
        """A new request of that client, now."""
        if not self._asking:
            return
        deadline_at = self.now + client.patience_seconds
        self._ask(_Request(client, self._ticket(client, deadline_at), self.now))

    def _ticket(self, client: Client, deadline_at: float) -> Ticket:
        self.last_id += 1
        return Ticket(
            id=TicketId(self.last_id),
            band=client.band,
            agent=client.agent,
            session=client.session,
            model=client.model,
            queued_at=self.now,
            deadline_at=deadline_at,
        )

    def _ask(self, request: _Request) -> None:
        client, ticket = request.client, request.ticket
        self._waiting[ticket.id] = request
        self.engine.arrive(ticket, self.now, again=request.again)
        self._pump()
        if ticket.id not in self._waiting:
            return
        self._note_normal()
        if self.random.random() < client.hangs_up:
            self.after(self.random.uniform(0, 60), lambda: self._hang_up(ticket.id))

    def _ask_again(self, request: _Request) -> None:
        ticket = self._ticket(request.client, request.ticket.deadline_at)
        self._ask(_Request(request.client, ticket, request.asked_at, again=True))

    def _hang_up(self, id_: TicketId) -> None:
        if request := self._waiting.pop(id_, None):
            self.engine.cancel(id_, self.now)
            self.seen.hung_up += 1
            self._next(request.client)

    def _next(self, client: Client) -> None:
        if client.mean_gap_seconds is None:
            self.after(self.random.uniform(*client.think_seconds), lambda: self.ask(client))

    def _pump(self) -> int:
        """Collect decisions, as the gate does. How many there were, a change of the rate included."""
        self.seen.pumps += 1
        change = self.engine.judge(self.now)
        if change:
            self.seen.rates.append((self.now, change.to_rpm))
        decisions = self.engine.decide(self.now)
        for decision in decisions:
            request = self._waiting.pop(decision.ticket.id)
            if isinstance(decision, Admitted):
                self._admitted(request, decision)
            else:
                on_arrival = self.now == request.ticket.queued_at
                if isinstance(decision, NoSlotInTime) and not on_arrival:
                    self.seen.missed += 1
                    late = abs(self.now - request.ticket.deadline_at)
                    self.seen.deadline_error_seconds = max(self.seen.deadline_error_seconds, late)
                self.seen.refused_on_arrival += on_arrival
                self.seen.accepted += not on_arrival
                self._next(request.client)
        return len(decisions) + (change is not None)

    def _admitted(self, request: _Request, admitted: Admitted) -> None:
        band = request.ticket.band
        self.seen.accepted += 1
        self.seen.sends.append((self.now, request.ticket))
        self.seen.waits.append((request.ticket.queued_at, band, self.now - request.ticket.queued_at))
        if band is Band.NORMAL and self._normal_since is not None:
            self.seen.stalls.append((self._normal_since, self.now - self._normal_since))
            self._normal_since = None
            self._note_normal()
        self._unwritten[admitted.slot] = request
        self._sent_at[request.ticket.id] = self.now
        upload = self.random.uniform(*request.client.upload_seconds)
        if self.random.random() < request.client.fails_unsent:
            self.after(upload, lambda: self._unsent(request, admitted))
        else:
            self.after(upload, lambda: self._written(request, admitted))

    def _note_normal(self) -> None:
        normal_waits = any(request.ticket.band is Band.NORMAL for request in self._waiting.values())
        if normal_waits and self._normal_since is None:
            self._normal_since = self.now

    def _unsent(self, request: _Request, admitted: Admitted) -> None:
        del self._unwritten[admitted.slot]
        self.engine.unsent(admitted.slot)
        if admitted.probe:
            self.engine.probe_lost(request.ticket, self.now, probe=True)
        self.engine.ended(request.ticket.model)
        self._ask_again(request)

    def _written(self, request: _Request, admitted: Admitted) -> None:
        del self._unwritten[admitted.slot]
        self.engine.written(admitted.slot, self.now)
        self._release_ats.append(self.now + self.lane.hold_seconds)
        self._travel(request, answered=True, probe=admitted.probe)

    def _travel(self, request: _Request, *, answered: bool, probe: bool = False) -> None:
        """The request arrives a little later; its answer comes, unless the process that asked is gone."""
        life = self._life

        def arrive() -> None:
            model = request.ticket.model
            taken = self.upstream.takes(model, self.now)
            served = taken and self.upstream.has_worker(model)
            wait = self.random.uniform(*request.client.service_seconds) if served else 0.15
            if served:  # also for a client that is gone: a worker is held until it is done
                self.at(self.now + wait, lambda: self.upstream.busy.subtract([model]))
            if answered and life == self._life:
                sent_at = self._sent_at.pop(request.ticket.id)
                how = Answered(taken=taken, served=served, probe=probe, sent_at=sent_at)
                self.after(wait, lambda: self._answered(request, how))

        self.at(self.now + self.random.uniform(0, self._jitter_seconds), arrive)

    def _answered(self, request: _Request, how: "Answered") -> None:
        model = request.ticket.model
        if how.served:
            self.engine.answered(model, self.now, probe=how.probe)
            self.seen.served.append((self.now, request.ticket))
        elif how.taken:
            self.engine.workers_full(model, self.now, sent_at=how.sent_at, probe=how.probe)
        else:
            self.engine.throttled(model, self.now, probe=how.probe)
        self.engine.ended(model)
        if how.served:
            self._next(request.client)
        else:
            self._ask_again(request)


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of an attempt."""

    taken: bool
    served: bool
    probe: bool
    sent_at: float


def team(size: int, **of_each: object) -> list[Client]:
    """So many clients, each an agent of its own, otherwise alike."""
    return [Client(agent=f"agent-{n}", **of_each) for n in range(size)]  # type: ignore[arg-type]


def quantile(values: list[float], share: float) -> float:
    """Of sorted values, the one below which that share of them lies."""
    return values[min(len(values) - 1, int(len(values) * share))]


def jain(values: Iterable[float]) -> float:
    """Jain's index of fairness: 1 if all are equal, 1/n if one has everything."""
    shares = list(values)
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))
