"""A sidecar that cannot start says why in one line and ends with 1."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

from tests.integration.processes import run_sidecar, start, stop

pytestmark = pytest.mark.integration

NOWHERE = "http://127.0.0.1:9"


@pytest.mark.needs("minutes")
async def test_an_obstacle_is_named_and_the_state_directory_let_go(tmp_path: Path) -> None:
    """A state directory that another sidecar holds; a port that it listens on."""
    other = tmp_path / "other"
    async with run_sidecar(upstream=NOWHERE, state_dir=tmp_path) as first:
        code, said = await _refused(tmp_path, _settings(tmp_path))
        assert code == 1
        (line,) = said.splitlines()
        assert f"the state directory {tmp_path} is in use by process {first.process.pid}" in line
        for which, port in (("SIDECAR_PORT", first.port), ("SIDECAR_METRICS_PORT", first.metrics_port)):
            code, said = await _refused(tmp_path, {**_settings(other), which: str(port)})
            assert code == 1
            assert said == f"cannot listen on 127.0.0.1:{port}: address already in use\n"
        async with run_sidecar(upstream=NOWHERE, state_dir=other):
            pass


def _settings(state_dir: Path) -> dict[str, str]:
    return {
        "SIDECAR_PORT": "0",
        "SIDECAR_METRICS_PORT": "0",
        "SIDECAR_UPSTREAM": NOWHERE,
        "SIDECAR_API_KEY": "nvapi-of-the-sidecar",
        "SIDECAR_STATE_DIR": str(state_dir),
        "HOME": str(state_dir),
    }


async def _refused(directory: Path, env: Mapping[str, str]) -> tuple[int, str]:
    """The exit code and the stderr of a sidecar that is expected not to start."""
    process, _, errors = await start([sys.executable, "-m", "proxy"], directory, "refused", env)
    try:
        with trio.fail_after(20):
            code = await process.wait()
    finally:
        await stop(process)
    return code, errors.read_text(encoding="utf-8")
