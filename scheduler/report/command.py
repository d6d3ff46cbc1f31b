"""`agent-scheduler report`: looks, builds, prints."""

import json
import sys
from enum import StrEnum
from zoneinfo import ZoneInfo

from scheduler.blackboard.reporting import collect
from scheduler.blackboard.store import Store
from scheduler.cli.answering import answer
from scheduler.report.as_json import as_json
from scheduler.report.asking import ask
from scheduler.report.building import build
from scheduler.report.markdown import as_markdown
from scheduler.report.text import as_text
from scheduler.report.times import Clock, parse_since, since_the_last
from scheduler.roster import load_roster
from scheduler.settings import Settings
from shared import clock, logs
from shared.errors import StartError


class Form(StrEnum):
    """How it is printed."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


def run(settings: Settings, since: str | None, form: Form) -> int:
    """Prints it; the exit code. Raises StartError."""

    def show() -> None:
        sys.stdout.write(f"{report(settings, since, form)}\n")

    return answer(show, in_json=form is Form.JSON)


def report(settings: Settings, since: str | None, form: Form) -> str:
    """What to print. Raises BoardError, and StartError for a wrong time."""
    roster, now = load_roster(settings), clock.wall()
    zone = ZoneInfo(roster.timezone)
    try:
        begin = (
            since_the_last(now, roster.report_at_minute, zone)
            if since is None
            else parse_since(since, now, zone)
        )
    except ValueError as error:
        raise StartError(f"--since is {error}", exit_code=2) from error
    # The sidecar's absence is told in the report; a log line would spoil it.
    logs.configure(level="CRITICAL", fmt="console", stream=sys.stderr)
    hands = Clock(zone, now)
    store = Store.open(
        settings.effective_database_url, artifacts=settings.state_dir / "artifacts", create=False
    )
    try:
        collected = collect(store, begin, now)
    finally:
        store.close()
    made = build(collected, ask(settings), since=begin, until=now, clock=hands)
    match form:
        case Form.JSON:
            return json.dumps(as_json(made))
        case Form.MARKDOWN:
            return as_markdown(made, hands)
        case Form.TEXT:
            return as_text(made, hands)
