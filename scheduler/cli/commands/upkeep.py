"""`init`, `backup`, `restore`, `doctor`: what keeps a board, always on its database."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from scheduler.cli.line import Line
from scheduler.cli.printing import clean, print_json, say, table
from scheduler.cli.told import ToldError, wrong_usage
from scheduler.cli.ways import as_told, direct
from shared.clock import wall

File = Annotated[str, typer.Argument(metavar="FILE", show_default=False)]


def init(line: Line) -> None:
    """Make the board, if there is none; nothing happens to one that is there."""
    place = replace(line.place(), may_create=True)
    with direct(place) as board:
        made = {"database": board.shown, "artifacts": str(place.artifacts)}
    if line.as_json:
        print_json(made)
    else:
        say(f"The board is {made['database']}, its files are in {made['artifacts']}.")


def backup(line: Line, file: File) -> None:
    """Copy the database, also while it is used. The files in artifacts/ are copied after it, as files are."""
    from scheduler.blackboard import backup as copies  # noqa: PLC0415 - two commands keep boards

    place = line.place()
    target = Path(file).absolute()
    if place.file is not None and not target.parent.is_dir():
        raise wrong_usage(f"there is no directory {target.parent} to put a backup in")
    replaced = target.exists()
    with as_told():
        made = copies.backup(place.url, Path(file))
    if isinstance(made, copies.ByServer):
        raise _by_server(made.command)
    size = made.stat().st_size
    if line.as_json:
        print_json({"backup": str(made), "size_bytes": size, "artifacts": str(place.artifacts)})
    else:
        instead = " (replaced what was there)" if replaced else ""
        say(f"The board is copied to {made}{instead}, {size} bytes; now copy {place.artifacts} too.")


def restore(
    line: Line,
    file: File,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Bring a backup back in place of what is there, which is kept. The scheduler must not run."""
    from scheduler.blackboard import backup as copies  # noqa: PLC0415 - two commands keep boards

    place = line.place()
    source = Path(file).absolute()
    if not yes:
        if line.as_json or not sys.stdin.isatty():
            raise wrong_usage("restore replaces the board: say --yes")
        typer.confirm(f"Replace the board by {clean(str(source))}?", abort=True, err=True)
    with as_told():
        made = copies.restore(source, place.url, lock=place.located.state_dir / "scheduler.lock", now=wall())
    if isinstance(made, copies.ByServer):
        raise _by_server(made.command)
    kept = None if made.replaced is None else str(made.replaced)
    if line.as_json:
        print_json({"restored": str(source), "database": str(made.path), "kept": kept})
    else:
        say(f"The board is what {source} was." + (f" What was there before is {kept}." if kept else ""))


def _by_server(command: str) -> ToldError:
    """Not done, so that no script believes it was."""
    return ToldError("by_server", f"the database server has a tool for that: {command}", 2)


def doctor(line: Line) -> None:
    """Look whether the board is in order. Exit code 1 if something is bad."""
    from scheduler.cli.doctor import examine  # noqa: PLC0415 - only here

    findings = list(examine(line.place(), line.environ))
    healthy = all(finding.verdict != "bad" for finding in findings)
    if line.as_json:
        checks = [{"name": each.name, "status": each.verdict, "message": each.message} for each in findings]
        print_json({"healthy": healthy, "checks": checks})
    else:
        table(("CHECK", "STATUS", "WHAT"), ((each.name, each.verdict, each.message) for each in findings))
    if not healthy:
        raise typer.Exit(1)


COMMANDS: Final = (init, backup, restore, doctor)
