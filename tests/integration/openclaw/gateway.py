"""A real gateway of OpenClaw's, from nothing: its own home, its own port, the simulated NVIDIA API behind it.

A gateway takes about ten seconds to start and 300 MB while it runs.
"""

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from scheduler.gateway import Gateway
from tests.integration.openclaw import OPENCLAW, configure, environment
from tests.integration.processes import Sidecar, Simulator, start, stop, until

START_SECONDS = 120.0
"""Eight on two idle cores; CI's are neither two nor idle."""
STOP_SECONDS = 3.0
"""On SIGTERM a gateway waits up to 315 s for its runs. No test needs to."""
AGENTS = ("main", "ops")


class RealGateway:
    """One gateway: configured once, started and killed as often as a test wants."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process: trio.Process | None = None
        self._said: tuple[Path, ...] = ()
        self.command: Sequence[str] = OPENCLAW
        self.environ: Mapping[str, str] = environment(home)

    async def come_up(self) -> None:
        """Start it, and wait until it answers."""
        argv = [*OPENCLAW, "gateway", "run"]
        self._process, *said = await start(argv, self._home, "gateway", self.environ)
        self._said = tuple(said)
        await until(self._says_that_it_is_ready, START_SECONDS)
        assert await Gateway(self.command, self.environ).call("health", {})

    async def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """However it is, it is over after this."""
        if self._process is not None:
            await stop(self._process, STOP_SECONDS)

    def _says_that_it_is_ready(self) -> bool:
        # Cheaper than to ask it: each question is a process, on a machine that is busy with its start.
        assert self._process is not None
        assert self._process.poll() is None, self.said()
        return "[gateway] ready" in self.said()

    def said(self) -> str:
        """Its log since the last start, for the message of a failed assertion."""
        return "".join(file.read_text(errors="replace") for file in self._said)


@asynccontextmanager
async def run_gateway(home: Path, upstream: Simulator | Sidecar) -> AsyncIterator[RealGateway]:
    """In the directory `home`. Its agents are `AGENTS`; all four providers are at `upstream`."""
    settings = {"SIDECAR_PORT": str(upstream.port), "SIDECAR_API_KEY": "simulated"}
    await configure(home, settings, _settings(home))
    gateway = RealGateway(home)
    try:
        await gateway.come_up()
        yield gateway
    finally:
        with trio.CancelScope(shield=True):
            await gateway.stop()


def _settings(home: Path) -> dict[str, dict[str, object]]:
    return {
        "gateway": {
            "mode": "local",
            "port": _free_port(),
            "bind": "loopback",
            "auth": {"mode": "token", "token": "of-a-gateway-in-a-test"},
        },
        "logging": {"file": str(home / "openclaw.log")},  # else one that all OpenClaws of a machine share
        "agents": {"entries": {agent: {"workspace": str(home / f"workspace-{agent}")} for agent in AGENTS}},
    }


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
