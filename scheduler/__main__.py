"""The command line of the scheduler. It decides nothing: it loads the settings, hands them on and exits.

What is heavy is imported inside the commands, so that ``--version`` and ``--help`` answer at once. Exit
codes: 0 done, 1 an obstacle in the surroundings, 2 wrong settings or a wrong command line.
"""

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from scheduler.settings import Settings

app = typer.Typer(
    name="agent-scheduler",
    help="Decides which agent works on what, and when.",
    add_completion=False,
    no_args_is_help=False,
    # A traceback with the values of local variables in it would print tokens.
    pretty_exceptions_enable=False,
)

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="YAML file of settings; else $SCHEDULER_CONFIG."),
]
Agent = Annotated[str | None, typer.Argument(metavar="[AGENT]", help="All agents if left out.")]


def _print_version(asked: bool) -> None:
    if asked:
        from scheduler.version import __version__  # noqa: PLC0415

        typer.echo(f"agent-scheduler {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    config: Config = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Serve until SIGTERM or SIGINT."""
    context.obj = config
    if context.invoked_subcommand is None:
        settings = _load(config)  # first: wrong settings are told without importing a server
        from scheduler.daemon import run  # noqa: PLC0415
        from scheduler.roster import load_roster  # noqa: PLC0415
        from scheduler.team import Team  # noqa: PLC0415
        from shared.sd_notify import SdNotify  # noqa: PLC0415

        team = Team(load_roster(settings), partial(load_roster, settings))
        systemd = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
        notify = SdNotify(*map(os.environ.get, systemd))
        raise typer.Exit(run(settings, team, notify, os.environ))


@app.command()
def check(
    context: typer.Context,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Validate the settings and the roster, and print each setting with its source, secrets masked."""
    from scheduler.roster import load_roster  # noqa: PLC0415
    from shared import check as report  # noqa: PLC0415

    settings = _load(config or context.obj)
    load_roster(settings)
    if as_json:
        typer.echo(report.as_json(settings))
        return
    for line in report.as_text(settings):
        typer.echo(line)
    for warning in settings.warnings:
        typer.echo(f"warning: {warning}", err=True)


@app.command()
def pause(
    context: typer.Context,
    agent: Agent = None,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Such as 30m, 2h, 1d; else until resumed.")
    ] = None,
    config: Config = None,
) -> None:
    """Start no further runs, of one agent or of all; what runs goes on."""
    from scheduler.pausing import pause_for  # noqa: PLC0415

    typer.echo(pause_for(_load(config or context.obj), agent, duration))


@app.command()
def resume(context: typer.Context, agent: Agent = None, config: Config = None) -> None:
    """Take a pause back."""
    from scheduler.pausing import resume as take_back  # noqa: PLC0415

    typer.echo(take_back(_load(config or context.obj), agent))


def _load(config: Path | None) -> "Settings":
    from scheduler.settings import Settings  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    by_variable = os.environ.get("SCHEDULER_CONFIG")
    if config is None and by_variable:
        return load(Settings, os.environ, Path(by_variable), named="SCHEDULER_CONFIG")
    return load(Settings, os.environ, config)


def main() -> None:
    """The console script."""
    from shared.errors import StartError  # noqa: PLC0415

    try:
        app(prog_name="agent-scheduler")
    except StartError as error:
        for line in error.lines:
            typer.echo(line, err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
