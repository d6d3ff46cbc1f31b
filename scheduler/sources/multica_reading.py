"""What Multica is asked: pages of issues, single issues, and what a listing leaves out."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import trio

from scheduler.core.exchange.items import Stage
from scheduler.sources import reading
from scheduler.sources.issues import Issue, page_of, parent_of, stage_of
from scheduler.sources.multica_command import AT_ONCE, MulticaCommand, NotThereError
from scheduler.sources.protocol import SourceError, SourceRefusedError, SourceUnavailableError

MAX_ISSUES: Final = 10_000
"""In one listing: what comes after so many nobody reads."""
PAGE: Final = 500
"""Asked for after the first page, which is as long as the command likes. The server may give fewer."""
ASKING_SECONDS: Final = 12.0
"""For single issues, so that a listing stays inside its time. Those that are left go without."""
MAX_KEPT: Final = 2_000
"""Descriptions. Of 10 kB each they would be 20 MB."""


class MulticaReader:
    """Owner of the descriptions that it remembers until their issues change."""

    def __init__(self, multica: MulticaCommand) -> None:
        self._multica = multica
        self._descriptions: dict[tuple[str, object], object] = {}

    async def get(self, issue_id: str) -> Issue | None:
        """The whole of it; None: it is not there. Raises SourceError."""
        if not reading.identifier(issue_id):
            return None
        try:
            issue = await self._multica.ask("issue", "get", issue_id)
        except NotThereError:
            return None
        if not isinstance(issue, dict) or not reading.identifier(issue.get("id")):
            raise SourceUnavailableError("multica answered with something that is no issue")
        return {**issue, "description": issue.get("description") or ""}  # here, null is none

    async def is_open(self, issue_id: str) -> bool | None:
        """Whether it is there and has yet to be done; None: that is not to be learnt."""
        try:
            issue = await self.get(issue_id)
        except SourceError:
            return None
        return issue is not None and stage_of(issue) is not Stage.DONE

    async def listing(self, *options: str) -> Sequence[Issue]:
        """All pages, each issue once. Raises SourceUnavailableError."""
        found: dict[str, Issue] = {}
        offset, paging = 0, tuple[str, ...]()
        while offset < MAX_ISSUES:
            try:
                answer = await self._multica.ask("issue", "list", *options, *paging)
            except SourceRefusedError as error:  # of a whole listing: no such workspace, no such assignee
                raise SourceUnavailableError(str(error)) from error
            page = page_of(answer, offset)
            if page is None:
                raise SourceUnavailableError("multica answered with something that is no list of issues")
            known = len(found)
            found.update((issue["id"], issue) for issue in page.issues)
            # A page without news is the last one, whatever it says: or a wrong `has_more` would keep us here.
            if not page.more or len(found) == known:
                break
            offset += page.came
            paging = ("--limit", str(PAGE), "--offset", str(offset))
        return tuple(found.values())

    async def parents(self, issues: Sequence[Issue]) -> Mapping[str, bool | None]:
        """Of each of their parents whether it is open, as `is_open` does as far as there is time."""
        # One that is listed itself is open, because only what is to be done is listed.
        listed = {issue["id"] for issue in issues}
        named = {parent_of(issue) for issue in issues} - {""}
        parents: dict[str, bool | None] = {parent: True if parent in listed else None for parent in named}

        async def ask_after(parent: str) -> None:
            parents[parent] = await self.is_open(parent)

        await few_at_a_time(partial(ask_after, parent) for parent in sorted(named - listed))
        return parents

    async def described(self, issues: Sequence[Issue]) -> Sequence[Issue]:
        """The same, with their descriptions as far as those can be learnt, and there is time to ask."""

        async def describe(issue: Issue) -> None:
            try:
                whole = await self.get(issue["id"])
            except SourceError:
                return  # a listing does not fail for a description
            if whole is not None:
                self._keep(_version(issue), whole["description"])

        bare = [each for each in issues if each.get("description") is None]
        await few_at_a_time(
            partial(describe, issue) for issue in bare if _version(issue) not in self._descriptions
        )
        return [self._with_description(issue) for issue in issues]

    def _with_description(self, issue: Issue) -> Issue:
        known: Mapping[str, object] = {"description": self._descriptions.get(_version(issue))}
        return {**issue, **known} if issue.get("description") is None else issue

    def _keep(self, version: tuple[str, object], description: object) -> None:
        while len(self._descriptions) >= MAX_KEPT:
            del self._descriptions[next(iter(self._descriptions))]
        self._descriptions[version] = description


def _version(issue: Issue) -> tuple[str, object]:
    return issue["id"], reading.words(issue.get("updated_at"))


async def few_at_a_time(calls: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Until all have ended or their time is over."""
    waiting = iter(calls)

    async def work() -> None:
        for call in waiting:
            await call()

    with trio.move_on_after(ASKING_SECONDS):
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(work)
