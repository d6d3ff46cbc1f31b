"""A sidecar that nobody asks does nothing: no timer ticks, no task wakes."""

from pathlib import Path

import pytest
import trio

from proxy.simulator import Config, open_simulator
from tests.integration.clients import open_client
from tests.integration.processes import run_sidecar, until

pytestmark = pytest.mark.integration

SETTLING_SECONDS = 0.3
"""For what is still done about a request when its client has its answer."""
QUIET_SECONDS = 1.5


@pytest.mark.needs("/proc")
async def test_an_idle_sidecar_does_not_wake_once(tmp_path: Path) -> None:
    """After real traffic, with its connections still open. The time is the machine's, as /proc shows it."""
    with trio.fail_after(30):
        async with (
            open_simulator(Config(latency=0)) as simulator,
            run_sidecar(upstream=simulator.url, state_dir=tmp_path) as sidecar,
            open_client(sidecar) as client,
        ):
            for _ in range(10):
                assert (await client.ask()).status_code == 200
            tasks = Path(f"/proc/{sidecar.process.pid}/task")
            answered_at = _uptime()
            await until(lambda: _uptime() >= answered_at + SETTLING_SECONDS)
            before = _wakes(tasks)
            await until(lambda: _uptime() >= answered_at + SETTLING_SECONDS + QUIET_SECONDS)
            assert _wakes(tasks) == before


def _wakes(tasks: Path) -> dict[str, int]:
    """How often each thread has given up the processor, which is how often it has woken."""
    return {
        task.name: int(
            (task / "status")
            .read_text(encoding="ascii")
            .partition("\nvoluntary_ctxt_switches:")[2]
            .split()[0]
        )
        for task in tasks.iterdir()
    }


def _uptime() -> float:
    return float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
