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
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

openclaw = typer.Typer(help="Point OpenClaw at the sidecar and the board, and take that back.")
app.add_typer(openclaw, name="openclaw")
KeyVariable = Annotated[
    str | None,
    typer.Option(
        "--key-variable",
        metavar="NAME",
        help="OpenClaw's variable with the key, where the sidecar has none: NVIDIA_API_KEY, for one.",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="ID", help="A further model, as NVIDIA's catalogue names it."),
]
Keep = Annotated[
    list[str] | None,
    typer.Option("--keep", metavar="ID", help="An automation of OpenClaw's, by id or name, that stays on."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


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
        from scheduler.roster import load_roster, reload_roster  # noqa: PLC0415
        from scheduler.team import Team  # noqa: PLC0415
        from shared.sd_notify import SdNotify  # noqa: PLC0415

        team = Team(settings.agents_file, load_roster(settings), partial(reload_roster, settings))
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


@app.command()
def reload(context: typer.Context, config: Config = None) -> None:
    """Have the running scheduler read the roster again: whole, or not at all."""
    from scheduler.reload_command import reload as ask_for_it  # noqa: PLC0415

    typer.echo(ask_for_it(_load(config or context.obj)))


@app.command()
def heartbeat(
    context: typer.Context,
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="One of the roster's.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show it: write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, also for errors.")] = False,
    config: Config = None,
) -> None:
    """Look at an agent's task sources once, now, and put what is new there on the board."""
    from scheduler.heartbeats.command import heartbeat as beat  # noqa: PLC0415

    settings = _load(config or context.obj)
    raise typer.Exit(beat(settings, agent, os.environ, dry_run=dry_run, json=as_json))


@app.command()
def report(
    context: typer.Context,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="A time of day such as 22:00 in the roster's zone, a duration such as 12h, or RFC 3339; "
            "else the last report_at, or 24 hours.",
        ),
    ] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: all of it.")] = False,
    config: Config = None,
) -> None:
    """What was done, what failed and why, what waits for whom, and what it took."""
    from scheduler.report.command import Form, run  # noqa: PLC0415

    form = Form.JSON if as_json else Form.MARKDOWN if as_markdown else Form.TEXT
    raise typer.Exit(run(_load(config or context.obj), since, form))


@app.command()
def simulate(
    context: typer.Context,
    *,
    agents: Annotated[
        int | None,
        typer.Option(
            "--agents", metavar="N", help="The roster's first, then made-up ones; else the roster, or 20."
        ),
    ] = None,
    rpm: Annotated[float, typer.Option("--rpm", metavar="N", help="Requests per minute.")] = 40.0,
    hours: Annotated[float, typer.Option("--hours", metavar="H", help="How long the day is.")] = 24.0,
    tasks: Annotated[
        Path | None,
        typer.Option("--tasks", metavar="FILE", help="YAML or JSON: title, agent, priority, at, requests."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Another one, another day.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every task.")] = False,
    config: Config = None,
) -> None:
    """Run the team through a day in seconds, on a copy of the board.

    The ticks are the daemon's own. Runs, the budget and the time are played.

    Nothing real is touched: the board is copied, no model is asked, nobody told.

    Left out: refusals by the model API, people who talk with agents,
    work from task sources, checks of results, whatever costs no request.
    """
    from scheduler.simulate.command import run  # noqa: PLC0415

    settings = _load(config or context.obj)
    raise typer.Exit(
        run(settings, agents=agents, rpm=rpm, hours=hours, tasks=tasks, seed=seed, in_json=as_json)
    )


@openclaw.command("plan")
def openclaw_plan(
    context: typer.Context,
    *,
    key_variable: KeyVariable = None,
    models: Models = None,
    keep: Keep = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show what `apply` would change in OpenClaw's configuration, and why. Changes nothing."""
    from scheduler.openclaw_setup.command import Options, Setup  # noqa: PLC0415

    options = Options(key_variable, tuple(models or ()), frozenset(keep or ()), as_json=as_json)
    Setup(_load(config or context.obj), os.environ, options, typer.echo).plan()


@openclaw.command("apply")
def openclaw_apply(
    context: typer.Context,
    *,
    key_variable: KeyVariable = None,
    models: Models = None,
    keep: Keep = None,
    add_agents: Annotated[
        bool, typer.Option("--add-agents", help="Write agents that the roster lacks into it.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show the changes, ask, save what takes them back, and make them."""
    from scheduler.openclaw_setup.command import Options, Setup  # noqa: PLC0415

    options = Options(
        key_variable,
        tuple(models or ()),
        frozenset(keep or ()),
        add_agents=add_agents,
        yes=yes,
        as_json=as_json,
    )
    Setup(_load(config or context.obj), os.environ, options, typer.echo).apply()


@openclaw.command("undo")
def openclaw_undo(
    context: typer.Context, yes: Yes = False, as_json: Json = False, config: Config = None
) -> None:
    """Take back what `apply` changed: the configuration is what it was, automations are enabled again."""
    from scheduler.openclaw_setup.command import Options, Setup  # noqa: PLC0415

    options = Options(yes=yes, as_json=as_json)
    Setup(_load(config or context.obj), os.environ, options, typer.echo).undo()


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
        from scheduler.cli.printing import clean  # noqa: PLC0415

        for line in error.lines:  # with words of others in them
            typer.echo(clean(line, keep="\n"), err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
