"""To-do documents on the disk: found by patterns, read whole, replaced whole.

The rules:

- A pattern is absolute, or below the user's home (`~`), or below the directory that we are given. A file that
  it names itself is read wherever it leads. What a wildcard finds has to lie below the directory that the
  pattern names, links followed: a link in there opens no other place to us.
- Only regular files, of bounded size and number: a device or a pipe would never end.
- A document is replaced in one step by another with its mode and owner, or not at all. Where it changed
  meanwhile, nothing is written.
"""

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import mkstemp
from typing import Final

MAX_BYTES: Final = 4 * 1024**2
"""Of one document: 50,000 items."""
MAX_FILES: Final = 500
"""That one pattern finds. More is no list of to-dos, but somebody's disk."""
MAX_PATH_BYTES: Final = 1_000
"""It is a part of the ids, and PostgreSQL's index takes 2,700."""

Stamp = tuple[int, int, int, int]


class FileProblemError(Exception):
    """A document cannot be read or written. The message is for people, and does not name it."""


class NotThereError(FileProblemError):
    """There is no such file, now."""


class ChangedError(FileProblemError):
    """Somebody else is writing it."""


@dataclass(frozen=True, slots=True)
class Document:
    """What stood in it, when."""

    path: str
    content: bytes
    modified_at: float
    stamp: Stamp
    """another one: another document"""


def find(pattern: str, base: Path) -> Iterator[str]:
    """Paths of what may be documents, links resolved. Raises FileProblemError after MAX_FILES of them."""
    full = str(base / Path(pattern).expanduser())
    if not glob.has_magic(full):
        yield os.path.realpath(full)
        return
    root = os.path.realpath(_fixed_part(full))
    paths = glob.iglob(full, recursive=True)  # noqa: PTH207 - a Path's own takes no absolute patterns
    found = (os.path.realpath(each) for each in paths)
    inside = (each for each in found if os.path.commonpath([root, each]) == root and Path(each).is_file())
    first = list(islice(inside, MAX_FILES + 1))
    yield from sorted(first[:MAX_FILES])
    if len(first) > MAX_FILES:
        raise FileProblemError(f"it finds more than {MAX_FILES} files")


def read(path: str) -> Document:
    """Raises FileProblemError."""
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise FileProblemError("its path is too long")
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise FileProblemError("its name is not UTF-8") from error
    try:
        # Not to wait for a pipe's other end.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotThereError("it is not there") from error
    except (OSError, ValueError) as error:
        raise FileProblemError(_why(error)) from error
    try:
        with os.fdopen(fd, "rb") as file:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode):
                raise FileProblemError("it is not a file")
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileProblemError(_why(error)) from error
    if len(content) > MAX_BYTES:
        raise FileProblemError(f"it is larger than {MAX_BYTES // 1024**2} MB")
    return Document(path, content, about.st_mtime, _stamp(about))


def replace(document: Document, content: bytes) -> None:
    """Raises FileProblemError, and then everything is as it was."""
    path = Path(document.path)
    draft: Path | None = None
    try:
        about = path.stat()
        if about.st_nlink > 1:
            raise FileProblemError("it has several names, and would have to be written in place")
        fd, name = mkstemp(prefix=".", suffix=".clawpace", dir=path.parent)
        draft = Path(name)
        with os.fdopen(fd, "wb") as file:
            if (about.st_uid, about.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(fd, about.st_uid, about.st_gid)
            os.fchmod(fd, stat.S_IMODE(about.st_mode))
            file.write(content)
            file.flush()
            os.fsync(fd)
        # Looked at last: what is lost now was written within a millisecond.
        if _stamp(path.stat()) != document.stamp:
            raise ChangedError("somebody else is writing it")
        draft.replace(path)
        draft = None
        _sync(path.parent)
    except OSError as error:
        raise FileProblemError(_why(error)) from error
    finally:
        if draft is not None:
            with suppress(OSError):
                draft.unlink()


def _fixed_part(pattern: str) -> str:
    """The directories before the first wildcard."""
    parts: Sequence[str] = Path(pattern).parts
    wild = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    return str(Path(*parts[:wild]))


def _stamp(about: os.stat_result) -> Stamp:
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _why(error: OSError | ValueError) -> str:
    said = error.strerror if isinstance(error, OSError) else str(error)
    return (said or type(error).__name__).lower()
