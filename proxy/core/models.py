"""What is known of each model: pauses, the limit of its workers, its breaker, that it cannot be had.

One place that says how many requests of a model may stand in the line, whether a newcomer may wait at all,
and when either will change. Everything is bounded in number and forgotten when it is stale.
"""

from collections.abc import Container
from dataclasses import dataclass, field, replace

from proxy.core.breaker import Breaker, Breakers
from proxy.core.classify import Meaning
from proxy.core.decisions import KnownUnavailable, UpstreamDown
from proxy.core.evidence import Evidence
from proxy.core.fairness import Ticket, TicketId
from proxy.core.governor import UNLIMITED, Governor
from proxy.core.pressure import Pressure
from proxy.core.unavailable import Unavailable


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is known of one model, and from what. Times on the clock of `now`."""

    in_flight: int = 0
    paused_until: float | None = None
    limit: int | None = None
    blocked: str | None = None
    """`unavailable` or `upstream_down`: requests are answered at once."""
    blocked_until: float | None = None
    evidence: tuple[Evidence, ...] = field(default=())


class Models:
    """Owner of the four books. Its own owner: the lane's ``Admission``."""

    def __init__(self) -> None:
        self.pressure = Pressure()
        self.governor = Governor()
        self.breakers = Breakers()
        self.unavailable = Unavailable()

    def refuses(self, ticket: Ticket, now: float) -> KnownUnavailable | UpstreamDown | None:
        """Why this newcomer is not to wait; None if it may. (One that comes in time becomes a trial.)"""
        refused = self.unavailable.known(ticket.account, ticket.model, now)
        if refused is not None:
            return KnownUnavailable(ticket, refused.answer)
        wait = self.breakers.wait_or_try(ticket.model, ticket.id, now)
        return UpstreamDown(ticket, wait) if wait else None

    def room(self, model: str, now: float) -> float:
        """How many of its requests may stand in the line; infinity if it is not held back."""
        paused = self.pressure.is_paused(model)
        probes = float(self.pressure.probe_at(model) <= now) if paused else UNLIMITED
        return min(probes, self.governor.room(model, now))

    def room_grows_at(self, model: str, now: float) -> float:
        """When there may be more of it, if nothing happens before."""
        probe_at = self.pressure.probe_at(model) if self.pressure.is_paused(model) else UNLIMITED
        return min(probe_at if probe_at > now else UNLIMITED, self.governor.grows_at(model, now))

    def sent(self, model: str) -> bool:
        """A request of it is on its way: is it the probe of a paused model?"""
        self.governor.begin(model)
        if probe := self.pressure.is_paused(model):
            self.pressure.begin_probe(model)
        return probe

    def attempted(self, ticket: Ticket, meaning: Meaning, now: float) -> None:
        """What an attempt says of breakers and of what cannot be had."""
        self.breakers.attempted(ticket.model, ticket.id, meaning, now)
        if meaning is Meaning.ANSWERED:
            self.unavailable.forget(ticket.account, ticket.model)

    def left(self, id_: TicketId, now: float) -> None:
        """A request is gone without an answer."""
        self.breakers.left(id_, now)

    def forget(self, now: float, *, but: Container[str]) -> None:
        """Drop the pauses that nobody cares for, `but` those of models for which somebody waits."""
        self.pressure.forget(now, but=but)

    def states(self, now: float) -> dict[str, ModelState]:
        """The models of which anything is known, by name."""
        states: dict[str, ModelState] = {}

        def learn(model: str, evidence: Evidence, **known: object) -> None:
            state = states.get(model) or ModelState(in_flight=self.governor.in_flight(model))
            states[model] = replace(state, evidence=(*state.evidence, evidence), **known)  # type: ignore[arg-type]  # fields of ModelState

        for model, until, evidence in self.pressure.seen(now):
            learn(model, evidence, paused_until=until)
        for model, limit, evidence in self.governor.limits(now):
            learn(model, evidence, limit=limit)
        for model, breaker in self.breakers.models(now):
            learn(model, breaker.evidence, **_blocked_by(breaker, now))
        for model, refused in self.unavailable.models(now):
            learn(model, refused.evidence, blocked="unavailable", blocked_until=refused.until)
        return states


def _blocked_by(breaker: Breaker, now: float) -> dict[str, object]:
    """Once its time has come somebody may try it: it is not blocked then, only remembered."""
    if not breaker.is_down(now):
        return {}
    return {"blocked": "upstream_down", "blocked_until": now + breaker.wait_seconds(now)}
