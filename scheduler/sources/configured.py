"""Which sources there are, and whom each serves."""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from scheduler.commands import MULTICA, environment
from scheduler.core.task import Source
from scheduler.gateway import Gateway
from scheduler.roster import Agent, Roster
from scheduler.settings import Settings
from scheduler.sources.multica import Multica
from scheduler.sources.shared import Shared
from scheduler.sources.todo import TodoFiles
from scheduler.sources.workboard import WorkBoard


def configured(
    settings: Settings, roster: Callable[[], Roster], environ: Mapping[str, str], *, gateway: Gateway | None
) -> dict[Source, Shared]:
    """In the order in which what they hold is taken up. Whoever is on the team may change; they stay.

    `gateway` None: the runner is not OpenClaw. `environ` is ours; what of it Multica is given is on a list.
    Patterns of documents that are not absolute begin beside the roster.
    """

    def team() -> Iterable[Agent]:
        return roster().agents.values()

    allowed = environment(environ, MULTICA, path_first=Path(sys.executable).parent)
    issues = Multica(settings.multica, allowed, settings.multica_workspace, roster)
    documents = TodoFiles(roster, settings.agents_file.parent)
    shared = [
        Shared(issues, serves=lambda agent: agent.multica_id is not None, team=team),
        Shared(documents, whole=documents.list_all, serves=lambda agent: bool(agent.todo_files), team=team),
    ]
    if gateway is not None:
        board = WorkBoard(gateway, roster)
        shared.insert(0, Shared(board, whole=board.list_all, team=team))
    return {each.name: each for each in shared}
