"""The scheduler's look at a real sidecar, and at what else may listen on its port."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio

from scheduler.sidecar import Sidecar
from tests.integration.processes import run_sidecar, run_simulator, until

pytestmark = [pytest.mark.integration, pytest.mark.needs("minutes")]


@asynccontextmanager
async def looking_at(port: int) -> AsyncIterator[Sidecar]:
    sidecar = Sidecar(f"http://127.0.0.1:{port}")
    try:
        yield sidecar
    finally:
        await sidecar.aclose()


async def counted(sidecar: Sidecar) -> None:
    """Until its one caller has its answer, and it has been counted: a moment after the last byte."""

    async def seen() -> bool:
        (row,) = (await sidecar.look()).activities
        return row.completion_tokens > 0 and not row.waits

    look: Callable[[], bool | Awaitable[bool]] = seen
    await until(look)


async def test_a_real_sidecar_is_understood(tmp_path: Path) -> None:
    async with (
        run_simulator(tmp_path) as simulator,
        run_sidecar(upstream=simulator.url, state_dir=tmp_path) as process,
        looking_at(process.port) as sidecar,
        httpx.AsyncClient(trust_env=False, timeout=30) as client,
    ):
        fresh = await sidecar.look()
        assert fresh.capacity.known, fresh.capacity.error
        assert fresh.capacity.spare_rpm == fresh.capacity.effective_rpm > 0
        assert set(fresh.capacity.expected_wait_seconds) == {"urgent", "high", "normal", "low"}
        assert (fresh.capacity.retreat_state, fresh.capacity.quiet_until) == ("normal", None)
        assert fresh.activities == ()

        answer = await client.post(
            f"{process.url}/chat/completions",
            headers={"x-agent-id": "coo", "x-session-affinity": "3f0c:0"},
            json={"model": "meta/llama-3.1-8b-instruct", "messages": [{"role": "user", "content": "hi"}]},
        )
        assert answer.status_code == 200, answer.text

        await counted(sidecar)
        view = await sidecar.look()
        (row,) = view.activities
        assert (row.agent, row.session, row.requests) == ("coo", "3f0c:0", 1)
        assert row.last_answer_at is not None
        assert view.capacity.spare_rpm == view.capacity.effective_rpm - 1


@pytest.mark.parametrize(
    ("says", "error"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "did not answer properly"),
        (b"", "did not answer properly"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n", "with 302"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{}", "did not answer properly"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "not understood"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000, "did not answer properly"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 2_000_000, "longer than 1 MB"),
    ],
)
async def test_whatever_else_listens_there_is_no_sidecar(says: bytes, error: str) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            with suppress(trio.BrokenResourceError):  # it has heard enough
                await stream.send_all(says)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        async with looking_at(listener.socket.getsockname()[1]) as sidecar:
            view = await sidecar.look()
        nursery.cancel_scope.cancel()
    assert not view.capacity.known
    assert error in view.capacity.error


async def test_where_nobody_listens_there_is_no_sidecar() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    async with looking_at(port) as sidecar:
        assert (await sidecar.look()).capacity.error == "the sidecar cannot be reached"
