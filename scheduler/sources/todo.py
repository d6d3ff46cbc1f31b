"""To-do documents: the unchecked items in the files that the roster names for an agent.

A file belongs to the first agent of the roster whose patterns find it. How an item and our mark on it look,
`todo_document` says; which files are read, `todo_files`. Nothing runs out there.

The rule: a line is gone when its document says so. A document that cannot be read, or that a pattern names
itself and that is not there, says nothing: while an editor or a synchronisation replaces it, it is away.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import structlog
import trio

from scheduler.core.exchange.items import Item, Stage
from scheduler.core.task import MAX_TITLE, Source
from scheduler.roster import Agent, Roster
from scheduler.sources import reading, todo_files
from scheduler.sources.protocol import SourceRefusedError, SourceUnavailableError
from scheduler.sources.todo_document import (
    Entry,
    Mark,
    NoDocumentError,
    Word,
    changed,
    entries_of,
    sentence,
)
from scheduler.sources.todo_files import ChangedError, Document, FileProblemError, NotThereError

TRIES: Final = 3
"""To write a document that somebody else is writing, too."""
_NOT_READ: Final = (FileProblemError, NoDocumentError)

T = TypeVar("T")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Found:
    """An item, and where it stands."""

    agent: str
    document: Document
    entry: Entry

    @property
    def id(self) -> str:
        return f"{self.document.path}#{self.entry.key}"

    @property
    def place(self) -> str:
        return f"{self.document.path}:{self.entry.line}"


class TodoFiles:
    """A `TaskSource`. Owner of what it has complained about; files are read and written by one thread."""

    name = Source.TODO
    after_recovery = Stage.TODO

    def __init__(self, roster: Callable[[], Roster], base: Path) -> None:
        """Patterns that are not absolute are below `base`."""
        self._roster, self._base = roster, base
        self._one = trio.CapacityLimiter(1)
        self._told: set[tuple[str, str]] = set()

    async def list_all(self) -> Sequence[Item]:
        """Every item of every document, however it stands."""
        return await self._in_thread(lambda: [_item(found) for found in self._everything()])

    async def list_todo(self, agent: Agent) -> Sequence[Item]:
        return reading.waiting_for(agent, await self.list_all())

    async def list_in_progress(self) -> Sequence[Item]:
        return reading.under_way(await self.list_all())

    async def look(self, external_id: str) -> Item:
        (item,) = await self.look_all([external_id])
        return item

    async def look_all(self, external_ids: Sequence[str]) -> Sequence[Item]:
        def found() -> Sequence[Item]:
            there = self._find(external_ids)
            return [
                _item(line) if line else Item(Source.TODO, each, "a line of a document", Stage.GONE)
                for each, line in there.items()
            ]

        return await self._in_thread(found)

    async def claim(self, external_id: str, agent: Agent) -> str:
        await self._write(external_id, agent, Mark(Word.IN_PROGRESS, agent.id))
        return ""

    async def keep(self, external_id: str, agent: Agent, handle: str) -> None:
        """Nothing runs out there."""

    async def comment(self, external_id: str, text: str) -> None:
        said = sentence(text)

        def with_comment(found: _Found) -> bytes:
            old = found.entry.mark or Mark(Word.NOTE)
            mark = Mark(old.word, old.agent, said)
            return changed(found.document.content, found.entry, ticked=found.entry.ticked, mark=mark)

        if said:
            await self._in_thread(lambda: self._change(external_id, with_comment))

    async def release(self, external_id: str, agent: Agent, handle: str, *, stage: Stage, why: str) -> None:
        word = Word.BLOCKED if stage is Stage.BLOCKED else Word.GIVEN_BACK
        await self._write(external_id, agent, Mark(word, agent.id, sentence(why)))

    async def finish(self, external_id: str, agent: Agent, handle: str, *, summary: str) -> None:
        await self._write(external_id, agent, Mark(Word.DONE, agent.id, sentence(summary)), ticked=True)

    async def _write(self, external_id: str, agent: Agent, mark: Mark, *, ticked: bool = False) -> None:
        def with_mark(found: _Found) -> bytes:
            if found.agent != agent.id:
                raise SourceRefusedError(f"{found.place} is not {agent.id}'s any more")
            if found.entry.ticked and ticked:
                return found.document.content
            if found.entry.ticked:
                raise SourceRefusedError(f"{found.place} is ticked")
            return changed(found.document.content, found.entry, ticked=ticked, mark=mark)

        await self._in_thread(lambda: self._change(external_id, with_mark))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # Abandoned when its time is over, as on a network disk that is away; the next one waits for it.
        return await trio.to_thread.run_sync(work, limiter=self._one, abandon_on_cancel=True)

    def _change(self, external_id: str, change: Callable[[_Found], bytes]) -> None:
        """In the thread. Raises SourceError."""
        for _ in range(TRIES):
            found = self._find([external_id])[external_id]
            if found is None:
                raise SourceRefusedError("the line is not there any more, or says something else now")
            content = change(found)
            if content == found.document.content:
                return
            try:
                todo_files.replace(found.document, content)
            except ChangedError:
                continue
            except FileProblemError as error:
                raise SourceUnavailableError(f"{found.document.path} cannot be written: {error}") from error
            return
        raise SourceUnavailableError("somebody else is writing that document")

    def _find(self, external_ids: Sequence[str]) -> Mapping[str, _Found | None]:
        """In the thread: those lines; None: not there any more. Without those of documents that say nothing;
        where none says anything, it raises SourceUnavailableError.
        """
        wanted = {each.rpartition("#")[0] for each in external_ids}
        there: dict[str, _Found] = {}
        silent: dict[str, str] = {}
        for agent, path in self._paths():
            if path not in wanted:
                continue
            try:
                there.update((found.id, found) for found in _lines(agent, path))
            except _NOT_READ as error:
                silent[path] = str(error)
        known = [each for each in external_ids if each.rpartition("#")[0] not in silent]
        if silent and not known:
            path, why = next(iter(silent.items()))
            raise SourceUnavailableError(f"{path}: {why}")
        return {each: there.get(each) for each in known}

    def _everything(self) -> Iterator[_Found]:
        """In the thread: all items. Raises SourceUnavailableError where there are documents, and none can be
        read.
        """
        read, problem = 0, ""
        for agent, path in self._paths():
            try:
                lines = _lines(agent, path)
            except NotThereError:
                continue  # it may yet be written
            except _NOT_READ as error:
                problem = f"{path}: {error}"
                self._tell(path, str(error))
                continue
            read += 1
            yield from lines
        if problem and not read:
            raise SourceUnavailableError(f"no to-do document can be read; {problem}")

    def _paths(self) -> Iterator[tuple[str, str]]:
        """Each once, with the agent that it belongs to."""
        seen: set[str] = set()
        for agent in self._roster().agents.values():
            for pattern in agent.todo_files:
                try:
                    for path in todo_files.find(pattern, self._base):
                        if path not in seen:
                            seen.add(path)
                            yield agent.id, path
                except (FileProblemError, OSError, ValueError, RuntimeError) as error:
                    self._tell(pattern, str(error))  # `~nobody`, a NUL, too many files

    def _tell(self, path: str, why: str) -> None:
        """Once."""
        if (path, why) not in self._told:
            self._told.add((path, why))
            _log.warning("todo_document_skipped", file=path, reason=why)


def _lines(agent: str, path: str) -> Sequence[_Found]:
    """All items of one document. Raises one of _NOT_READ."""
    document = todo_files.read(path)
    return [_Found(agent, document, entry) for entry in entries_of(document.content)]


def _item(found: _Found) -> Item:
    entry = found.entry
    worker = entry.mark.agent if entry.mark and entry.stage is Stage.IN_PROGRESS else ""
    return Item(
        source=Source.TODO,
        external_id=found.id,
        title=reading.title(entry.text, found.place),
        stage=entry.stage,
        # A title has an end.
        description=reading.words(entry.text) if len(entry.text) > MAX_TITLE else "",
        priority=entry.priority,
        agent=found.agent,
        updated_at=found.document.modified_at,
        worked_on_by=worker or None,
        place=found.place,
    )
