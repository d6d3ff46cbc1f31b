"""The faults that tests set happen, and hit what they are meant for."""

import errno
import signal
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from tests.integration.processes import start, stop, until
from tests.integration.scheduler.faults import SteppingClock, hits, under_faults

pytestmark = pytest.mark.integration

SYNC = """
import os, tempfile
with tempfile.TemporaryFile() as file:
    for _ in range(5):
        try:
            os.fsync(file.fileno())
            print(0)
        except OSError as error:
            print(error.errno)
"""
CLOCKS = """
import threading, time
while True:
    print(time.time(), time.monotonic(), flush=True)
    threading.Event().wait(0.01)
"""


@pytest.mark.needs("strace")
async def test_the_calls_that_are_named_fail_and_no_others(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    argv = under_faults([sys.executable, "-c", SYNC], trace, "fsync:error=EIO:when=2..3")
    code, said = await _run(argv, tmp_path)
    assert code == 0
    assert said.split() == ["0", str(errno.EIO), str(errno.EIO), "0", "0"]
    await until(lambda: hits(trace) == 2)


@pytest.mark.needs("strace")
async def test_a_process_dies_in_the_call_that_is_named(tmp_path: Path) -> None:
    argv = under_faults([sys.executable, "-c", SYNC], tmp_path / "trace", "fsync:signal=SIGKILL:when=4")
    code, _ = await _run(argv, tmp_path)
    assert code == -signal.SIGKILL


@pytest.mark.needs("strace")
async def test_a_process_under_faults_gets_its_signals(tmp_path: Path) -> None:
    argv = under_faults([sys.executable, "-c", CLOCKS], tmp_path / "trace", "fsync:error=EIO")
    process, output, _ = await start(argv, tmp_path, "clocks", {})
    try:
        await until(output.read_text)
        process.terminate()
        with trio.fail_after(10):
            assert await process.wait() == -signal.SIGTERM
    finally:
        await stop(process)


@pytest.mark.needs("faketime")
@pytest.mark.parametrize("hours", [1, -1])
async def test_a_wall_clock_steps_and_the_monotonic_one_does_not(tmp_path: Path, hours: int) -> None:
    clock = SteppingClock(tmp_path / "clock")
    process, output, errors = await start([sys.executable, "-c", CLOCKS], tmp_path, "clocks", clock.env)

    def shown() -> list[tuple[float, float]]:
        complete = output.read_text().split("\n")[:-1]
        return [(float(wall), float(monotonic)) for wall, monotonic in map(str.split, complete)]

    def ahead(clocks: tuple[float, float]) -> float:
        return clocks[0] - clocks[1]

    try:
        await until(lambda: len(shown()) > 3)
        clock.show(hours * 3600)
        await until(lambda: abs(ahead(shown()[-1]) - ahead(shown()[0]) - hours * 3600) < 600)
        steps = [later[1] - earlier[1] for earlier, later in pairwise(shown())]
        assert 0 <= min(steps) <= max(steps) < 600
        assert errors.read_text() == ""
    finally:
        await stop(process)


async def _run(argv: list[str], directory: Path) -> tuple[int, str]:
    process, output, errors = await start(argv, directory, "faulty", {})
    try:
        with trio.fail_after(20):
            code = await process.wait()
    finally:
        await stop(process)
    return code, output.read_text() + errors.read_text()
