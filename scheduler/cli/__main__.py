"""The console script `blackboard`. It decides nothing: it runs one command and says how that went.

Exit codes: 0; 2 usage, or a request that is wrong in itself; 3 not found; 4 a conflict, or not allowed; 5 the
board is not available; 75 it was busy for more than 10 s; 1 a fault of ours; 130 ended by Ctrl-C.
"""

import gc
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from scheduler.cli.commands import agents, cards, holding, overview, steering, upkeep
from scheduler.cli.light import LightCommand, LightGroup
from scheduler.cli.line import AsJson, ClaimText, Db, Options, TicketFile, Url, on_the_line, shared_options
from scheduler.cli.printing import print_json, warn
from scheduler.cli.told import USAGE, ToldError
from scheduler.wire import error_json

UsageError: Final[Any] = typer.BadParameter.__mro__[1]
"""Typer's, of all that is wrong with a command line; it has no public name for it."""

app = typer.Typer(
    name="blackboard",
    cls=LightGroup,
    help="The board of tasks that agents and people share.",
    no_args_is_help=False,
    # A traceback with the values of local variables in it would print tokens.
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        from scheduler.version import __version__  # noqa: PLC0415 - only here

        sys.stdout.write(f"blackboard {__version__}\n")
        raise typer.Exit


@app.callback()
def blackboard(
    context: typer.Context,
    *,
    db: Db = None,
    url: Url = None,
    ticket: TicketFile = None,
    claim_token: ClaimText = None,
    as_json: AsJson = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The board of tasks that agents and people share."""
    shared_options(context, Options(db, url, ticket, claim_token, as_json))


for _command in (
    *cards.COMMANDS,
    *holding.COMMANDS,
    *steering.COMMANDS,
    *overview.COMMANDS,
    *agents.COMMANDS,
    *upkeep.COMMANDS,
):
    _name = _command.__name__.removesuffix("_")
    app.command(_name, cls=LightCommand)(on_the_line(_command))
app.add_typer(agents.skill_app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    as_json = _wants_json(arguments)
    try:
        return _invoke(arguments)
    except ToldError as error:
        told = error
    except typer.Abort:
        return 130
    except UsageError as error:
        told = ToldError(USAGE, error.format_message(), 2)
    except BrokenPipeError:
        raise
    except OSError as error:
        told = ToldError("io_error", str(error), 1)
    except Exception:
        if as_json:
            print_json(error_json("internal_error", "a fault of ours: see stderr"))
        raise
    if as_json:
        print_json(error_json(told.code, told.message))
    else:
        warn(told.message)
    return told.exit_code


def _invoke(arguments: Sequence[str]) -> int:
    try:
        code = app(args=[*arguments] or ["--help"], prog_name="blackboard", standalone_mode=False)
    except SystemExit as end:
        # Typer's own answer to a reader that is gone, and to nothing else but completions.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        raise
    return (code or 0) if arguments else 2


def _wants_json(arguments: Sequence[str]) -> bool:
    """Asked before the command line is understood, because it may turn out not to be."""
    before_text = list(arguments)
    if "--" in before_text:
        before_text = before_text[: before_text.index("--")]
    return "--json" in before_text


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows no UTF-8 shows escapes in place of what it lacks.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a TextIOWrapper
    # A command lives for a third of a second, and a third more would go into looking for garbage among the
    # many small things that imports make: meanwhile, and (unless frozen) once more when the interpreter ends.
    # `watch`, which stays, looks again.
    gc.disable()
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has seen enough. What is left in the buffer has no reader, and must not be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    main()
