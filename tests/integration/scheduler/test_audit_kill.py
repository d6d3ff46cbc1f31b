"""The audit log on a real disk, where the process dies or the disk fails: what was flushed is there, once."""

import json
import signal
import sys
from pathlib import Path

import pytest
import trio

from scheduler.audit.file import FileStore
from scheduler.audit.record import AuditRecord
from tests.integration.processes import start, stop, until
from tests.integration.scheduler.faults import hits, under_faults

pytestmark = [pytest.mark.integration, pytest.mark.needs("strace")]

BATCHES, BATCH, FILE_BYTES = 30, 10, 4000
# Flushes batch after batch, and says after each what is safe.
WRITER = f"""
import sys, trio
from pathlib import Path
from scheduler.audit.file import FileStore
from scheduler.audit.log import AuditLog
from shared.redaction import Redactor

async def main():
    store = FileStore(Path(sys.argv[1]), most_bytes={FILE_BYTES}, most_files=100)
    log = AuditLog(store, Redactor(), batch_size={BATCH}, flush_seconds=3600, retention_days=90)
    for number in range({BATCHES * BATCH}):
        log.record("task_claimed", at=1.79e9 + number, actor="coder", subject=str(number))
        if number % {BATCH} == {BATCH - 1}:
            while not await log.flush():
                print(log.statistics().last_error, file=sys.stderr, flush=True)
            print(number, flush=True)
    await log.aclose()

trio.run(main)
"""


@pytest.mark.parametrize(
    "injection",
    [
        "write:signal=SIGKILL:when=15",
        "fsync:signal=SIGKILL:when=1",
        "fsync:signal=SIGKILL:when=17",
        "rename:signal=SIGKILL:when=3",
    ],
)
async def test_what_was_flushed_before_a_kill_is_there_and_the_next_process_goes_on(
    tmp_path: Path, injection: str
) -> None:
    directory = tmp_path / "audit"
    code, said, _ = await _write(tmp_path, injection)
    assert code == -signal.SIGKILL
    flushed = int(said.split()[-1]) if said else -1
    written = _subjects(directory)
    assert written == list(range(len(written)))
    assert flushed < len(written) <= flushed + 1 + BATCH
    again = AuditRecord(1.79e9, "coder", "task_claimed", str(len(written)), "ok", {})
    FileStore(directory, most_bytes=FILE_BYTES, most_files=100).write([again])
    assert _subjects(directory) == [*written, len(written)]


@pytest.mark.parametrize(
    ("injection", "reason"),
    [
        ("fsync:error=EIO:when=1..2", "input/output error"),
        ("fsync:error=EIO:when=2", "input/output error"),
        ("fsync:error=EIO:when=5..7", "input/output error"),
        ("write:error=ENOSPC:when=9..10", "no space left on device"),
        ("rename:error=ENOSPC:when=2", "no space left on device"),
    ],
)
async def test_a_disk_that_fails_for_a_while_costs_no_record_and_repeats_none(
    tmp_path: Path, injection: str, reason: str
) -> None:
    code, said, errors = await _write(tmp_path, injection)
    assert code == 0, errors
    assert sum(map(str.isdigit, said.splitlines())) == BATCHES, "besides the process's own log"
    assert set(errors.splitlines()) == {reason}
    await until(lambda: hits(tmp_path / "trace"))
    assert _subjects(tmp_path / "audit") == list(range(BATCHES * BATCH))


async def _write(directory: Path, injection: str) -> tuple[int, str, str]:
    argv = [sys.executable, "-c", WRITER, str(directory / "audit")]
    # Not what the process prints, for one.
    files = [directory / "audit/audit.jsonl"] if injection.startswith("write:") else []
    argv = under_faults(argv, directory / "trace", injection, files=files)
    process, output, errors = await start(argv, directory, "writer", {})
    try:
        with trio.fail_after(30):
            code = await process.wait()
    finally:
        await stop(process)
    return code, output.read_text(), errors.read_text()


def _subjects(directory: Path) -> list[int]:
    paths = [*sorted(directory.glob("audit-*.jsonl")), directory / "audit.jsonl"]
    lines = [line for path in paths if path.exists() for line in path.read_text().splitlines()]
    return [int(json.loads(line)["subject"]) for line in lines]
