"""What was handed in: files below one directory, each written once and never changed.

The story of one: a `Receiver` writes what comes, in pieces, to a file that nobody knows of, and hashes it in
passing. When it is whole and on the disk, the store gives it its place, `<task>/<epoch>/<name>`, while it
holds the task's row; only then is it on the board. A process that dies in between leaves a file that nothing
points to, never a row without its file.

The rule: a name is one plain file name or refused. Where a file ends up is made of our own words and that.
"""

import hashlib
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, Self

from scheduler.blackboard.errors import BoardBroken, BoardUnavailable
from scheduler.blackboard.files import make_directory
from scheduler.blackboard.queries import Received
from scheduler.core.errors import Code, Refused
from scheduler.core.records import Output
from scheduler.core.task import shortened
from shared.files import sync_directory

__all__ = ["Received", "Receiver", "check_name", "discard", "locate", "place", "take_back"]

MOST_NAME_BYTES: Final = 200
"""File systems take 255; a second file of one name gets some more."""

_INCOMING: Final = ".incoming"
_LEFT_BEHIND_SECONDS: Final = 86_400.0
# The separators of all systems, controls, line separators, halves of surrogate pairs.
_NOT_IN_NAMES: Final = re.compile("[/\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Receiver:
    """Takes one file, in pieces. Leaving its block takes away what was not given a place."""

    def __init__(self, artifacts: Path) -> None:
        """Raises BoardUnavailable."""
        self._hash = hashlib.sha256()
        self._size_bytes = 0
        try:
            make_directory(artifacts / _INCOMING)
            self._path = artifacts / _INCOMING / secrets.token_hex(16)
            self._fd: int | None = os.open(
                self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise _unavailable(artifacts, error) from error

    def write(self, piece: bytes) -> None:
        """Raises BoardUnavailable, where the disk is full for one."""
        assert self._fd is not None, "finished"
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise _unavailable(self._path.parent, error) from error
        self._hash.update(piece)
        self._size_bytes += len(piece)

    def finish(self) -> Received:
        """It is whole. Raises BoardBroken where the disk did not take it."""
        assert self._fd is not None, "finished"
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise BoardBroken(f"{self._path.parent} cannot be used: {error.strerror}") from error
        self._close()
        return Received(self._path, self._size_bytes, self._hash.hexdigest())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.discard()

    def discard(self) -> None:
        """What came is not wanted; what has been given a place stays there."""
        self._close()
        with suppress(OSError):  # nothing points to it
            self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def __repr__(self) -> str:
        return f"<Receiver of {self._size_bytes} bytes so far>"


def receive(artifacts: Path, content: bytes) -> Received:
    """A short file, at once. Raises BoardUnavailable or BoardBroken."""
    receiver = Receiver(artifacts)
    try:
        receiver.write(content)
        return receiver.finish()
    except BaseException:
        receiver.discard()
        raise


def sweep(artifacts: Path, now: float) -> None:
    """Takes away what nobody has written to for a day: its receiver was killed."""
    with suppress(OSError):  # nothing points to any of it, nor need there be any
        for path in (artifacts / _INCOMING).iterdir():
            if path.lstat().st_mtime < now - _LEFT_BEHIND_SECONDS:
                path.unlink(missing_ok=True)


def check_name(name: str) -> None:
    """Raises Refused (`invalid`) for what is no plain file name."""
    if (
        not name
        or name.startswith(".")
        or _NOT_IN_NAMES.search(name)
        or len(name.encode("utf-8", "surrogatepass")) > MOST_NAME_BYTES
    ):
        raise Refused(
            Code.INVALID,
            f"{shortened(name)} is no name for an output: a plain file name of at most "
            f"{MOST_NAME_BYTES} bytes, without a directory and without a dot in front",
        )


def place(artifacts: Path, received: Received, task: str, epoch: int, name: str) -> str:
    """Give the file its place; its path below `artifacts`. The caller holds the task's row, so is alone here.

    A second file of one name in one epoch becomes `name~2.ext`. Raises BoardUnavailable.
    """
    directory = artifacts / task / str(epoch)
    try:
        make_directory(directory)
        target = _free(directory, name)
        received.path.rename(target)
        sync_directory(directory)
    except OSError as error:
        raise _unavailable(directory, error) from error
    return target.relative_to(artifacts).as_posix()


def take_back(artifacts: Path, received: Received, path: str) -> None:
    """The board did not take it after all: back to whoever received it."""
    with suppress(OSError):  # nothing points to it
        (artifacts / path).rename(received.path)


def discard(received: Received) -> None:
    """Takes away what was given no place."""
    with suppress(OSError):  # nothing points to it
        received.path.unlink(missing_ok=True)


def locate(artifacts: Path, output: Output) -> Path:
    """Where an output lies. Raises BoardBroken for a row that points anywhere else."""
    parts = PurePosixPath(output.path).parts
    if len(parts) != 3 or any(part in {"/", ".", ".."} for part in parts):
        raise BoardBroken(f"an output of {output.task} has a path that is none of ours")
    return artifacts.joinpath(*parts)


def _free(directory: Path, name: str) -> Path:
    stem, dot, extension = name.partition(".")
    target, count = directory / name, 1
    while target.exists():  # also what a process left that died before its commit
        count += 1
        target = directory / f"{stem}~{count}{dot}{extension}"
    return target


def _unavailable(where: Path, error: OSError) -> BoardUnavailable:
    return BoardUnavailable(f"{where} cannot be used: {error.strerror}")
