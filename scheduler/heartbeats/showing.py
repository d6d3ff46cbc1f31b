"""What one heartbeat found, for people and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from scheduler.cli.printing import say, table
from scheduler.core.beats import Beat
from scheduler.core.exchange.items import Item
from scheduler.exchange.found import Found
from scheduler.heartbeats.schedule import Schedule
from scheduler.roster import Agent
from scheduler.wire import Json, time_json


@dataclass(frozen=True, slots=True)
class Shown:
    """One heartbeat that somebody asked for."""

    agent: Agent
    schedule: Schedule
    next_due_at: float | None
    """of those that come by themselves"""
    dry_run: bool
    found: Found
    made: Beat
    checks: str | None
    """the external id of the task that its own checks become now"""


def as_json(shown: Shown) -> Json:
    """Counts as in a result on the board; nothing is left out."""
    made, agent = shown.made, shown.agent
    return {
        "agent": agent.id,
        "label": agent.label,
        "dry_run": shown.dry_run,
        "heartbeat": agent.heartbeat,
        "timezone": shown.schedule.zone,
        "phase_seconds": shown.schedule.phase_seconds,
        "next_due": time_json(shown.next_due_at),
        "at": time_json(made.fired_at),
        "seconds": round(made.seconds, 3),
        "found": made.found,
        "started": made.started,
        "deferred": made.deferred,
        "skipped": made.skipped,
        "failed": made.failed,
        "changed": made.changed,
        "unchanged": made.unchanged,
        "reason": made.reason,
        "items": [_item_json(each) for each in shown.found.items],
        "new": list(made.new),
        "failures": list(shown.found.failed),
        "unavailable": dict(made.unavailable),
        "checks": shown.checks,
    }


def _item_json(item: Item) -> Json:
    return {
        "source": item.source.value,
        "external_id": item.external_id,
        "title": item.title,
        "stage": item.stage.value,
        "priority": item.priority.word,
        "creator": item.creator,
        "waits_for": None if item.waits_for is None else list(item.waits_for),
        "created_at": time_json(item.created_at),
        "updated_at": time_json(item.updated_at),
        "place": item.place,
    }


def _there(at: float, zone: str) -> str:
    """By the clocks of the zone that is shown beside it, wherever this machine stands."""
    return f"{datetime.fromtimestamp(at, ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}"


def _print_items(items: Sequence[Item]) -> None:
    """Without a column for places that say nothing."""
    heads = ("SOURCE", "ID", "PRIORITY", "TITLE", "PLACE")
    shown = len(heads) if any(map(_place, items)) else len(heads) - 1
    rows = (
        (each.source.value, each.external_id, each.priority.word, each.title, _place(each)) for each in items
    )
    table(heads[:shown], [row[:shown] for row in rows])


def _place(item: Item) -> str:
    """'' where it only repeats the id, or how that begins, as `WorkBoard card 1a2b3c4d` does."""
    *_, last = item.place.split() or [""]
    return "" if last and item.external_id.startswith(last) else item.place


def print_for_people(shown: Shown) -> None:
    """A table of what waits, and sentences for the rest."""
    agent, made, schedule = shown.agent, shown.made, shown.schedule
    name = agent.id if agent.label == agent.id else f"{agent.id} ({agent.label})"
    phase = f", {schedule.phase_seconds} s later" if schedule.phase_seconds else ""
    due = "never" if shown.next_due_at is None else _there(shown.next_due_at, schedule.zone)
    say(f"{name}: {agent.heartbeat} in {schedule.zone}{phase}; the next by itself: {due}")
    if shown.found.items:
        _print_items(shown.found.items)
    else:
        say("Nothing waits in its sources.")
    if made.new:
        say(f"{'Would be' if shown.dry_run else 'Now'} on the board: {', '.join(made.new)}")
    if made.skipped:
        say(f"Not to be taken up: {made.skipped}")
    for each in shown.found.failed:
        say(f"Could not be taken up: {each}")
    say(f"Result: {made.reason}")
    if shown.dry_run:
        say("Nothing was written: this was a dry run.")
