"""`mcp` and `skill install`: what gives agents the board as tools, and what teaches them its command line."""

import gc
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from scheduler.cli.light import LightCommand, LightGroup
from scheduler.cli.line import Line, on_the_line
from scheduler.cli.printing import print_json, say
from scheduler.cli.told import ToldError, wrong_usage
from scheduler.cli.ways import Board, Credentials
from scheduler.verbs import NEXT

if TYPE_CHECKING:
    from scheduler.mcp.tools import Question


def mcp(line: Line) -> None:
    """Serve the board's tools over MCP, on standard input and output. For agents without a shell."""
    # Here and not above: the protocol takes longer to import than any other command to run.
    from scheduler.mcp.stdio import TooLongError, serve  # noqa: PLC0415
    from scheduler.mcp.tools import Speaker  # noqa: PLC0415

    gc.enable()
    speaker = Speaker.AGENT if line.has_claim else Speaker.OPERATOR
    with line.board() as board:
        try:
            serve(partial(_answer, line, board), speaker)
        except TooLongError as error:
            raise wrong_usage(str(error)) from error


def _answer(line: Line, board: Board, question: "Question") -> Any:
    """As any other command would ask. Raises NotDoneError."""
    from scheduler.mcp.tools import NotDoneError  # noqa: PLC0415 - likewise

    try:
        task, credentials = _who_and_what(line, question)
        return board.ask(question.verb, task, question.body, credentials)
    except ToldError as error:
        raise NotDoneError(error.code, error.message) from error


def _who_and_what(line: Line, question: "Question") -> tuple[str | None, Credentials]:
    claim, task = question.claim, question.task
    if claim is not None:
        credentials = Credentials(line.name, claim, only_claim=True)
        return (claim.task if task is None else task), credentials
    match question.verb:
        case "list":
            return None, line.credentials(None)
        case "claim":
            # Whoever names the agent needs no claim to say who it is.
            about = None if task == NEXT else task
            return task, line.credentials(about, ambient="agent" not in question.body)
        case _:
            named = line.task(task)
            return named, line.credentials(named)


Workspace = Annotated[
    str, typer.Argument(metavar="WORKSPACE", help="An agent's; it must be there.", show_default=False)
]


def install(line: Line, workspace: Workspace) -> None:
    """Write the page that teaches an agent the board: skills/blackboard/SKILL.md in its workspace."""
    from scheduler.cli import skill  # noqa: PLC0415 - only here

    place = Path(workspace).absolute()
    if not place.is_dir():
        raise wrong_usage(f"there is no workspace {place}")
    done = skill.install(place, Path(sys.executable).parent / "blackboard")
    kept = None if done.kept is None else str(done.kept)
    if line.as_json:
        print_json({"skill": str(done.page), "changed": done.changed, "kept": kept})
    elif not done.changed:
        say(f"{done.page} is there already.")
    else:
        say(f"{done.page} is written." + (f" The one that somebody had edited is {kept}." if kept else ""))


skill_app = typer.Typer(name="skill", cls=LightGroup, help="The page that teaches agents the board.")
skill_app.command("install", cls=LightCommand)(on_the_line(install))


@skill_app.callback()
def _skill() -> None:
    """The page that teaches agents the board."""


COMMANDS: Final = (mcp,)
