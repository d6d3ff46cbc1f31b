"""What a service manager hears over its socket: ready, alive, stopping."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.integration.processes import run_sidecar

pytestmark = pytest.mark.integration

NOWHERE = "http://127.0.0.1:9"


async def test_the_manager_hears_ready_then_signs_of_life_then_stopping(tmp_path: Path) -> None:
    async with _manager(tmp_path / "notify") as manager:
        settings = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        with trio.fail_after(30):
            async with run_sidecar(upstream=NOWHERE, state_dir=tmp_path, env=settings) as sidecar:
                heard = {await _hear(manager), await _hear(manager)}
                assert heard == {"READY=1", "WATCHDOG=1"}
                begun = trio.current_time()
                assert [await _hear(manager) for _ in range(3)] == ["WATCHDOG=1"] * 3
                assert (
                    trio.current_time() - begun > 0.15
                )  # three halves of the interval, less a late first one
                sidecar.process.terminate()
                while (word := await _hear(manager)) == "WATCHDOG=1":
                    pass
                assert word == "STOPPING=1"
                assert await sidecar.process.wait() == 0


@asynccontextmanager
async def _manager(path: Path) -> AsyncIterator[trio.socket.SocketType]:
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as sock:
        await sock.bind(str(path))
        yield sock


async def _hear(manager: trio.socket.SocketType) -> str:
    return (await manager.recv(100)).decode()
