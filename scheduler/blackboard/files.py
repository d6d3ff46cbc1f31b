"""Files and directories of the board's own: private, and on the disk when we say so. All raise OSError."""

import os
from pathlib import Path

from shared.files import sync_directory


def create_private(path: Path) -> None:
    """An empty file, 0600, in directories that are 0700 where they were missing. Raises OSError."""
    make_directory(path.parent)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """With its parents, 0700 each where they were missing, and their names on the disk."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        sync_directory(each.parent)


def sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
