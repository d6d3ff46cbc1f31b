"""The board when its disk is full or failing, or its writer dies: what was acknowledged stays.

Another process does the writing, under strace, which makes its system calls fail or kills it in the middle of
one. It says every id that it was told, so the test knows what was acknowledged.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from scheduler.blackboard.backup import backup, check
from scheduler.core.task import Draft
from tests.integration.processes import INHERITED, ROOT
from tests.integration.scheduler.boards import opened, sqlite_url
from tests.integration.scheduler.faults import hits, under_faults

pytestmark = [pytest.mark.integration, pytest.mark.needs("strace")]

SECONDS = 120.0  # a limit for a hung test, not a measure
WRITES = 120

WRITER = """
import os, sys
from pathlib import Path
from scheduler.blackboard.errors import BoardError
from scheduler.blackboard.store import Store
from scheduler.core.task import Draft

url, directory, most = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
store = Store.open(url, artifacts=directory / "artifacts")
failures = 0
for number in range(most):
    try:
        made = store.create(Draft(f"task {number}", description="x" * 5000), who="me", now=1.0)
        claimed = store.claim(made.id, agent="coder", now=2.0, lease_seconds=60.0)
        with store.receiver() as receiver:
            receiver.write(b"y" * 5000)
            done = store.hand_in(
                made.id, receiver.finish(), name="a.md", final=True, now=3.0, token=claimed.token
            )
    except BoardError as error:
        failures += 1
        print("failed", type(error).__name__, str(error).replace(chr(10), " "), flush=True)
        if failures == 3:
            break
    else:
        os.write(1, f"done {made.id}\\n".encode())
print("end", flush=True)
"""


@pytest.mark.parametrize(
    ("call", "when"),
    [
        ("pwrite64", 150),
        ("pwrite64", 301),
        ("fdatasync", 40),
        ("fdatasync", 60),
        ("fsync", 60),
        ("rename", 30),
    ],
)
def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(tmp_path: Path, call: str, when: int) -> None:
    said, code = write(tmp_path, f"{call}:signal=SIGKILL:when={when}")
    assert code == -signal.SIGKILL
    check_that_everything_is_there(tmp_path, said)


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    said, code = write(tmp_path, "pwrite64:error=ENOSPC:when=300+")
    failed = [line for line in said if line.startswith("failed")]
    assert code == 0
    assert len(failed) == 3
    assert all(line.startswith("failed BoardUnavailable") and "full" in line for line in failed)
    check_that_everything_is_there(tmp_path, said)


@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
def test_a_failing_disk_is_told_as_such_and_nothing_is_written_any_more(tmp_path: Path, call: str) -> None:
    # Only once: a second try would succeed, and hide that the first was lost.
    said, code = write(tmp_path, f"{call}:error=EIO:when=100")
    failed = [line for line in said if line.startswith("failed")]
    assert code == 0
    assert len(failed) == 3
    assert all(line.startswith("failed BoardBroken") for line in failed)
    assert said[-1] == "end"
    assert said.index(failed[0]) == len(said) - 4, "nothing succeeds after the first failure"
    check_that_everything_is_there(tmp_path, said)


def write(directory: Path, *faults: str) -> tuple[Sequence[str], int]:
    """What the writer said, complete lines, and its exit code."""
    with opened(sqlite_url(directory), directory) as store:
        store.create(Draft("the first"), who="me", now=1.0)
    argv = [sys.executable, "-c", WRITER, sqlite_url(directory), str(directory), str(WRITES)]
    trace = directory / "trace"
    with (directory / "out").open("wb") as out, (directory / "errors").open("wb") as errors:
        process = subprocess.Popen(
            under_faults(argv, trace, *faults),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            cwd=ROOT,
            env={name: os.environ[name] for name in INHERITED if name in os.environ},
        )
        try:
            code = process.wait(SECONDS)
        finally:
            process.kill()
            process.wait()
    said = (directory / "out").read_text().split("\n")[:-1]
    assert hits(trace) or code < 0, (directory / "errors").read_text()
    return said, code


def check_that_everything_is_there(directory: Path, said: Sequence[str]) -> None:
    """All that was acknowledged, with its file; and the board is whole, and goes on."""
    acknowledged = [line.removeprefix("done ") for line in said if line.startswith("done")]
    assert acknowledged, "a test that wrote nothing shows nothing"
    with opened(sqlite_url(directory), directory) as store:
        for each in acknowledged:
            (output,) = store.thread(each).outputs
            assert store.output_file(output).read_bytes() == b"y" * 5000
        every = store.snapshot().held
        for task in every:
            for output in store.thread(task.id).outputs:
                assert store.output_file(output).exists(), "never a row without its file"
        store.create(Draft("and on"), who="me", now=9.0)
    kept = backup(sqlite_url(directory), directory / "kept.db")
    assert isinstance(kept, Path)
    check(kept)
