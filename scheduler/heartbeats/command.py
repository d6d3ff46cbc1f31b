"""`agent-scheduler heartbeat AGENT`: one heartbeat by hand, whether or not the daemon runs.

It is written down beside those that come by themselves, and changes nothing about when they do.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import trio

from scheduler.blackboard import beats
from scheduler.blackboard.board import Board
from scheduler.blackboard.opening import open_board
from scheduler.blackboard.store import Store
from scheduler.cli.answering import NOT_FOUND, answer
from scheduler.cli.printing import print_json
from scheduler.commands import OPENCLAW, environment
from scheduler.core.beats import Beat, Kept
from scheduler.exchange.intake import Intake
from scheduler.exchange.taking_over import TakingOver
from scheduler.gateway import Gateway
from scheduler.heartbeats.beating import account, checks_due, make_checks, with_checks
from scheduler.heartbeats.showing import Shown, as_json, print_for_people
from scheduler.heartbeats.timetable import timetable
from scheduler.roster import Agent, Roster, load_roster
from scheduler.settings import Settings
from scheduler.sources.configured import configured
from shared import clock, logs
from shared.errors import StartError


def heartbeat(
    settings: Settings, agent: str, environ: Mapping[str, str], *, dry_run: bool, json: bool
) -> int:
    """Prints what came of it; the exit code. Raises StartError, which with `json` is printed instead."""

    def show() -> None:
        roster = load_roster(settings)
        shown = _beat(settings, roster, _known(roster, agent), environ, dry_run=dry_run)
        if json:
            print_json(as_json(shown))
        else:
            print_for_people(shown)

    return answer(show, in_json=json)


def _known(roster: Roster, agent: str) -> Agent:
    found = roster.agents.get(agent)
    if found is None:
        names = ", ".join(roster.agents)
        there = f"the roster has {names}" if names else "the roster is empty"
        raise StartError(f"there is no agent {agent!r}: {there}", exit_code=NOT_FOUND)
    return found


def _beat(
    settings: Settings, roster: Roster, agent: Agent, environ: Mapping[str, str], *, dry_run: bool
) -> Shown:
    # What goes wrong is in the answer; a log line would spoil it.
    logs.configure(level="CRITICAL", fmt="console", stream=sys.stderr)
    store = open_board(settings)
    try:
        return trio.run(partial(_run, settings, store, roster, agent, environ, dry_run=dry_run))
    finally:
        store.close()


async def _run(
    settings: Settings,
    store: Store,
    roster: Roster,
    agent: Agent,
    environ: Mapping[str, str],
    *,
    dry_run: bool,
) -> Shown:
    board = Board(store)
    openclaws = environment(environ, OPENCLAW, path_first=Path(sys.executable).parent)
    gateway = None if settings.runner == "demo" else Gateway(settings.openclaw, openclaws)
    sources = configured(settings, lambda: roster, environ, gateway=gateway)
    taking_over = TakingOver(board, sources, lambda: roster, max_attempts=settings.max_attempts)
    intake = Intake(board, sources, lambda: roster, taking_over)
    return await one_heartbeat(board, intake, roster, agent, dry_run=dry_run)


async def one_heartbeat(
    board: Board, intake: Intake, roster: Roster, agent: Agent, *, dry_run: bool
) -> Shown:
    """Raises BoardError."""
    began, now = trio.current_time(), clock.wall()
    kept = (await board.read(beats.kept, now)).get(agent.id, Kept())
    found = await intake.look(agent, dry_run=dry_run)
    reasons = await board.read(beats.waiting, agent.id)
    made = account(Beat(agent.id, now, now), found, reasons)
    checks = checks_due(roster, agent, kept.last_fired_at, now)
    if checks is not None and not dry_run:
        task = await board.write(make_checks, roster, agent, checks, stale=(), now=now)
        made = made if task is None else with_checks(made, task)
    made = replace(made, seconds=trio.current_time() - began)
    if not dry_run:
        await board.write(beats.note, made)
    schedule = timetable(roster)[agent.id]
    due = schedule.next_after(now) if kept.planned is None else kept.planned.due_at
    return Shown(agent, schedule, due, dry_run, found, made, checks)
