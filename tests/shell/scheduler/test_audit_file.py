"""Audit records as JSON lines: private, bounded, and whole whatever happened to the process before."""

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.audit.file import FileStore
from scheduler.audit.record import AuditRecord, as_json
from shared import clock

BEGAN = 1_790_000_000.0
LINE_BYTES = len(as_json(AuditRecord(BEGAN, "coder", "task_claimed", "T-0000", "ok", {}))) + 1


def records(*numbers: int) -> list[AuditRecord]:
    """One a second."""
    return [AuditRecord(BEGAN + n, "coder", "task_claimed", f"T-{n:04}", "ok", {}) for n in numbers]


def subjects(directory: Path) -> list[str]:
    """Of all files, the oldest first; lines that are no JSON as they are."""
    paths = [*sorted(directory.glob("audit-*.jsonl")), directory / "audit.jsonl"]
    lines = [line for path in paths if path.exists() for line in path.read_text().splitlines()]
    return [json.loads(line)["subject"] if line.endswith("}") else line for line in lines]


def expected(*numbers: int) -> list[str]:
    return [f"T-{n:04}" for n in numbers]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "audit"


@pytest.fixture
def store(directory: Path) -> FileStore:
    return opened(directory)


def opened(directory: Path, lines: int = 1000, files: int = 10) -> FileStore:
    return FileStore(directory, most_bytes=lines * LINE_BYTES, most_files=files)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Makes the next call of `os.NAME` raise that error."""

    def fail(name: str, number: int) -> None:
        real = getattr(os, name)

        def call(*_: object) -> None:
            monkeypatch.setattr(os, name, real)
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, name, call)

    return fail


def test_nobody_else_may_look_at_it(store: FileStore, directory: Path) -> None:
    before = os.umask(0)
    try:
        store.write(records(1))
    finally:
        os.umask(before)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "audit.jsonl").stat().st_mode) == 0o600


def test_a_record_is_a_line_and_a_restart_goes_on_below_it(store: FileStore, directory: Path) -> None:
    store.write(records(1, 2))
    opened(directory).write(records(3))
    assert subjects(directory) == expected(1, 2, 3)
    first = (directory / "audit.jsonl").read_bytes().splitlines()[0]
    assert first == as_json(records(1)[0])


def test_a_line_is_one_line_for_every_reader(store: FileStore, directory: Path) -> None:
    odd = "\x1b[2J \x7f \x85 \x9b \u2028 \u2029 \r\n 二"
    store.write([AuditRecord(BEGAN, "coder", "task_created", odd, "ok", {})])
    text = (directory / "audit.jsonl").read_text(encoding="utf-8")
    assert len(text.splitlines()) == 1
    assert text.rstrip("\n").isprintable()
    assert "二" in text
    assert json.loads(text)["subject"] == odd


def test_no_file_is_larger_than_allowed_and_the_oldest_beyond_the_number_go(directory: Path) -> None:
    store = opened(directory, lines=3, files=4)
    store.write(records(*range(7)))
    for number in range(7, 20):
        store.write(records(number))
    assert sorted(path.name for path in directory.iterdir()) == [
        "audit-000004.jsonl",
        "audit-000005.jsonl",
        "audit-000006.jsonl",
        "audit.jsonl",
    ]
    assert max(path.stat().st_size for path in directory.iterdir()) == 3 * LINE_BYTES
    assert subjects(directory) == expected(*range(9, 20))


def test_with_one_file_allowed_there_is_one(directory: Path) -> None:
    opened(directory, lines=3, files=1).write(records(*range(7)))
    assert [path.name for path in directory.iterdir()] == ["audit.jsonl"]
    assert subjects(directory) == expected(6)


def test_a_record_longer_than_a_file_has_one_for_itself(directory: Path) -> None:
    store = opened(directory, lines=2)
    long = AuditRecord(BEGAN, "coder", "task_created", "T-long", "ok", {"title": "x" * 1000})
    store.write([*records(1), long, *records(2)])
    store.write([long])
    assert subjects(directory) == ["T-0001", "T-long", "T-0002", "T-long"]
    assert len(list(directory.iterdir())) == 4


@pytest.mark.parametrize("torn", ['{"at":"2026-', "\0" * 100])
def test_a_line_that_was_never_ended_spoils_no_other(store: FileStore, directory: Path, torn: str) -> None:
    store.write(records(1))
    with (directory / "audit.jsonl").open("a") as file:
        file.write(torn)
    opened(directory).write(records(2))
    assert subjects(directory) == ["T-0001", torn, "T-0002"]


def test_a_torn_line_in_a_full_file_stays_there(directory: Path) -> None:
    store = opened(directory, lines=1)
    store.write(records(1))
    with (directory / "audit.jsonl").open("a") as file:
        file.write("{")
    store.write(records(2))
    assert (directory / "audit-000001.jsonl").read_bytes().endswith(b"}\n{")
    assert (directory / "audit.jsonl").read_bytes().count(b"\n") == 1


def test_a_batch_that_fails_leaves_nothing_behind_and_comes_again_once(
    store: FileStore, directory: Path, failing: Callable[[str, int], None]
) -> None:
    store.write(records(1))
    failing("fsync", errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        store.write(records(2, 3))
    assert subjects(directory) == expected(1)
    store.write(records(2, 3))
    assert subjects(directory) == expected(1, 2, 3)


def test_a_batch_begins_a_new_file_rather_than_being_torn_apart(directory: Path) -> None:
    store = opened(directory, lines=3)
    store.write(records(1, 2))
    store.write(records(3, 4))
    assert (directory / "audit-000001.jsonl").stat().st_size == 2 * LINE_BYTES
    assert subjects(directory) == expected(1, 2, 3, 4)


def test_half_a_batch_on_a_disk_that_refuses_even_to_cut_it_off_is_ended(
    store: FileStore,
    directory: Path,
    failing: Callable[[str, int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = os.write

    def half(fd: int, data: memoryview) -> int:
        monkeypatch.setattr(os, "write", real)
        written = real(fd, data[: LINE_BYTES + 10])
        failing("write", errno.ENOSPC)
        failing("ftruncate", errno.EIO)
        return written

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space left"):
        store.write(records(1, 2))
    store.write(records(1, 2))
    assert subjects(directory) == ["T-0001", '{"at":"202', "T-0001", "T-0002"]


def test_what_an_operator_does_to_the_files_is_no_obstacle(store: FileStore, directory: Path) -> None:
    store.write(records(1))
    (directory / "audit.jsonl").rename(directory / "audit.jsonl.gz")
    store.write(records(2))
    assert subjects(directory) == expected(2)
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    store.write(records(3))
    assert subjects(directory) == expected(3)


def test_a_directory_that_cannot_be_one_is_an_error_and_not_followed(directory: Path) -> None:
    directory.parent.mkdir()
    directory.touch()
    with pytest.raises(FileExistsError):
        opened(directory).write(records(1))
    directory.unlink()
    directory.mkdir()
    (directory / "audit.jsonl").symlink_to(directory.parent / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        opened(directory).write(records(1))


def test_the_retention_takes_whole_files_and_parts_of_them(directory: Path) -> None:
    store = opened(directory, lines=3)
    store.write(records(*range(8)))
    assert store.prune(BEGAN + 4) == 4
    assert subjects(directory) == expected(4, 5, 6, 7)
    assert sorted(path.name for path in directory.iterdir()) == ["audit-000002.jsonl", "audit.jsonl"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    store.write(records(8, 9))
    assert subjects(directory) == expected(4, 5, 6, 7, 8, 9), "and its numbers go on"
    assert store.prune(BEGAN + 100) == 6
    assert list(directory.iterdir()) == []


def test_the_retention_leaves_alone_what_is_young_enough(store: FileStore, directory: Path) -> None:
    assert store.prune(BEGAN) == 0, "also where there is nothing yet"
    store.write(records(1, 2))
    (directory / "audit-000007.jsonl").touch()
    (directory / "audit-by-hand.jsonl").write_text("{}")
    inode = (directory / "audit.jsonl").stat().st_ino
    assert store.prune(BEGAN + 1) == 0
    assert (directory / "audit.jsonl").stat().st_ino == inode
    assert (directory / "audit-by-hand.jsonl").exists()


@pytest.mark.parametrize("junk", [b"", b"\0\0", b'{"at":1}', b'{"at":"\xff"}', b"[" * 10_000], ids=range(5))
def test_the_retention_takes_lines_that_are_no_records(
    store: FileStore, directory: Path, junk: bytes
) -> None:
    directory.mkdir(parents=True)
    (directory / "audit.jsonl").write_bytes(junk + b"\n")
    store.write(records(1))
    assert store.prune(BEGAN) == 1
    assert subjects(directory) == expected(1)


def test_a_retention_that_was_killed_leaves_its_unfinished_file_to_the_next(
    store: FileStore, directory: Path
) -> None:
    store.write(records(1, 2))
    (directory / "audit.jsonl.new").write_text("half")
    store.prune(BEGAN)
    assert [path.name for path in directory.iterdir()] == ["audit.jsonl"]


def test_it_says_what_it_is(store: FileStore, directory: Path) -> None:
    assert repr(store) == f"<FileStore in {directory}: at most 10 files of {1000 * LINE_BYTES} bytes>"


@given(
    batches=st.lists(st.integers(1, 9), max_size=12),
    lines=st.integers(1, 5),
    files=st.integers(1, 5),
    pruned=st.integers(0, 40),
)
def test_what_is_there_is_always_the_end_of_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, batches: list[int], lines: int, files: int, pruned: int
) -> None:
    directory = tmp_path_factory.mktemp("audit")
    count = 0
    for size in batches:
        opened(directory, lines, files).write(records(*range(count, count + size)))
        count += size
        there = subjects(directory)
        assert there == expected(*range(count - len(there), count))
        assert len(list(directory.iterdir())) <= files
        assert len(there) >= (1 if files == 1 else min(size, lines))
    opened(directory, lines, files).prune(BEGAN + pruned)
    assert subjects(directory) == expected(*range(max(pruned, count - len(there)), count) if count else ())


def test_its_times_compare_as_text_as_they_do_as_numbers() -> None:
    times = [0.0, BEGAN, BEGAN + 0.001, BEGAN + 1, 4_000_000_000.0]
    assert sorted(map(clock.rfc3339, times)) == list(map(clock.rfc3339, times))
