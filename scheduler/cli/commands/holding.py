"""`claim`, and what its holder writes: `heartbeat`, `output`, `comment`, `observe`, `block`, `fail`, and
`release`.

With a ticket or a claim token the id may be left out; the texts that stand alone are then the only words.
"""

import contextlib
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from scheduler.cli.commands.cards import show_card
from scheduler.cli.line import Line
from scheduler.cli.printing import moment, print_json, say
from scheduler.cli.told import seconds, whole_number, wrong_usage
from scheduler.cli.upload import Upload, from_file, from_stdin, from_text

DEFAULT_NAME: Final = "output.md"

OptionalId = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="Else the ticket's or the claim's.", show_default=False)
]
Author = Annotated[str | None, typer.Option(metavar="NAME", help="Else whoever asks.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why.")]
IdAndText = Annotated[
    list[str],
    typer.Argument(
        metavar="[ID] TEXT", help="With a ticket or a claim the id may be left out.", show_default=False
    ),
]


def claim(
    line: Line,
    task: Annotated[str | None, typer.Argument(metavar="[ID]", show_default=False)] = None,
    *,
    next_: Annotated[
        bool, typer.Option("--next", help="Whatever may be claimed, the most urgent first.")
    ] = False,
    agent: Annotated[str | None, typer.Option(metavar="AGENT", help="Who claims; else the ticket's.")] = None,
    ttl: Annotated[str | None, typer.Option(metavar="SECONDS", help="Of the lease; else 1800.")] = None,
) -> None:
    """Take a task, and get the token that allows to write on it."""
    if next_ == (task is not None):
        raise wrong_usage("claim ID, or claim --next")
    if agent is None and not line.has_claim:
        raise wrong_usage("who claims? Say --agent AGENT")
    body: dict[str, object] = {"agent": agent, "ttl": seconds("--ttl", ttl)}
    body = {name: value for name, value in body.items() if value is not None}
    # Whoever names the agent needs no claim to say who it is: one left in the environment stays out of it.
    claimed = line.ask("claim-next" if next_ else "claim", task, body, ambient=agent is None)
    if line.as_json:
        print_json(claimed)
        return
    say(f"{claimed['id']} is yours until {moment(claimed['expires_at'])}: {claimed['task']['title']}")
    say(f"export BLACKBOARD_CLAIM={claimed['claim']}")


def release(line: Line, task: OptionalId = None, *, reason: Reason = "") -> None:
    """Give a task back."""
    _write(line, "release", task, {"reason": reason})


def heartbeat(
    line: Line,
    task: OptionalId = None,
    *,
    turn: Annotated[str | None, typer.Option(metavar="N", help="The turn that has begun.")] = None,
    note: Annotated[str | None, typer.Option(metavar="TEXT", help="Progress, in words.")] = None,
    waiting_for: Annotated[
        str | None, typer.Option(metavar="WHAT", help="Stands until the next write; nobody calls you stuck.")
    ] = None,
) -> None:
    """Say that you are alive and how far you are."""
    given: dict[str, object] = {
        "turn": whole_number("--turn", turn),
        "note": note,
        "waiting_for": waiting_for,
    }
    _write(line, "heartbeat", task, {name: value for name, value in given.items() if value is not None})


def output(
    line: Line,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[ID] [-]", help="`-`: standard input.", show_default=False)
    ] = None,
    *,
    file: Annotated[str | None, typer.Option(metavar="PATH")] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT")] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Else the file's, or output.md.")] = None,
    final: Annotated[bool, typer.Option("--final", help="The result: it goes into review.")] = False,
) -> None:
    """Hand in a file."""
    given = list(words or ())
    stdin = "-" in given
    if stdin:
        given.remove("-")
    if len(given) > 1:
        raise wrong_usage(f"one task, not {len(given)}")
    if [file is not None, text is not None, stdin].count(True) != 1:
        raise wrong_usage("what is the output? One of --file PATH, --text TEXT and -")
    task = line.task(given[0] if given else None)
    with _upload(file, text) as upload:
        body = {"name": name if name is not None else upload.name or DEFAULT_NAME, "final": final}
        handed_in = line.ask("output", task, body, upload=upload)
    came = handed_in["output"]
    show_card(
        line,
        handed_in,
        f"{handed_in['id']} has {came['name']}, {came['size_bytes']} bytes: {handed_in['status']}.",
    )


def _upload(file: str | None, text: str | None) -> contextlib.AbstractContextManager[Upload]:
    if file is not None:
        return from_file(Path(file))
    return from_stdin() if text is None else from_text(text)


def comment(line: Line, words: IdAndText, *, author: Author = None) -> None:
    """Say something about a task."""
    _say(line, "comment", words, author)


def observe(line: Line, words: IdAndText, *, author: Author = None) -> None:
    """Note what others should know, without asking anything."""
    _say(line, "observe", words, author)


def block(line: Line, task: OptionalId = None, *, reason: Reason) -> None:
    """Say that a task cannot go on without a person."""
    _write(line, "block", task, {"reason": reason})


def fail(line: Line, task: OptionalId = None, *, reason: Reason) -> None:
    """Say that nothing will come of a task."""
    _write(line, "fail", task, {"reason": reason})


def _say(line: Line, verb: str, words: list[str], author: str | None) -> None:
    task, text = split(line, words)
    body: dict[str, object] = {"text": text}
    if author is not None:
        body["author"] = author
    _write(line, verb, task, body)


def split(line: Line, words: list[str]) -> tuple[str | None, str]:
    """`ID TEXT`, or `TEXT` alone where a claim says which task."""
    match words:
        case [text] if line.has_claim:
            return None, text
        case [task, text]:
            return task, text
        case _:
            raise wrong_usage("a task's id and one text: put the text in quotes")


def _write(line: Line, verb: str, task: str | None, body: dict[str, Any]) -> None:
    written = line.ask(verb, line.task(task), body)
    show_card(line, written, f"{written['id']} is {written['status']}.")


COMMANDS: Final = (claim, heartbeat, output, comment, observe, block, fail, release)
