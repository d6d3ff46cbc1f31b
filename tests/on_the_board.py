"""What tests ask a board, and nobody else does."""

from collections.abc import Sequence

from sqlalchemy import select

from scheduler.blackboard import outbox
from scheduler.blackboard.beats import BEAT, beat_of
from scheduler.blackboard.store import Store
from scheduler.blackboard.tables import heartbeats
from scheduler.core.beats import Beat
from scheduler.core.notices import Unsent
from scheduler.core.records import Notice
from tests.blackboard_model import ModelStore

MANY = 1_000


def unsent(board: Store | ModelStore) -> list[Unsent]:
    """What somebody has yet to be told, the oldest first."""
    if isinstance(board, ModelStore):
        return board.unsent()
    found = outbox.unsent(board, outbox.addressees(board), MANY)
    return sorted(found, key=lambda each: each.number)


def notices(board: Store | ModelStore) -> list[Notice]:
    """The same, without numbers, which no two boards have to share."""
    return [each.notice for each in unsent(board)]


def tell(board: Store | ModelStore, number: int, now: float) -> None:
    """Somebody has taken it."""
    if isinstance(board, ModelStore):
        board.cross_off(number, now)
    else:
        outbox.cross_off(board, [number], now=now)


def history(store: Store, agent: str) -> Sequence[Beat]:
    """What became of the agent's heartbeats, the newest first."""
    query = (
        select(*BEAT)
        .where(heartbeats.c.agent == agent, heartbeats.c.fired_at.is_not(None))
        .order_by(heartbeats.c.fired_at.desc())
    )
    return store.transactions.read(lambda connection: [*map(beat_of, connection.execute(query))])
