"""A plan for people and for programs. Keys and the values of foreign headers are in neither."""

import json
from collections.abc import Iterator
from difflib import unified_diff
from itertools import islice
from typing import Final

from scheduler.cli.printing import clean, folded
from scheduler.core.openclaw.jobs import Automation
from scheduler.core.openclaw.plan import Plan
from scheduler.core.openclaw.tree import ABSENT, Change, Json, dotted, shown
from scheduler.openclaw_setup.saved import change_as_json

_ONE_LINE: Final = 80
"""Characters."""
NOTHING: Final = "OpenClaw is set up; there is nothing to change."
WHY_DISABLED: Final = "it starts turns by itself; what an agent does, and when, the scheduler decides now"


def as_text(plan: Plan, width: int | None = None) -> str:
    """What is there, marked `-`, and what is to be, marked `+`. Sentences are folded, values never."""
    lines = [*_changes(plan, width), *(folded(clean(each), width) for each in _said(plan))]
    return clean("\n".join([NOTHING, *lines] if plan.is_empty else lines), keep="\n")


def as_json(plan: Plan) -> dict[str, Json]:
    """One object."""
    return {
        "changes": [change_as_json(each, shown_at(each, each.after), before(each)) for each in plan.changes],
        "automations": [
            {
                "id": each.id,
                "name": each.name,
                "agent": each.agent,
                "schedule": each.schedule,
                "before": "enabled",
                "after": "disabled",
                "why": WHY_DISABLED,
            }
            for each in plan.automations
        ],
        "newcomers": list(plan.newcomers),
        "notes": list(plan.notes),
    }


def before(change: Change) -> Json:
    """As it may be shown; None where nothing stood."""
    return None if change.before is ABSENT else shown_at(change, change.before)


def shown_at(change: Change, value: Json) -> Json:
    """What stands at its place, as it may be shown: the name of the place says what is secret."""
    for name in reversed(change.path[-2:]):
        value = {name: value}
    value = shown(value)
    for name in change.path[-2:]:
        value = value[name]
    return value


def _changes(plan: Plan, width: int | None) -> Iterator[str]:
    for change in plan.changes:
        was = [] if change.before is ABSENT else _lines(before(change))
        compared = unified_diff(was, _lines(shown_at(change, change.after)), lineterm="", n=2)
        yield dotted(change.path)
        yield from (f"  {line[0]} {line[1:]}" for line in islice(compared, 2, None) if line[0] != "@")
        yield from (folded(f"  {change.why}", width), "")
    for automation in plan.automations:
        yield from (
            f"automation {_named(automation)}",
            "  - enabled",
            "  + disabled",
            folded(f"  {WHY_DISABLED}", width),
            "",
        )


def _lines(value: Json) -> list[str]:
    text = json.dumps(value, ensure_ascii=False)
    return [text] if len(text) <= _ONE_LINE else json.dumps(value, ensure_ascii=False, indent=2).splitlines()


def _said(plan: Plan) -> Iterator[str]:
    yield from (f"note: {note}" for note in plan.notes)
    if plan.newcomers:
        yield f"not in the roster: {', '.join(plan.newcomers)} (openclaw apply --add-agents adds them)"


def _named(automation: Automation) -> str:
    return f"{automation.name} ({automation.agent}, {automation.schedule}; {automation.id})"
