"""A WorkBoard card, as an item. Pure.

The shape is 2026.9.6's: `agentId` is the assignee, `notes` the description, times are Unix milliseconds.
What a card depends on are its `metadata.links` of the type `parent`; a `dependsOn` counts as well. Only a
parent that is there and done is met, as WorkBoard's own claim sees it.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from scheduler.core.exchange.items import Item, Stage
from scheduler.core.task import Source
from scheduler.sources import reading

_REVIEW: Final = "review"
STAGES: Final[Mapping[str, Stage]] = {
    "todo": Stage.TODO,
    "ready": Stage.TODO,
    "triage": Stage.WAITING,
    "backlog": Stage.WAITING,
    "scheduled": Stage.WAITING,
    "running": Stage.IN_PROGRESS,
    _REVIEW: Stage.IN_PROGRESS,
    "blocked": Stage.BLOCKED,
    "done": Stage.DONE,
}

Card = Mapping[str, Any]


def items_of(cards: Collection[object], agents: Collection[str], now: float) -> tuple[Item, ...]:
    """All cards that have an id; `agents` are the roster's."""
    known = {reading.identifier(reading.inside(card, "id")): card for card in cards}
    known.pop("", None)
    done = {card_id for card_id, card in known.items() if reading.inside(card, "status") == "done"}
    return tuple(
        _item(card_id, card, agents, done, now) for card_id, card in known.items() if isinstance(card, dict)
    )


def owner_of(agent: str, card_id: str) -> str:
    """The name for a second claim of this agent: WorkBoard lets an owner have one card at a time."""
    return f"{agent}:{card_id}"


def _item(card_id: str, card: Card, agents: Collection[str], done: Collection[str], now: float) -> Item:
    metadata = reading.inside(card, "metadata")
    # OpenClaw writes agents' ids in lower case, people may not.
    agent = reading.words(card.get("agentId")).strip().lower()
    claim = reading.inside(metadata, "claim")
    owner = reading.words(reading.inside(claim, "ownerId"), reading.MAX_ID)
    return Item(
        source=Source.WORKBOARD,
        external_id=card_id,
        title=reading.title(card.get("title"), f"card {card_id}"),
        stage=_stage(card, metadata, now),
        description=reading.words(card.get("notes")),
        priority=reading.priority(card.get("priority")),
        agent=agent if agent in agents else None,
        aliases=(card_id[:8],),
        waits_for=tuple(parent for parent in _parents(card, metadata) if parent not in done),
        created_at=reading.milliseconds(card.get("createdAt")),
        updated_at=reading.milliseconds(card.get("updatedAt")),
        judged=card.get("status") == _REVIEW,
        worked_on_by=owner.partition(":")[0] or None,
        sign_of_life_at=reading.milliseconds(reading.inside(claim, "lastHeartbeatAt")),
        place=f"WorkBoard card {card_id[:8]}",
    )


def _stage(card: Card, metadata: object, now: float) -> Stage:
    if reading.inside(metadata, "archivedAt"):
        return Stage.GONE
    # A status that a later version invents is nothing to start on.
    stage = STAGES.get(reading.words(card.get("status")), Stage.WAITING)
    claimed_until = reading.milliseconds(reading.inside(metadata, "claim", "expiresAt"))
    # Whoever holds a claim on it will not let anybody else have it.
    return Stage.IN_PROGRESS if stage is Stage.TODO and (claimed_until or 0.0) > now else stage


def _parents(card: Card, metadata: object) -> tuple[str, ...]:
    """In their order, each once."""
    links = [
        reading.inside(link, "targetCardId")
        for link in reading.listed(reading.inside(metadata, "links"))
        if reading.inside(link, "type") == "parent"
    ]
    named = [*reading.listed(card.get("dependsOn")), *reading.listed(reading.inside(metadata, "dependsOn"))]
    ids = [reading.identifier(each) for each in (*links, *named)]
    return tuple(dict.fromkeys(each for each in ids if each))
