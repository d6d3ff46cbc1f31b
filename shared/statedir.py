"""The directory a process keeps its state in: its owner's alone, and one process's at a time."""

import errno
import fcntl
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from shared.errors import StartError

_PRIVATE_DIRECTORY: Final = 0o700
_PRIVATE_FILE: Final = 0o600
_GOES_WITHOUT: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StateDir:
    """A state directory that this process holds, until `close` or the end of the process."""

    path: Path
    lock_fd: int | None
    """None: it cannot be written, so nothing will be kept there, and nobody else can keep anything there."""

    def close(self) -> None:
        """Let go of the lock. The lock file stays: removing it would let two others lock different files."""
        if self.lock_fd is not None:
            os.close(self.lock_fd)


def open_state_dir(path: str | Path, lock_name: str) -> StateDir:
    """Create `path` where it is missing, and hold `lock_name` in it.

    Directories that we make are 0700, the missing parents too. One that exists is used as it is, because its
    rights are somebody's decision, with a warning if others may look in. A disk that is full or read-only is
    told and goes without: to do the work matters more than to remember it. Raises StartError, exit code 1,
    where another process holds the directory, or where it cannot be one.
    """
    directory = Path(path).expanduser()
    try:
        _create(directory)
        if stat.S_IMODE(directory.stat().st_mode) & 0o077:
            _log.warning("state_dir_open_to_others", path=str(directory), hint=f"chmod 700 {directory}")
        fd = os.open(
            directory / lock_name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _PRIVATE_FILE
        )
    except OSError as error:
        if error.errno not in _GOES_WITHOUT:
            raise StartError(f"cannot use the state directory {directory}: {_why(error)}") from error
        _log.critical("state_dir_unusable", path=str(directory), error=_why(error))
        return StateDir(directory, None)
    try:
        # The kernel lets go of a flock when its holder ends, however it ends: no stale lock, no guessing from
        # a pid. The pid in the file is only for the message.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        os.close(fd)
        who = f"process {holder}" if holder.isdigit() else "another process"
        raise StartError(
            f"the state directory {directory} is in use by {who} (lock {lock_name}); "
            "stop it, or give this one a directory of its own"
        ) from error
    with suppress(OSError):  # a full disk
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
    return StateDir(directory, fd)


def _create(directory: Path) -> None:
    missing = []
    while not directory.is_dir():
        missing.append(directory)
        if directory == directory.parent:
            break
        directory = directory.parent
    for each in reversed(missing):
        each.mkdir(mode=_PRIVATE_DIRECTORY, exist_ok=True)


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
