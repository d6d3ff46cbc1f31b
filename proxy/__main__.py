"""The command line of the sidecar. It decides nothing: it loads the settings, hands them on and exits.

What is heavy is imported inside the commands, so that ``--version`` and ``--help`` answer at once. Exit
codes: 0 done, 1 an obstacle in the surroundings, 2 wrong settings or a wrong command line.
"""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from proxy.settings import Settings

app = typer.Typer(
    name="nvidia-sidecar",
    help="Spends one small request-per-minute budget of the NVIDIA API well.",
    add_completion=False,
    no_args_is_help=False,
    # A traceback with the values of local variables in it would print keys.
    pretty_exceptions_enable=False,
)

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="YAML file of settings; else $SIDECAR_CONFIG."),
]


def _print_version(asked: bool) -> None:
    if asked:
        from proxy import __version__  # noqa: PLC0415

        typer.echo(f"nvidia-sidecar {__version__}")
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
        from proxy.daemon import run  # noqa: PLC0415
        from shared.sd_notify import SdNotify  # noqa: PLC0415

        systemd = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
        raise typer.Exit(run(settings, SdNotify(*map(os.environ.get, systemd))))


@app.command()
def check(
    context: typer.Context,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Validate the settings and print each with its source, secrets masked."""
    from shared import check as report  # noqa: PLC0415

    settings = _load(config or context.obj)
    if as_json:
        typer.echo(report.as_json(settings))
        return
    for line in report.as_text(settings):
        typer.echo(line)
    for warning in settings.warnings:
        typer.echo(f"warning: {warning}", err=True)


@app.command("openclaw-config")
def openclaw_config(
    context: typer.Context,
    config: Config = None,
    models: Annotated[
        list[str] | None,
        typer.Option("--models", metavar="ID[,ID...]", help="Models as NVIDIA's catalogue names them."),
    ] = None,
) -> None:
    """Print the OpenClaw configuration that points at this sidecar, as JSON."""
    from proxy import openclaw  # noqa: PLC0415
    from shared.errors import StartError  # noqa: PLC0415
    from shared.settings import wrong  # noqa: PLC0415

    settings = _load(config or context.obj)
    if settings.listen_port == 0:
        name = settings.origin("listen_port").name
        raise StartError(wrong(name, "0", "a fixed port that OpenClaw can be pointed at"), exit_code=2)
    listed = [model.strip() for given in models or () for model in given.split(",") if model.strip()]
    block = openclaw.config_block(
        openclaw.base_url(settings.listen_host, settings.listen_port),
        openclaw.client_key(own_key=settings.has_own_key, known_clients=bool(settings.clients)),
        listed or openclaw.DEFAULT_MODELS,
    )
    typer.echo(json.dumps(block, indent=2))


def _load(config: Path | None) -> "Settings":
    from proxy.settings import Settings  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    by_variable = os.environ.get("SIDECAR_CONFIG")
    if config is None and by_variable:
        return load(Settings, os.environ, Path(by_variable), named="SIDECAR_CONFIG")
    return load(Settings, os.environ, config)


def main() -> None:
    """The console script."""
    from shared.errors import StartError  # noqa: PLC0415

    try:
        app(prog_name="nvidia-sidecar")
    except StartError as error:
        for line in error.lines:
            typer.echo(line, err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
