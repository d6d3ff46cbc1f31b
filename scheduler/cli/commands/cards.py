"""`create`, `list`, `read`, `set`: what concerns cards as such."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from scheduler.cli.line import Line
from scheduler.cli.printing import moment, print_json, say, table
from scheduler.cli.told import whole_number, wrong_usage
from scheduler.cli.ways import Board, Credentials

_MOST_DESCRIPTION_BYTES: Final = 4_000_000
_PAGE: Final = 1_000
MOST_SHOWN_BYTES: Final = 4_096
MOST_SHOWN_LINES: Final = 40
"""Of a result: what is longer is read with something better."""

Id = Annotated[str, typer.Argument(metavar="ID", help="Of a task, as T-0042.", show_default=False)]
Title = Annotated[str | None, typer.Option(metavar="TEXT")]
Description = Annotated[str | None, typer.Option(metavar="TEXT")]
DescriptionFile = Annotated[str | None, typer.Option(metavar="FILE", help="`-`: standard input.")]
Priority = Annotated[str | None, typer.Option(metavar="P", help="urgent, high, normal or low.")]
Assignee = Annotated[str | None, typer.Option(metavar="AGENT", help="'': nobody, agents may claim it.")]
DependsOn = Annotated[list[str] | None, typer.Option(metavar="ID", help="Again for more; '': none.")]
RiskTool = Annotated[list[str] | None, typer.Option(metavar="TOOL", help="Again for more; '': none.")]
Expect = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CHECK", help="file:NAME, nonempty, regex:…, json, schema:FILE, command:NAME; '': none."
    ),
]
Review = Annotated[str | None, typer.Option(metavar="HOW", help="accept_nonempty, person or agent:ID.")]
MaxTurns = Annotated[str | None, typer.Option(metavar="N", help="0: as its agent's rules say.")]
MaxAttempts = Annotated[str | None, typer.Option(metavar="N")]
NotBefore = Annotated[str | None, typer.Option(metavar="TIME", help="As 2026-03-01T09:30:00Z; '': at once.")]


def create(
    line: Line,
    *,
    title: Annotated[str, typer.Option(metavar="TEXT", help="What it is about, in one line.")],
    description: Description = None,
    description_file: DescriptionFile = None,
    priority: Priority = None,
    assignee: Assignee = None,
    creator: Annotated[str | None, typer.Option(metavar="NAME", help="Else whoever asks.")] = None,
    depends_on: DependsOn = None,
    risk_tool: RiskTool = None,
    expect: Expect = None,
    review: Review = None,
    max_turns: MaxTurns = None,
    max_attempts: MaxAttempts = None,
    not_before: NotBefore = None,
) -> None:
    """Put a task on the board."""
    body = {
        "title": title,
        "description": _description(description, description_file),
        "priority": priority,
        "assignee": assignee or None,
        "creator": line.name if creator is None else creator,
        "depends_on": _entries(depends_on),
        "risk_tools": _entries(risk_tool),
        "expects": _entries(expect),
        "review": review,
        "max_turns": whole_number("--max-turns", max_turns) or None,
        "max_attempts": whole_number("--max-attempts", max_attempts),
        "not_before": not_before or None,
    }
    made = line.ask("create", None, {name: value for name, value in body.items() if value is not None})
    show_card(line, made, f"{made['id']} is on the board: {made['status']}.{_why(made)}")


def list_(
    line: Line,
    *,
    status: Annotated[list[str] | None, typer.Option(metavar="S", help="Again for more.")] = None,
    assignee: Annotated[str | None, typer.Option(metavar="AGENT")] = None,
    claimable: Annotated[bool, typer.Option("--claimable", help="What may be claimed now.")] = False,
    archived: Annotated[bool, typer.Option("--archived", help="With those put away.")] = False,
    limit: Annotated[str | None, typer.Option(metavar="N", help="Else all.")] = None,
) -> None:
    """List tasks."""
    most = whole_number("--limit", limit)
    if most is not None and most < 1:
        raise wrong_usage("--limit takes a whole number above 0")
    asked: dict[str, object] = {"claimable": claimable, "archived": archived}
    if status:
        asked["status"] = status
    if assignee is not None:
        asked["assignee"] = assignee
    with line.board() as board:
        tasks = list(every_task(board, line.credentials(None), asked, most))
    if line.as_json:
        print_json(tasks)
        return
    if not tasks:
        say("No tasks.")
        return
    table(
        ("ID", "STATUS", "PRIORITY", "ASSIGNEE", "TITLE"),
        ((each["id"], each["status"], each["priority"], each["assignee"], each["title"]) for each in tasks),
    )


def every_task(
    board: Board, credentials: Credentials, asked: Mapping[str, object], limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """Page by page, up to `limit`."""
    left, cursor = limit, None
    while True:
        size = _PAGE if left is None else min(_PAGE, left)
        page = board.ask(
            "list", None, {**asked, "limit": size, **({"cursor": cursor} if cursor else {})}, credentials
        )
        yield from page["tasks"]
        cursor = page["next_cursor"]
        left = None if left is None else left - len(page["tasks"])
        if cursor is None or left == 0:
            return


def read(
    line: Line,
    task: Annotated[str | None, typer.Argument(metavar="[ID]", show_default=False)] = None,
    *,
    events: Annotated[bool, typer.Option("--events", help="With everything that happened.")] = False,
) -> None:
    """Show a task and what stands beside it."""
    named = line.task(task)
    with line.board() as board:
        card = board.ask("read", named, {"full": True}, line.credentials(named))
        places = [] if line.as_json else board.output_places(card)
        text = None if line.as_json else result_text(board, card, line.credentials(named))
    if not events:
        del card["events"]
    if line.as_json:
        print_json(card)
        return
    print_card(card, places, text)


def set_(
    line: Line,
    task: Id,
    *,
    title: Title = None,
    description: Description = None,
    description_file: DescriptionFile = None,
    priority: Priority = None,
    assignee: Assignee = None,
    depends_on: DependsOn = None,
    risk_tool: RiskTool = None,
    expect: Expect = None,
    review: Review = None,
    max_turns: MaxTurns = None,
    max_attempts: MaxAttempts = None,
    not_before: NotBefore = None,
) -> None:
    """Change what a card says; '' empties a field that may be empty."""
    given: dict[str, object] = {
        "title": title,
        "description": _description(description, description_file),
        "priority": priority,
        "assignee": assignee,
        "depends_on": _entries(depends_on),
        "risk_tools": _entries(risk_tool),
        "expects": _entries(expect),
        "review": review,
        "max_turns": whole_number("--max-turns", max_turns),
        "max_attempts": whole_number("--max-attempts", max_attempts),
        "not_before": not_before,
    }
    body = {name: value for name, value in given.items() if value is not None}
    for name in ("assignee", "not_before", "max_turns"):
        if body.get(name) in {"", 0}:
            body[name] = None
    changed = line.ask("set", task, body)
    show_card(line, changed, f"{changed['id']} is changed: {changed['status']}.{_why(changed)}")


def show_card(line: Line, card: Mapping[str, Any], sentence: str) -> None:
    """A task object for programs, a sentence for people."""
    if line.as_json:
        print_json(card)
    else:
        say(sentence)


def _why(card: Mapping[str, Any]) -> str:
    return f" {card['blocked_reason']}" if card["blocked_reason"] else ""


def _description(text: str | None, file: str | None) -> str | None:
    if file is None:
        return text
    if text is not None:
        raise wrong_usage("--description or --description-file, not both")
    try:
        if file == "-":
            content = sys.stdin.buffer.read(_MOST_DESCRIPTION_BYTES + 1)
        else:
            with Path(file).open("rb") as stream:
                content = stream.read(_MOST_DESCRIPTION_BYTES + 1)
        if len(content) > _MOST_DESCRIPTION_BYTES:
            raise wrong_usage(f"{file} is longer than any description may be")
        return content.decode()
    except OSError as error:
        raise wrong_usage(f"cannot read {file}: {error.strerror}") from error
    except UnicodeError as error:
        raise wrong_usage(f"{file} is not UTF-8 text") from error


def _entries(given: list[str] | None) -> list[str] | None:
    """None: not said. A single empty entry says that there are none."""
    if given is None or not given:
        return None
    return [] if given == [""] else given


@dataclass(frozen=True, slots=True)
class ResultText:
    """What the output at this place of the list says."""

    index: int
    text: str


def result_text(board: Board, card: Mapping[str, Any], credentials: Credentials) -> ResultText | None:
    """Of the final output, else the latest, of a card that was read in full; None: it is not short text."""
    outputs = card["outputs"]
    index = max(range(len(outputs)), key=lambda each: (outputs[each]["final"], each), default=None)
    if index is None or not 0 < outputs[index]["size_bytes"] <= MOST_SHOWN_BYTES:
        return None
    content = board.short_output(card, index, MOST_SHOWN_BYTES, credentials)
    try:
        text = content.decode().strip("\r\n") if content is not None else ""
    except UnicodeDecodeError:
        return None
    if not text.strip() or "\0" in text or len(text.split("\n")) > MOST_SHOWN_LINES:
        return None
    return ResultText(index, text)


def print_card(card: Mapping[str, Any], places: Sequence[str], text: ResultText | None = None) -> None:
    """For people. `places`: where each of its outputs is to be had; `text`: of the one that is shown."""
    say(f"{card['id']}  {card['title']}".replace("\n", " "))
    facts = [
        ("status", card["status"]),
        ("priority", card["priority"]),
        ("assignee", card["assignee"] or "nobody: agents may claim it"),
        ("claimed by", card["claimant"]),
        ("lease until", card["lease_until"] and moment(card["lease_until"])),
        ("creator", card["creator"] or None),
        ("depends on", ", ".join(card["depends_on"]) or None),
        ("risk tools", ", ".join(card["risk_tools"]) or None),
        ("approval", card["approval"] if card["risk_tools"] else None),
        ("expects", ", ".join(card["expects"]) or None),
        ("review", card["review"]),
        ("attempt", f"{card['attempt']} of {card['max_attempts']}"),
        ("turns", f"{card['turns']}{f' of {card_turns}' if (card_turns := card['max_turns']) else ''}"),
        ("not before", card["not_before"] and moment(card["not_before"])),
        ("waits", card["waiting_because"]),
        ("expected", card["expected_start_at"] and moment(card["expected_start_at"])),
        ("waiting for", card["waiting_for"]),
        ("failed" if card["status"] == "failed" else "blocked", card["blocked_reason"]),
        ("created", moment(card["created_at"])),
        ("progress", card["progress_at"] and moment(card["progress_at"])),
    ]
    for name, value in facts:
        if value is not None:
            say(f"  {f'{name}:':12}  {value}".replace("\n", " "))
    if card["description"]:
        say(f"\n{card['description'].rstrip()}")
    for _, told in sorted(_told(card, places, text), key=lambda each: each[0]):
        say(f"\n{told}")
    if card.get("events"):
        say()
        table(
            ("WHEN", "WHO", "WHAT", "FROM", "TO"),
            ((moment(e["at"]), e["who"], e["what"], e["from"], e["to"]) for e in card["events"]),
        )


def _told(
    card: Mapping[str, Any], places: Sequence[str], text: ResultText | None
) -> Iterator[tuple[str, str]]:
    """What was handed in, said and decided, each with its time: in UTC, so that text sorts as time does."""
    for index, (output, place) in enumerate(zip(card["outputs"], places, strict=False)):  # more may have come
        final = ", final" if output["final"] else ""
        said = f"\n\n{text.text}" if text is not None and text.index == index else ""
        yield (
            output["at"],
            f"{_head(output)}: output {output['name']}, {output['size_bytes']} bytes{final}\n{place}{said}",
        )
    for kind in ("comments", "observations"):
        for each in card[kind]:
            yield each["at"], f"{_head(each)}, {kind.removesuffix('s')}:\n{each['text'].rstrip()}"
    for decision in card["decisions"]:
        reason = f": {decision['reason']}" if decision["reason"] else ""
        yield decision["at"], f"{moment(decision['at'])} {decision['by']}: {decision['decision']}{reason}"


def _head(entry: Mapping[str, Any]) -> str:
    return f"{moment(entry['at'])} {entry['author']}".replace("\n", " ")


COMMANDS: Final = (create, list_, read, set_)
