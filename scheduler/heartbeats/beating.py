"""One heartbeat: look, say what was found, see to the agent's own checks.

It ends in time and it ends in a `Beat`: whatever goes wrong with a source, or with the program, is in the
result, and the next heartbeat comes all the same.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

import structlog
import trio

from scheduler.blackboard import beats
from scheduler.blackboard import figures as counted
from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardError
from scheduler.blackboard.store import Store
from scheduler.core.beats import Beat
from scheduler.core.endings import SCHEDULER
from scheduler.core.errors import Refused
from scheduler.core.figures import as_table, deferred, figures, why_deferred
from scheduler.exchange.found import Found
from scheduler.exchange.intake import Intake
from scheduler.heartbeats.checks import SEES_EVERYBODY, draft, due_checks, prefix
from scheduler.roster import Agent, Roster
from scheduler.supervision import fatal_in
from shared import clock

PATIENCE_SECONDS: Final = 120.0
"""Three sources have 30 s each, and may be asked one after the other."""
NOTHING_NEW: Final = "nothing new"
LONGEST_WORDS: Final = 500
"""Characters of what sources and errors say, in a result."""
FIGURES_SECONDS: Final = 86_400.0
"""Runs of the last day are told with the figures of the team."""

_log = structlog.get_logger()


async def beat(board: Board, intake: Intake, agent: Agent, due_at: float, *, missed: int = 0) -> Beat:
    """The sources' part. Raises BoardBroken, and nothing else."""
    fired_at, began = clock.wall(), trio.current_time()
    blank = Beat(agent.id, due_at, fired_at, missed=missed)
    try:
        with trio.fail_after(PATIENCE_SECONDS):
            found = await intake.look(agent)
            reasons = await board.read(beats.waiting, agent.id)
        made = account(blank, found, reasons)
    except Exception as error:
        if fatal_in(error) is not None:
            raise
        made = replace(blank, ok=False, failed=1, reason=_words(error))
    return replace(made, seconds=trio.current_time() - began)


def account(blank: Beat, found: Found, reasons: Sequence[str | None]) -> Beat:
    """What a look came to. `reasons`: why the agent's pending tasks wait."""
    waits, unavailable = (
        deferred(reasons),
        {each.value: _plain(why) for each, why in found.unavailable.items()},
    )
    words = [
        f"{len(found.new)} new" if found.new else "",
        f"{found.changed} changed" if found.changed else "",
        f"{waits} deferred: {why_deferred(reasons)}" if waits else "",
        f"{len(found.failed)} failed: {_plain(found.failed[0])}" if found.failed else "",
        *(f"{name} is away: {why}" for name, why in sorted(unavailable.items())),
    ]
    return replace(
        blank,
        reason="; ".join(filter(None, words)) or NOTHING_NEW,
        found=len(found.items),
        started=len(found.new),
        deferred=waits,
        skipped=found.skipped,
        failed=len(found.failed),
        changed=found.changed,
        pending=len(reasons),
        unchanged=found.unchanged,
        new=found.new,
        unavailable=unavailable,
    )


def with_checks(made: Beat, task: str) -> Beat:
    """The agent's own checks have become a task."""
    said = "" if made.reason == NOTHING_NEW else f"{made.reason}; "
    return replace(
        made,
        started=made.started + 1,
        pending=made.pending + 1,
        new=(*made.new, task),
        reason=f"{said}its checks are due: {task}",
    )


def checks_due(roster: Roster, agent: Agent, last_fired_at: float | None, now: float) -> str | None:
    """The external id of the task that is to be made."""
    place = next((number for number, each in enumerate(roster.agents) if each == agent.id), 0)
    return due_checks(agent, place, last_fired_at, now)


def make_checks(
    store: Store, roster: Roster, agent: Agent, external_id: str, *, stale: Collection[str], now: float
) -> str | None:
    """The task; None where the last one is not over, or this one was made before. Raises BoardError."""
    if beats.any_open(store, prefix(agent.id)):
        return None
    table = ""
    if agent.class_name == SEES_EVERYBODY:
        since = now - FIGURES_SECONDS
        facts = counted.facts(store, since=since, now=now)
        labels = {each.id: each.label for each in roster.agents.values()}
        table = as_table(figures(facts, labels, stale, since=since, now=now))
    try:
        return store.create(draft(agent, external_id, table), who=SCHEDULER, now=now).id
    except Refused as refusal:
        # On the board already, by a process that ended before it could write its heartbeat down.
        _log.info("checks_refused", agent=agent.id, why=refusal.message)
        return None


def _words(error: Exception) -> str:
    match error:
        case trio.TooSlowError():
            return f"it took longer than {PATIENCE_SECONDS:g} s"
        case BoardError():
            return _plain(str(error))
    _log.error("heartbeat_failed", exc_info=error)  # a fault of the program
    return _plain(f"{type(error).__name__}: {error}")


def _plain(text: str) -> str:
    """Foreign words, on one line and not long, as any database keeps them."""
    return " ".join(text.split())[:LONGEST_WORDS].encode("utf-8", "replace").decode()
