"""``nvidia-sim``: the simulator as a process."""

import contextlib
import ipaddress
import resource
import signal
from functools import partial
from typing import Annotated

import msgspec
import trio
import typer

import proxy
from proxy.simulator.config import Config
from proxy.simulator.server import Simulator, serve


def main() -> None:
    typer.run(nvidia_sim)


def nvidia_sim(
    *,
    host: Annotated[str, typer.Option(help="Where to listen; loopback only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 9180,
    rpm: Annotated[int, typer.Option(help="Requests per key in any window; 0 refuses all.")] = 40,
    window: Annotated[float, typer.Option(help="Length of the window in seconds.")] = 60.0,
    model_rpm: Annotated[
        list[str] | None, typer.Option(metavar="NAME=N", help="A model's own limit.")
    ] = None,
    workers: Annotated[
        list[str] | None, typer.Option(metavar="NAME=N", help="Requests that a model serves at once.")
    ] = None,
    latency: Annotated[
        str, typer.Option(help="Until the answer: SECONDS, LOW-HIGH or lognormal:MEDIAN,SIGMA.")
    ] = "0.4",
    first_token: Annotated[
        str | None, typer.Option(help="Until a stream begins; as --latency if not given.")
    ] = None,
    chunks: Annotated[int, typer.Option(help="Pieces of text in a stream.")] = 12,
    chunk_gap: Annotated[float, typer.Option(help="Seconds between two pieces.")] = 0.05,
    key: Annotated[str | None, typer.Option(help="The only key to accept; any, if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Repeats the same latencies.")] = 1,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """A strict stand-in for NVIDIA's API: its limits, its answers, its faults."""
    if version:
        typer.echo(f"nvidia-sim {proxy.__version__}")
        return
    if not _is_loopback(host):
        raise typer.BadParameter(
            f"{host} is beyond loopback: nvidia-sim keeps whatever key it is sent", param_hint="--host"
        )
    settings = {
        "rpm": rpm,
        "window": window,
        "model_rpm": _numbers(model_rpm, "--model-rpm"),
        "workers": _numbers(workers, "--workers"),
        "latency": latency,
        "first_token": first_token,
        "chunks": chunks,
        "chunk_gap": chunk_gap,
        "key": key,
        "seed": seed,
    }
    try:
        config = msgspec.convert(settings, Config)
    except msgspec.ValidationError as error:
        raise typer.BadParameter(str(error)) from error
    _raise_descriptor_limit()
    try:
        trio.run(_run, config, host, port)
    except* OSError as group:
        typer.echo(f"nvidia-sim cannot listen on {host}:{port}: {_first(group)}", err=True)
        failed = True
    else:
        failed = False
    if failed:
        raise typer.Exit(1)


async def _run(config: Config, host: str, port: int) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            simulator: Simulator = await nursery.start(partial(serve, config, host=host, port=port))
            started = {
                "event": "nvidia_sim_started",
                "host": simulator.host,
                "port": simulator.port,
                "url": simulator.url,
            }
            typer.echo(msgspec.json.encode(started))  # flushes
            await anext(signals)
            nursery.cancel_scope.cancel()


def _first(error: BaseException) -> BaseException:
    """The plain error inside nested groups."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _numbers(pairs: list[str] | None, option: str) -> dict[str, int]:
    """``NAME=N`` options as a mapping; a name may contain ``=``."""
    numbers = {}
    for pair in pairs or ():
        name, _, number = pair.rpartition("=")
        if not name or not number.isdecimal():
            raise typer.BadParameter(f"{pair!r} is not NAME=N", param_hint=option)
        numbers[name] = int(number)
    return numbers


def _raise_descriptor_limit() -> None:
    """A usual soft limit of 1,024 descriptors would end 1,000 streams."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses an unlimited one; then it stays as it is
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
