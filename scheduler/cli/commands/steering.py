"""What people do: `decide`, `answer`, `stop`, `cancel`, `retry`, `archive`."""

from collections.abc import Mapping
from typing import Annotated, Final

import typer

from scheduler.cli.commands.cards import Id, show_card
from scheduler.cli.line import Line
from scheduler.cli.told import wrong_usage


def decide(
    line: Line,
    task: Id,
    *,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Else whoever asks.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="The result is good: done.")] = False,
    rework: Annotated[bool, typer.Option("--rework", help="Not good enough: once more.")] = False,
    approve: Annotated[bool, typer.Option("--approve", help="Its high-risk tools may be used.")] = False,
    reject: Annotated[
        bool, typer.Option("--reject", help="They may not, or nothing will come of it.")
    ] = False,
    reason: Annotated[str, typer.Option(metavar="TEXT")] = "",
) -> None:
    """Decide on a result, or on high-risk tools. Needs the database or the admin token."""
    said = {"accept": accept, "rework": rework, "approve": approve, "reject": reject}
    decisions = [word for word, chosen in said.items() if chosen]
    if len(decisions) != 1:
        raise wrong_usage("exactly one of --accept, --rework, --approve and --reject")
    body = {"by": line.name if by is None else by, "decision": decisions[0], "reason": reason}
    _steer(line, "decide", task, body)


def answer(
    line: Line,
    task: Id,
    text: Annotated[str, typer.Argument(metavar="TEXT", show_default=False)],
    *,
    author: Annotated[str | None, typer.Option(metavar="NAME", help="Else whoever asks.")] = None,
) -> None:
    """Answer what a blocked task asks; it goes on."""
    _steer(line, "answer", task, {"text": text, "author": line.name if author is None else author})


def stop(line: Line, task: Id) -> None:
    """End its run; the task is blocked and waits for you."""
    _steer(line, "stop", task, {})


def cancel(
    line: Line, task: Id, *, reason: Annotated[str, typer.Option(metavar="TEXT", help="Why.")]
) -> None:
    """End its run; the task has failed."""
    _steer(line, "cancel", task, {"reason": reason})


def retry(line: Line, task: Id) -> None:
    """Try a failed task again, with all its attempts."""
    _steer(line, "retry", task, {})


def archive(line: Line, task: Id) -> None:
    """Put a task that is over out of the lists."""
    _steer(line, "archive", task, {})


def _steer(line: Line, verb: str, task: str, body: Mapping[str, object]) -> None:
    card = line.ask(verb, task, body)
    put_away = ", out of the lists" if card["archived_at"] else ""
    show_card(line, card, f"{card['id']} is {card['status']}{put_away}.")


COMMANDS: Final = (decide, answer, stop, cancel, retry, archive)
