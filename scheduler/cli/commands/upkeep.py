"""`init`, `backup`, `restore`, `doctor`: what keeps a board, always on its database."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from scheduler.cli.line import Line
from scheduler.cli.printing import print_json, say, table
from scheduler.cli.told import wrong_usage
from scheduler.cli.ways import direct

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
    """Copy the database while it is used. Files in artifacts/ are copied as files are."""
    target = Path(file).absolute()
    with direct(line.place()) as board:
        board.backup(target)
        made = {"backup": str(target), "size_bytes": target.stat().st_size, "database": board.shown}
    if line.as_json:
        print_json(made)
    else:
        say(f"{made['database']} is copied to {target}, {made['size_bytes']} bytes.")


def restore(
    line: Line,
    file: File,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Bring a backup back in place of what is there. The scheduler must not run."""
    from scheduler.cli.direct import restored  # noqa: PLC0415 - only here

    place = line.place()
    source = Path(file).absolute()
    if not yes:
        if line.as_json or not sys.stdin.isatty():
            raise wrong_usage("restore replaces the board: say --yes")
        typer.confirm(f"Replace the board by {source}?", abort=True, err=True)
    kept = restored(place, source)
    made = {"restored": str(source), "database": place.shown, "kept": None if kept is None else str(kept)}
    if line.as_json:
        print_json(made)
    else:
        was = f" What was there is {kept}." if kept else ""
        say(f"{place.shown} is what {source} was.{was}")


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
