"""Audit records as JSON lines in a directory: the latest in `audit.jsonl`, older ones in numbered files.

DESIGN. Nothing is kept open or remembered between two batches: each one looks at the directory as it is. So
whatever an operator or `kill -9` has done to it, the next batch goes on from there:

1. A last line without its end (a process died, or a disk was full while writing) is ended, and stays behind
   as the one line that is not JSON.
2. A batch that would make the file larger than allowed begins a new one; the full one gets the next number.
   There are never more files than allowed: the lowest numbers are deleted.
3. A batch is on the disk (`fsync`) before it counts as written, new names of files included. One that fails
   is cut off again, so that it can come again. (Only where a file cannot even hold one batch may the part of
   it that had filled a file come twice.)

The retention is by record, not by file: a quiet board would keep its one file for ever. A file whose first
record is too old is written anew without such records and swapped in whole.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from scheduler.audit.record import AuditRecord, as_json
from shared import clock
from shared.files import sync_directory

CURRENT: Final = "audit.jsonl"

_NUMBERED: Final = re.compile(r"audit-(\d+)\.jsonl")
_UNFINISHED: Final = ".new"
_APPEND: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND
_ANEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
# JSON escapes what is below U+0020. These too end a line, or drive a terminal, for some readers.
_ODD_BYTES: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")


class _Stamp(msgspec.Struct):
    at: str


class FileStore:
    """The files of one directory. Owner: the audit log; others read, or take files away."""

    def __init__(self, directory: Path, *, most_bytes: int, most_files: int) -> None:
        """Touches nothing yet. `most_bytes` of each file, unless a single record is longer."""
        self._directory = directory
        self._current = directory / CURRENT
        self._most_bytes = most_bytes
        self._most_files = most_files

    def write(self, records: Sequence[AuditRecord]) -> None:
        """Append them, synced. Raises OSError."""
        lines = [_line(record) for record in records]
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        while lines:
            fits = self._append(lines)
            if not fits:
                self._rotate()
            lines = lines[fits:]

    def prune(self, before: float) -> int:
        """Delete what happened before `before`; how many records that were. Raises OSError."""
        oldest = clock.rfc3339(before)
        for unfinished in self._directory.glob(f"*{_UNFINISHED}"):
            unfinished.unlink()
        return sum(self._without_older(path, oldest) for path in [*self._numbered(), self._current])

    def _append(self, lines: Sequence[bytes]) -> int:
        """As many of the first `lines` as the current file has room for; their number."""
        with _opened(self._current, _APPEND) as fd:
            size = os.fstat(fd).st_size
            is_torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            count = self._fitting(lines, size + is_torn)
            if not count:
                return 0
            try:
                _write_all(fd, b"\n" * is_torn + b"".join(lines[:count]))
                os.fsync(fd)
                if not size:
                    sync_directory(self._directory)
            except OSError:
                with suppress(OSError):  # a disk that refuses this too leaves a torn line, see above
                    os.ftruncate(fd, size)
                raise
        return count

    def _fitting(self, lines: Sequence[bytes], size: int) -> int:
        """How many of the first `lines` go into a file of `size` bytes: all or none, if a new one could."""
        total = sum(map(len, lines))
        if total <= self._most_bytes:
            return len(lines) if size + total <= self._most_bytes else 0
        count = 0
        for line in lines:
            size += len(line)
            if size > self._most_bytes and size > len(line):  # a long line has an empty file for itself
                break
            count += 1
        return count

    def _rotate(self) -> None:
        """Give the current file the next number, and make room for a new one."""
        numbered = self._numbered()
        number = _number(numbered[-1]) + 1 if numbered else 1
        full = self._directory / f"audit-{number:06}.jsonl"
        self._current.rename(full)
        excess = len(numbered) + 2 - self._most_files
        for path in [*numbered, full][: max(excess, 0)]:
            path.unlink(missing_ok=True)

    def _without_older(self, path: Path, oldest: str) -> int:
        """Take out of `path` what happened before `oldest`, and the file itself if nothing is left."""
        try:
            with path.open("rb") as file:
                first = next(file, None)
        except FileNotFoundError:
            return 0
        if first is None or not _is_older(first, oldest):
            return 0
        new = path.with_name(path.name + _UNFINISHED)
        dropped = kept = 0
        with path.open("rb") as lines, _opened(new, _ANEW) as fd, os.fdopen(fd, "wb", closefd=False) as file:
            for line in lines:
                if _is_older(line, oldest):
                    dropped += 1
                else:
                    kept += 1
                    file.write(line)
            file.flush()
            os.fsync(fd)
        if kept:
            new.replace(path)
        else:
            new.unlink()
            path.unlink()
        sync_directory(self._directory)
        return dropped

    def _numbered(self) -> list[Path]:
        """The full files, the oldest first."""
        found = [path for path in self._directory.glob("audit-*.jsonl") if _NUMBERED.fullmatch(path.name)]
        return sorted(found, key=_number)

    def __repr__(self) -> str:
        return (
            f"<FileStore in {self._directory}: at most {self._most_files} files of {self._most_bytes} bytes>"
        )


def _line(record: AuditRecord) -> bytes:
    line = as_json(record)
    if not line.isascii() or b"\x7f" in line:
        line = _ODD_BYTES.sub(lambda odd: b"\\u%04x" % ord(odd[0].decode()), line)
    return line + b"\n"


def _is_older(line: bytes, oldest: str) -> bool:
    """RFC 3339 in one form and one zone: text compares as time does. What is no record is old."""
    try:
        return msgspec.json.decode(line, type=_Stamp).at < oldest
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return True


def _number(path: Path) -> int:
    match = _NUMBERED.fullmatch(path.name)
    assert match is not None
    return int(match[1])


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
