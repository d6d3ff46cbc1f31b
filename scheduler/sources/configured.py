"""Which sources there are: those that the settings and the roster give something to do."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from scheduler.core.task import Source
from scheduler.gateway import Gateway
from scheduler.roster import Roster
from scheduler.sources.multica import Multica
from scheduler.sources.shared import Shared
from scheduler.sources.todo import TodoFiles
from scheduler.sources.workboard import WorkBoard


def configured(
    *,
    gateway: Gateway | None,
    multica: Sequence[str],
    environ: Mapping[str, str],
    workspace: str,
    roster: Callable[[], Roster],
    base: Path,
) -> dict[Source, Shared]:
    """In the order in which what they hold is taken up.

    `gateway` None: the runner is not OpenClaw. `environ` is the multica command's, complete; `base` is where
    patterns of documents begin that are not absolute.
    """
    agents = roster().agents.values()
    sources: dict[Source, Shared] = {}
    if gateway is not None:
        board = WorkBoard(gateway, roster)
        sources[board.name] = Shared(board, whole=board.list_all)
    if any(agent.multica_id is not None for agent in agents):
        issues = Multica(multica, environ, workspace, roster)
        sources[issues.name] = Shared(issues)
    if any(agent.todo_files for agent in agents):
        documents = TodoFiles(roster, base)
        sources[documents.name] = Shared(documents, whole=documents.list_all)
    return sources
