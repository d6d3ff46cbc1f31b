"""`board` and `watch`: what goes on, at one look and as it happens."""

import gc
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import Annotated, Any, Final

import typer

from scheduler.cli.commands.cards import every_task, print_card, result_text
from scheduler.cli.line import Line
from scheduler.cli.printing import ago, moment, print_json, say, soon, table
from scheduler.cli.screen import Screen
from scheduler.cli.ways import Board
from scheduler.core.states import Status
from shared.clock import monotonic, wall

RECENT: Final = 10
"""Of what is over."""

SHOWN: Final = 30
"""Of each kind, to people; programs get all that is open."""

TICK_SECONDS: Final = 2.0
"""Between two pictures where nothing happens: what was 16 s ago is 18 s ago."""

LOOK_SECONDS: Final = 30.0
"""Between two looks at the board where nothing happens: what is expected changes without an event."""

Card = Mapping[str, Any]
Events = list[Mapping[str, Any]]


def board(line: Line) -> None:
    """Who does what, what waits and why, what needs a person, what is done."""
    with line.board() as board:
        seen = _look(line, board)
    if line.as_json:
        print_json(seen)
    else:
        _show(seen)


def watch(
    line: Line,
    task: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Else the whole board.", show_default=False)
    ] = None,
) -> None:
    """Show what happens as it happens, until Ctrl-C. With --json one event per line."""
    gc.enable()
    with line.board() as board, suppress(KeyboardInterrupt):
        if task is not None:
            board.ask("read", task, {}, line.credentials(None))  # an unknown one is told now, not never
        if sys.stdout.isatty() and not line.as_json:
            _watch_live(line, board, task)
        for events in board.changes(line.credentials(None)):
            for event in _about(task, events):
                if line.as_json:
                    print_json(event)
                else:
                    say(_as_line(event))
            sys.stdout.flush()


def _watch_live(line: Line, board: Board, task: str | None) -> None:
    """Ask the board when something has happened, or for long nothing has; draw every time, with the clock."""
    screen, news = Screen(), _listened(line, board)
    while True:
        draw, looked_at = _picture(line, board, task), monotonic()
        changed = False
        while not changed and monotonic() - looked_at < LOOK_SECONDS:
            screen.show(draw)
            changed = _changed(news, task)


def _listened(line: Line, board: Board) -> "SimpleQueue[Events | BaseException]":
    """What happens, put there by a thread of its own: whoever waits for it wants to draw meanwhile."""
    news: SimpleQueue[Events | BaseException] = SimpleQueue()

    def listen() -> None:
        try:
            for events in board.changes(line.credentials(None)):
                news.put(events)
        except BaseException as end:
            news.put(end)  # and raised there

    threading.Thread(target=listen, name="changes", daemon=True).start()
    return news


def _changed(news: "SimpleQueue[Events | BaseException]", task: str | None) -> bool:
    """After a tick at the latest; many changes at once are one. Raises what ended the listening."""
    changed, patience = False, TICK_SECONDS
    while True:
        try:
            happened = news.get(timeout=patience)
        except Empty:
            return changed
        if isinstance(happened, BaseException):
            raise happened
        changed = changed or bool(_about(task, happened))
        patience = 0.0


def _about(task: str | None, events: Events) -> Events:
    return [event for event in events if task is None or event["task"] == task]


def _look(line: Line, board: Board) -> dict[str, Any]:
    groups: dict[str, list[Card]] = {status.value: [] for status in Status}
    for card in every_task(board, line.credentials(None), {}):
        groups[card["status"]].append(card)
    counts = {status: len(cards) for status, cards in groups.items()}
    for over in (Status.DONE, Status.FAILED):
        groups[over] = sorted(groups[over], key=lambda card: card["updated_at"], reverse=True)[:RECENT]
    return {"counts": counts, "tasks": groups}


def _show(seen: Mapping[str, Any]) -> None:
    counts, tasks = seen["counts"], seen["tasks"]
    say(", ".join(f"{count} {status}" for status, count in counts.items() if count) or "The board is empty.")
    now = wall()
    at_work = [*tasks["claimed"], *tasks["working"]]
    waiting = any(c["waiting_for"] for c in at_work)
    _section(
        "At work",
        ("ID", "STATUS", "AGENT", "TURNS", "PROGRESS", "TITLE", *(["WAITING FOR"] if waiting else [])),
        [
            (
                c["id"],
                c["status"],
                c["claimant"],
                c["turns"],
                ago(c["progress_at"], now),
                c["title"],
                *([c["waiting_for"]] if waiting else []),
            )
            for c in at_work
        ],
    )
    _section(
        "In review",
        ("ID", "SINCE", "REVIEW", "TITLE", "WHAT NEXT"),
        [
            (
                c["id"],
                ago(c["updated_at"], now),
                c["review"],
                c["title"],
                _what_next(c),
            )
            for c in tasks["review"]
        ],
    )
    _section(
        "Waiting",
        ("ID", "PRIORITY", "ASSIGNEE", "EXPECTED", "TITLE", "BECAUSE"),
        [
            (
                c["id"],
                c["priority"],
                c["assignee"],
                soon(c["expected_start_at"], now),
                c["title"],
                c["waiting_because"],
            )
            for c in tasks["pending"]
        ],
    )
    _section(
        "Blocked",
        ("ID", "TITLE", "REASON", "WHAT HELPS"),
        [(c["id"], c["title"], c["blocked_reason"], _what_helps(c)) for c in tasks["blocked"]],
    )
    _section(
        "Failed",
        ("ID", "WHEN", "TITLE", "REASON", "WHAT HELPS"),
        [
            (
                c["id"],
                ago(c["updated_at"], now),
                c["title"],
                c["blocked_reason"],
                f"blackboard retry {c['id']}",
            )
            for c in tasks["failed"]
        ],
    )
    _section(
        "Done",
        ("ID", "WHEN", "TITLE"),
        [(c["id"], ago(c["updated_at"], now), c["title"]) for c in tasks["done"]],
    )


def _section(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if rows:
        say()
        table(heads, rows[:SHOWN], title=title)
    if len(rows) > SHOWN:
        say(f"… and {len(rows) - SHOWN} more: blackboard list")


def _what_next(card: Card) -> str:
    """Of what is in review: only a person who has read it accepts it."""
    if card["review"] != "person":
        return card["waiting_because"] or "being checked"
    return f"blackboard read {card['id']}, then blackboard decide {card['id']} --accept"


def _what_helps(card: Card) -> str:
    match card["blocked_by"]:
        case "approval":
            return f"blackboard decide {card['id']} --approve"
        case "dependency":
            return f"blackboard list --status failed; it waits for {', '.join(card['depends_on'])}"
        case _:
            return f"blackboard answer {card['id']} TEXT"


def _picture(line: Line, board: Board, task: str | None) -> Callable[[], None]:
    """Asks once; what comes back draws it as often as wanted, by the clock of that moment."""
    if task is None:
        seen = _look(line, board)
        return lambda: _drawn("The board", lambda: _show(seen))
    card = board.ask("read", task, {"full": True}, line.credentials(None))
    places, text = board.output_places(card), result_text(board, card, line.credentials(None))
    return lambda: _drawn(card["id"], lambda: print_card(card, places, text))


def _drawn(title: str, draw: Callable[[], None]) -> None:
    say(f"{title} at {datetime.fromtimestamp(wall()).astimezone():%H:%M:%S}. Ctrl-C ends it.\n")
    draw()


def _as_line(event: Mapping[str, Any]) -> str:
    step = event["to"] if event["from"] in {None, event["to"]} else f"{event['from']} -> {event['to']}"
    return f"{moment(event['at'])}  {event['task']}  {event['what']}  {event['who']}  {step}".replace(
        "\n", " "
    )


COMMANDS: Final = (board, watch)
