"""What every task source can be asked and told."""

from collections.abc import Sequence
from typing import Protocol

from scheduler.core.exchange.items import Item, Stage
from scheduler.core.task import Source
from scheduler.roster import Agent


class SourceError(Exception):
    """A source did not do what it was asked. The message is for people, and holds no secret."""


class SourceUnavailableError(SourceError):
    """It is not there, does not answer in time, or not in words that can be understood. Later it may."""


class SourceOffError(SourceUnavailableError):
    """Whoever runs it has switched it off, or never on. Nothing is wrong, and asking again soon is no use."""


class SourceRefusedError(SourceError):
    """It will not, and asking again changes nothing: gone, taken by somebody else, not allowed."""


class TaskSource(Protocol):
    """One source. Every method raises SourceError; none takes longer than 30 s.

    `handle` is what `claim` answered: the source's own proof of a claim, a secret; empty where it has none.
    Each write may be repeated: what is so already is no error.
    """

    name: Source
    after_recovery: Stage
    """where something goes whose agent was lost: `todo` or `blocked`"""

    async def list_todo(self, agent: Agent) -> Sequence[Item]:
        """What waits there for this agent: all of it, in any order. Only items in `todo`."""
        ...

    async def list_in_progress(self) -> Sequence[Item]:
        """What is assigned to agents of the roster and in progress or blocked there."""
        ...

    async def look(self, external_id: str) -> Item:
        """One item, however it stands; what is not there any more is in stage `gone`."""
        ...

    async def look_all(self, external_ids: Sequence[str]) -> Sequence[Item]:
        """The same of several, asked for together. What is not among the answers was not to be learnt now;
        where nothing was, it raises.
        """
        ...

    async def claim(self, external_id: str, agent: Agent) -> str:
        """It is worked on, by this agent. The handle."""
        ...

    async def keep(self, external_id: str, agent: Agent, handle: str) -> None:
        """It is still worked on: a claim there may run out otherwise."""
        ...

    async def comment(self, external_id: str, text: str) -> None:
        """Said beside it."""
        ...

    async def release(self, external_id: str, agent: Agent, handle: str, *, stage: Stage, why: str) -> None:
        """It is not worked on any more: back to `todo`, or `blocked`; `why` is said beside it."""
        ...

    async def finish(self, external_id: str, agent: Agent, handle: str, *, summary: str) -> None:
        """It is done; `summary` is said beside it."""
        ...
