"""One question, read and admitted: what the functions behind the table get."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct

from scheduler.core.claims import ClaimToken
from scheduler.core.task import Task
from scheduler.verbs.callers import Caller, Holder, Operator

if TYPE_CHECKING:
    from scheduler.blackboard.artifacts import Received
    from scheduler.blackboard.store import Store

B_co = TypeVar("B_co", bound=Struct, covariant=True)


@dataclass(frozen=True, slots=True)
class Asked(Generic[B_co]):
    """`task_id` is '' where the verb is about none."""

    store: "Store"
    task_id: str
    body: B_co
    caller: Caller
    now: float
    received: "Received | None"
    max_attempts: int

    @property
    def token(self) -> ClaimToken | None:
        """The fence that every write of a Holder passes; operators need none."""
        return self.caller.token if isinstance(self.caller, Holder) else None

    def who(self, task: Task | None = None) -> str:
        """The name that stands in the event: a Holder's is whose claim it is, as the fence has proven."""
        match self.caller:
            case Operator(name):
                return name
            case Holder() if task is not None and task.claimant is not None:
                return task.claimant
            case _:
                return ""
