"""The whole app in front of a simulated upstream, at two places: in virtual time and over real sockets."""

import errno
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.assembly import Parts, assemble
from proxy.settings import Settings
from proxy.simulator import Config, Record, Simulator, open_simulator
from proxy.stamps import Stamps
from shared import clock
from shared.lifecycle import Lifecycle
from tests.edge.asgi import Client, Talk
from tests.shell.lanes import not_for_ever

CHAT = b"/v1/chat/completions"
KEY = "nvapi-the-sidecars-own-key"
MODEL = "meta/llama-3.1-8b-instruct"


def chat_body(model: str = MODEL, said: str = "hello", **more: Any) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": said}], **more}).encode()


class Line:
    """The way to the upstream: socket pairs to a simulator in the same thread.

    Such a pair delivers within the call that writes, so an autojump clock never runs ahead of it; the HTTP
    client and the simulator are the real ones.
    """

    def __init__(self, simulator: Simulator, nursery: trio.Nursery) -> None:
        self._simulator = simulator
        self._nursery = nursery
        self.refusals = 0
        """So many connections are refused; -1: all."""
        self.swallows = False
        """Connections are neither made nor refused."""
        self.attempts = 0

    async def connect(self, host: str, port: int, **_: object) -> trio.SocketStream:
        await trio.lowlevel.checkpoint()
        self.attempts += 1
        assert (host, port) == (self._simulator.host, self._simulator.port), (
            "the key would have gone elsewhere"
        )
        if self.swallows:
            await trio.sleep_forever()
        if self.refusals:
            self.refusals -= 1
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        ours, theirs = (trio.SocketStream(end) for end in trio.socket.socketpair())
        self._nursery.start_soon(self._serve, theirs)
        return ours

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            await self._simulator.converse(stream)
        finally:
            stream.socket.close()


class Sidecar:
    """The sidecar in one process with its client and its upstream."""

    def __init__(
        self, settings: Settings, stamps: Stamps, simulator: Simulator, nursery: trio.Nursery
    ) -> None:
        self.settings = settings
        self.stamps = stamps
        self.simulator = simulator
        self.lifecycle = Lifecycle()
        self.parts: Parts = assemble(settings, stamps, self.lifecycle)
        self.client = Client(self.parts.proxy_app, nursery)
        self.scraper = Client(self.parts.metrics_app, nursery)
        nursery.start_soon(self.parts.gate.run)
        nursery.start_soon(self.parts.keepalive.run)

    def begin(
        self,
        model: str = MODEL,
        *,
        headers: list[tuple[bytes, bytes]] | None = None,
        body: bytes | None = None,
        **more: Any,
    ) -> Talk:
        """A chat completion that goes on by itself."""
        return self.client.begin(
            "POST", CHAT, chat_body(model, **more) if body is None else body, headers=headers or []
        )

    async def chat(
        self,
        model: str = MODEL,
        *,
        headers: list[tuple[bytes, bytes]] | None = None,
        body: bytes | None = None,
        **more: Any,
    ) -> Talk:
        """A chat completion and its whole answer."""
        return await self.begin(model, headers=headers, body=body, **more).answered()

    async def spend(self, count: int) -> None:
        """So many requests one after the other, each answered."""
        for _ in range(count):
            assert (await self.chat()).status == 200

    @property
    def last(self) -> Record:
        """The request that reached the upstream last."""
        return self.simulator.requests[-1]

    @property
    def waiting(self) -> int:
        return sum(self.parts.gate.statistics().depth.values())

    async def json(self, target: bytes) -> Any:  # a test looks where it likes in it
        talk = await self.client.get(target)
        assert talk.status == 200
        assert talk.header(b"content-type") == b"application/json"
        return talk.json

    async def metrics(self) -> dict[str, float]:
        """A scrape: by `name{labels}` as Prometheus writes them."""
        talk = await self.scraper.get(b"/metrics")
        assert talk.status == 200
        lines = [line for line in talk.body.decode().splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    async def aclose(self) -> None:
        await self.parts.upstream.aclose()
        self.stamps.close()


class World:
    """Makes sidecars in front of its simulator; virtual time is up to the test's clock."""

    def __init__(self, directory: Path, simulator: Simulator, nursery: trio.Nursery, line: Line) -> None:
        self._directory = directory
        self._nursery = nursery
        self.simulator = simulator
        self.line = line
        self._made: list[Sidecar] = []

    def sidecar(self, *, own_key: bool = True, **settings: Any) -> Sidecar:
        """One more sidecar, with these settings and defaults otherwise."""
        values = {
            "upstream_url": self.simulator.url,
            "upstream_api_key": KEY if own_key else "",
            "state_dir": self._directory,
            **settings,
        }
        chosen = Settings(**values)
        stamps = Stamps(
            self._directory / f"{len(self._made)}.window",
            hold_seconds=chosen.window_seconds + chosen.window_margin_seconds,
            limit=chosen.window_limit,
            now=clock.monotonic(),
            boot_id=clock.boot_id(),
        )
        sidecar = Sidecar(chosen, stamps, self.simulator, self._nursery)
        self._made.append(sidecar)
        return sidecar

    async def aclose(self) -> None:
        for sidecar in self._made:
            await sidecar.aclose()


def simulated(**changes: Any) -> Config:
    """An upstream that answers at once and has no limit that matters."""
    return Config(**{"latency": 0, "chunk_gap": 0, "rpm": 100_000, **changes})


@pytest.fixture
async def world(
    nursery: trio.Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """For virtual time (ask for `autojump_clock`, too): nothing in it is a port."""
    simulator = Simulator(simulated(), trio.current_time, "127.0.0.1", 9)
    line = Line(simulator, nursery)
    monkeypatch.setattr(trio, "open_tcp_stream", line.connect)
    world = World(tmp_path, simulator, nursery, line)
    nursery.start_soon(not_for_ever)
    yield world
    await world.aclose()


@pytest.fixture
async def wired(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[World]:
    """Over real sockets on 127.0.0.1, in real time: a test bounds itself by `trio.fail_after`."""
    async with open_simulator(simulated()) as simulator:
        world = World(tmp_path, simulator, nursery, Line(simulator, nursery))
        yield world
        await world.aclose()
