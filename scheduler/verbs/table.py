"""The table of verbs, and the one function that walks through it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from msgspec import Struct

from scheduler.core.claims import parse_token
from scheduler.core.errors import Code, Refused
from scheduler.verbs import bodies, cards, holding, steering
from scheduler.verbs.asked import Asked
from scheduler.verbs.callers import Caller, Holder, Operator
from scheduler.wire import Json

if TYPE_CHECKING:  # a client that asks over HTTP has no use for a database
    from scheduler.blackboard.artifacts import Received
    from scheduler.blackboard.store import Store

NEXT: Final = "next"
"""In place of an id: `claim` whatever may be claimed. It is no id, so it hides no task."""

B = TypeVar("B", bound=Struct)


@dataclass(frozen=True, slots=True)
class Verb(Generic[B]):
    """One question. Operators may ask all of them."""

    body: type[B]
    answer: Callable[[Asked[B]], Json]
    holders: bool = False
    """may be asked under a claim"""
    readers: bool = False
    """may be asked by anybody; its body may come from the query of an address"""
    about_a_task: bool = True


VERBS: Final[Mapping[str, Verb[Any]]] = MappingProxyType(
    {
        "create": Verb(bodies.Create, cards.create, about_a_task=False),
        "list": Verb(bodies.List, cards.list_tasks, holders=True, readers=True, about_a_task=False),
        "read": Verb(bodies.Read, cards.read, holders=True, readers=True),
        "set": Verb(bodies.Set, cards.revise),
        "claim": Verb(bodies.ClaimIt, holding.claim, holders=True),
        "claim-next": Verb(bodies.ClaimIt, holding.claim_next, holders=True, about_a_task=False),
        "release": Verb(bodies.Because, holding.release, holders=True),
        "heartbeat": Verb(bodies.Heartbeat, holding.heartbeat, holders=True),
        "output": Verb(bodies.HandIn, holding.hand_in, holders=True),
        "comment": Verb(bodies.Say, holding.comment, holders=True),
        "observe": Verb(bodies.Say, holding.observe, holders=True),
        "block": Verb(bodies.Because, holding.block, holders=True),
        "fail": Verb(bodies.Because, holding.fail, holders=True),
        "decide": Verb(bodies.Decide, steering.decide),
        "retry": Verb(bodies.Nothing, steering.retry),
        "stop": Verb(bodies.Nothing, steering.stop),
        "cancel": Verb(bodies.Cancel, steering.cancel),
        "answer": Verb(bodies.Answer, steering.answer),
        "archive": Verb(bodies.Nothing, steering.archive),
    }
)


def perform(  # noqa: PLR0917 - a question has so many parts, and each caller has them all
    store: "Store",
    name: str,
    task_id: str | None,
    body: object,
    caller: Caller,
    now: float,
    *,
    received: "Received | None" = None,
    max_attempts: int = 3,
) -> Json:
    """Ask, and get the answer as JSON. Raises Refused or BoardError; then nothing has changed.

    `received`: a file that has come already, for `output`; it is gone afterwards, one way or the other.
    `max_attempts`: of tasks that do not say. A Holder that names no task means its own.
    """
    if name == "claim" and task_id == NEXT:
        name, task_id = "claim-next", None
    if name not in VERBS:
        raise Refused(Code.NOT_FOUND, f"the board knows no {name[:40]!r}")
    verb = VERBS[name]
    asked = bodies.read(verb.body, body, strict=not verb.readers)
    if isinstance(asked, bodies.Written) and asked.claim is not None:
        caller = Holder(parse_token(asked.claim))
    _admit(name, verb, caller)
    if verb.about_a_task and task_id is None:
        if not isinstance(caller, Holder):
            raise Refused(Code.INVALID, f"{name}: which task?")
        task_id = caller.token.task
    return verb.answer(Asked(store, task_id or "", asked, caller, now, received, max_attempts))


def _admit(name: str, verb: Verb[Any], caller: Caller) -> None:
    match caller:
        case Operator():
            return
        case Holder():
            if not verb.holders:
                raise Refused(Code.FORBIDDEN, f"a claim token does not allow {name}: an operator may")
        case _:
            if not verb.readers:
                raise Refused(Code.FORBIDDEN, f"{name} needs the admin token or a claim token")
