"""A worker that is stopped in its sleep, and wakes when its lease is over and somebody else has the task."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from scheduler.blackboard.store import Store
from scheduler.core.errors import Refused
from scheduler.core.task import Draft
from shared import clock
from tests.integration.processes import INHERITED, ROOT, until
from tests.integration.scheduler.boards import opened, sqlite_url

pytestmark = pytest.mark.integration

SLEEPER = """
import os, signal, sys
from pathlib import Path
from scheduler.blackboard.store import Store
from scheduler.core.errors import Refused
from scheduler.core.holding import heartbeat
from shared import clock

directory = Path(sys.argv[1])
store = Store.open(os.environ["BOARD"], artifacts=directory, create=False)
token = store.claim("T-0001", agent="sleeper", now=clock.wall(), lease_seconds=0.5).token
os.kill(os.getpid(), signal.SIGSTOP)
now = clock.wall()
writes = {
    "heartbeat": lambda: store.change(
        "T-0001", lambda task, attempt: heartbeat(task, attempt, turn=9, who="sleeper", now=now),
        token=token, now=now,
    ),
    "final": lambda: store.hand_in(
        "T-0001", store.receive(b"late"), name="late.md", final=True, now=now, token=token
    ),
}
for name, write in writes.items():
    try:
        write()
    except Refused as refused:
        print(name, refused.code, flush=True)
    else:
        print(name, "written", flush=True)
store.close()
"""


async def test_it_is_refused_on_sqlite(tmp_path: Path) -> None:
    await wake_too_late(sqlite_url(tmp_path), tmp_path)


@pytest.mark.needs("postgresql")
async def test_it_is_refused_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    await wake_too_late(postgres_url, tmp_path)


async def wake_too_late(url: str, directory: Path) -> None:
    """Whatever it writes then changes nothing: the task is the next one's alone."""
    with opened(url, directory) as store, trio.fail_after(30):
        store.create(Draft("a task"), who="me", now=clock.wall())
        env = {name: os.environ[name] for name in INHERITED if name in os.environ} | {"BOARD": url}
        said = directory / "said"
        with said.open("wb") as out:
            sleeper = await trio.lowlevel.open_process(
                [sys.executable, "-c", SLEEPER, str(directory / "artifacts")],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=env,
            )
        try:
            _, status = await trio.to_thread.run_sync(os.waitpid, sleeper.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status), said.read_text()
            await until(lambda: taken_over(store))
            before = store.task("T-0001"), store.thread("T-0001")
            sleeper.send_signal(signal.SIGCONT)
            assert await sleeper.wait() == 0, said.read_text()
        finally:
            if sleeper.returncode is None:
                sleeper.kill()
                await sleeper.wait()
        assert said.read_text().splitlines() == ["heartbeat stale_claim", "final stale_claim"]
        assert (store.task("T-0001"), store.thread("T-0001")) == before
        assert (before[0].claimant, before[0].epoch) == ("waker", 2)


def taken_over(store: Store) -> bool:
    """By the next one, as soon as the lease of the first one is over."""
    try:
        store.claim("T-0001", agent="waker", now=clock.wall(), lease_seconds=3600.0)
    except Refused:
        return False
    return True
